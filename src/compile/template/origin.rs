//! Where the values that a template reads were written. A value that cannot be used is told there, for there it is mended.

use super::{
    is_template,
    names::{self, Event},
};
use crate::compile::source::{At, Files, Node, Table, Value};
use std::collections::BTreeSet;

/// The places of all values that a text of the definitions names, where it is a template; none of those that no layer wrote.
pub fn of_text(at: At, stack: &Table, files: &Files) -> BTreeSet<At> {
    let mut found = BTreeSet::new();
    follow(at, stack, files, &mut BTreeSet::new(), &mut found);
    not_weaker(found, at, files)
}

/// The places of values that a template reads at a place, by their paths, such as `vars.timezone`.
pub fn of_paths(paths: &[String], at: At, stack: &Table, files: &Files) -> BTreeSet<At> {
    let mut found = BTreeSet::new();
    for node in paths.iter().filter_map(|path| find(path, stack)) {
        add(node, stack, files, &mut BTreeSet::new(), &mut found);
    }
    not_weaker(found, at, files)
}

/// Whether a layer wrote the value that a template knows by this path.
pub fn is_written(path: &str, stack: &Table) -> bool {
    find(path, stack).is_some()
}

/// A kind's value is right for the kind's own templates: what a stronger layer makes of it is that layer's mistake.
fn not_weaker(mut found: BTreeSet<At>, at: At, files: &Files) -> BTreeSet<At> {
    let is_kinds = |at: At| !files.name(at.file).starts_with("stacks/");
    found.retain(|origin| is_kinds(at) || !is_kinds(*origin));
    found
}

/// `seen` ends what names itself.
fn follow(at: At, stack: &Table, files: &Files, seen: &mut BTreeSet<At>, found: &mut BTreeSet<At>) {
    let text = files.slice(at);
    if !is_template(text) || !seen.insert(at) {
        return;
    }
    for event in names::read(text).unwrap_or_default() {
        let Event::Name(name) = event else { continue };
        if let Some(node) = find(&name.path, stack) {
            add(node, stack, files, seen, found);
        }
    }
}

fn add(
    node: &Node,
    stack: &Table,
    files: &Files,
    seen: &mut BTreeSet<At>,
    found: &mut BTreeSet<At>,
) {
    let before = found.len();
    follow(node.at, stack, files, seen, found);
    if found.len() == before {
        found.insert(node.at);
    }
}

/// The value that a template knows by this path. A template's `env_file` is the path of that file.
fn find<'a>(path: &str, stack: &'a Table) -> Option<&'a Node> {
    let path = if path == "env_file" { "env_file.path" } else { path };
    let (first, rest) = path.split_once('.')?;
    if !["vars", "ports", "env_vars", "env_file", "release"].contains(&first) {
        return None;
    }
    let mut node = &stack.get(first)?.node;
    for part in rest.split('.') {
        node = &node.table()?.get(part)?.node;
    }
    (!matches!(node.value, Value::Table(_) | Value::Wrong)).then_some(node)
}
