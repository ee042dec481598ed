//! `databases.json`: databases and roles that are ensured before the switch and never dropped. Redis is not among them:
//! its instances are units and files of the bundle.

use super::{DatabaseName, SecretName};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};

/// Databases by the server that they are in, and by name.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DatabasesDocument {
    pub postgresql: BTreeMap<DatabaseName, OwnedDatabase>,
    pub mariadb: BTreeMap<DatabaseName, OwnedDatabase>,
}

/// The servers in which databases are ensured.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum DatabaseServer {
    Postgresql,
    Mariadb,
}

impl DatabaseServer {
    pub fn name(self) -> &'static str {
        match self {
            Self::Postgresql => "postgresql",
            Self::Mariadb => "mariadb",
        }
    }
}

impl DatabasesDocument {
    /// Every database with its server.
    pub fn all(
        &self,
    ) -> impl Iterator<Item = (DatabaseServer, &DatabaseName, &OwnedDatabase)> + '_ {
        let postgresql = self.postgresql.iter().map(|(n, d)| (DatabaseServer::Postgresql, n, d));
        postgresql.chain(self.mariadb.iter().map(|(n, d)| (DatabaseServer::Mariadb, n, d)))
    }

    /// The secrets that are passwords of roles.
    pub fn passwords(&self) -> BTreeSet<SecretName> {
        self.all().filter_map(|(_, _, database)| database.password.clone()).collect()
    }
}

/// A database and the role that owns it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct OwnedDatabase {
    pub owner: DatabaseName,
    /// The role's password. Without one only the guest's own user of that name can log in.
    pub password: Option<SecretName>,
}
