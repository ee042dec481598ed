//! Templates: read once, rendered for every guest, and strict about every name in them.

mod balance;
mod bounds;
mod fault;
mod filters;
pub(super) mod lookup;
mod names;
pub(super) mod origin;
pub(super) mod scope;
mod tokens;
mod words;

use crate::compile::{
    report::{Code, Mistake},
    source::{At, FileId, Files, Node, Table, Value},
};
use bounds::Bounded;
use fault::Place;
pub use fault::TemplateFault;
use names::Event;
use std::{
    collections::{BTreeMap, BTreeSet},
    ops::Range,
};
use tera::{ErrorKind, Tera};

/// What templates see: names in byte order, so that loops have one order.
pub type Scope = BTreeMap<String, serde_json::Value>;

/// Begins and ends the name of a secret in rendered text. Private-use characters; templates cannot hold them otherwise.
pub const SECRET_MARKS: (char, char) = ('\u{f5ca0}', '\u{f5ca1}');

/// Every template of a workspace, and every text of its definitions that has a variable in it.
pub struct Templates {
    tera: Tera,
    parsed: BTreeMap<String, Parsed>,
    /// Those that cannot be used, which has been told.
    broken: BTreeSet<String>,
}

struct Parsed {
    /// Where mistakes in it are; none when the text is a value of a definition.
    file: Option<FileId>,
    events: Vec<Event>,
    bounded: Bounded,
}

impl Templates {
    /// Reads template files (by name) and texts.
    pub fn read(
        files: &[(String, FileId, &str)],
        texts: &BTreeMap<&str, At>,
        written: &Files,
        mistakes: &mut Vec<Mistake>,
    ) -> Self {
        let mut templates =
            Self { tera: empty(), parsed: BTreeMap::new(), broken: BTreeSet::new() };
        for (name, file, text) in files {
            templates.add(name, Some(*file), text, |span| At::new(*file, span), mistakes);
        }
        for (text, at) in texts {
            let place = |span| written.place_within(*at, text, span);
            templates.add(text, None, text, place, mistakes);
        }
        let bounded =
            |(name, parsed): (&String, &Parsed)| (name.clone(), parsed.bounded.text.clone());
        let raw: Vec<_> = templates.parsed.iter().map(bounded).collect();
        if templates.tera.add_raw_templates(raw.clone()).is_err() {
            templates.report_each(raw, texts, written, mistakes);
        }
        templates
    }

    fn add(
        &mut self,
        name: &str,
        file: Option<FileId>,
        text: &str,
        place: impl Fn(Range<usize>) -> At,
        mistakes: &mut Vec<Mistake>,
    ) {
        match names::read(text) {
            Ok(events) => {
                let bounded = bounds::bounded(text, &events);
                self.parsed.insert(name.to_owned(), Parsed { file, events, bounded });
            }
            Err(refused) => {
                self.broken.insert(name.to_owned());
                let at = place(refused.span);
                let mistake = Mistake::new(Code::TemplateSyntax, at, refused.message);
                mistakes.push(mistake.help(fault::SYNTAX));
            }
        }
    }

    /// One at a time, so that each template with a mistake is told.
    fn report_each(
        &mut self,
        raw: Vec<(String, String)>,
        texts: &BTreeMap<&str, At>,
        written: &Files,
        mistakes: &mut Vec<Mistake>,
    ) {
        let mut good = Vec::new();
        for (name, text) in raw {
            match empty().add_raw_template(&name, &text) {
                Ok(()) => good.push((name, text)),
                Err(error) => {
                    let parsed = self.parsed.get(&name).expect("all of them were parsed");
                    let at = parsed.file.map(At::start_of).or_else(|| texts.get(&*name).copied());
                    let at = at.expect("it is a file or a text");
                    let place = Place { parsed, text: &name, at, written };
                    mistakes.extend(fault::of_text(&error, &place));
                    if matches!(error.kind(), ErrorKind::SyntaxError(_)) {
                        // Nobody knows what is a name in it.
                        self.parsed.remove(&name);
                    }
                    self.broken.insert(name);
                }
            }
        }
        self.tera = empty();
        self.tera.add_raw_templates(good).expect("each of them was read a moment ago");
    }

    /// Whether there is one of this name, be it usable or not.
    pub fn has(&self, name: &str) -> bool {
        self.parsed.contains_key(name) || self.broken.contains(name)
    }

    /// The file of a template of this name.
    pub fn file(&self, name: &str) -> Option<FileId> {
        self.parsed.get(name)?.file
    }

    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.parsed.keys().map(String::as_str)
    }

    /// The text that a template makes; every name in it must exist, used or not. `at` is where the template is asked for.
    pub fn render(
        &self,
        name: &str,
        scope: &Rendering<'_>,
        (at, written): (At, &Files),
    ) -> Result<String, Vec<TemplateFault>> {
        let parsed = self.parsed.get(name).ok_or_else(Vec::new)?;
        let place = Place { parsed, text: name, at, written };
        let unknown = lookup::unknown(&parsed.events, scope.names);
        if !unknown.is_empty() {
            let fault = |name: names::Name| TemplateFault::Missing {
                mistake: fault::undefined(&name.path, (place.of(name.span), written), scope),
                path: name.path,
            };
            return Err(unknown.into_iter().map(fault).collect());
        }
        if self.broken.contains(name) {
            return Err(Vec::new());
        }
        match parsed.bounded.render(&self.tera, name, &scope.context) {
            Ok(Ok(text)) => Ok(text),
            Ok(Err(stopped)) => {
                let at = stopped.at.map_or(at, |span| place.of(span));
                let mistake = Mistake::new(Code::TemplateBounds, at, stopped.why);
                let mistake = mistake.help(bounds::SHORTEN);
                Err(vec![TemplateFault::Unusable { mistake, reads: Vec::new() }])
            }
            Err(error) => {
                let (mistake, reads) = fault::of_values(&error, &place);
                Err(vec![TemplateFault::Unusable { mistake, reads }])
            }
        }
    }
}

/// A scope, ready to be rendered with.
pub struct Rendering<'a> {
    pub names: &'a Scope,
    context: tera::Context,
    /// Variables whose values are secrets, so that a template that names one is told why it cannot.
    secret_names: &'a BTreeSet<String>,
}

impl<'a> Rendering<'a> {
    pub fn new(names: &'a Scope, secret_names: &'a BTreeSet<String>) -> Self {
        let context = tera::Context::from_serialize(names).expect("a map with text keys");
        Self { names, context, secret_names }
    }
}

fn empty() -> Tera {
    let mut tera = Tera::default();
    filters::register(&mut tera);
    tera.autoescape_on(Vec::<&str>::new());
    tera
}

/// Whether a text of a definition has something to be rendered.
pub fn is_template(text: &str) -> bool {
    text.contains("{{") || text.contains("{%") || text.contains("{#")
}

fn texts_with_variables<'a>(node: &'a Node, found: &mut BTreeMap<&'a str, At>) {
    match &node.value {
        Value::Text(text) if is_template(text) => {
            found.entry(text).or_insert(node.at);
        }
        Value::List(items) => items.iter().for_each(|item| texts_with_variables(item, found)),
        Value::Table(table) => texts_of_table(table, found),
        _ => {}
    }
}

/// Every text of a table that has a variable in it, each with the first place that has it.
pub fn texts_of_table<'a>(table: &'a Table, found: &mut BTreeMap<&'a str, At>) {
    for member in table.values() {
        texts_with_variables(&member.node, found);
    }
}
