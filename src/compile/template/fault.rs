//! What is wrong with a template, told where it was written.

use super::{
    Parsed, Rendering,
    balance::{self, Slip},
    bounds::{self, Bounded},
    filters, lookup, words,
};
use crate::compile::{
    report::{Code, Mistake},
    schema,
    source::{At, Files},
};
use std::ops::Range;
use tera::{ErrorKind, ReportError};

/// What templates may have.
pub const SYNTAX: &str = "templates of stackc have variables, filters, `if`, `for` and `set`";
const VALUES: &str =
    "filters, tests and functions are those of Tera; values are of the type that was written";

const WALKED: &str = "`for` walks a list, a table or a text: write a list, such as [\"…\"]";

/// Something wrong with a template.
#[derive(Debug)]
pub enum TemplateFault {
    /// It names what does not exist.
    Missing { mistake: Mistake, path: String },
    /// It cannot do what it says with the values that it reads there, by their paths.
    Unusable { mistake: Mistake, reads: Vec<String> },
}

/// Where a template is asked for, and what it was written in.
pub struct Place<'a> {
    pub parsed: &'a Parsed,
    /// The template's name, which is the text itself when that is a value of a definition.
    pub text: &'a str,
    pub at: At,
    pub written: &'a Files,
}

impl Place<'_> {
    /// Where a stretch of the template was written.
    pub fn of(&self, span: Range<usize>) -> At {
        match self.parsed.file {
            Some(file) => At::new(file, span),
            None => self.written.place_within(self.at, self.text, span),
        }
    }
}

/// A name that does not exist.
pub fn undefined(path: &str, (at, files): (At, &Files), scope: &Rendering<'_>) -> Mistake {
    let declare = |path: &str| declare(path, |key| files.layer_table(at, key));
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
    let help = match nearest(path, scope) {
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

/// The most similar path; what a path has in common with all others of its root makes it no more similar.
fn nearest(path: &str, scope: &Rendering<'_>) -> Option<String> {
    let known = lookup::paths(scope.names);
    let Some((root, rest)) = path.split_once('.').filter(|(r, _)| scope.names.contains_key(*r))
    else {
        return schema::nearest(path, known.iter().map(String::as_str)).map(str::to_owned);
    };
    let below = known.iter().filter_map(|known| known.strip_prefix(root)?.strip_prefix('.'));
    schema::nearest(rest, below).map(|near| format!("{root}.{near}"))
}

fn nearest_root<'a>(root: &str, scope: &'a Rendering<'_>) -> Option<&'a str> {
    schema::nearest(root, scope.names.keys().map(String::as_str))
}

/// What to do about a name that nothing is near to.
fn declare(path: &str, table: impl Fn(&str) -> String) -> String {
    match path.split_once('.') {
        Some(("ports", name)) => format!("add `{name} = …` to `[{}]`", table("ports")),
        Some(("env_vars", name)) => {
            format!("add `{name} = \"…\"` to `[{}]`", table("env_vars"))
        }
        Some(("secrets", name)) => {
            format!("give the file `secrets = {{ {name} = {{ secret = \"…\" }} }}`")
        }
        Some(("vars", _)) => "declare it in `vars` of the kind, with a default value".to_owned(),
        _ => format!("declare a variable in `vars` of the kind, and write {{{{ vars.{path} }}}}"),
    }
}

/// What Tera finds wrong with the text of a template.
pub fn of_text(error: &tera::Error, place: &Place<'_>) -> Vec<Mistake> {
    let bounded = &place.parsed.bounded;
    let ErrorKind::SyntaxError(report) = error.kind() else {
        let words = unknown_words(&error.kind().to_string(), place).into_iter();
        return words.map(|(message, span)| cannot_be_used(&message, span, place)).collect();
    };
    let slips: Vec<_> = balance::slips(&bounded.text);
    if slips.is_empty() {
        return vec![cannot_be_read(report, place)];
    }
    slips.into_iter().map(|slip| slipped(slip, place)).collect()
}

/// What Tera says of a text that it cannot read.
fn cannot_be_read(report: &ReportError, place: &Place<'_>) -> Mistake {
    let (message, span) = said(report, &place.parsed.bounded);
    let help = match message.strip_prefix("found `=`") {
        Some(_) => "two values are compared with `==`",
        None => SYNTAX,
    };
    let title = format!("the template cannot be read: {message}");
    Mistake::new(Code::TemplateSyntax, place.of(span), title).help(help)
}

fn slipped(slip: Slip, place: &Place<'_>) -> Mistake {
    let of = |span| place.of(place.parsed.bounded.written(span));
    let mistake = Mistake::new(Code::TemplateSyntax, of(slip.at), slip.title).help(slip.help);
    match slip.also {
        Some((span, label)) => mistake.also(of(span), label),
        None => mistake,
    }
}

/// What Tera cannot do with the values that a guest has, and the paths that the template reads there.
pub fn of_values(error: &tera::Error, place: &Place<'_>) -> (Mistake, Vec<String>) {
    let ErrorKind::RenderingError(report) = error.kind() else {
        return (cannot_be_used(&error.kind().to_string(), None, place), Vec::new());
    };
    let (message, span) = said(report, &place.parsed.bounded);
    let reads = lookup::within(&place.parsed.events, &span);
    (cannot_be_used(&message, Some(span), place), reads)
}

fn said(report: &ReportError, bounded: &Bounded) -> (String, Range<usize>) {
    let message = lowercase_first(report.message().trim_end_matches('.'));
    (message, bounded.written(report.span().range.clone()))
}

fn cannot_be_used(message: &str, span: Option<Range<usize>>, place: &Place<'_>) -> Mistake {
    let at = span.map_or(place.at, |span| place.of(span));
    let message = lowercase_first(message);
    let help = match words::instead(&message) {
        Some(help) => help,
        None if filters::is_of_limit(&message) => bounds::SHORTEN.to_owned(),
        None if message.starts_with("iteration not possible") => WALKED.to_owned(),
        None => VALUES.to_owned(),
    };
    let title = format!("the template cannot be used: {message}");
    Mistake::new(Code::TemplateFails, at, title).help(help)
}

/// Tera tells filters, tests and functions that it does not know as a report of several lines: what each of them is, and
/// where it is.
fn unknown_words(report: &str, place: &Place<'_>) -> Vec<(String, Option<Range<usize>>)> {
    let mut parts = report.split("error: ");
    let before = parts.next().unwrap_or_default();
    let found: Vec<_> = parts
        .filter_map(|part| Some((part.lines().next()?.to_owned(), word(part, place))))
        .collect();
    if found.is_empty() { vec![(before.to_owned(), None)] } else { found }
}

/// The word that a part of a report is about.
fn word(part: &str, place: &Place<'_>) -> Option<Range<usize>> {
    let bounded = &place.parsed.bounded;
    // A name that is a text itself may have lines.
    let (_, numbers) = part.split_once(&format!("--> {}:", place.text))?;
    let (line, column) = numbers.lines().next()?.split_once(':')?;
    let start = offset(&bounded.text, line.parse().ok()?, column.parse().ok()?)?;
    let is_of_word = |c: char| c.is_alphanumeric() || c == '_';
    let length = bounded.text[start..].find(|c| !is_of_word(c));
    let end = length.map_or(bounded.text.len(), |length| start + length);
    Some(bounded.written(start..end))
}

/// Where a line and a column, both counted from 1, are in a text.
fn offset(text: &str, line: usize, column: usize) -> Option<usize> {
    let before: usize = text.split_inclusive('\n').take(line.checked_sub(1)?).map(str::len).sum();
    let at = before + column.checked_sub(1)?;
    text.is_char_boundary(at).then_some(at)
}

fn lowercase_first(text: &str) -> String {
    let mut chars = text.chars();
    chars.next().map_or_else(String::new, |first| first.to_lowercase().chain(chars).collect())
}
