//! Databases and roles, ensured and never dropped.

mod mariadb;
mod postgresql;

use super::Guest;
use super::error::GuestError;
use super::secret_values::SecretValues;
use super::store;
use super::system::{Command, Output, UnitJob, succeed};
use crate::model::protocol::Done;
use crate::model::{
    DatabaseName, DatabaseServer, DatabasesDocument, Digest, OwnedDatabase, SecretName, document,
};
use std::collections::BTreeMap;
use std::time::Duration;

const SQL_LIMIT: Duration = Duration::from_secs(30);
/// How long a server that was just started may take to answer.
const START_LIMIT: Duration = Duration::from_secs(30);

/// How one sort of server is spoken to.
struct Server {
    unit: &'static str,
    /// The client, which runs a script from its input up to the first error.
    client: &'static [&'static str],
    /// Who may do all there, by the guest's own accounts.
    user: Option<&'static str>,
    /// Says how many roles and databases there are.
    count: &'static str,
    /// Makes a session that logs no password, and reads quotes by the standard.
    begin: &'static str,
    /// Ensures one; the password is a literal already.
    statements: fn(&DatabaseName, &OwnedDatabase, Option<&str>) -> String,
}

fn server(server: DatabaseServer) -> Server {
    match server {
        DatabaseServer::Postgresql => postgresql::SERVER,
        DatabaseServer::Mariadb => mariadb::SERVER,
    }
}

/// Ensures every database of the bundle and the role that owns it.
pub fn ensure(
    guest: &mut Guest,
    digest: &Digest,
    passwords: &BTreeMap<SecretName, String>,
) -> Result<Done, GuestError> {
    let wanted: DatabasesDocument =
        store::document(guest.fs, digest, document::DATABASES)?.unwrap_or_default();
    let mut scripts: BTreeMap<DatabaseServer, String> = BTreeMap::new();
    for (kind, name, database) in wanted.all() {
        let server = server(kind);
        let password = database.password.as_ref().map(|secret| password(secret, passwords));
        let script = scripts.entry(kind).or_insert_with(|| server.begin.to_owned());
        *script += &(server.statements)(name, database, password.transpose()?.as_deref());
    }
    let secrets = SecretValues::of(passwords.values());
    let mut already = true;
    for (kind, script) in scripts {
        already &= server(kind).ensure(guest, &script, &secrets)?;
    }
    Ok(Done { already })
}

fn password(
    secret: &SecretName,
    passwords: &BTreeMap<SecretName, String>,
) -> Result<String, GuestError> {
    let missing = || GuestError::Unfit(format!("the password `{secret}` is missing"));
    literal(passwords.get(secret).ok_or_else(missing)?)
}

/// A string literal of standard SQL.
fn literal(text: &str) -> Result<String, GuestError> {
    if text.contains('\0') {
        return Err(GuestError::Unfit("a database password holds a NUL".to_owned()));
    }
    Ok(format!("'{}'", text.replace('\'', "''")))
}

impl Server {
    /// Whether everything was there.
    fn ensure(
        &self,
        guest: &mut Guest,
        script: &str,
        secrets: &SecretValues,
    ) -> Result<bool, GuestError> {
        self.wait(guest)?;
        let before = self.run(guest, self.count)?.text;
        self.run(guest, script).map_err(|error| error.conceal(secrets))?;
        Ok(self.run(guest, self.count)?.text == before)
    }

    fn wait(&self, guest: &mut Guest) -> Result<(), GuestError> {
        if self.run(guest, "SELECT 1;\n").is_ok() {
            return Ok(());
        }
        guest.system.job(UnitJob::Start, &self.unit.parse()?)?;
        let started = guest.system.uptime();
        loop {
            match self.run(guest, "SELECT 1;\n") {
                Ok(_) => return Ok(()),
                Err(error) if guest.system.uptime().saturating_sub(started) > START_LIMIT => {
                    return Err(error);
                }
                Err(_) => guest.system.sleep(Duration::from_millis(200)),
            }
        }
    }

    fn run(&self, guest: &mut Guest, sql: &str) -> Result<Output, GuestError> {
        let mut command = Command::new(self.client, SQL_LIMIT);
        command.user = self.user.map(str::to_owned);
        command.input = sql.as_bytes().to_vec();
        let output = guest.system.run(&command)?;
        Ok(succeed(&command, output)?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_password_cannot_leave_its_literal() {
        let quoted = literal("a'b\\'; DROP ROLE x; --").expect("there is no NUL");
        assert_eq!(quoted, "'a''b\\''; DROP ROLE x; --'");
        assert!(literal("a\0b").is_err());
    }
}
