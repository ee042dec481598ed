//! `stackc explain`, as an operator reads it.

use crate::compile::cases;
use crate::compile_cli::{stackc, text};
use serde_json::Value;

fn explained(arguments: &[&str]) -> String {
    let mut command = stackc(&cases().join("layers_and_secrets"));
    let output = command.arg("explain").args(arguments).output().expect("it runs");
    assert!(output.status.success(), "{}", text(&output.stderr));
    text(&output.stdout)
}

#[test]
fn a_table_is_explained_key_by_key_with_who_says_so_and_what_is_taken_out() {
    let tables = ["vars", "packages", "firewall", "system"];
    let all = tables.map(|table| explained(&["tool/dev", table]));
    insta::assert_snapshot!(all.join("\n"));
}

#[test]
fn an_explained_table_is_toml_that_means_the_value_that_json_has() {
    for table in ["vars", "packages", "firewall", "users", "services", "guest", "files"] {
        let document = explained(&["tool/dev", table, "--json"]);
        let document: Value = serde_json::from_str(&document).expect("it is JSON");
        let toml: toml::Table = explained(&["tool/dev", table]).parse().expect("it is TOML");
        let value = serde_json::to_value(&toml[table]).expect("it is a value");
        assert_eq!(value, document["value"], "{table}");
    }
}
