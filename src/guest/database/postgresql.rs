//! PostgreSQL: its superuser is the guest's own `postgres`.

use super::Server;
use crate::model::{DatabaseName, OwnedDatabase};

pub(super) const SERVER: Server = Server {
    unit: "postgresql.service",
    client: &["psql", "-X", "-q", "-A", "-t", "-v", "ON_ERROR_STOP=1", "-d", "postgres"],
    user: Some("postgres"),
    count: "SELECT count(*) FROM pg_roles; SELECT count(*) FROM pg_database;\n",
    begin: "SET log_statement = 'none'; SET log_min_error_statement = 'panic'; SET log_min_duration_statement = -1;
SET standard_conforming_strings = on;
",
    statements,
};

/// The names need no quoting by their type.
fn statements(name: &DatabaseName, database: &OwnedDatabase, password: Option<&str>) -> String {
    let (owner, password) = (&database.owner, password.unwrap_or("NULL"));
    format!(
        "SELECT 'CREATE ROLE \"{owner}\" LOGIN' WHERE NOT EXISTS (SELECT FROM pg_roles WHERE rolname = '{owner}') \\gexec
ALTER ROLE \"{owner}\" LOGIN PASSWORD {password};
SELECT 'CREATE DATABASE \"{name}\" OWNER \"{owner}\"' WHERE NOT EXISTS (SELECT FROM pg_database WHERE datname = '{name}') \\gexec
"
    )
}
