//! A bundle as one stream of bytes: a deterministic `.tar.gz` (design.md §6).

use super::bytes_of;
use crate::model::{Bundle, Entry, EntryPath, canonical, document};
use flate2::{Compression, GzBuilder};
use std::io::Write;
use tar::{EntryType, Header};

/// The same bundle, the same bytes: sorted entries, root's, no times; `manifest.json` comes first so that a reader can check all that follows.
/// Secret entries have no bytes and are left out.
///
/// # Panics
/// When the bundle lacks the bytes of an entry; none that was compiled or read does.
pub fn archive(bundle: &Bundle) -> Vec<u8> {
    let zipped = GzBuilder::new().mtime(0).operating_system(255);
    let mut tar = tar::Builder::new(zipped.write(Vec::new(), Compression::default()));
    let manifest = canonical::to_bytes(&bundle.manifest);
    append(&mut tar, document::MANIFEST, header(EntryType::Regular, 0o644), &manifest);
    for (path, entry) in &bundle.manifest.entries {
        append_entry(&mut tar, bundle, path, entry);
    }
    let zipped = tar.into_inner().expect(IN_MEMORY);
    zipped.finish().expect(IN_MEMORY)
}

/// Why writing cannot fail.
const IN_MEMORY: &str = "writing to memory cannot fail";

fn append_entry<W: Write>(
    tar: &mut tar::Builder<W>,
    bundle: &Bundle,
    path: &EntryPath,
    entry: &Entry,
) {
    match entry {
        Entry::Document(_) => {
            append(tar, path.as_str(), header(EntryType::Regular, 0o644), bytes_of(bundle, path));
        }
        Entry::File { access, .. } => {
            let mode = if access.mode.is_executable() { 0o755 } else { 0o644 };
            append(tar, path.as_str(), header(EntryType::Regular, mode), bytes_of(bundle, path));
        }
        Entry::Link { target } => {
            let mut header = header(EntryType::Symlink, 0o777);
            tar.append_link(&mut header, path.as_str(), target).expect(IN_MEMORY);
        }
        Entry::Directory { .. } => {
            append(tar, path.as_str(), header(EntryType::Directory, 0o755), &[]);
        }
        Entry::Secret { .. } => {}
    }
}

/// A header in which nothing is left to chance.
pub(super) fn header(kind: EntryType, mode: u32) -> Header {
    let mut header = Header::new_gnu();
    header.set_entry_type(kind);
    header.set_mode(mode);
    header.set_uid(0);
    header.set_gid(0);
    header.set_mtime(0);
    header.set_size(0);
    header
}

fn append<W: Write>(tar: &mut tar::Builder<W>, path: &str, mut header: Header, bytes: &[u8]) {
    header.set_size(bytes.len() as u64);
    tar.append_data(&mut header, path, bytes).expect(IN_MEMORY);
}
