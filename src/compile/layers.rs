//! Layers: kind, site, project and env of each guest, laid one over the other.

use super::{
    Workspace,
    report::{Code, Mistake},
    schema,
    source::define::Project,
    source::{At, Member, Node, Table, Value},
    template, view,
};
use crate::model::{Digest, ProjectName, Target};
use std::{collections::BTreeMap, mem::discriminant};

/// A project with the layers below its envs merged.
pub struct Merged<'a> {
    pub project: &'a Project,
    stack: Table,
    /// The files of its kinds, weakest first.
    pub kind_files: Vec<BTreeMap<String, Digest>>,
}

/// One env's merged layers.
pub struct Stack<'a> {
    pub merged: &'a Merged<'a>,
    pub env_at: At,
    pub env: &'a Table,
    pub node: Node,
}

/// Merges kind, site and project of each project.
pub fn merge<'a>(
    workspace: &'a Workspace,
    mistakes: &mut Vec<Mistake>,
) -> Vec<(&'a ProjectName, Merged<'a>)> {
    let projects = workspace.definitions.projects.iter();
    projects.map(|(name, project)| (name, merge_project(workspace, project, mistakes))).collect()
}

fn merge_project<'a>(
    workspace: &'a Workspace,
    project: &'a Project,
    mistakes: &mut Vec<Mistake>,
) -> Merged<'a> {
    let mut stack = Table::new();
    let mut kind_files = Vec::new();
    match project.table.get("kind") {
        Some(member) => {
            // What is no text has been told.
            let written = member.node.text();
            let chain = written.map_or_else(Vec::new, |written| {
                workspace.definitions.kind_chain(written, member.node.at, mistakes)
            });
            for (folder, kind) in chain {
                schema::merge(schema::LAYER, &mut stack, &kind.table, mistakes);
                kind_files.push(hashes(workspace, folder));
            }
        }
        None => mistakes.push(view::missing(project.at, "kind")),
    }
    let site = &workspace.definitions.site;
    let envs = project.envs.values().map(|(_, env)| env);
    if kind_files.is_empty() {
        // Of a kind that is not there, nothing can be told that is missing or too much.
        return Merged { project, stack, kind_files };
    }
    for layer in [site, &project.table].into_iter().chain(envs) {
        check_vars(&stack, layer, mistakes);
    }
    schema::merge(schema::LAYER, &mut stack, site, mistakes);
    schema::merge(schema::LAYER, &mut stack, &project.table, mistakes);
    Merged { project, stack, kind_files }
}

/// The hash of every file of a kind, by its name in the kind's folder: the same for a built-in kind and a copy of it.
fn hashes(workspace: &Workspace, folder: &str) -> BTreeMap<String, Digest> {
    let templates = workspace.definitions.templates.iter();
    let hash = |file| Digest::of(workspace.files.text(file).as_bytes());
    templates
        .filter_map(|(name, file)| Some((name.strip_prefix(folder)?.to_owned(), hash(*file))))
        .collect()
}

/// Lays each env over its project.
pub fn stacks<'a>(
    merged: &'a [(&ProjectName, Merged<'a>)],
    mistakes: &mut Vec<Mistake>,
) -> BTreeMap<Target, Stack<'a>> {
    let mut stacks = BTreeMap::new();
    for (name, merged) in merged {
        for (env_name, (env_at, env)) in &merged.project.envs {
            let target = Target { project: (*name).clone(), env: env_name.clone() };
            let mut stack = merged.stack.clone();
            if !merged.kind_files.is_empty() {
                schema::merge(schema::LAYER, &mut stack, env, mistakes);
            }
            let node = Node { at: *env_at, value: Value::Table(stack) };
            stacks.insert(target, Stack { merged, env_at: *env_at, env, node });
        }
    }
    stacks
}

/// A variable that the kind does not know is a slip of the pen: nothing would read it. One of another type than the kind's
/// own would break the templates that read it.
fn check_vars(kind: &Table, layer: &Table, mistakes: &mut Vec<Mistake>) {
    let known = kind.get("vars").and_then(|vars| vars.node.table());
    let written = layer.get("vars").and_then(|vars| vars.node.table());
    for (name, member) in written.into_iter().flatten() {
        match known.and_then(|known| known.get(name)) {
            Some(default) => mistakes.extend(wrong_type(name, &default.node, &member.node)),
            None => mistakes.push(unknown(name, known, member)),
        }
    }
}

fn unknown(name: &str, known: Option<&Table>, member: &Member) -> Mistake {
    let names = known.into_iter().flat_map(|known| known.keys().map(String::as_str));
    let help = match schema::nearest(name, names) {
        Some(near) => format!("did you mean `{near}`?"),
        None => "declare it in `vars` of the kind, with a default value".to_owned(),
    };
    let title = format!("the kind has no variable `{name}`");
    Mistake::new(Code::UnknownVariable, member.key, title).label("unknown").help(help)
}

/// What a template makes is text, whatever it is made of.
fn wrong_type(name: &str, default: &Node, written: &Node) -> Option<Mistake> {
    let is_made = |node: &Node| node.text().is_some_and(template::is_template);
    let is_wrong = |node: &Node| matches!(node.value, Value::Wrong);
    let same = discriminant(&default.value) == discriminant(&written.value);
    if same || is_made(default) || is_made(written) || is_wrong(default) || is_wrong(written) {
        return None;
    }
    let (wanted, found) = (default.value.noun(), written.value.noun());
    let title = format!("the kind's variable `{name}` is {wanted}, not {found}");
    let mistake =
        Mistake::new(Code::WrongType, written.at, title).label(format!("this is {found}"));
    Some(mistake.also(default.at, "the kind's default").help(format!("write {wanted}")))
}
