//! What a tree must be: every byte, mode, link and owner that its manifest names, and nothing else.

use super::error::GuestError;
use super::fs::{GuestFs, Kind};
use crate::model::{Bytes, Digest, Entry, Manifest, canonical, document};
use std::collections::BTreeSet;

/// The manifest in these bytes, which hash to the digest.
pub fn parse_manifest(bytes: &[u8], digest: &Digest) -> Result<Manifest, GuestError> {
    if Digest::of(bytes) != *digest {
        let problem = format!("`{}` has another hash", document::MANIFEST);
        return Err(GuestError::Tree { digest: *digest, problem });
    }
    canonical::from_slice(bytes)
        .map_err(|cause| GuestError::Document { path: document::MANIFEST.to_owned(), cause })
}

/// Reads the manifest of a tree.
pub fn manifest(fs: &mut dyn GuestFs, tree: &str, digest: &Digest) -> Result<Manifest, GuestError> {
    let bytes = fs.read(&format!("{tree}/{}", document::MANIFEST))?;
    parse_manifest(&bytes, digest)
}

/// Re-hashes a tree: every byte, mode and link, and nothing that does not belong there.
pub fn verify(fs: &mut dyn GuestFs, tree: &str, digest: &Digest) -> Result<Manifest, GuestError> {
    let manifest = manifest(fs, tree, digest)?;
    let broken = |problem: String| GuestError::Tree { digest: *digest, problem };
    for (path, entry) in &manifest.entries {
        if let Some(fault) = fault_of(fs, &format!("{tree}/{path}"), entry)? {
            return Err(broken(format!("`{path}` {fault}")));
        }
    }
    let mut known: BTreeSet<String> = folders(&manifest);
    let is_there = |entry: &Entry| !matches!(entry, Entry::Secret { .. });
    let entries = manifest.entries.iter().filter(|(_, entry)| is_there(entry));
    known.extend(entries.map(|(path, _)| path.as_str().to_owned()));
    known.insert(document::MANIFEST.to_owned());
    if let Some(stranger) = stranger(fs, tree, "", &known)? {
        return Err(broken(format!("`{stranger}` does not belong there")));
    }
    Ok(manifest)
}

/// Every folder of the tree, parents first.
pub fn folders(manifest: &Manifest) -> BTreeSet<String> {
    let mut folders = BTreeSet::new();
    for (path, entry) in &manifest.entries {
        if matches!(entry, Entry::Secret { .. }) {
            continue;
        }
        let mut below = path.as_str();
        if matches!(entry, Entry::Directory { .. }) {
            folders.insert(below.to_owned());
        }
        while let Some((parent, _)) = below.rsplit_once('/') {
            folders.insert(parent.to_owned());
            below = parent;
        }
    }
    folders
}

/// The mode in the store until `accounts` sets owners: the manifest's bits, so that re-hashing sees one truth.
pub fn staged_mode(entry: &Entry) -> u32 {
    match entry {
        Entry::File { access, .. } => access.mode.bits(),
        _ => 0o644,
    }
}

/// What is wrong with one entry; nothing, mostly.
fn fault_of(fs: &mut dyn GuestFs, at: &str, entry: &Entry) -> Result<Option<String>, GuestError> {
    if matches!(entry, Entry::Secret { .. }) {
        return Ok(None);
    }
    let Some(stat) = fs.stat(at)? else { return Ok(Some("is missing".to_owned())) };
    let fault = match (entry, stat.kind) {
        (Entry::Document(bytes) | Entry::File { bytes, .. }, Kind::File) => {
            if stat.size != bytes.size || Bytes::of(&fs.read(at)?) != *bytes {
                Some("has other bytes".to_owned())
            } else if stat.ids.mode != staged_mode(entry) {
                Some(format!("has mode {:04o}", stat.ids.mode))
            } else {
                None
            }
        }
        (Entry::Link { target }, Kind::Link) => {
            (fs.read_link(at)? != *target).then(|| "has another target".to_owned())
        }
        (Entry::Directory { .. }, Kind::Directory) => None,
        _ => Some("is of another type".to_owned()),
    };
    Ok(fault)
}

fn stranger(
    fs: &mut dyn GuestFs,
    tree: &str,
    below: &str,
    known: &BTreeSet<String>,
) -> Result<Option<String>, GuestError> {
    for name in fs.list(&format!("{tree}{below}"))? {
        let path = format!("{below}/{name}");
        if !known.contains(&path[1..]) {
            return Ok(Some(path[1..].to_owned()));
        }
        let is_folder =
            fs.stat(&format!("{tree}{path}"))?.is_some_and(|stat| stat.kind == Kind::Directory);
        if is_folder && let Some(found) = stranger(fs, tree, &path, known)? {
            return Ok(Some(found));
        }
    }
    Ok(None)
}
