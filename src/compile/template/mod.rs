//! Templates: read once, rendered for every guest, and strict about every name in them.

mod bounds;
mod filters;
pub(super) mod lookup;
mod names;
pub(super) mod origin;
pub(super) mod scope;

use crate::compile::{
    report::{Code, Mistake},
    source::{At, FileId, Files, Node, Table, Value},
};
use bounds::Bounded;
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

/// Something wrong with a template.
#[derive(Debug)]
pub enum TemplateFault {
    /// It names what does not exist.
    Missing { mistake: Mistake, path: String },
    /// It cannot do what it says with the values that it reads there, by their paths.
    Unusable { mistake: Mistake, reads: Vec<String> },
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
                let help = "templates of stackc have variables, filters, `if`, `for` and `set`";
                mistakes.push(
                    Mistake::new(Code::TemplateSyntax, place(refused.span), refused.message)
                        .help(help),
                );
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
                    mistakes.push(mistake(&error, &place).0);
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
                mistake: undefined(&name.path, place.of(name.span), scope),
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
                let help = "a file of a guest needs far less: shorten what the loops walk";
                let mistake = Mistake::new(Code::TemplateBounds, at, stopped.why).help(help);
                Err(vec![TemplateFault::Unusable { mistake, reads: Vec::new() }])
            }
            Err(error) => {
                let (mistake, reads) = mistake(&error, &place);
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

/// Where a template is asked for, and what it was written in.
struct Place<'a> {
    parsed: &'a Parsed,
    /// The template's name, which is the text itself when that is a value of a definition.
    text: &'a str,
    at: At,
    written: &'a Files,
}

impl Place<'_> {
    /// Where a stretch of the template was written.
    fn of(&self, span: Range<usize>) -> At {
        match self.parsed.file {
            Some(file) => At::new(file, span),
            None => self.written.place_within(self.at, self.text, span),
        }
    }
}

fn empty() -> Tera {
    let mut tera = Tera::default();
    filters::register(&mut tera);
    tera.autoescape_on(Vec::<&str>::new());
    tera
}

fn undefined(path: &str, at: At, scope: &Rendering<'_>) -> Mistake {
    if let Some(name) = path.strip_prefix("env_vars.").filter(|n| scope.secret_names.contains(*n)) {
        return Mistake::new(
            Code::SecretInTemplate,
            at,
            format!("`{name}` is a secret, and no template sees its value"),
        )
        .help(
            "give the file `secrets = { name = { secret = \"…\" } }` and write {{ secrets.name }}; units and cron jobs read it from the env file",
        );
    }
    if scope.names.is_empty() {
        let title = format!("`{path}` is not known where this text is read");
        return Mistake::new(Code::NoTemplateHere, at, title)
            .help("write the text itself: it takes no template");
    }
    if let Some((table @ ("vars" | "env_vars"), _)) = path.split_once('.')
        && !scope.names.contains_key(table)
    {
        let title = format!("`{path}` is not known yet where this text is read");
        let help = "`vars` cannot name one another, nor can `env_vars`: write the text twice";
        return Mistake::new(Code::NotKnownYet, at, title).help(help);
    }
    let known = lookup::paths(scope.names);
    let help = match crate::compile::schema::nearest(path, known.iter().map(String::as_str)) {
        Some(near) => format!("did you mean `{near}`?"),
        None => match path.split_once('.').map(|(root, _)| root) {
            Some(root) if !scope.names.contains_key(root) => match nearest_root(root, scope) {
                Some(near) => format!("there is no `{root}`; did you mean `{near}`?"),
                None => declare(path),
            },
            _ => declare(path),
        },
    };
    Mistake::new(
        Code::UndefinedName,
        at,
        format!("the template names `{path}`, which does not exist"),
    )
    .help(help)
}

fn nearest_root<'a>(root: &str, scope: &'a Rendering<'_>) -> Option<&'a str> {
    crate::compile::schema::nearest(root, scope.names.keys().map(String::as_str))
}

/// What to do about a name that nothing is near to.
fn declare(path: &str) -> String {
    match path.split_once('.') {
        Some(("ports", name)) => format!("add `{name} = …` to `[ports]`"),
        Some(("env_vars", name)) => format!("add `{name} = \"…\"` to `[env_vars]`"),
        Some(("secrets", name)) => {
            format!("give the file `secrets = {{ {name} = {{ secret = \"…\" }} }}`")
        }
        Some(("vars", _)) => "declare it in `vars` of the kind, with a default value".to_owned(),
        _ => format!("declare a variable in `vars` of the kind, and write {{{{ vars.{path} }}}}"),
    }
}

/// What Tera finds wrong, and the paths that the template reads there.
fn mistake(error: &tera::Error, place: &Place<'_>) -> (Mistake, Vec<String>) {
    let parsed = place.parsed;
    let (message, span) = match error.kind() {
        ErrorKind::SyntaxError(report) | ErrorKind::RenderingError(report) => {
            let span = parsed.bounded.written(report.span().range.clone());
            (report.message().to_owned(), Some(span))
        }
        other => unknown_words(&other.to_string(), &parsed.bounded),
    };
    let is_rendering = matches!(error.kind(), ErrorKind::RenderingError(_));
    let read = span.as_ref().filter(|_| is_rendering);
    let reads = read.map_or_else(Vec::new, |span| lookup::within(&parsed.events, span));
    let at = span.map_or(place.at, |span| place.of(span));
    let title = format!("the template cannot be used: {}", message.to_lowercase_first());
    let help =
        "filters, tests and functions are those of Tera; values are of the type that was written";
    (Mistake::new(Code::TemplateFails, at, title).help(help), reads)
}

/// Tera tells filters, tests and functions that it does not know as a report of several lines: what each of them is, and
/// where the first is.
fn unknown_words(report: &str, bounded: &Bounded) -> (String, Option<Range<usize>>) {
    let titles = report.lines().filter_map(|line| line.strip_prefix("error: "));
    let titles: Vec<_> = titles.map(LowercaseFirst::to_lowercase_first).collect();
    if titles.is_empty() {
        return (report.to_owned(), None);
    }
    let place = report.lines().find_map(|line| line.trim_start().strip_prefix("--> "));
    let place = place.and_then(|place| {
        let (rest, column) = place.rsplit_once(':')?;
        let line = rest.rsplit_once(':')?.1;
        offset(&bounded.text, line.parse().ok()?, column.parse().ok()?)
    });
    (titles.join(", "), place.map(|at| bounded.written(at..at)))
}

/// Where a line and a column, both counted from 1, are in a text.
fn offset(text: &str, line: usize, column: usize) -> Option<usize> {
    let before: usize = text.split_inclusive('\n').take(line.checked_sub(1)?).map(str::len).sum();
    let at = before + column.checked_sub(1)?;
    text.is_char_boundary(at).then_some(at)
}

trait LowercaseFirst {
    fn to_lowercase_first(&self) -> String;
}

impl LowercaseFirst for str {
    fn to_lowercase_first(&self) -> String {
        let mut chars = self.chars();
        chars.next().map_or_else(String::new, |first| first.to_lowercase().chain(chars).collect())
    }
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
