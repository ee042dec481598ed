//! MariaDB: its superuser is the guest's root, by the socket. A role is an account of the guest itself: `OWNER@localhost`.

use super::Server;
use crate::model::{DatabaseName, OwnedDatabase};

pub(super) const SERVER: Server = Server {
    unit: "mariadb.service",
    client: &["mariadb", "--batch", "--skip-column-names", "--protocol=socket", "--user=root"],
    user: None,
    count: "SELECT COUNT(*) FROM mysql.global_priv; SELECT COUNT(*) FROM information_schema.SCHEMATA;\n",
    // With backslashes as what they are, a literal is that of standard SQL.
    begin: "SET NAMES utf8mb4;\nSET SESSION sql_log_off = 1, slow_query_log = 0, sql_mode = 'NO_BACKSLASH_ESCAPES';\n",
    statements,
};

/// The names need no quoting by their type, but in a grant `_` stands for any character.
fn statements(name: &DatabaseName, database: &OwnedDatabase, password: Option<&str>) -> String {
    let role = format!("'{}'@'localhost'", database.owner);
    let pattern = name.as_str().replace('_', "\\_");
    let proof = match password {
        Some(password) => format!("BY {password}"),
        None => "VIA unix_socket".to_owned(),
    };
    format!(
        "CREATE DATABASE IF NOT EXISTS `{name}` CHARACTER SET utf8mb4;
CREATE USER IF NOT EXISTS {role} IDENTIFIED VIA unix_socket;
ALTER USER {role} IDENTIFIED {proof};
GRANT ALL PRIVILEGES ON `{pattern}`.* TO {role};
"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_grant_is_for_one_database_and_not_for_names_like_it() {
        let name = |text: &str| text.parse().expect("it is a name");
        let database = OwnedDatabase { owner: name("shop"), password: None };
        let script = statements(&name("shop_a"), &database, None);
        assert!(script.contains("GRANT ALL PRIVILEGES ON `shop\\_a`.* TO 'shop'@'localhost';"));
    }
}
