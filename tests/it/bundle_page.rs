//! `docs/bundle.md`: every key of a bundle's documents stands there with its type, and no other.

use crate::{
    compile::{cases, compiled, root, sources},
    tree,
};
use serde_json::Value;
use stackc::model::{Bundle, EntryPath, canonical, document};
use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::Path,
};

/// By document, what the page says of each key: its type.
type Page = BTreeMap<String, BTreeMap<String, String>>;

fn page() -> Page {
    let text = tree::read("docs/bundle.md");
    let sections = text.split("\n## `").skip(1);
    let of_section = |section: &str| {
        let (name, rest) = section.split_once("`\n").expect("a title ends");
        let keys = rest.split("\n## ").next().expect("split gives one part at least");
        (name.to_owned(), keys.lines().filter_map(row).collect())
    };
    sections.map(of_section).collect()
}

/// The key and the type of a row; other tables have no type in their second column.
fn row(line: &str) -> Option<(String, String)> {
    let mut cells = line.strip_prefix("| `")?.split(" | ");
    let key = cells.next()?.strip_suffix('`')?;
    let kind = cells.next()?;
    cells.next()?;
    (!key.contains('`') && !kind.contains('`') && kind != "absent")
        .then(|| (key.to_owned(), kind.to_owned()))
}

fn kind_of(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "boolean",
        Value::Number(_) => "number",
        Value::String(_) => "text",
        Value::Array(_) => "list",
        Value::Object(_) => "table",
    }
}

/// Holds a value and all below it against the page; every row that it meets is taken out of what is left.
fn hold(keys: &BTreeMap<String, String>, path: &str, value: &Value, left: &mut BTreeSet<String>) {
    if !path.is_empty() {
        let said = keys.get(path).unwrap_or_else(|| panic!("docs/bundle.md has no key `{path}`"));
        let kind = kind_of(value);
        let fits = said.split(" or ").any(|said| said == kind);
        assert!(fits, "docs/bundle.md says of `{path}`: {said}; it is {kind}");
        left.remove(path);
    }
    match value {
        Value::Array(items) => {
            for item in items {
                hold(keys, &format!("{path}[]"), item, left);
            }
        }
        Value::Object(table) => {
            for (key, value) in table {
                let below = |key: &str| {
                    if path.is_empty() { key.to_owned() } else { format!("{path}.{key}") }
                };
                let names = below("*");
                let path = if keys.contains_key(&names) { names } else { below(key) };
                hold(keys, &path, value, left);
            }
        }
        _ => {}
    }
}

fn documents(bundle: &Bundle) -> Vec<(String, Vec<u8>)> {
    let files = bundle.files.iter().filter(|(path, _)| path.on_guest().is_none());
    let is_json =
        |path: &EntryPath| Path::new(path.as_str()).extension().is_some_and(|e| e == "json");
    let files = files.filter(|(path, _)| is_json(path));
    let files = files.map(|(path, bytes)| (path.to_string(), bytes.clone()));
    let manifest = (document::MANIFEST.to_owned(), canonical::to_bytes(&bundle.manifest));
    files.chain([manifest]).collect()
}

#[test]
fn the_page_of_the_format_has_every_key_of_every_document_and_no_other() {
    let page = page();
    let rows = |(name, keys): (&String, &BTreeMap<String, String>)| {
        let rows = keys.keys().map(|key| format!("{name} {key}"));
        rows.collect::<Vec<_>>()
    };
    let mut left: BTreeSet<String> = page.iter().flat_map(rows).collect();
    assert!(left.len() > 180, "only {} rows of the page are read", left.len());
    let folders = fs::read_dir(cases()).expect("the cases are there");
    let folders = folders.map(|entry| entry.expect("it is readable").path());
    let workspaces = folders.filter(|path| path.join("stacks").is_dir());
    for workspace in workspaces.chain([root().to_owned()]) {
        for bundle in compiled(&sources(&workspace)).guests.values() {
            for (name, bytes) in documents(bundle) {
                let keys = page.get(&name).unwrap_or_else(|| panic!("no section for `{name}`"));
                let value = serde_json::from_slice(&bytes).expect("it is JSON");
                let mut unmet = keys.keys().cloned().collect();
                hold(keys, "", &value, &mut unmet);
                left.retain(|row| {
                    row.strip_prefix(&format!("{name} ")).is_none_or(|key| unmet.contains(key))
                });
            }
        }
    }
    assert_eq!(left, BTreeSet::new(), "no bundle has these keys of docs/bundle.md");
}
