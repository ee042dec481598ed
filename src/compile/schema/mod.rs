//! Which keys a definition may have, and what they may hold.

mod check;
mod json;
mod language;
mod merge;
mod near;
mod reference;

pub use check::{
    check_table, is_meant_for_project, out_of_range, unknown_word, unsaid, words_help,
};
pub use json::{SchemaOf, keys, schema};
pub use language::rules::OF_TEXT;
pub use language::{
    ENV, EVICTIONS, EXPLAINED, KIND, LAYER, LOCK, PROJECT, PROJECT_FILE, SECRET_VALUE, SITE, STACK,
};
pub use merge::merge;
pub use near::{did_you_mean, nearest};
pub use reference::reference;

use super::source::Value;

/// What a value must look like.
#[derive(Debug, Clone, Copy)]
pub enum Shape {
    Text,
    /// One of these words.
    Word(&'static [&'static str]),
    /// Text of this form, a regular expression of all of it, or a template that makes it; whoever reads it is stricter.
    Pattern(&'static str),
    Integer,
    /// A whole number, from the first to the second.
    Number(i64, i64),
    Boolean,
    List(&'static Shape),
    /// The same, with at least one item.
    Filled(&'static Shape),
    /// A program of this form, and its arguments.
    Command(&'static str),
    /// The same as the shape, but for some values: editors are told so, and whoever reads the value says it.
    But(&'static Shape, Barred),
    /// A table with these keys and no others.
    Record(&'static [&'static [Field]]),
    /// A table of entries by a name of this form that the author chooses; a stronger layer removes one with `false`.
    Named(&'static str, &'static Shape),
    /// The same, but `false` is a value.
    Map(&'static str, &'static Shape),
    /// One of these, told apart by their types.
    Either(&'static [Shape]),
}

/// What cannot stand there. Of texts with a template it says nothing.
#[derive(Debug, Clone, Copy)]
pub enum Barred {
    /// Text with a match of this regular expression.
    Matching(&'static str),
    /// Text of more characters.
    LongerThan(u32),
    Number(i64),
    /// A value twice in a list.
    Twice,
    /// An entry with a match of this regular expression in its name.
    Named(&'static str),
}

/// A key, what it may hold, and a sentence about it.
#[derive(Debug)]
pub struct Field(pub &'static str, pub Shape, pub &'static str);

use Shape::{
    Boolean, But, Command, Either, Filled, Integer, List, Map, Named, Number, Pattern, Record,
    Text, Word,
};

impl Shape {
    /// The shape without what is barred from it.
    fn bare(self) -> Shape {
        match self {
            But(shape, _) => shape.bare(),
            shape => shape,
        }
    }

    /// What is wanted, for people.
    fn noun(self) -> String {
        match self.bare() {
            But(..) => unreachable!("it is bare"),
            Text | Pattern(_) => "text in quotes".to_owned(),
            Word(words) => one_of(words),
            Integer | Number(..) => "a whole number".to_owned(),
            Boolean => "true or false".to_owned(),
            List(item) | Filled(item) => {
                format!("a list of {}", item.noun().replace("text in quotes", "texts"))
            }
            Command(_) => "a list of texts".to_owned(),
            shape @ (Record(_) | Named(..) | Map(..)) => match shape.fields().as_slice() {
                [Field("secret", ..)] => "{ secret = \"…\" }".to_owned(),
                _ => "a table".to_owned(),
            },
            Either(shapes) => {
                let mut nouns: Vec<_> = shapes.iter().map(|shape| shape.noun()).collect();
                nouns.dedup();
                nouns.join(", or ")
            }
        }
    }

    fn fits(self, value: &Value) -> bool {
        matches!(
            (self.bare(), value),
            (Text | Word(_) | Pattern(_), Value::Text(_))
                | (Integer | Number(..), Value::Integer(_))
                | (Boolean, Value::Boolean(_))
                | (List(_) | Filled(_) | Command(_), Value::List(_))
                | (Record(_) | Named(..) | Map(..), Value::Table(_))
        )
    }

    fn fields(self) -> Vec<&'static Field> {
        match self.bare() {
            Record(groups) => groups.iter().copied().flatten().collect(),
            _ => Vec::new(),
        }
    }

    /// The range of a number that may stand here.
    pub fn range(self) -> Option<(i64, i64)> {
        match self.bare() {
            Number(low, high) => Some((low, high)),
            Integer => Some((i64::MIN, i64::MAX)),
            Either(shapes) => shapes.iter().find_map(|shape| shape.range()),
            _ => None,
        }
    }

    /// The shape of the items of a list that may stand here; a value alone counts as a list of it.
    pub fn item(self) -> Shape {
        match self.bare() {
            List(item) | Filled(item) => *item,
            Command(_) => Text,
            Either(shapes) => {
                let is_list = |s: &&Shape| matches!(s.bare(), List(_) | Filled(_));
                shapes.iter().find(is_list).map_or(self, |list| list.item())
            }
            shape => shape,
        }
    }

    /// The shape of a table that may stand here.
    pub fn of_table(self) -> Shape {
        match self.bare() {
            Either(shapes) => {
                let is_table = |s: &&Shape| matches!(s.bare(), Record(_) | Named(..) | Map(..));
                shapes.iter().find(is_table).copied().unwrap_or(self)
            }
            shape => shape,
        }
    }

    /// What may stand below this key.
    pub fn child(self, key: &str) -> Option<Shape> {
        match self.bare() {
            Named(_, shape) | Map(_, shape) => Some(*shape),
            Record(groups) => {
                let mut fields = groups.iter().copied().flatten();
                fields.find(|field| field.0 == key).map(|field| field.1)
            }
            _ => None,
        }
    }

    /// The shape of these that a value of this type is meant for.
    fn chosen(self, value: &Value) -> Option<Shape> {
        match self.bare() {
            Either(shapes) => {
                shapes.iter().find(|shape| shape.fits(value)).map(|shape| shape.bare())
            }
            shape => shape.fits(value).then_some(shape),
        }
    }
}

/// `"a", "b" or "c"`.
fn one_of(words: &[&str]) -> String {
    let quoted: Vec<_> = words.iter().map(|word| format!("\"{word}\"")).collect();
    match quoted.as_slice() {
        [] => String::new(),
        [one] => one.clone(),
        [most @ .., last] => format!("{} or {last}", most.join(", ")),
    }
}
