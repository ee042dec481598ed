//! Every key of the language stands in a definition whose bundle is a snapshot.

use crate::compile::{cases, root};
use stackc::compile;
use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
};

/// Where a layer begins; what a layer may say is the same in each.
const LAYERS: [&str; 4] = ["project.", "envs.*.", "site.", "kind."];

#[test]
fn every_key_of_the_language_is_in_a_case_whose_bundle_is_a_snapshot() {
    let keys: BTreeSet<String> = compile::keys().into_iter().collect();
    let mut seen = BTreeSet::new();
    for workspace in workspaces() {
        for (layer, file) in definitions(&workspace) {
            let text = fs::read_to_string(&file).expect("it is readable");
            let mut table: toml::Table = text.parse().expect("it is TOML");
            if workspace == root() {
                leave_snapshot(&mut table);
            }
            walk(&toml::Value::Table(table), layer, &keys, &mut seen);
        }
    }
    let said: BTreeSet<_> = seen.iter().map(|key| without_layer(key)).collect();
    let missing: BTreeSet<_> =
        keys.iter().map(|key| without_layer(key)).filter(|key| !said.contains(key)).collect();
    assert_eq!(missing, BTreeSet::new(), "say them in a case of tests/cases");
}

/// The worked examples, and every case with a snapshot of its bundles.
fn workspaces() -> Vec<PathBuf> {
    let entries = fs::read_dir(cases()).expect("the cases are there");
    let folders = entries.map(|entry| entry.expect("readable").path());
    let mut found: Vec<_> = folders.filter(|path| path.join("bundle.snap").is_file()).collect();
    found.push(root().to_owned());
    found
}

/// Of the worked examples only `dev` is a snapshot: what other envs say shows nowhere.
fn leave_snapshot(definition: &mut toml::Table) {
    if let Some(toml::Value::Table(envs)) = definition.get_mut("envs") {
        envs.retain(|env, _| env == "dev");
        if envs.is_empty() {
            definition.clear();
        }
    }
}

/// The files of definitions of a workspace, each with the layer that it is.
fn definitions(workspace: &Path) -> Vec<(&'static str, PathBuf)> {
    let mut found = Vec::new();
    for folder in ["stacks", "templates"] {
        for entry in walkdir::WalkDir::new(workspace.join(folder)).into_iter().flatten() {
            let layer = match entry.file_name().to_str() {
                Some("kind.toml") => "kind",
                Some("site.toml") => "site",
                Some("lock.toml") => continue,
                _ if entry.path().extension().is_some_and(|end| end == "toml") => "",
                _ => continue,
            };
            found.push((layer, entry.into_path()));
        }
    }
    found
}

fn walk(value: &toml::Value, path: &str, keys: &BTreeSet<String>, seen: &mut BTreeSet<String>) {
    match value {
        toml::Value::Table(table) => {
            for (key, value) in table {
                let here = join(path, key);
                if keys.contains(&here) {
                    seen.insert(here.clone());
                    walk(value, &here, keys, seen);
                } else {
                    walk(value, &join(path, "*"), keys, seen);
                }
            }
        }
        toml::Value::Array(items) => {
            for item in items {
                walk(item, &format!("{path}[]"), keys, seen);
            }
        }
        _ => {}
    }
}

fn join(path: &str, key: &str) -> String {
    if path.is_empty() { key.to_owned() } else { format!("{path}.{key}") }
}

fn without_layer(key: &str) -> &str {
    LAYERS.iter().find_map(|layer| key.strip_prefix(layer)).unwrap_or(key)
}
