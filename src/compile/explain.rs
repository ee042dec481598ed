//! Which line said so: a key of a guest through all its layers.

use super::{
    Compiled, Workspace,
    guest::Pins,
    schema,
    source::define::Definitions,
    source::{At, Files, Node, Table, Value},
    template::scope::{self, plain_json},
};
use crate::model::Target;
use std::{cell::RefCell, collections::BTreeSet};

/// A key's value, and every layer that says something about it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Explanation {
    /// The merged value as the guest gets it, with what templates make of it, as JSON.
    pub value: serde_json::Value,
    /// Weakest first.
    pub lines: Vec<Line>,
    /// Of a table, what each key below it is, in their order; of a value nothing.
    pub keys: Vec<Key>,
}

/// What is said of one value below a table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Key {
    /// As it is written below the table, in quotes where it must be.
    pub name: String,
    /// None when a layer takes it out.
    pub value: Option<serde_json::Value>,
    pub lines: Vec<Line>,
}

/// A layer's word about a key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Line {
    /// `kind`, `site`, `project` or `env`.
    pub layer: &'static str,
    /// `stacks/shop.toml:7:9`.
    pub place: String,
    /// As it was written.
    pub value: serde_json::Value,
    /// Whether it is part of the merged value.
    pub wins: bool,
}

/// Why a key cannot be explained.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ExplainError {
    #[error("there is no guest `{target}`")]
    Target { target: Target },
    #[error("no layer of `{target}` says anything about `{key}`: {why}")]
    Key { target: Target, key: String, why: String },
}

/// Explains a key such as `guest.memory_mib` of one guest.
pub fn explain(
    compiled: &Compiled,
    target: &Target,
    key: &str,
) -> Result<Explanation, ExplainError> {
    let workspace = &compiled.workspace;
    let layers = layers(&workspace.definitions, target)
        .ok_or_else(|| ExplainError::Target { target: target.clone() })?;
    let path = key_path(key);
    let mut merged = Table::new();
    for (_, table) in &layers {
        schema::merge(schema::EXPLAINED, &mut merged, table, &mut Vec::new());
    }
    let winner = find(&merged, &path).map(|(_, node)| node);
    let said: Vec<_> = layers
        .into_iter()
        .filter_map(|(layer, table)| Some((layer, find(table, &path)?)))
        .map(|(layer, (at, node))| Said { layer, at, node })
        .collect();
    let lines = lines(&workspace.files, &said, winner);
    if lines.is_empty() {
        let why = schema::unsaid(schema::EXPLAINED, &path);
        return Err(ExplainError::Key { target: target.clone(), key: key.to_owned(), why });
    }
    let value = winner.map_or(serde_json::Value::Null, |node| workspace.rendered(target, node));
    let mut keys = Vec::new();
    let table = Below { files: &workspace.files, name: String::new() };
    table.explain(&said, winner.map(|node| (node, &value)), &mut keys);
    Ok(Explanation { value, lines, keys })
}

/// What a layer says of a key.
struct Said<'a> {
    layer: &'static str,
    at: At,
    node: &'a Node,
}

fn lines(files: &Files, said: &[Said<'_>], winner: Option<&Node>) -> Vec<Line> {
    let line = |Said { layer, at, node }: &Said<'_>| {
        let wins = winner.is_some_and(|winner| leaves(node).iter().any(|at| contains(winner, *at)));
        let at = if node.table().is_some() { *at } else { node.at };
        Line { layer, place: files.place(at), value: plain_json(node), wins }
    };
    said.iter().map(line).collect()
}

/// A table by its name below the one that is explained.
struct Below<'a> {
    files: &'a Files,
    name: String,
}

impl Below<'_> {
    /// What the layers say of each key, and what comes of it.
    fn explain(
        &self,
        said: &[Said<'_>],
        winner: Option<(&Node, &serde_json::Value)>,
        keys: &mut Vec<Key>,
    ) {
        let tables = || said.iter().filter_map(|said| Some((said.layer, said.node.table()?)));
        let names: BTreeSet<_> = tables().flat_map(|(_, table)| table.keys()).collect();
        for name in names {
            let said = tables().filter_map(|(layer, table)| {
                let member = table.get(name)?;
                Some(Said { layer, at: member.key, node: &member.node })
            });
            let said: Vec<_> = said.collect();
            let winner = winner
                .and_then(|(node, value)| Some((&node.table()?.get(name)?.node, value.get(name)?)));
            let below = Below { files: self.files, name: name_of(&self.name, name) };
            let is_table = |node: &Node| node.table().is_some_and(|table| !table.is_empty());
            if winner.is_some_and(|(node, _)| is_table(node)) {
                below.explain(&said, winner, keys);
                continue;
            }
            let lines = lines(self.files, &said, winner.map(|(node, _)| node));
            let value = winner.map(|(_, value)| value.clone());
            keys.push(Key { name: below.name, value, lines });
        }
    }
}

/// A key below a table, in quotes where it must be.
fn name_of(table: &str, key: &str) -> String {
    let is_bare = |c: char| c.is_ascii_alphanumeric() || "-_".contains(c);
    let key = if !key.is_empty() && key.chars().all(is_bare) {
        key.to_owned()
    } else {
        serde_json::Value::from(key).to_string()
    };
    if table.is_empty() { key } else { format!("{table}.{key}") }
}

/// A value as definitions write it, on one line.
pub fn written(value: &serde_json::Value) -> String {
    match value {
        serde_json::Value::Array(items) => {
            format!("[{}]", items.iter().map(written).collect::<Vec<_>>().join(", "))
        }
        serde_json::Value::Object(members) if members.is_empty() => "{}".to_owned(),
        serde_json::Value::Object(members) => {
            let top = |key: &str| name_of("", key);
            let member = |(key, value): (&String, _)| format!("{} = {}", top(key), written(value));
            format!("{{ {} }}", members.iter().map(member).collect::<Vec<_>>().join(", "))
        }
        // Texts, numbers and the two truths are the same in both.
        value => value.to_string(),
    }
}

impl Workspace {
    /// What the templates of a guest make of a value.
    fn rendered(&self, target: &Target, node: &Node) -> serde_json::Value {
        let told = RefCell::default();
        let (_, value) = self.prepared(Pins::Ignored, &told, |shared, sources| {
            sources.get(target).and_then(|source| scope::rendered(shared, source, node))
        });
        value.expect("the guest has layers")
    }
}

/// The tables of a guest's layers, weakest first.
pub(super) fn layers<'a>(
    definitions: &'a Definitions,
    target: &Target,
) -> Option<Vec<(&'static str, &'a Table)>> {
    let project = definitions.projects.get(&target.project)?;
    let (_, env) = project.envs.get(&target.env)?;
    let kind = project.table.get("kind")?;
    let chain = definitions.kind_chain(kind.node.text()?, kind.node.at, &mut Vec::new());
    let mut layers: Vec<_> = chain.into_iter().map(|(_, kind)| ("kind", &kind.table)).collect();
    layers.extend([("site", &definitions.site), ("project", &project.table), ("env", env)]);
    Some(layers)
}

/// A key's parts: joined by dots, in quotes when a part has a dot itself.
fn key_path(key: &str) -> Vec<String> {
    let mut parts = vec![String::new()];
    let mut quoted = false;
    for c in key.chars() {
        match c {
            '"' => quoted = !quoted,
            '.' if !quoted => parts.push(String::new()),
            c => parts.last_mut().expect("there is a first part").push(c),
        }
    }
    parts
}

/// A key and its value in one layer.
pub(super) fn find<'a>(table: &'a Table, path: &[String]) -> Option<(At, &'a Node)> {
    // A name that has dots itself, such as a kernel parameter, may stand without quotes.
    (1..=path.len()).find_map(|parts| {
        let member = table.get(&path[..parts].join("."))?;
        match &path[parts..] {
            [] => Some((member.key, &member.node)),
            rest => find(member.node.table()?, rest),
        }
    })
}

/// Where the values of a node are that are no tables.
fn leaves(node: &Node) -> Vec<At> {
    match &node.value {
        Value::Table(table) => table.values().flat_map(|member| leaves(&member.node)).collect(),
        _ => vec![node.at],
    }
}

/// Whether a value, or part of it, was written at a place.
fn contains(node: &Node, at: At) -> bool {
    node.at == at
        || match &node.value {
            Value::Table(table) => table.values().any(|member| contains(&member.node, at)),
            _ => false,
        }
}
