//! Typed reading of a merged table: what is missing or wrong is noted, and reading goes on.

use super::{
    report::{Code, Mistake},
    schema::{self, Shape},
    source::{At, Files, Node, Table, Value},
    template::origin,
    template::{Rendering, Scope, TemplateFault, Templates, is_template},
};
use crate::model::Target;
use std::{cell::RefCell, fmt::Display, str::FromStr};

/// What reading the definitions of one guest needs, and what it finds wrong.
pub struct Lowering<'a> {
    pub target: &'a Target,
    pub files: &'a Files,
    pub templates: &'a Templates,
    pub rendering: Rendering<'a>,
    /// The merged layers, for the places of what templates read.
    pub stack: &'a Table,
    pub mistakes: &'a RefCell<Vec<Mistake>>,
}

/// A table of the definitions.
#[derive(Clone, Copy)]
pub struct View<'a> {
    pub lowering: &'a Lowering<'a>,
    /// What a missing key is told at.
    pub at: At,
    /// The key of this table where no layer has written it, so that what is missing can be named in full.
    pub absent: Option<&'a str>,
    /// What the language says of this table.
    pub shape: Shape,
    pub table: &'a Table,
}

/// A value and where it was written.
#[derive(Debug, Clone)]
pub struct Located<T> {
    pub value: T,
    pub at: At,
}

/// No key at all, which is how a layer without it reads.
static EMPTY: Table = Table::new();

/// A layer that says nothing.
pub fn empty() -> &'static Table {
    &EMPTY
}

impl<'a> Lowering<'a> {
    /// Notes what is wrong with a value. Where a template made it, it is told where the values are that the template reads.
    pub fn report(&self, mistake: Mistake) {
        let origins = origin::of_text(mistake.at(), self.stack, self.files);
        self.report_as_written(mistake.told_at(origins));
    }

    /// The same of what was written, not of the value.
    pub fn report_as_written(&self, mistake: Mistake) {
        self.mistakes.borrow_mut().push(mistake);
    }

    /// A text with its variables put in.
    pub fn text(&self, text: &str, at: At) -> Option<String> {
        if is_template(text) {
            self.template(text, at, &self.rendering)
        } else {
            Some(text.to_owned())
        }
    }

    /// What a template makes of a scope.
    pub fn template(&self, name: &str, at: At, scope: &Rendering<'_>) -> Option<String> {
        match self.templates.render(name, scope, (at, self.files)) {
            Ok(text) => Some(text),
            Err(faults) => {
                for fault in faults {
                    self.report_fault(fault, scope.names);
                }
                None
            }
        }
    }

    fn report_fault(&self, fault: TemplateFault, names: &Scope) {
        let mistake = match fault {
            TemplateFault::Missing { mistake, path } => {
                // A value that was written and is not in its table has a mistake itself, which is told where it stands.
                let has_table = path.split('.').next().is_some_and(|root| names.contains_key(root));
                if has_table && origin::is_written(&path, self.stack) {
                    return;
                }
                mistake
            }
            TemplateFault::Unusable { mistake, reads } => {
                let origins = origin::of_paths(&reads, mistake.at(), self.stack, self.files);
                mistake.told_at(origins)
            }
        };
        self.report_as_written(mistake.in_guest(self.target));
    }

    /// Reads a value by its own rule.
    pub fn parse<T: FromStr<Err: Display>>(&self, text: &str, at: At) -> Option<T> {
        match text.parse() {
            Ok(value) => Some(value),
            Err(error) => {
                self.report(Mistake::of_value(Code::BadValue, at, &error));
                None
            }
        }
    }

    pub fn view(&'a self, shape: Shape, node: &'a Node) -> View<'a> {
        self.table(shape, node.at, node.table().unwrap_or(&EMPTY))
    }

    pub fn table(&'a self, shape: Shape, at: At, table: &'a Table) -> View<'a> {
        View { lowering: self, at, absent: None, shape: shape.of_table(), table }
    }
}

impl<'a> View<'a> {
    pub fn node(&self, key: &str) -> Option<&'a Node> {
        let node = &self.table.get(key)?.node;
        (!matches!(node.value, Value::Wrong)).then_some(node)
    }

    /// The same, where a missing key is a mistake.
    pub fn need_node(&self, key: &str) -> Option<&'a Node> {
        if !self.table.contains_key(key) {
            let full = self.absent.map(|table| format!("{table}.{key}"));
            self.lowering.report(missing(self.at, full.as_deref().unwrap_or(key)));
        }
        self.node(key)
    }

    /// What the language says of a key of this table.
    fn shape_of(&self, key: &str) -> Shape {
        self.shape.child(key).unwrap_or_else(|| panic!("the language has no key `{key}` here"))
    }

    /// The table below a key; an empty one when it is not there.
    pub fn table(&self, key: &'a str) -> View<'a> {
        let shape = self.shape_of(key);
        let node = self.node(key).filter(|node| node.table().is_some());
        match node {
            Some(node) => self.lowering.view(shape, node),
            None => View { absent: Some(key), shape: shape.of_table(), table: &EMPTY, ..*self },
        }
    }

    pub fn text(&self, key: &str) -> Option<Located<String>> {
        let node = self.node(key)?;
        Some(Located { value: self.lowering.text(node.text()?, node.at)?, at: node.at })
    }

    pub fn need_text(&self, key: &str) -> Option<Located<String>> {
        self.need_node(key)?;
        self.text(key)
    }

    pub fn parsed<T: FromStr<Err: Display>>(&self, key: &str) -> Option<Located<T>> {
        let text = self.text(key)?;
        Some(Located { value: self.lowering.parse(&text.value, text.at)?, at: text.at })
    }

    pub fn need<T: FromStr<Err: Display>>(&self, key: &str) -> Option<Located<T>> {
        self.need_node(key)?;
        self.parsed(key)
    }

    pub fn boolean(&self, key: &str) -> Option<bool> {
        match self.node(key)?.value {
            Value::Boolean(value) => Some(value),
            _ => None,
        }
    }

    /// One of the words that the language allows here, as what it means.
    pub fn word<T: Copy>(&self, key: &str, meanings: &[(&'static str, T)]) -> Option<Located<T>> {
        let text = self.text(key)?;
        let meaning = meanings.iter().find(|(word, _)| *word == text.value);
        let Some((_, value)) = meaning else {
            let known: Vec<_> = meanings.iter().map(|(word, _)| *word).collect();
            self.lowering.report(schema::unknown_word(text.at, &text.value, &known));
            return None;
        };
        Some(Located { value: *value, at: text.at })
    }

    /// One of the words that the language allows here, as it is written.
    pub fn one_of(&self, key: &str) -> Option<Located<String>> {
        let Shape::Word(known) = self.shape_of(key) else { panic!("the language has words here") };
        let text = self.text(key)?;
        if known.contains(&text.value.as_str()) {
            return Some(text);
        }
        self.lowering.report(schema::unknown_word(text.at, &text.value, known));
        None
    }

    /// The same, or the default when the key is not there; none when it is there and wrong.
    pub fn word_or<T: Copy>(
        &self,
        key: &str,
        meanings: &[(&'static str, T)],
        default: T,
    ) -> Option<T> {
        if self.table.contains_key(key) {
            self.word(key, meanings).map(|word| word.value)
        } else {
            Some(default)
        }
    }

    /// A whole number in the range of the language; templates may write it as text.
    pub fn integer(&self, key: &str) -> Option<Located<i64>> {
        let (low, high) = self.shape_of(key).range().expect("the language has a number here");
        let node = self.node(key)?;
        let written = match &node.value {
            Value::Integer(number) => number.to_string(),
            Value::Text(text) => self.lowering.text(text, node.at)?,
            _ => return None,
        };
        let number = written.trim().parse::<i64>().ok();
        let Some(value) = number.filter(|number| (low..=high).contains(number)) else {
            self.lowering.report(schema::out_of_range(node.at, &written, (low, high)));
            return None;
        };
        Some(Located { value, at: node.at })
    }

    /// The same, where nothing is below 0.
    pub fn number(&self, key: &str) -> Option<Located<u32>> {
        let Located { value, at } = self.integer(key)?;
        let value = u32::try_from(value).expect("the language allows no such number here");
        Some(Located { value, at })
    }

    /// The number, or the default when the key is not there; none when it is there and wrong.
    pub fn number_or(&self, key: &str, default: u32) -> Option<u32> {
        if self.table.contains_key(key) {
            self.number(key).map(|number| number.value)
        } else {
            Some(default)
        }
    }

    pub fn need_number(&self, key: &str) -> Option<Located<u32>> {
        self.need_node(key)?;
        self.number(key)
    }

    /// The texts of a list, or the one text.
    pub fn texts(&self, key: &str) -> Vec<Located<String>> {
        let nodes = match self.node(key) {
            Some(Node { value: Value::List(items), .. }) => items.iter().collect(),
            Some(node) => vec![node],
            None => Vec::new(),
        };
        let text = |node: &&Node| {
            let text = self.lowering.text(node.text()?, node.at)?;
            Some(Located { value: text, at: node.at })
        };
        nodes.iter().filter_map(text).collect()
    }

    pub fn parsed_texts<T: FromStr<Err: Display>>(&self, key: &str) -> Vec<Located<T>> {
        let texts = self.texts(key).into_iter();
        texts
            .filter_map(|text| {
                Some(Located { value: self.lowering.parse(&text.value, text.at)?, at: text.at })
            })
            .collect()
    }

    /// The tables of a list.
    pub fn list(&self, key: &str) -> Vec<View<'a>> {
        match self.node(key) {
            Some(Node { value: Value::List(items), .. }) => {
                let shape = self.shape_of(key).item();
                items.iter().map(|item| self.lowering.view(shape, item)).collect()
            }
            _ => Vec::new(),
        }
    }

    /// The entries of a table by name, each with the place of its key.
    pub fn entries(&self, key: &'a str) -> impl Iterator<Item = (&'a str, At, &'a Node)> + use<'a> {
        let members = self.table(key).table.iter();
        members
            .filter(|(_, member)| !matches!(member.node.value, Value::Wrong))
            .map(|(name, member)| (name.as_str(), member.key, &member.node))
    }

    /// The entries of a table by name that are tables themselves.
    pub fn tables(&self, key: &'a str) -> impl Iterator<Item = (&'a str, View<'a>)> + use<'a> {
        let (lowering, shape) = (self.lowering, self.shape_of(key));
        let shape = shape.of_table().child("").expect("entries have a shape");
        self.entries(key).map(move |(name, _, node)| (name, lowering.view(shape, node)))
    }

    pub fn report(&self, mistake: Mistake) {
        self.lowering.report(mistake);
    }
}

/// A key that has to be there and is not.
pub fn missing(at: At, key: &str) -> Mistake {
    Mistake::new(Code::MissingKey, at, format!("`{key}` is missing"))
        .label("in this table")
        .help(format!("add `{key} = …`"))
}
