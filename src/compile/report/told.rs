//! Mistakes for programs, and for those who have one line for them.

use super::{Mistake, Report};
use crate::{compile::source::At, model::Target};
use serde::Serialize;
use std::fmt;

/// One mistake with its place.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Told {
    /// Relative to the workspace, or `builtin:…`.
    pub file: String,
    /// Counted from 1.
    pub line: usize,
    /// Counted from 1, in characters.
    pub column: usize,
    /// Where the stretch ends: the place after its last character.
    pub end_line: usize,
    pub end_column: usize,
    /// The kind of mistake, such as `unknown-key`.
    pub code: &'static str,
    pub message: String,
    /// How to fix it.
    pub help: Option<String>,
    /// `project/env` of the guests that it shows in, where the place alone does not tell.
    pub guests: Vec<String>,
    /// Other places that have to do with it.
    pub related: Vec<Related>,
}

/// Another place of a mistake.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Related {
    pub file: String,
    pub line: usize,
    pub column: usize,
    /// What it has to do with it.
    pub message: String,
}

impl fmt::Display for Told {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}:{}: {}", self.file, self.line, self.column, self.message)
    }
}

impl Report {
    /// Every mistake, in the order of files and lines.
    pub fn told(&self) -> Vec<Told> {
        self.mistakes.iter().map(|mistake| self.tell(mistake)).collect()
    }

    /// The first mistake for which a target does not compile.
    pub fn about(&self, target: &Target) -> Option<Told> {
        let first = self.mistakes.iter().find(|mistake| self.concerns(mistake, target));
        first.map(|mistake| self.tell(mistake))
    }

    /// The mistake for which nobody can say whether a target is defined.
    pub fn hides(&self, target: &Target) -> Option<Told> {
        let mut hiding = self.mistakes.iter().filter(|mistake| mistake.hides_file);
        hiding.find(|mistake| self.concerns(mistake, target)).map(|mistake| self.tell(mistake))
    }

    fn tell(&self, mistake: &Mistake) -> Told {
        let (line, column) = self.files.line_and_column(mistake.at);
        let (end_line, end_column) = self.files.end_line_and_column(mistake.at);
        let related = |(at, label): &(At, String)| {
            let (line, column) = self.files.line_and_column(*at);
            let (file, message) = (self.files.name(at.file).to_owned(), label.clone());
            Related { file, line, column, message }
        };
        Told {
            file: self.files.name(mistake.at.file).to_owned(),
            line,
            column,
            end_line,
            end_column,
            code: mistake.code.as_str(),
            message: mistake.title.clone(),
            help: mistake.help.clone(),
            guests: mistake.guests.iter().map(Target::to_string).collect(),
            related: mistake.also.iter().map(related).collect(),
        }
    }

    /// A project's file is about its own guests; what stands elsewhere may be about all, unless it names some.
    fn concerns(&self, mistake: &Mistake, target: &Target) -> bool {
        if !mistake.guests.is_empty() {
            return mistake.guests.contains(target);
        }
        let mut places = [mistake.at].into_iter().chain(mistake.also.iter().map(|(at, _)| *at));
        places.any(|at| match self.files.name(at.file).strip_prefix("stacks/") {
            Some("site.toml" | "lock.toml") | None => true,
            Some(file) => file.strip_suffix(".toml") == Some(target.project.as_str()),
        })
    }
}
