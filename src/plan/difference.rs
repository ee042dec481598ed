//! What differs between two bundles, for those who review: key by key where a document has keys, line by line in files.
//!
//! Documents and entries are compared as the JSON that they are written in, so that a field of a later format shows here
//! without new code.

mod files;
mod text;
mod units;
mod values;

pub use files::{Content, FileDifference, between_texts};
pub use text::{
    Mark, bytes_words, contents, hunk_lines, lines, settings_words, summary, unit_words, visible,
};
pub(super) use units::compare as unit_changes;
pub use values::ValueChange;

use super::{FileChange, UnitChange, documents, firewall};
use crate::model::{
    Bundle, DatabasesDocument, Digest, EntryPath, Manifest, SecretName, Target, UnitName, document,
};
use serde::Serialize;
use serde_json::{Map, Value};
use std::collections::{BTreeMap, BTreeSet};
use values::Found;

/// What differs. Nothing does just when the digests are equal.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Difference {
    /// None: there was no bundle before.
    pub from: Option<Side>,
    pub to: Side,
    /// What is no file on the guest, by subject.
    pub subjects: Vec<Subject>,
    /// What a switch does to units, on a guest where all that is enabled runs.
    pub units: BTreeMap<UnitName, UnitChange>,
    pub files: Vec<FileDifference>,
}

/// One of two bundles.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Side {
    pub target: Target,
    pub digest: Digest,
}

impl Side {
    fn of(bundle: &Bundle) -> Self {
        Self { target: bundle.manifest.target.clone(), digest: bundle.digest }
    }
}

/// Packages, or the firewall, or a document that has no other name.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Subject {
    pub name: String,
    pub changes: Vec<ValueChange>,
}

impl Difference {
    /// Nothing against nothing.
    pub fn none(target: &Target) -> Self {
        let to = Side { target: target.clone(), digest: Digest::of(b"") };
        let (subjects, units, files) = (Vec::new(), BTreeMap::new(), Vec::new());
        Self { from: None, to, subjects, units, files }
    }

    pub fn is_empty(&self) -> bool {
        self.subjects.is_empty() && self.units.is_empty() && self.files.is_empty()
    }

    /// How many files come, change and go.
    pub fn count(&self, change: FileChange) -> usize {
        self.files.iter().filter(|file| file.change == change).count()
    }
}

/// Compares two bundles, or a bundle with nothing.
pub fn difference(old: Option<&Bundle>, new: &Bundle) -> Difference {
    let (subjects, mut files) = subjects(old, new);
    files.extend(files::compare(old, new));
    Difference {
        from: old.map(Side::of),
        to: Side::of(new),
        subjects,
        units: units::compare(old, new),
        files,
    }
}

/// What is no file on the guest; and texts within it, which are compared as files are.
fn subjects(old: Option<&Bundle>, new: &Bundle) -> (Vec<Subject>, Vec<FileDifference>) {
    let mut subjects = BTreeMap::new();
    let mut files = Vec::new();
    for name in documents_of(old.into_iter().chain([new])) {
        let before = old.and_then(|bundle| documents::bytes(bundle, name.as_str()));
        let after = documents::bytes(new, name.as_str());
        if before != after {
            compare_documents(&name, before, after, &mut subjects, &mut files);
        }
    }
    add(&mut subjects, "secrets", secret_changes(old, new));
    add(&mut subjects, "bundle", manifest_changes(old, new));
    let subject = |((_, name), changes)| Subject { name, changes };
    (subjects.into_iter().map(subject).collect(), files)
}

/// What is asked first comes first; what has no place here follows by its name.
const ORDER: [&str; 9] = [
    "proxmox",
    "packages",
    "apt sources",
    "apt",
    "firewall",
    "release",
    "databases",
    "health",
    "secrets",
];

type Subjects = BTreeMap<(usize, String), Vec<ValueChange>>;

fn add(subjects: &mut Subjects, name: &str, changes: Vec<ValueChange>) {
    if !changes.is_empty() {
        let place = ORDER.iter().position(|known| *known == name).unwrap_or(ORDER.len());
        subjects.entry((place, name.to_owned())).or_default().extend(changes);
    }
}

/// The documents of some bundles by name: everything that is not of the overlay.
fn documents_of<'a>(bundles: impl Iterator<Item = &'a Bundle>) -> BTreeSet<EntryPath> {
    let paths = bundles.flat_map(|bundle| bundle.files.keys());
    paths.filter(|path| path.on_guest().is_none()).cloned().collect()
}

fn compare_documents(
    name: &EntryPath,
    before: Option<&[u8]>,
    after: Option<&[u8]>,
    subjects: &mut Subjects,
    files: &mut Vec<FileDifference>,
) {
    let read = |bytes: Option<&[u8]>| bytes.map_or_else(|| Some(Map::new()), object);
    let (Some(old), Some(new)) = (read(before), read(after)) else {
        add(subjects, "firewall", firewall::rule_changes(before, after));
        files.extend(files::of_document(name.as_str(), before, after));
        return;
    };
    let keys: BTreeSet<&String> = old.keys().chain(new.keys()).collect();
    for key in keys {
        let (subject, prefix) = place(name.as_str(), key);
        let mut found = Found::default();
        values::compare(prefix, old.get(key), new.get(key), &mut found);
        for text in found.texts {
            let place = format!("{name}: {}", text.key);
            files.extend(files::of_text(&place, text.from.as_deref(), text.to.as_deref()));
        }
        if subject == "packages" {
            found.changes.iter_mut().for_each(ValueChange::name_the_newest);
        }
        add(subjects, subject, found.changes);
    }
}

fn object(bytes: &[u8]) -> Option<Map<String, Value>> {
    serde_json::from_slice(bytes).ok()
}

/// The subject of a document's key, and what its values' own keys begin with.
fn place<'a>(name: &'a str, key: &'a str) -> (&'a str, &'a str) {
    match (name, key) {
        (document::APT, "packages") => ("packages", ""),
        (document::APT, "sources") => ("apt sources", ""),
        (document::UFW, _) => ("firewall", key),
        _ => (name.strip_suffix(".json").unwrap_or(name), key),
    }
}

/// Names that come and go. Whether a value is another one only the vault and the guest know.
fn secret_changes(old: Option<&Bundle>, new: &Bundle) -> Vec<ValueChange> {
    let (before, after) = (old.map(secrets).unwrap_or_default(), secrets(new));
    let gone = before.difference(&after).map(|name| ValueChange::removed("secret", name.as_str()));
    let come = after.difference(&before).map(|name| ValueChange::added("secret", name.as_str()));
    gone.chain(come).collect()
}

/// Every secret that a bundle names, in files and as passwords of databases.
pub fn secrets(bundle: &Bundle) -> BTreeSet<SecretName> {
    let databases = documents::bytes(bundle, document::DATABASES);
    let databases = databases.and_then(|bytes| serde_json::from_slice(bytes).ok());
    let mut names = bundle.manifest.secrets();
    names.extend(
        databases.map(|databases: DatabasesDocument| databases.passwords()).unwrap_or_default(),
    );
    names
}

/// What the manifest says of the bundle as a whole.
fn manifest_changes(old: Option<&Bundle>, new: &Bundle) -> Vec<ValueChange> {
    let Some(old) = old else { return Vec::new() };
    let mut found = Found::default();
    values::compare("", Some(&head(&old.manifest)), Some(&head(&new.manifest)), &mut found);
    found.changes
}

fn head(manifest: &Manifest) -> Value {
    let payload = manifest.payload.short();
    let mut manifest = serde_json::to_value(manifest).expect("the model serialises to JSON");
    if let Value::Object(map) = &mut manifest {
        map.remove("entries");
        // One that differs says nothing by its other digits.
        map.insert("payload".to_owned(), Value::String(payload));
    }
    manifest
}
