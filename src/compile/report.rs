//! Mistakes in definitions: what, where, how to fix. All of a pass at once.

mod code;
mod told;

pub use code::Code;
pub use told::Told;

use super::source::{At, FileId, Files};
use crate::model::Target;
use annotate_snippets::{AnnotationKind, Group, Level, Renderer, Snippet};
use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
    fmt::Write as _,
    sync::Arc,
};

/// One mistake of the author.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Mistake {
    at: At,
    code: Code,
    title: String,
    label: String,
    also: Vec<(At, String)>,
    help: Option<String>,
    /// The guests whose compilation showed it, where the place alone does not tell.
    guests: BTreeSet<Target>,
    hides_file: bool,
    /// It was found where a template reads a value, and is told at the value.
    follows: bool,
}

impl Mistake {
    /// A mistake at a place: one sentence, lower case, no full stop.
    pub(super) fn new(code: Code, at: At, title: impl Into<String>) -> Self {
        let label = "here".to_owned();
        Self {
            at,
            code,
            title: one_line(&title.into()),
            label,
            also: Vec::new(),
            help: None,
            guests: BTreeSet::new(),
            hides_file: false,
            follows: false,
        }
    }

    /// What the type of a value says of it: an error that reads "`x` is not a y: how to write one".
    pub(super) fn of_value(code: Code, at: At, error: &impl fmt::Display) -> Self {
        let text = error.to_string();
        let verdict = text.find("` is not a ").unwrap_or(0);
        let (title, help) = match text[verdict..].find(": ") {
            Some(n) => (&text[..verdict + n], &text[verdict + n + 2..]),
            None => (text.as_str(), "write another one"),
        };
        Self::new(code, at, title).help(help)
    }

    /// The file cannot be read whole, so that what else is found there may only follow from this, and is not told.
    pub(super) fn hides_file(mut self) -> Self {
        self.hides_file = true;
        self
    }

    /// What the place itself is told.
    pub(super) fn label(mut self, label: impl Into<String>) -> Self {
        self.label = label.into();
        self
    }

    /// Another place that has to do with it.
    pub(super) fn also(mut self, at: At, label: impl Into<String>) -> Self {
        self.also.push((at, label.into()));
        self
    }

    /// Tells it where the values were written that a template reads, if they are known, and at the template as well.
    pub(super) fn told_at(mut self, origins: BTreeSet<At>) -> Self {
        let mut origins = origins.into_iter().rev().filter(|at| *at != self.at);
        if let Some(origin) = origins.next() {
            let label = if self.label == "here" { "it reads the value" } else { &self.label };
            self.also.insert(0, (self.at, label.to_owned()));
            self.also.extend(origins.map(|at| (at, "and set here".to_owned())));
            (self.at, self.label, self.follows) = (origin, "set here".to_owned(), true);
        }
        self
    }

    pub(super) fn at(&self) -> At {
        self.at
    }

    /// How to fix it.
    pub(super) fn help(mut self, help: impl Into<String>) -> Self {
        self.help = Some(help.into());
        self
    }

    /// The guest that it shows in.
    pub(super) fn in_guest(mut self, guest: &Target) -> Self {
        self.guests.insert(guest.clone());
        self
    }

    /// The file that it hides.
    pub(super) fn hidden_file(&self) -> Option<FileId> {
        self.hides_file.then_some(self.at.file)
    }

    /// What kind of mistake it is.
    pub fn code(&self) -> Code {
        self.code
    }

    /// What is wrong, without the place.
    pub fn title(&self) -> &str {
        &self.title
    }
}

/// How many mistakes a report shows before it only counts them: nobody reads more at once.
const SHOWN: usize = 100;
/// How many guests a mistake names before it only counts them.
const GUESTS_NAMED: usize = 4;

/// Line feeds and escapes of what the author wrote are shown, not obeyed.
fn one_line(title: &str) -> String {
    let shown = |c: char| if c.is_control() { c.escape_default().collect() } else { c.to_string() };
    title.chars().map(shown).collect()
}

impl Mistake {
    fn guests_named(&self) -> Option<String> {
        let names: Vec<_> = self.guests.iter().take(GUESTS_NAMED).map(Target::to_string).collect();
        let more = self.guests.len().saturating_sub(names.len());
        let more = if more > 0 { format!(" and {more} more") } else { String::new() };
        (!names.is_empty()).then(|| format!("in {}{more}", names.join(", ")))
    }
}

/// Every mistake that a pass found, in the order of files and lines; at least one.
#[derive(Debug, Clone)]
pub struct Report {
    files: Arc<Files>,
    weight: Weight,
    mistakes: BTreeSet<Mistake>,
}

/// What follows from a report.
#[derive(Debug, Clone, Copy)]
enum Weight {
    /// Nothing is built.
    Error,
    /// Nothing is wrong with what is built.
    Warning,
}

impl Report {
    /// Mistakes that were found more than once, by guests that share a definition, count once.
    pub(super) fn new(files: Arc<Files>, mistakes: Vec<Mistake>) -> Self {
        let wrong: BTreeSet<_> = mistakes.iter().filter(|m| !m.follows).map(|m| m.at).collect();
        let hidden: BTreeSet<_> = mistakes.iter().filter_map(Mistake::hidden_file).collect();
        // What reads a value that is told to be wrong has nothing to add.
        let is_news = |m: &Mistake| !(m.follows && wrong.contains(&m.at));
        let is_told = |m: &Mistake| m.hides_file || (!hidden.contains(&m.at.file) && is_news(m));
        let mut merged: BTreeMap<Mistake, BTreeSet<Target>> = BTreeMap::new();
        for mut mistake in mistakes.into_iter().filter(is_told) {
            let guests = std::mem::take(&mut mistake.guests);
            merged.entry(mistake).or_default().extend(guests);
        }
        let mistakes = merged.into_iter().map(|(mistake, guests)| Mistake { guests, ..mistake });
        Self { files, weight: Weight::Error, mistakes: mistakes.collect() }
    }

    /// What the author should know though everything compiles; none when there is nothing.
    pub(super) fn of_warnings(files: &Arc<Files>, warnings: Vec<Mistake>) -> Option<Self> {
        let report = Self { weight: Weight::Warning, ..Self::new(Arc::clone(files), warnings) };
        (!report.mistakes.is_empty()).then_some(report)
    }

    pub fn mistakes(&self) -> impl Iterator<Item = &Mistake> {
        self.mistakes.iter()
    }

    /// The report as text, with the source lines that it speaks of.
    pub fn render(&self, colour: bool) -> String {
        let renderer = if colour { Renderer::styled() } else { Renderer::plain() };
        let mut text = String::new();
        for mistake in self.mistakes.iter().take(SHOWN) {
            text.push_str(&renderer.render(&self.groups(mistake)));
            text.push_str("\n\n");
        }
        if matches!(self.weight, Weight::Error) {
            let count = self.mistakes.len();
            let noun = if count == 1 { "mistake" } else { "mistakes" };
            let shown = if count > SHOWN { ", of which the first 100 are shown" } else { "" };
            writeln!(text, "{count} {noun}{shown}; nothing was built").expect("text takes all");
        }
        text
    }

    fn groups<'a>(&'a self, mistake: &'a Mistake) -> Vec<Group<'a>> {
        let mut places = vec![(mistake.at, mistake.label.as_str(), AnnotationKind::Primary)];
        let also = mistake.also.iter();
        places.extend(also.map(|(at, label)| (*at, label.as_str(), AnnotationKind::Context)));
        let level = match self.weight {
            Weight::Error => Level::ERROR,
            Weight::Warning => Level::WARNING,
        };
        let title = level.primary_title(mistake.title.as_str()).id(mistake.code.as_str());
        let mut group = Group::with_title(title);
        while let Some((first, ..)) = places.first() {
            let file = first.file;
            let snippet = Snippet::source(self.files.text(file)).path(self.files.name(file));
            let here = places.extract_if(.., |(at, ..)| at.file == file);
            let notes =
                here.map(|(at, label, kind)| kind.span(self.files.visible_range(at)).label(label));
            group = group.element(snippet.annotations(notes.collect::<Vec<_>>()));
        }
        if let Some(guests) = mistake.guests_named() {
            group = group.element(Level::NOTE.message(guests));
        }
        if let Some(help) = &mistake.help {
            group = group.element(Level::HELP.message(help.as_str()));
        }
        vec![group]
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.render(false))
    }
}
