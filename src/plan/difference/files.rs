//! The overlay's entries, and texts that are compared line by line.

use super::values::{self, Found, ValueChange};
use crate::{
    model::{Bundle, Bytes, Entry, EntryPath, Manifest},
    plan::FileChange,
};
use serde::Serialize;
use serde_json::{Map, Value};
use similar::TextDiff;
use std::{
    borrow::Cow,
    collections::{BTreeMap, BTreeSet},
};

/// The longest text whose lines are compared, on either side: enough for what people read, and quick for what they do not.
const TEXT_BYTES_MAX: usize = 256 << 10;

/// A file, link or folder that differs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct FileDifference {
    /// Its path in the bundle; for a text within a document, the document and the key.
    pub path: String,
    pub change: FileChange,
    /// Class, mode, owners, and whatever else is not its content.
    pub settings: Vec<ValueChange>,
    pub content: Content,
}

/// What differs of a content.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Content {
    Same,
    /// Hunks of a unified diff, without the two lines that name the file.
    Text {
        hunks: String,
    },
    /// No text, or too long a one.
    Bytes {
        from: Option<Bytes>,
        to: Option<Bytes>,
    },
}

/// What of an entry is compared as its content, or named by its content.
const CONTENT: [&str; 4] = ["path", "parts", "sha256", "size"];

/// What is asked first of an entry.
const ORDER: [&str; 6] = ["type", "target", "class", "mode", "owner", "group"];

/// Every entry of the overlay that differs, by path. One of which only the hashes of what its unit reads differ is told with
/// the files that it reads.
pub fn compare(old: Option<&Bundle>, new: &Bundle) -> Vec<FileDifference> {
    let before = old.map(|bundle| Overlay::of(&bundle.manifest)).unwrap_or_default();
    let after = Overlay::of(&new.manifest);
    let paths: BTreeSet<&EntryPath> = before.0.keys().chain(after.0.keys()).collect();
    let compare = |path: &EntryPath| {
        let (from, to) = (before.0.get(path), after.0.get(path));
        let from_bytes = old.and_then(|bundle| bytes_of(bundle, path));
        FileDifference {
            path: path.to_string(),
            change: FileChange::between(from, to),
            settings: setting_changes(from, to),
            content: content(from_bytes.as_deref(), bytes_of(new, path).as_deref()),
        }
    };
    let differs = |path: &&EntryPath| before.0.get(*path) != after.0.get(*path);
    paths.into_iter().filter(differs).map(compare).filter(FileDifference::says_something).collect()
}

impl FileDifference {
    fn says_something(&self) -> bool {
        self.change != FileChange::Changed
            || self.content != Content::Same
            || !self.settings.is_empty()
    }
}

/// What stands on the guest, each entry as `manifest.json` has it.
#[derive(Default)]
struct Overlay(BTreeMap<EntryPath, Value>);

impl Overlay {
    fn of(manifest: &Manifest) -> Self {
        let json = serde_json::to_value(manifest).expect("the model serialises to JSON");
        let entries = json["entries"].as_array().cloned().unwrap_or_default();
        // The manifest writes its entries in the order of its map.
        let entries = manifest.entries.keys().cloned().zip(entries);
        Self(entries.filter(|(path, _)| path.on_guest().is_some()).collect())
    }
}

fn setting_changes(from: Option<&Value>, to: Option<&Value>) -> Vec<ValueChange> {
    let settings =
        |entry: Option<&Value>| entry.map_or_else(|| Value::Object(Map::new()), settings);
    let mut found = Found::default();
    values::compare("", Some(&settings(from)), Some(&settings(to)), &mut found);
    found.changes.extend(found.texts);
    let place = |change: &ValueChange| ORDER.iter().position(|key| *key == change.key);
    found.changes.sort_by_key(|change| place(change).unwrap_or(ORDER.len()));
    found.changes
}

/// An entry without its content.
fn settings(entry: &Value) -> Value {
    let mut settings = entry.as_object().cloned().unwrap_or_default();
    settings.retain(|key, value| !CONTENT.contains(&key.as_str()) && value != "file");
    if let Some(Value::Object(unit)) = settings.remove("unit") {
        let input = |(key, value)| (format!("unit.{key}"), without_hashes(value));
        settings.extend(unit.into_iter().map(input));
        settings
            .retain(|_, value| *value != Value::Array(Vec::new()) && *value != Value::Bool(false));
    }
    Value::Object(settings)
}

/// What a unit reads, by name: that its hash is another one is told where it is.
fn without_hashes(value: Value) -> Value {
    match value {
        Value::Object(map) => {
            Value::Array(map.into_iter().map(|(key, _)| Value::String(key)).collect())
        }
        value => value,
    }
}

/// The bytes that an entry stands for; a secret file's have names in the place of values.
fn bytes_of<'a>(bundle: &'a Bundle, path: &EntryPath) -> Option<Cow<'a, [u8]>> {
    match bundle.manifest.entries.get(path)? {
        Entry::Secret { parts, .. } => {
            let text: String = parts.iter().map(ToString::to_string).collect();
            Some(Cow::Owned(text.into_bytes()))
        }
        _ => bundle.files.get(path).map(|bytes| Cow::Borrowed(bytes.as_slice())),
    }
}

/// A document that is no JSON, when it differs.
pub fn of_document(name: &str, from: Option<&[u8]>, to: Option<&[u8]>) -> Option<FileDifference> {
    let content = content(from, to);
    let change = FileChange::between(from, to);
    (from != to).then(|| FileDifference {
        path: name.to_owned(),
        change,
        settings: Vec::new(),
        content,
    })
}

/// A text of lines within a document.
pub fn of_text(name: &str, from: Option<&str>, to: Option<&str>) -> Option<FileDifference> {
    of_document(name, from.map(str::as_bytes), to.map(str::as_bytes))
}

fn content(from: Option<&[u8]>, to: Option<&[u8]>) -> Content {
    if from == to {
        return Content::Same;
    }
    match (text(from), text(to)) {
        (Some(before), Some(after)) => between_texts(before, after),
        _ => Content::Bytes { from: from.map(Bytes::of), to: to.map(Bytes::of) },
    }
}

/// Two texts, compared line by line.
pub fn between_texts(before: &str, after: &str) -> Content {
    if before == after {
        return Content::Same;
    }
    Content::Text { hunks: hunks(before, after) }
}

/// Lines end with a line feed and nothing else: a lone carriage return begins none.
fn hunks(before: &str, after: &str) -> String {
    let before: Vec<&str> = before.split_inclusive('\n').collect();
    let after: Vec<&str> = after.split_inclusive('\n').collect();
    let diff = TextDiff::configure().newline_terminated(true).diff_slices(&before, &after);
    diff.unified_diff().context_radius(3).to_string()
}

/// What can be read as lines; nothing is an empty text.
fn text(bytes: Option<&[u8]>) -> Option<&str> {
    let bytes = bytes.unwrap_or_default();
    let readable = bytes.len() <= TEXT_BYTES_MAX && !bytes.contains(&0);
    readable.then(|| str::from_utf8(bytes).ok()).flatten()
}
