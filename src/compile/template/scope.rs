//! What the templates of one guest see.

use super::{Rendering, Scope};
use crate::compile::{
    guest::{Shared, Source},
    report::Mistake,
    schema,
    sections::{identity::Identity, release, variables},
    source::{At, Member, Node, Table, Value},
    view::{self, Lowering, View},
};
use serde_json::json;
use std::{cell::RefCell, collections::BTreeSet};

/// Builds up what templates see: each step may use what the steps before it made.
pub struct Scopes<'a> {
    pub shared: &'a Shared<'a>,
    pub source: &'a Source<'a>,
    /// All layers merged.
    pub stack: &'a Node,
    pub mistakes: &'a RefCell<Vec<Mistake>>,
}

impl Scopes<'_> {
    pub fn full(&self, secret_names: &BTreeSet<String>) -> Scope {
        let mut scope = self.start();
        self.step(&mut scope, secret_names, |stack| vec![("vars", vars(stack))]);
        self.step(&mut scope, secret_names, |stack| {
            let path = stack.table("env_file").text("path");
            let path = path.map_or_else(String::new, |path| path.value);
            vec![("env_vars", env_vars(stack)), ("env_file", path.into())]
        });
        self.step(&mut scope, secret_names, |stack| vec![("release", release_names(stack))]);
        scope
    }

    /// Mistakes of a step are found again, and reported, by the section that the value belongs to.
    fn step(
        &self,
        scope: &mut Scope,
        secret_names: &BTreeSet<String>,
        read: impl Fn(&View<'_>) -> Vec<(&'static str, serde_json::Value)>,
    ) {
        let found = read(&self.lowering(scope, secret_names).view(schema::LAYER, self.stack));
        scope.extend(found.into_iter().map(|(name, value)| (name.to_owned(), value)));
    }

    pub fn lowering<'b>(
        &'b self,
        names: &'b Scope,
        secret_names: &'b BTreeSet<String>,
    ) -> Lowering<'b> {
        Lowering {
            target: self.source.target,
            files: self.shared.files,
            templates: self.shared.templates,
            rendering: Rendering::new(names, secret_names),
            stack: self.stack.table().unwrap_or(view::empty()),
            mistakes: self.mistakes,
        }
    }

    fn start(&self) -> Scope {
        let target = self.source.target;
        let identity = self.source.written.identity();
        let identity = identity.as_ref();
        let text = |read: fn(&Identity) -> String| identity.map_or_else(String::new, read);
        let management = self.shared.site.management.iter().map(ToString::to_string);
        let ports = self.stack.table().and_then(|stack| stack.get("ports"));
        let names = json!({
            "project": target.project.as_str(),
            "env": target.env.as_str(),
            "target": target.to_string(),
            "hostname": text(|identity| identity.name.to_string()),
            "ip": text(|identity| identity.ip.addr().to_string()),
            "vmid": identity.map_or(0, |identity| u32::from(identity.vmid)),
            "management": management.collect::<Vec<_>>(),
            "ports": ports.map_or_else(|| json!({}), |ports| plain_json(&ports.node)),
        });
        serde_json::from_value(names).expect("it is an object")
    }
}

/// Variables whose values are secrets.
pub fn secret_names(stack: &Node) -> BTreeSet<String> {
    let vars = stack.table().and_then(|stack| stack.get("env_vars")?.node.table());
    let is_secret = |(_, member): &(&String, &Member)| member.node.table().is_some();
    let names = vars.into_iter().flatten().filter(is_secret);
    names.map(|(name, _)| name.clone()).collect()
}

fn vars(stack: &View<'_>) -> serde_json::Value {
    let read = |(name, _, node): (&str, At, &Node)| {
        let value = match &node.value {
            Value::Text(text) => stack.lowering.text(text, node.at)?.into(),
            Value::List(items) => {
                let text = |item: &Node| stack.lowering.text(item.text()?, item.at);
                items.iter().filter_map(text).collect::<Vec<_>>().into()
            }
            _ => plain_json(node),
        };
        Some((name.to_owned(), value))
    };
    serde_json::Value::Object(stack.entries("vars").filter_map(read).collect())
}

fn env_vars(stack: &View<'_>) -> serde_json::Value {
    let read = |(name, _, node): (&str, At, &Node)| {
        Some((name.to_owned(), variables::plain(stack.lowering, node)?.into()))
    };
    serde_json::Value::Object(stack.entries("env_vars").filter_map(read).collect())
}

fn release_names(stack: &View<'_>) -> serde_json::Value {
    let view = stack.table("release");
    let commands = |key| {
        let commands = release::commands(&view, key).unwrap_or_default();
        serde_json::to_value(commands).expect("commands are plain")
    };
    let folders: Vec<_> = view.texts("folders").into_iter().map(|text| text.value).collect();
    json!({
        "user": release::user(stack).map(String::from),
        "folders": folders,
        "build": commands("build"),
        "migrate": commands("migrate"),
    })
}

/// A node without its places; its texts as they were written.
pub fn plain_json(node: &Node) -> serde_json::Value {
    json_of(node, &|_, _| None)
}

/// The same with its texts put through something; those of which it makes nothing stay.
fn json_of(node: &Node, read: &dyn Fn(&str, At) -> Option<String>) -> serde_json::Value {
    match &node.value {
        Value::Text(text) => read(text, node.at).unwrap_or_else(|| text.clone()).into(),
        Value::Integer(number) => (*number).into(),
        Value::Boolean(value) => (*value).into(),
        Value::List(items) => {
            items.iter().map(|item| json_of(item, read)).collect::<Vec<_>>().into()
        }
        Value::Table(table) => {
            let members = table.iter();
            let members = members.map(|(key, member)| (key.clone(), json_of(&member.node, read)));
            serde_json::Value::Object(members.collect())
        }
        Value::Wrong => serde_json::Value::Null,
    }
}

pub fn plain_table(table: &Table) -> serde_json::Value {
    let members = table.iter().map(|(key, member)| (key.clone(), plain_json(&member.node)));
    serde_json::Value::Object(members.collect())
}

/// A value of a guest's layers as its templates make it. What no template of a definition may know, the values of secrets
/// and their names in a file, stays as it was written.
pub fn rendered(
    shared: &Shared<'_>,
    source: &Source<'_>,
    node: &Node,
) -> Option<serde_json::Value> {
    let stack = source.env.stack(&mut Vec::new())?;
    let mistakes = RefCell::new(Vec::new());
    let scopes = Scopes { shared, source, stack: &stack, mistakes: &mistakes };
    let secret_names = secret_names(&stack);
    let scope = scopes.full(&secret_names);
    Some(json_of(node, &|text, at| scopes.lowering(&scope, &secret_names).text(text, at)))
}
