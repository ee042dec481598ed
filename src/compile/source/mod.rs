//! Files of definitions, and TOML read into a tree that knows where each value stands.

mod builtin;
pub(super) mod define;
mod kinds;
mod syntax;

use crate::compile::report::{Code, Mistake};
use std::{collections::BTreeMap, num::IntErrorKind, ops::Range, sync::Arc};
use toml::Spanned;
use toml::de::{DeTable, DeValue};

/// The name of a file of the workspace, or `builtin:…` of a file that stackc brings, to its text.
#[derive(Debug, Default)]
pub struct Files {
    names: Vec<String>,
    texts: Vec<Arc<str>>,
}

/// A file that was read.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct FileId(u32);

/// A stretch of a file, in bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct At {
    pub file: FileId,
    start: u32,
    end: u32,
}

impl At {
    pub fn new(file: FileId, span: Range<usize>) -> Self {
        let byte = |n: usize| u32::try_from(n).unwrap_or(u32::MAX);
        Self { file, start: byte(span.start), end: byte(span.end) }
    }

    /// The first byte of a file: for what a file does not say.
    pub fn start_of(file: FileId) -> Self {
        Self::new(file, 0..0)
    }
}

impl Files {
    pub fn add(&mut self, name: &str, text: &str) -> FileId {
        let id = u32::try_from(self.names.len()).expect("a workspace has fewer than 2^32 files");
        self.names.push(name.to_owned());
        self.texts.push(text.into());
        FileId(id)
    }

    pub fn name(&self, file: FileId) -> &str {
        &self.names[file.0 as usize]
    }

    pub fn text(&self, file: FileId) -> &str {
        &self.texts[file.0 as usize]
    }

    /// The stretch, at least one character long where the file has one, on character borders.
    pub fn visible_range(&self, at: At) -> Range<usize> {
        let text = self.text(at.file);
        let border = |n: usize| (0..=n).rev().find(|n| text.is_char_boundary(*n)).unwrap_or(0);
        let start = border((at.start as usize).min(text.len()));
        let end = border((at.end as usize).clamp(start, text.len()));
        if start < end && !text[start..end].starts_with(['\r', '\n']) {
            return start..end;
        }
        // The end of a line is told at its last character, and not with the line below.
        let (before, after) = text.split_at(start);
        let last = before.chars().next_back().filter(|c| *c != '\n');
        let next = after.chars().next();
        match (next, last) {
            (None | Some('\r' | '\n'), Some(last)) => start - last.len_utf8()..start,
            (next, _) => start..start + next.map_or(0, char::len_utf8),
        }
    }

    /// Where a stretch of a value's text was written. Escapes make the two differ in length, so its words are looked for.
    pub fn place_within(&self, at: At, text: &str, span: Range<usize>) -> At {
        let Some(words) = text.get(span.clone()).filter(|words| !words.is_empty()) else {
            return at;
        };
        let nth = text[..span.start].matches(words).count();
        let start = self.visible_range(at).start;
        let found = self.slice(at).match_indices(words).nth(nth);
        found.map_or(at, |(n, _)| At::new(at.file, start + n..start + n + words.len()))
    }

    /// A table of a layer by its name in the file where something stands; in the project's for what is no file of a layer.
    pub fn layer_table(&self, at: At, key: &str) -> String {
        let name = self.name(at.file);
        let is_own_kind = name.starts_with("templates/") && name.ends_with("/kind.toml");
        if is_own_kind || name == "stacks/site.toml" {
            key.to_owned()
        } else {
            format!("project.{key}")
        }
    }

    /// What stands there.
    pub fn slice(&self, at: At) -> &str {
        &self.text(at.file)[self.visible_range(at)]
    }

    /// Line and column, both from 1; columns count characters.
    pub fn line_and_column(&self, at: At) -> (usize, usize) {
        self.place_of(at.file, self.visible_range(at).start)
    }

    /// The same of what follows a stretch.
    pub fn end_line_and_column(&self, at: At) -> (usize, usize) {
        self.place_of(at.file, self.visible_range(at).end)
    }

    fn place_of(&self, file: FileId, offset: usize) -> (usize, usize) {
        let before = &self.text(file)[..offset];
        let line_start = before.rfind('\n').map_or(0, |n| n + 1);
        (before.matches('\n').count() + 1, before[line_start..].chars().count() + 1)
    }

    /// `stacks/shop.toml:7:9`.
    pub fn place(&self, at: At) -> String {
        let (line, column) = self.line_and_column(at);
        format!("{}:{line}:{column}", self.name(at.file))
    }
}

/// A value of a definition, with its place.
#[derive(Debug, Clone)]
pub struct Node {
    pub at: At,
    pub value: Value,
}

#[derive(Debug, Clone)]
pub enum Value {
    Text(String),
    Integer(i64),
    Boolean(bool),
    List(Vec<Node>),
    Table(Table),
    /// What is no value of a definition; it has been reported and says nothing further.
    Wrong,
}

/// Keys in byte order, each with the place of the key and its value.
pub type Table = BTreeMap<String, Member>;

#[derive(Debug, Clone)]
pub struct Member {
    pub key: At,
    pub node: Node,
}

impl Value {
    /// What a person would call it.
    pub fn noun(&self) -> &'static str {
        match self {
            Self::Text(_) => "text",
            Self::Integer(_) => "a whole number",
            Self::Boolean(_) => "true or false",
            Self::List(_) => "a list",
            Self::Table(_) => "a table",
            Self::Wrong => "nothing usable",
        }
    }
}

impl Node {
    pub fn table(&self) -> Option<&Table> {
        match &self.value {
            Value::Table(table) => Some(table),
            _ => None,
        }
    }

    pub fn text(&self) -> Option<&str> {
        match &self.value {
            Value::Text(text) => Some(text),
            _ => None,
        }
    }
}

/// Reads a TOML file. What can be read is returned also when there are mistakes in it.
pub fn parse(file: FileId, text: &str, mistakes: &mut Vec<Mistake>) -> Table {
    let (document, errors) = DeTable::parse_recoverable(text);
    mistakes.extend(syntax::mistakes(file, text, &errors));
    table(file, document.get_ref(), mistakes)
}

/// A character that no text of a definition or template may have: control characters but tabs and line ends, which terminals and
/// readers of files act on; those that show a text in another order than it is read (bidirectional controls), or show nothing;
/// and those that stackc marks places with.
pub fn refused_character(text: &str) -> Option<(usize, char)> {
    let refused = |c: char| {
        c.is_control() && !matches!(c, '\t' | '\n' | '\r')
            || matches!(c, '\u{2028}' | '\u{2029}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
            || matches!(c, '\u{feff}' | '\u{f5ca0}'..='\u{f5ca3}')
    };
    text.char_indices().find(|(_, c)| refused(*c))
}

/// The mistake of having one.
pub fn refused(at: At, c: char) -> Mistake {
    let code = u32::from(c);
    Mistake::new(
        Code::RefusedCharacter,
        at,
        format!("a text cannot have the character U+{code:04X}"),
    )
    .help("it would be invisible, or read as another text than it looks like: take it out")
}

fn table(file: FileId, table: &DeTable<'_>, mistakes: &mut Vec<Mistake>) -> Table {
    let member = |(key, value): (&Spanned<_>, &Spanned<DeValue<'_>>), mistakes: &mut _| {
        let name: &std::borrow::Cow<'_, str> = key.get_ref();
        let key = At::new(file, key.span());
        (name.to_string(), Member { key, node: node(file, key, value, mistakes) })
    };
    table.iter().map(|pair| member(pair, mistakes)).collect()
}

fn no_number(at: At, why: IntErrorKind) -> Mistake {
    match why {
        IntErrorKind::PosOverflow | IntErrorKind::NegOverflow => {
            Mistake::new(Code::OutOfRange, at, "this number is too big")
                .help("no number of a definition is beyond 2^63")
        }
        _ => Mistake::new(Code::Syntax, at, "this number has no digits")
            .help("write some, or put it in quotes to make it text"),
    }
}

fn node(
    file: FileId,
    key: At,
    spanned: &Spanned<DeValue<'_>>,
    mistakes: &mut Vec<Mistake>,
) -> Node {
    let at = At::new(file, spanned.span());
    let value = match spanned.get_ref() {
        DeValue::String(text) => match refused_character(text) {
            Some((_, c)) => {
                mistakes.push(refused(at, c));
                Value::Wrong
            }
            None => Value::Text(text.to_string()),
        },
        DeValue::Boolean(value) => Value::Boolean(*value),
        DeValue::Integer(number) => match i64::from_str_radix(number.as_str(), number.radix()) {
            Ok(number) => Value::Integer(number),
            Err(error) => {
                mistakes.push(no_number(at, *error.kind()));
                Value::Wrong
            }
        },
        DeValue::Float(_) | DeValue::Datetime(_) => {
            mistakes.push(
                Mistake::new(Code::WrongType, at, "dates and fractions have no meaning here")
                    .help("write a whole number, or put it in quotes to make it text"),
            );
            Value::Wrong
        }
        DeValue::Array(items) => {
            Value::List(items.iter().map(|item| node(file, key, item, mistakes)).collect())
        }
        // A table is told by its name: its span may be all of its lines.
        DeValue::Table(members) => {
            return Node { at: key, value: Value::Table(table(file, members, mistakes)) };
        }
    };
    Node { at, value }
}
