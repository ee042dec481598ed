//! What is no TOML, told where it stands and in words for those who do not know the parser.

use super::{At, FileId};
use crate::compile::report::{Code, Mistake};
use std::{
    collections::{BTreeMap, BTreeSet},
    fmt::Write as _,
    ops::Range,
};
use toml::de::{DeTable, DeValue, Error};

/// What the parser says of a key that its table has already.
const DUPLICATE: &str = "duplicate key";
/// What begins the names that stand for such keys where the others are looked for; no text of a definition may have it.
const MARK: char = '\u{f5ca0}';

/// What the parser says of a file, each thing once.
pub fn mistakes(file: FileId, text: &str, errors: &[Error]) -> BTreeSet<Mistake> {
    let firsts = firsts(text, errors);
    let mistake = |error: &Error| {
        let span = error.span().unwrap_or_else(|| too_deep(text));
        let first = firsts.get(&span.start);
        let (title, help) = words(error.message().trim(), text.get(span.clone()));
        let mistake =
            Mistake::new(Code::Syntax, At::new(file, span), title).help(help).hides_file();
        match first {
            Some(first) => mistake.also(At::new(file, first.clone()), "the first one"),
            None => mistake,
        }
    };
    errors.iter().map(mistake).collect()
}

/// What the parser says, in words for those who do not know it, and what to do.
fn words(message: &str, word: Option<&str>) -> (String, String) {
    match word {
        Some(word) if message == DUPLICATE => (
            format!("`{word}` is there already"),
            "take one of the two out; of tables, put the keys of both below one name".to_owned(),
        ),
        _ if message.contains("recurs") => (
            "this nests too deep".to_owned(),
            "put fewer tables and lists within one another".to_owned(),
        ),
        Some(word) if is_bare(word) && !message.contains("key") => {
            (message.to_owned(), format!("put text in quotes: \"{word}\""))
        }
        _ => {
            let help = match message.rsplit_once("expected ") {
                Some((_, wanted)) if wanted.starts_with('`') => format!("put {wanted} there"),
                _ => "this is not TOML; see https://toml.io".to_owned(),
            };
            (message.to_owned(), help)
        }
    }
}

/// Whether this looks like text that was to be a value, and has no quotes.
fn is_bare(word: &str) -> bool {
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_./:@".contains(c);
    word.len() > 1
        && word.starts_with(|c: char| c.is_ascii_alphanumeric())
        && word.chars().all(plain)
}

/// Where a name of too many parts begins: the parser says only that there is one.
fn too_deep(text: &str) -> Range<usize> {
    let starts: Vec<_> = text
        .split_inclusive('\n')
        .scan(0, |at, line| {
            let start = *at;
            *at += line.len();
            Some((start, *at))
        })
        .collect();
    let is_before = |(_, end): &(usize, usize)| {
        let (_, errors) = DeTable::parse_recoverable(&text[..*end]);
        errors.iter().all(|error| error.span().is_some())
    };
    let line = starts.partition_point(is_before);
    starts.get(line).map_or(0..0, |(start, _)| *start..*start)
}

/// Where the keys stand that the parser found before the duplicates, by the places of these. The duplicates get names of their own,
/// so that both are in what the parser makes of the text.
fn firsts(text: &str, errors: &[Error]) -> BTreeMap<usize, Range<usize>> {
    let duplicates = errors.iter().filter(|error| error.message() == DUPLICATE);
    let spans: BTreeMap<_, _> =
        duplicates.filter_map(Error::span).map(|span| (span.start, span)).collect();
    if spans.is_empty() || text.contains(MARK) {
        return BTreeMap::new();
    }
    let marked = Marked::new(text, spans.into_values().collect());
    let (document, _) = DeTable::parse_recoverable(&marked.text);
    let mut found = BTreeMap::new();
    marked.search(document.get_ref(), None, &mut found);
    found
}

/// A text whose duplicates have names of their own.
struct Marked {
    text: String,
    /// Where the duplicates are in the text as it was written.
    spans: Vec<Range<usize>>,
    /// What they are called there.
    names: Vec<String>,
    /// Where what follows each of them begins, in this text.
    after: Vec<usize>,
}

impl Marked {
    fn new(text: &str, spans: Vec<Range<usize>>) -> Self {
        let (mut marked, mut copied) = (String::new(), 0);
        let (mut names, mut after) = (Vec::new(), Vec::new());
        for (n, span) in spans.iter().enumerate() {
            marked.push_str(&text[copied..span.start]);
            write!(marked, "\"{MARK}{n}\"").expect("text takes all");
            after.push(marked.len());
            names.push(name(&text[span.clone()]));
            copied = span.end;
        }
        marked.push_str(&text[copied..]);
        Self { text: marked, spans, names, after }
    }

    /// Looks for the first of each duplicate in its table, or in the one that is there already of a table's own name.
    fn search(
        &self,
        table: &DeTable<'_>,
        twin: Option<&DeTable<'_>>,
        found: &mut BTreeMap<usize, Range<usize>>,
    ) {
        for (key, value) in table {
            let number = key.get_ref().strip_prefix(MARK).and_then(|n| n.parse::<usize>().ok());
            let number = number.filter(|n| *n < self.names.len());
            let name = number.map_or(key.get_ref().as_ref(), |n| self.names[n].as_str());
            let own = number.and_then(|_| table.get_key_value(name));
            let first = own.or_else(|| twin?.get_key_value(name));
            if let (Some(n), Some((key, _))) = (number, first) {
                found.insert(self.spans[n].start, self.written(key.span()));
            }
            let twin = first.and_then(|(_, value)| value.get_ref().as_table());
            self.search_value(value.get_ref(), twin, found);
        }
    }

    fn search_value(
        &self,
        value: &DeValue<'_>,
        twin: Option<&DeTable<'_>>,
        found: &mut BTreeMap<usize, Range<usize>>,
    ) {
        match value {
            DeValue::Table(table) => self.search(table, twin, found),
            DeValue::Array(items) => {
                for item in items {
                    self.search_value(item.get_ref(), None, found);
                }
            }
            _ => {}
        }
    }

    /// A place of this text in the text as it was written.
    fn written(&self, span: Range<usize>) -> Range<usize> {
        let passed = self.after.partition_point(|after| *after <= span.start);
        let (from, to) = match passed.checked_sub(1) {
            Some(n) => (self.after[n], self.spans[n].end),
            None => (0, 0),
        };
        span.start - from + to..span.end - from + to
    }
}

/// A key without its quotes.
fn name(written: &str) -> String {
    let assigned = format!("{written} = 0");
    let (table, _) = DeTable::parse_recoverable(&assigned);
    table.get_ref().keys().next().map_or_else(String::new, |key| key.get_ref().to_string())
}
