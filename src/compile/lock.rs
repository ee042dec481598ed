//! `stacks/lock.toml`: branches resolved to commits.

use super::{
    report::{Code, Mistake},
    source::define::Definitions,
    source::{At, Table},
    view,
};
use crate::model::Target;
use std::{
    collections::{BTreeMap, BTreeSet},
    fmt::Write as _,
};

/// A branch of a repository, and what it named when `stackc lock` looked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pinned {
    pub repo: String,
    pub branch: String,
    /// 40 lower-case hex digits.
    pub commit: String,
    /// The tree of that commit, or of its subfolder; 40 lower-case hex digits.
    pub tree: String,
}

/// Reads one pin; what is missing or no object id is told.
pub fn pinned(at: At, table: &Table, mistakes: &mut Vec<Mistake>) -> Option<Pinned> {
    let mut text = |key: &str| {
        if let Some(member) = table.get(key) {
            return Some((member.node.text()?.to_owned(), member.node.at));
        }
        mistakes.push(view::missing(at, key).help("run `stackc lock`, which writes this file"));
        None
    };
    let (repo, branch, commit, tree) = (text("repo"), text("branch"), text("commit"), text("tree"));
    let (commit, tree) = (object_id(commit?, mistakes), object_id(tree?, mistakes));
    Some(Pinned { repo: repo?.0, branch: branch?.0, commit: commit?, tree: tree? })
}

fn object_id((text, at): (String, At), mistakes: &mut Vec<Mistake>) -> Option<String> {
    let hex = |b: u8| b.is_ascii_digit() || (b'a'..=b'f').contains(&b);
    if text.len() == 40 && text.bytes().all(hex) {
        return Some(text);
    }
    let title = format!("`{text}` is no object of git: 40 lower-case hex digits are");
    mistakes.push(
        Mistake::new(Code::BadPin, at, title).help("run `stackc lock`, which writes this file"),
    );
    None
}

/// All pins of a workspace.
pub fn all(definitions: &Definitions, mistakes: &mut Vec<Mistake>) -> BTreeMap<Target, Pinned> {
    let pins = definitions.pins.iter();
    pins.filter_map(|(target, (at, table))| Some((target.clone(), pinned(*at, table, mistakes)?)))
        .collect()
}

/// Tells of pins that belong to no branch of any guest: what an env that was taken away leaves.
pub fn unused(definitions: &Definitions, used: &BTreeSet<&Target>) -> Vec<Mistake> {
    let pins = definitions.pins.iter().filter(|(target, _)| !used.contains(target));
    pins.map(|(target, (at, _))| {
        Mistake::new(Code::UnusedPin, *at, format!("nothing is built from the pin of `{target}`"))
            .label("unused")
            .help("run `stackc lock`, which removes it")
    })
    .collect()
}

/// The text of `stacks/lock.toml`: sorted, so that two people who lock different guests do not conflict.
pub fn lock_text(pins: &BTreeMap<Target, Pinned>) -> String {
    let mut text =
        String::from("# Written by `stackc lock`: the commit that each branch is built at.\n");
    for (Target { project, env }, pin) in pins {
        let quoted = |text: &str| toml::Value::from(text).to_string();
        let lines = [
            ("repo", quoted(&pin.repo)),
            ("branch", quoted(&pin.branch)),
            ("commit", quoted(&pin.commit)),
            ("tree", quoted(&pin.tree)),
        ];
        write!(text, "\n[{project}.{env}]\n").expect("text takes all");
        for (key, value) in lines {
            writeln!(text, "{key} = {value}").expect("text takes all");
        }
    }
    text
}
