//! `databases`: those of PostgreSQL and MariaDB are ensured on the guest, an instance of Redis is a unit and a file of the bundle.

mod redis;

use super::{apt, overlay::Overlay, ports};
use crate::{
    compile::{
        report::{Code, Mistake},
        source::{At, Node, Value},
        view::{Located, View},
    },
    model::{DatabaseName, DatabaseServer, DatabasesDocument, OwnedDatabase, SecretName},
};
use std::collections::BTreeMap;

#[derive(Clone, Copy)]
enum Engine {
    Owned(DatabaseServer),
    Redis,
}

const ENGINES: [(&str, Engine); 3] = [
    ("postgresql", Engine::Owned(DatabaseServer::Postgresql)),
    ("mariadb", Engine::Owned(DatabaseServer::Mariadb)),
    ("redis", Engine::Redis),
];

impl Engine {
    /// Packages that bring it; the first is the one to name.
    fn packages(self) -> &'static [&'static str] {
        match self {
            Self::Owned(DatabaseServer::Postgresql) => &["postgresql"],
            Self::Owned(DatabaseServer::Mariadb) => &["mariadb-server", "default-mysql-server"],
            Self::Redis => &["redis-server", "redis"],
        }
    }

    /// Keys that mean nothing to it, with the engines that have them.
    fn foreign(self) -> (&'static [&'static str], &'static str) {
        match self {
            Self::Owned(_) => (&["port", "memory_mib", "eviction", "persistent"], "Redis"),
            Self::Redis => (&["name", "owner"], "PostgreSQL and MariaDB"),
        }
    }
}

/// The document for the guest; what Redis needs goes into the overlay.
pub fn read(stack: &View<'_>, overlay: &mut Overlay) -> DatabasesDocument {
    let mut owned = Owned::default();
    let mut instances = redis::Instances::new(ports::taken(stack, overlay));
    for (name, view) in stack.tables("databases") {
        let postgresql = Engine::Owned(DatabaseServer::Postgresql);
        let Some(engine) = view.word_or("engine", &ENGINES, postgresql) else { continue };
        check_keys(&view, engine);
        // Nothing is ensured in a server that is not there.
        apt::need_package(stack, view.at, "the database", engine.packages());
        match engine {
            Engine::Owned(server) => owned.add(server, name, &view),
            Engine::Redis => instances.add(stack, name, &view, overlay),
        }
    }
    owned.document
}

/// Whether a guest has a database of Redis, and so its package or a mistake that says so.
pub fn has_redis(stack: &View<'_>) -> bool {
    let mut databases = stack.tables("databases");
    databases.any(|(_, view)| view.node("engine").and_then(Node::text) == Some("redis"))
}

fn check_keys(view: &View<'_>, engine: Engine) {
    let (foreign, whose) = engine.foreign();
    for key in foreign {
        let member = view.table.get(*key).filter(|_| view.node(key).is_some());
        let Some(member) = member else { continue };
        let title = format!("`{key}` is for {whose}, and means nothing here");
        let mistake = Mistake::new(Code::UnknownKey, member.key, title);
        view.report(mistake.help("take it out, or set another `engine`"));
    }
}

/// Databases with owners, as they come.
#[derive(Default)]
struct Owned {
    document: DatabasesDocument,
    names: BTreeMap<(DatabaseServer, DatabaseName), At>,
    passwords: BTreeMap<(DatabaseServer, DatabaseName), (Option<SecretName>, At)>,
}

impl Owned {
    fn add(&mut self, server: DatabaseServer, name: &str, view: &View<'_>) {
        let name = match view.parsed::<DatabaseName>("name") {
            Some(name) => Some(name),
            None if view.table.contains_key("name") => None,
            None => {
                let name = view.lowering.parse(name, view.at);
                name.map(|value| Located { value, at: view.at })
            }
        };
        let owner = view.need::<DatabaseName>("owner");
        let password = password(view);
        let (Some(name), Some(owner)) = (name, owner) else { return };
        check_reserved(view, server, &name, &owner);
        self.check_once(view, server, &name);
        self.check_password(view, server, &owner, password.as_ref());
        let databases = match server {
            DatabaseServer::Postgresql => &mut self.document.postgresql,
            DatabaseServer::Mariadb => &mut self.document.mariadb,
        };
        databases.insert(name.value, OwnedDatabase { owner: owner.value, password });
    }

    fn check_once(
        &mut self,
        view: &View<'_>,
        server: DatabaseServer,
        name: &Located<DatabaseName>,
    ) {
        if let Some(first) = self.names.insert((server, name.value.clone()), name.at) {
            let title = format!("two entries are the {} database `{}`", server.name(), name.value);
            view.report(
                Mistake::new(Code::SameDatabase, name.at, title)
                    .also(first, "the other one")
                    .help("give one of them another `name`, or remove it with `false`"),
            );
        }
    }

    fn check_password(
        &mut self,
        view: &View<'_>,
        server: DatabaseServer,
        owner: &Located<DatabaseName>,
        password: Option<&SecretName>,
    ) {
        let role = (server, owner.value.clone());
        let Some((first, at)) = self.passwords.insert(role, (password.cloned(), owner.at)) else {
            return;
        };
        if first.as_ref() != password {
            let what = match (first, password) {
                (Some(_), Some(_)) => "with two passwords",
                _ => "and only one of them says its password",
            };
            let title = format!("`{}` owns two databases, {what}", owner.value);
            view.report(
                Mistake::new(Code::TwoPasswords, owner.at, title)
                    .also(at, "the other one")
                    .help("a role has one password: name the same secret in both, or two owners"),
            );
        }
    }
}

/// What a server has for itself: databases, roles.
fn reserved(server: DatabaseServer) -> (&'static [&'static str], &'static [&'static str]) {
    match server {
        DatabaseServer::Postgresql => (&["postgres", "template0", "template1"], &["postgres"]),
        DatabaseServer::Mariadb => (
            &["information_schema", "mysql", "performance_schema", "sys"],
            &["mariadb", "mysql", "root"],
        ),
    }
}

fn check_reserved(
    view: &View<'_>,
    server: DatabaseServer,
    name: &Located<DatabaseName>,
    owner: &Located<DatabaseName>,
) {
    let (databases, roles) = reserved(server);
    let own_role = |role: &str| {
        roles.contains(&role) || server == DatabaseServer::Postgresql && role.starts_with("pg_")
    };
    let taken = [
        (name, "database", databases.contains(&name.value.as_str())),
        (owner, "role", own_role(owner.value.as_str())),
    ];
    for (located, what, _) in taken.into_iter().filter(|(_, _, is_taken)| *is_taken) {
        let title = format!("`{}` is a {what} of the server itself", located.value);
        let help = format!("give the {what} another name");
        view.report(Mistake::new(Code::BadName, located.at, title).help(help));
    }
}

/// The secret that is the password, where there is to be one.
fn password(view: &View<'_>) -> Option<SecretName> {
    view.node("password")?;
    view.table("password").need::<SecretName>("secret").map(|secret| secret.value)
}

/// The ports that the definition gives to services, by number.
fn declared_ports<'a>(stack: &View<'a>) -> BTreeMap<i64, (&'a str, At)> {
    let numbers = stack.entries("ports").filter_map(|(name, _, node)| match node.value {
        Value::Integer(port) => Some((port, (name, node.at))),
        _ => None,
    });
    numbers.collect()
}
