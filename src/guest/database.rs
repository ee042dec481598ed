//! Databases and roles, ensured and never dropped.

use super::Guest;
use super::error::GuestError;
use super::secret_values::SecretValues;
use super::store;
use super::system::{Command, Output, UnitJob, succeed};
use crate::model::protocol::Done;
use crate::model::{DatabasesDocument, Digest, PostgresDatabase, SecretName, UnitName, document};
use std::collections::BTreeMap;
use std::time::Duration;

const SQL_LIMIT: Duration = Duration::from_secs(30);
/// How long a cluster that was just started may take to answer.
const START_LIMIT: Duration = Duration::from_secs(30);

/// Ensures every database of the bundle and the role that owns it.
pub fn ensure(
    guest: &mut Guest,
    digest: &Digest,
    passwords: &BTreeMap<SecretName, String>,
) -> Result<Done, GuestError> {
    let wanted: DatabasesDocument =
        store::document(guest.fs, digest, document::DATABASES)?.unwrap_or_default();
    if wanted.postgresql.is_empty() {
        return Ok(Done { already: true });
    }
    let mut script = String::new();
    for (name, database) in &wanted.postgresql {
        script += &statements(name.as_str(), database, passwords)?;
    }
    wait_for_cluster(guest)?;
    let before = psql(guest, COUNT)?.text;
    let secrets = SecretValues::of(passwords.values());
    psql(guest, &script).map_err(|error| error.conceal(&secrets))?;
    Ok(Done { already: psql(guest, COUNT)?.text == before })
}

const COUNT: &str = "SELECT count(*) FROM pg_roles; SELECT count(*) FROM pg_database;\n";

/// The names need no quoting by their type; passwords are quoted, and kept out of the server's log even on an error.
fn statements(
    name: &str,
    database: &PostgresDatabase,
    passwords: &BTreeMap<SecretName, String>,
) -> Result<String, GuestError> {
    let owner = &database.owner;
    let password = match &database.password {
        None => "NULL".to_owned(),
        Some(secret) => {
            let missing = || GuestError::Unfit(format!("the password `{secret}` is missing"));
            literal(passwords.get(secret).ok_or_else(missing)?)?
        }
    };
    Ok(format!(
        "SET log_statement = 'none'; SET log_min_error_statement = 'panic'; SET log_min_duration_statement = -1;
SET standard_conforming_strings = on;
SELECT 'CREATE ROLE \"{owner}\" LOGIN' WHERE NOT EXISTS (SELECT FROM pg_roles WHERE rolname = '{owner}') \\gexec
ALTER ROLE \"{owner}\" LOGIN PASSWORD {password};
SELECT 'CREATE DATABASE \"{name}\" OWNER \"{owner}\"' WHERE NOT EXISTS (SELECT FROM pg_database WHERE datname = '{name}') \\gexec
"
    ))
}

/// A string literal of standard SQL.
fn literal(text: &str) -> Result<String, GuestError> {
    if text.contains('\0') {
        return Err(GuestError::Unfit("a database password holds a NUL".to_owned()));
    }
    Ok(format!("'{}'", text.replace('\'', "''")))
}

fn wait_for_cluster(guest: &mut Guest) -> Result<(), GuestError> {
    if psql(guest, "SELECT 1;\n").is_ok() {
        return Ok(());
    }
    let unit: UnitName = "postgresql.service".parse()?;
    guest.system.job(UnitJob::Start, &unit)?;
    let started = guest.system.uptime();
    loop {
        match psql(guest, "SELECT 1;\n") {
            Ok(_) => return Ok(()),
            Err(error) if guest.system.uptime().saturating_sub(started) > START_LIMIT => {
                return Err(error);
            }
            Err(_) => guest.system.sleep(Duration::from_millis(200)),
        }
    }
}

fn psql(guest: &mut Guest, sql: &str) -> Result<Output, GuestError> {
    let argv = ["psql", "-X", "-q", "-A", "-t", "-v", "ON_ERROR_STOP=1", "-d", "postgres"];
    let mut command = Command::new(&argv, SQL_LIMIT);
    command.user = Some("postgres".to_owned());
    command.input = sql.as_bytes().to_vec();
    let output = guest.system.run(&command)?;
    Ok(succeed(&command, output)?)
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
