//! Which definition made what stands at a path of a guest.

use super::{
    Compiled,
    explain::{self, find},
    sections::files,
    source::{At, Member, Table},
};
use crate::model::{GuestPath, Target};
use std::fmt;

/// Where what stands at a path comes from.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, serde::Serialize)]
pub struct Made {
    /// The definition's file, relative to the workspace, or `builtin:…`.
    pub file: String,
    /// Counted from 1.
    pub line: usize,
    /// Counted from 1, in characters.
    pub column: usize,
    /// The template that its text is of.
    pub template: Option<String>,
}

impl fmt::Display for Made {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}:{}", self.file, self.line, self.column)?;
        match &self.template {
            Some(template) => write!(f, ", of {template}"),
            None => Ok(()),
        }
    }
}

impl Compiled {
    /// Where what stands at a path of a guest comes from; none when the guest has nothing there.
    pub fn made(&self, target: &Target, path: &GuestPath) -> Option<Made> {
        let at = *self.places.get(target)?.get(path)?;
        let files = &self.workspace.files;
        let (line, column) = files.line_and_column(at);
        let template = self.template(target, at);
        Some(Made { file: files.name(at.file).to_owned(), line, column, template })
    }

    /// The template that the entry reads of which a part was written at a place.
    fn template(&self, target: &Target, at: At) -> Option<String> {
        let layers = explain::layers(&self.workspace.definitions, target)?;
        let mut route = layers.iter().find_map(|(_, table)| route(table, at))?;
        route.push("template".to_owned());
        let (_, node) = layers.iter().rev().find_map(|(_, table)| find(table, &route))?;
        Some(format!("{}{}", files::folder_of(&self.workspace.files, node.at), node.text()?))
    }
}

/// The keys that lead to the innermost table that was written at a place, or a part of which was.
fn route(table: &Table, at: At) -> Option<Vec<String>> {
    let is_at = |member: &Member| member.key == at || member.node.at == at;
    let below = |(key, member): (&String, &Member)| {
        let inner = route(member.node.table()?, at);
        let mut keys = inner.or_else(|| is_at(member).then(Vec::new))?;
        keys.insert(0, key.clone());
        Some(keys)
    };
    let is_here = |member: &Member| member.node.table().is_none() && is_at(member);
    table.iter().find_map(below).or_else(|| table.values().any(is_here).then(Vec::new))
}
