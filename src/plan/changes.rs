//! Which of the bundle's files differ from the live ones.

use crate::model::{Entry, GuestPath, Manifest, Part, SecretTags};
use serde::Serialize;
use std::collections::BTreeMap;

/// What happens to a path of the overlay.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum FileChange {
    Added,
    Changed,
    Removed,
}

impl FileChange {
    /// As in a diff.
    pub fn sign(self) -> char {
        match self {
            Self::Added => '+',
            Self::Changed => '~',
            Self::Removed => '-',
        }
    }

    /// What happens to a thing that is there before, after, or both.
    pub fn between<T, U>(before: Option<T>, after: Option<U>) -> Self {
        match (before, after) {
            (None, _) => Self::Added,
            (_, None) => Self::Removed,
            _ => Self::Changed,
        }
    }
}

/// Every path whose content, kind or access differs. Secret files also differ by the tags of the secrets in them.
pub fn changes(
    old: Option<&Manifest>,
    new: &Manifest,
    old_tags: &SecretTags,
    new_tags: &SecretTags,
) -> BTreeMap<GuestPath, FileChange> {
    let before: BTreeMap<_, _> = old.into_iter().flat_map(Manifest::overlay).collect();
    let after: BTreeMap<_, _> = new.overlay().collect();
    let removed = before.keys().filter(|path| !after.contains_key(*path));
    let mut found: BTreeMap<_, _> =
        removed.map(|path| (path.clone(), FileChange::Removed)).collect();
    for (path, entry) in &after {
        match before.get(path) {
            None => drop(found.insert(path.clone(), FileChange::Added)),
            Some(there) if same(there, entry) && !tags_differ(entry, old_tags, new_tags) => {}
            Some(_) => drop(found.insert(path.clone(), FileChange::Changed)),
        }
    }
    found
}

/// Whether two entries put the same thing at their path. What a unit reads is judged with the unit.
fn same(old: &Entry, new: &Entry) -> bool {
    match (old, new) {
        (
            Entry::File { class, access, bytes, .. },
            Entry::File { class: class2, access: access2, bytes: bytes2, .. },
        ) => class == class2 && access == access2 && bytes == bytes2,
        (old, new) => old == new,
    }
}

fn tags_differ(entry: &Entry, old: &SecretTags, new: &SecretTags) -> bool {
    let Entry::Secret { parts, .. } = entry else { return false };
    parts.iter().filter_map(Part::secret).any(|name| old.get(name) != new.get(name))
}
