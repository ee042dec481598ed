//! Overlay and documents → Bundle: every entry with its hash, the manifest with its digest.

use super::sections::{
    overlay::{Item, Overlay},
    units::Inputs,
};
use crate::model::{
    Bundle, Bytes, Digest, Entry, EntryPath, Manifest, Part, SecretName, Target, canonical,
};
use std::collections::BTreeMap;

/// Puts a bundle together.
pub fn seal(
    target: Target,
    payload: Digest,
    documents: Vec<(&str, Vec<u8>)>,
    overlay: Overlay,
    mut inputs: Inputs,
) -> Bundle {
    let mut files = BTreeMap::new();
    let mut entries = BTreeMap::new();
    for (name, bytes) in documents {
        let path: EntryPath = name.parse().expect("documents have plain names");
        entries.insert(path.clone(), Entry::Document(Bytes::of(&bytes)));
        files.insert(path, bytes);
    }
    for (on_guest, (item, _)) in overlay.items {
        let path = EntryPath::of_overlay(&on_guest);
        let entry = match item {
            Item::Link { target } => Entry::Link { target },
            Item::Directory { access } => Entry::Directory { access },
            Item::Secret { access, encoder, parts } => Entry::Secret { access, encoder, parts },
            Item::File { class, access, bytes } => {
                let (unit, hash) = (inputs.own.remove(&on_guest), Bytes::of(&bytes));
                files.insert(path.clone(), bytes);
                Entry::File { class, access, bytes: hash, unit }
            }
        };
        entries.insert(path, entry);
    }
    let manifest = Manifest { target, payload, entries, units: inputs.foreign };
    Bundle { digest: Digest::of(&canonical::to_bytes(&manifest)), manifest, files }
}

/// The secrets that parts name.
pub fn secrets_of(parts: &[Part]) -> impl Iterator<Item = SecretName> {
    parts.iter().filter_map(|part| match part {
        Part::Literal(_) => None,
        Part::Secret(name) | Part::Variable { secret: name, .. } => Some(name.clone()),
    })
}
