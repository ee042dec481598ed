//! Which line said so: a key of a guest through all its layers.

use super::{
    Compiled, Workspace,
    guest::Pins,
    schema,
    source::define::Definitions,
    source::{At, Node, Table, Value},
    template::scope::{self, plain_json},
};
use crate::model::Target;
use std::cell::RefCell;

/// A key's value, and every layer that says something about it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Explanation {
    /// The merged value as the guest gets it, with what templates make of it, as JSON.
    pub value: serde_json::Value,
    /// Weakest first.
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
    let mut lines = Vec::new();
    for (layer, table) in layers {
        let Some((key_at, node)) = find(table, &path) else { continue };
        let wins = winner.is_some_and(|winner| leaves(node).iter().any(|at| contains(winner, *at)));
        let at = if node.table().is_some() { key_at } else { node.at };
        let place = workspace.files.place(at);
        lines.push(Line { layer, place, value: plain_json(node), wins });
    }
    if lines.is_empty() {
        let why = schema::unsaid(schema::EXPLAINED, &path);
        return Err(ExplainError::Key { target: target.clone(), key: key.to_owned(), why });
    }
    let value = winner.map_or(serde_json::Value::Null, |node| workspace.rendered(target, node));
    Ok(Explanation { value, lines })
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
