//! What is told of keys that a definition must not have, and of values that cannot stand there.

use super::{
    ENV, Field, PROJECT_FILE, STACK,
    Shape::{self, Either, Map, Named, Number, Record, Word},
    nearest, one_of,
};
use crate::compile::{
    report::{Code, Mistake},
    source::{At, Member, Node, Table, Value},
    template::is_template,
};

/// Reports every unknown key and wrong type below a node, and marks what is wrong so that it is reported once.
fn check(shape: Shape, node: &mut Node, mistakes: &mut Vec<Mistake>) {
    if matches!(node.value, Value::Wrong) {
        return;
    }
    let wrong = match shape.chosen(&node.value) {
        Some(shape) => check_value(shape, node, mistakes),
        None if is_secret(&node.value) => Some(secret_here(node.at)),
        None => Some(wrong_type(node, &shape.noun())),
    };
    if let Some(wrong) = wrong {
        mistakes.push(wrong);
        node.value = Value::Wrong;
    }
}

/// The same of a value of the right type.
fn check_value(shape: Shape, node: &mut Node, mistakes: &mut Vec<Mistake>) -> Option<Mistake> {
    match (&mut node.value, shape) {
        (Value::Text(text), Word(words)) if !is_template(text) => {
            return (!words.contains(&text.as_str())).then(|| unknown_word(node.at, text, words));
        }
        (Value::Integer(number), Number(low, high)) if !(low..=high).contains(number) => {
            // It stays: templates may read it, and whoever reads it as a number says the very same.
            mistakes.push(out_of_range(node.at, &number.to_string(), (low, high)));
        }
        (Value::Table(table), shape) => check_table(shape, table, mistakes),
        (Value::List(items), shape) => {
            for node in items {
                check(shape.item(), node, mistakes);
            }
        }
        _ => {}
    }
    None
}

/// A word that is none of those that are allowed.
pub fn unknown_word(at: At, word: &str, known: &[&str]) -> Mistake {
    let title = format!("`{word}` has no meaning here");
    Mistake::new(Code::UnknownWord, at, title).help(words_help(word, known))
}

/// Which words there are, the nearest one first.
pub fn words_help(word: &str, known: &[&str]) -> String {
    match nearest(word, known.iter().copied()) {
        Some(near) => format!("did you mean \"{near}\"? {} is allowed", one_of(known)),
        None => format!("write {}", one_of(known)),
    }
}

/// A number outside its range.
pub fn out_of_range(at: At, written: &str, (low, high): (i64, i64)) -> Mistake {
    let title = format!("`{written}` is not a number from {low} to {high}");
    Mistake::new(Code::OutOfRange, at, title).help(format!("write a number from {low} to {high}"))
}

/// `{ secret = "…" }`.
fn is_secret(value: &Value) -> bool {
    matches!(value, Value::Table(table) if table.len() == 1 && table.contains_key("secret"))
}

fn secret_here(at: At) -> Mistake {
    let title = "no secret can stand here: others on the guest could read it";
    let help = "put it into `env_vars` and name the file, `environment_files = [\"{{ env_file }}\"]`; or into a file with `secrets`, which the program reads";
    Mistake::new(Code::SecretHere, at, title).help(help)
}

fn wrong_type(node: &Node, wanted: &str) -> Mistake {
    let found = node.value.noun();
    let help = match (wanted, &node.value) {
        ("a table", _) => {
            "write its keys in braces, { key = … }, or below its name, [NAME]".to_owned()
        }
        ("a list of texts", Value::Text(_)) => "put brackets around it: [\"…\"]".to_owned(),
        (_, Value::Table(table)) => match table.keys().next() {
            Some(key) if table.len() == 1 => {
                format!("write {wanted}; a name that has a dot stands in quotes: `\"….{key}\" = …`")
            }
            _ => format!("write {wanted}"),
        },
        _ => format!("write {wanted}"),
    };
    Mistake::new(Code::WrongType, node.at, format!("{wanted} is wanted here, not {found}"))
        .label(format!("this is {found}"))
        .help(help)
}

/// The same for the members of a table.
pub fn check_table(shape: Shape, table: &mut Table, mistakes: &mut Vec<Mistake>) {
    let mut meant = Vec::new();
    table.retain(|key, member| {
        let Some(child) = shape.child(key) else {
            mistakes.push(unknown(shape, key, member));
            meant.extend(meant_by(shape, key).map(|near| (near.to_owned(), member.key)));
            return false;
        };
        let removes =
            matches!(shape, Named(..)) && matches!(member.node.value, Value::Boolean(false));
        if !removes {
            check(child, &mut member.node, mistakes);
        }
        true
    });
    // So that nobody misses the key that a slip of the pen stands for.
    for (key, at) in meant {
        let node = Node { at, value: Value::Wrong };
        table.entry(key).or_insert(Member { key: at, node });
    }
}

/// The key of a value, not of a table, that an unknown one was meant to be.
fn meant_by(shape: Shape, key: &str) -> Option<&'static str> {
    let near = nearest(key, shape.fields().into_iter().map(|field| field.0))?;
    let is_table = |shape: &Shape| matches!(shape.bare(), Record(_) | Named(..) | Map(..));
    let child = shape.child(near)?;
    let has_table = match child.bare() {
        Either(shapes) => shapes.iter().any(is_table),
        child => is_table(&child),
    };
    (!has_table).then_some(near)
}

fn unknown(shape: Shape, key: &str, member: &Member) -> Mistake {
    let known: Vec<_> = shape.fields().iter().map(|field| field.0).collect();
    let help = match nearest(key, known.iter().copied()) {
        Some(near) => format!("did you mean `{near}`?"),
        None => match place_of(shape, key) {
            Some(place) => format!("`{key}` stands in the table `{place}`"),
            None => format!("the keys known here are {}", known.join(", ")),
        },
    };
    Mistake::new(Code::UnknownKey, member.key, format!("the key `{key}` is unknown here"))
        .label("unknown")
        .help(help)
}

/// The table that has this key: one that may stand here, one of a stack, or an env.
fn place_of(shape: Shape, key: &str) -> Option<&'static str> {
    let has = |field: &&Field| matches!(field.1, Record(_)) && field.1.child(key).is_some();
    let mut known = shape.fields().into_iter().chain(STACK);
    known.find(has).map(|field| field.0).or_else(|| ENV.child(key).map(|_| "envs.NAME"))
}

/// Whether an unknown key of a project's file is told to stand for `project`, or in it.
pub fn is_meant_for_project(key: &str) -> bool {
    let near = nearest(key, PROJECT_FILE.fields().into_iter().map(|field| field.0));
    match near {
        Some(near) => near == "project",
        None => place_of(PROJECT_FILE, key) == Some("project"),
    }
}

/// What is to be said of a key that no layer says: the language's sentence, which has the default, or that there is none.
pub fn unsaid(shape: Shape, path: &[String]) -> String {
    let (mut shape, mut sentence) = (shape.of_table(), None);
    for key in path {
        let fields = shape.fields();
        let Some(child) = shape.child(key) else {
            return match nearest(key, fields.into_iter().map(|field| field.0)) {
                Some(near) => format!("there is no key `{key}`; did you mean `{near}`?"),
                None => format!("there is no key `{key}`"),
            };
        };
        sentence = fields.into_iter().find(|field| field.0 == key).map(|field| field.2);
        shape = child.of_table();
    }
    let of_it = sentence.map_or(String::new(), |sentence| format!(": {sentence}"));
    format!("what holds then stands in docs/definitions.md{of_it}")
}
