//! Two JSON values, key by key.

use crate::plan::FileChange;
use serde::Serialize;
use serde_json::{Value, json};
use similar::{Algorithm, DiffOp, capture_diff_slices};
use std::collections::BTreeSet;

/// A value that comes (`from` is none), goes (`to` is none) or is another one.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ValueChange {
    /// Keys from the outside in, with dots between them.
    pub key: String,
    pub from: Option<String>,
    pub to: Option<String>,
}

/// What differs: short values, and texts of more than one line.
#[derive(Default)]
pub struct Found {
    pub changes: Vec<ValueChange>,
    pub texts: Vec<ValueChange>,
}

impl ValueChange {
    pub fn added(key: &str, value: &str) -> Self {
        Self { key: key.to_owned(), from: None, to: Some(value.to_owned()) }
    }

    pub fn removed(key: &str, value: &str) -> Self {
        Self { key: key.to_owned(), from: Some(value.to_owned()), to: None }
    }

    pub fn change(&self) -> FileChange {
        FileChange::between(self.from.as_ref(), self.to.as_ref())
    }

    /// A package without a version is the newest that its sources have.
    pub fn name_the_newest(&mut self) {
        for version in [&mut self.from, &mut self.to].into_iter().flatten() {
            if version == EMPTY {
                "newest".clone_into(version);
            }
        }
    }
}

const EMPTY: &str = "\"\"";

/// Finds what differs below `key`.
pub fn compare(key: &str, old: Option<&Value>, new: Option<&Value>, found: &mut Found) {
    match (old, new) {
        _ if old == new => {}
        (Some(Value::Object(before)), Some(Value::Object(after))) => {
            let names: BTreeSet<&String> = before.keys().chain(after.keys()).collect();
            for name in names {
                compare(&below(key, name), before.get(name), after.get(name), found);
            }
        }
        (Some(Value::Array(before)), Some(Value::Array(after))) => items(key, before, after, found),
        (None, Some(Value::Object(after))) if key.is_empty() || has_tables(after.values()) => {
            compare(key, Some(&json!({})), new, found);
        }
        (Some(Value::Object(before)), None) if key.is_empty() || has_tables(before.values()) => {
            compare(key, old, Some(&json!({})), found);
        }
        (None, Some(Value::Array(after))) if has_tables(after.iter()) => {
            items(key, &[], after, found);
        }
        (Some(Value::Array(before)), None) if has_tables(before.iter()) => {
            items(key, before, &[], found);
        }
        _ if is_text(old) || is_text(new) => found.texts.push(ValueChange {
            key: key.to_owned(),
            from: old.map(raw),
            to: new.map(raw),
        }),
        _ => found.changes.push(ValueChange {
            key: key.to_owned(),
            from: old.map(told),
            to: new.map(told),
        }),
    }
}

/// Whether each of them deserves a line of its own when all of them come or go.
fn has_tables<'a>(mut values: impl Iterator<Item = &'a Value>) -> bool {
    values.any(|value| value.as_object().is_some_and(|table| !table.is_empty()))
}

fn below(key: &str, name: &str) -> String {
    if key.is_empty() { name.to_owned() } else { format!("{key}.{name}") }
}

/// Items that come and go; as many in the place of as many are compared with each other.
fn items(key: &str, old: &[Value], new: &[Value], found: &mut Found) {
    let (before, after): (Vec<_>, Vec<_>) =
        (old.iter().map(told).collect(), new.iter().map(told).collect());
    for op in capture_diff_slices(Algorithm::Myers, &before, &after) {
        let (from, to) = (op.old_range(), op.new_range());
        match op {
            DiffOp::Equal { .. } => {}
            DiffOp::Replace { .. } if from.len() == to.len() => {
                for (at, other) in from.zip(to) {
                    let key = if old[at].is_object() {
                        format!("{key}[{other}]")
                    } else {
                        key.to_owned()
                    };
                    compare(&key, Some(&old[at]), Some(&new[other]), found);
                }
            }
            DiffOp::Delete { .. } | DiffOp::Insert { .. } | DiffOp::Replace { .. } => {
                from.for_each(|at| compare(key, Some(&old[at]), None, found));
                to.for_each(|at| compare(key, None, Some(&new[at]), found));
            }
        }
    }
}

fn is_text(value: Option<&Value>) -> bool {
    value.and_then(Value::as_str).is_some_and(|text| text.trim_end_matches('\n').contains('\n'))
}

fn raw(value: &Value) -> String {
    value.as_str().map_or_else(|| told(value), str::to_owned)
}

/// A value on one line, with no more quotes than it needs.
fn told(value: &Value) -> String {
    let list = |items: Vec<String>| items.join(", ");
    match value {
        Value::Null => "none".to_owned(),
        Value::String(text) if text.is_empty() || text.chars().any(char::is_control) => {
            value.to_string()
        }
        Value::String(text) => text.clone(),
        Value::Array(items) => format!("[{}]", list(items.iter().map(told).collect())),
        Value::Object(map) => {
            let pair = |(key, value): (&String, &Value)| format!("{key}: {}", told(value));
            format!("{{{}}}", list(map.iter().map(pair).collect()))
        }
        Value::Bool(_) | Value::Number(_) => value.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines(old: &Value, new: &Value) -> Vec<String> {
        let mut found = Found::default();
        compare("", Some(old), Some(new), &mut found);
        let line = |change: &ValueChange| {
            let value = |value: &Option<String>| value.clone().unwrap_or_else(|| "-".to_owned());
            format!("{} {} {}", change.key, value(&change.from), value(&change.to))
        };
        found.changes.iter().chain(&found.texts).map(line).collect()
    }

    #[test]
    fn each_value_that_differs_is_told_by_its_keys_and_no_other() {
        let old = json!({"a": 1, "b": {"c": null, "d": true}, "e": "x", "z": {}});
        let new = json!({"a": 1, "b": {"c": "", "d": false}, "f": {"g": [1, {"h": "i"}]}, "z": {}});
        assert_eq!(
            lines(&old, &new),
            ["b.c none \"\"", "b.d true false", "e x -", "f - {g: [1, {h: i}]}"]
        );
    }

    #[test]
    fn an_item_in_the_middle_does_not_show_those_behind_it() {
        let old = json!({"build": [{"run": "a"}, {"run": "c"}], "argv": ["x", "y"]});
        let new = json!({"build": [{"run": "a"}, {"run": "b"}, {"run": "c"}], "argv": ["x", "z"]});
        assert_eq!(lines(&old, &new), ["argv y z", "build - {run: b}"]);
        let other = json!({"build": [{"run": "a"}, {"run": "d"}], "argv": ["y", "x"]});
        let told = lines(&old, &other);
        assert!(told.contains(&"build[1].run c d".to_owned()), "{told:?}");
        assert!(told.iter().any(|line| line.starts_with("argv")), "order counts: {told:?}");
    }

    #[test]
    fn a_text_of_lines_is_kept_whole_for_a_diff_of_its_lines() {
        let mut found = Found::default();
        let (old, new) = (json!({"s": "one\n"}), json!({"s": "one\ntwo\n"}));
        compare("", Some(&old), Some(&new), &mut found);
        assert_eq!(found.texts[0].to.as_deref(), Some("one\ntwo\n"));
        assert!(found.changes.is_empty());
    }
}
