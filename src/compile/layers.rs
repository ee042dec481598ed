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
    /// None when its kind is not there: nothing can be told then that is missing or too much.
    stack: Option<Table>,
    /// The project's kind and those that it extends, weakest first: their files with their hashes.
    pub kind_files: Vec<BTreeMap<String, Digest>>,
}

/// An env and the layers below it.
pub struct Env<'a> {
    pub below: &'a Merged<'a>,
    pub at: At,
    pub table: &'a Table,
}

impl Env<'_> {
    /// All layers merged; none when the kind is not there.
    pub fn stack(&self, mistakes: &mut Vec<Mistake>) -> Option<Node> {
        let mut stack = self.below.stack.clone()?;
        schema::merge(schema::LAYER, &mut stack, self.table, mistakes);
        Some(Node { at: self.at, value: Value::Table(stack) })
    }
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
    // What is no text has been told.
    let chain = match project.table.get("kind").map(|member| (member.node.text(), member.node.at)) {
        Some((Some(written), at)) => workspace.definitions.kind_chain(written, at, mistakes),
        Some((None, _)) => Vec::new(),
        None => {
            mistakes.push(view::missing(project.at, "kind"));
            Vec::new()
        }
    };
    if chain.is_empty() {
        return Merged { project, stack: None, kind_files: Vec::new() };
    }
    let (mut stack, mut kind_files) = (Table::new(), Vec::new());
    for (folder, kind) in chain {
        schema::merge(schema::LAYER, &mut stack, &kind.table, mistakes);
        kind_files.push(hashes(workspace, folder));
    }
    let site = &workspace.definitions.site;
    let envs = project.envs.values().map(|(_, env)| env);
    for layer in [site, &project.table].into_iter().chain(envs) {
        check_vars(&stack, layer, mistakes);
    }
    schema::merge(schema::LAYER, &mut stack, site, mistakes);
    schema::merge(schema::LAYER, &mut stack, &project.table, mistakes);
    Merged { project, stack: Some(stack), kind_files }
}

/// The hash of every file of a kind, by its name in the kind's folder: the same for a built-in kind and a copy of it.
fn hashes(workspace: &Workspace, folder: &str) -> BTreeMap<String, Digest> {
    let templates = workspace.definitions.templates.iter();
    let hash = |file| Digest::of(workspace.files.text(file).as_bytes());
    templates
        .filter_map(|(name, file)| Some((name.strip_prefix(folder)?.to_owned(), hash(*file))))
        .collect()
}

/// The envs of all projects.
pub fn envs<'a>(merged: &'a [(&ProjectName, Merged<'a>)]) -> BTreeMap<Target, Env<'a>> {
    let of_project = |(name, below): &'a (&ProjectName, Merged<'a>)| {
        let envs = below.project.envs.iter();
        envs.map(move |(env, (at, table))| {
            let target = Target { project: ProjectName::clone(name), env: env.clone() };
            (target, Env { below, at: *at, table })
        })
    };
    merged.iter().flat_map(of_project).collect()
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
