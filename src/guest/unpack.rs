//! A bundle's archive, unpacked by own rules: what the manifest lists, and nothing else.

use super::error::GuestError;
use super::fs::{GuestFs, Sync};
use super::tree::{folders, parse_manifest, staged_mode};
use crate::model::{Digest, Entry, EntryPath, Manifest, canonical, document};
use flate2::read::DeflateDecoder;
use std::collections::BTreeSet;
use std::io::Read;

/// A manifest names at most 20,000 entries in lines of some hundred bytes each.
const MANIFEST_BYTES_MAX: u64 = 32 << 20;

/// Unpacks a bundle. The manifest is the archive's first member.
pub fn unpack(
    fs: &mut dyn GuestFs,
    staged: &str,
    digest: &Digest,
    archive: &mut dyn Read,
) -> Result<(), GuestError> {
    let mut archive = tar::Archive::new(unzipped(archive)?);
    let mut manifest: Option<Manifest> = None;
    let mut seen = BTreeSet::new();
    for member in archive.entries().map_err(GuestError::ArchiveRead)? {
        let mut member = member.map_err(GuestError::ArchiveRead)?;
        let path = member_path(&member)?;
        let Some(manifest) = &manifest else {
            let read = read_manifest(&path, &mut member, digest)?;
            let bytes = canonical::to_bytes(&read);
            let path = format!("{staged}/{}", document::MANIFEST);
            fs.write(&path, &mut &bytes[..], 0o644, Sync::Later)?;
            make_folders(fs, staged, &read)?;
            manifest = Some(read);
            continue;
        };
        if !seen.insert(path.clone()) {
            return Err(GuestError::Archive(format!("`{path}` stands twice in it")));
        }
        unpack_member(fs, staged, manifest, &path, &mut member)?;
    }
    if manifest.is_none() {
        return Err(GuestError::Archive("it is empty".to_owned()));
    }
    Ok(())
}

/// What a gzip archive holds. Its sum at the end is not asked: every byte of every member is hashed. Source: RFC 1952.
fn unzipped(archive: &mut dyn Read) -> Result<DeflateDecoder<&mut dyn Read>, GuestError> {
    let mut head = [0; 10];
    archive.read_exact(&mut head).map_err(GuestError::ArchiveRead)?;
    // Deflated, and with none of the fields that may follow.
    if !head.starts_with(&[0x1f, 0x8b, 8, 0]) {
        return Err(GuestError::Archive("it is no gzip".to_owned()));
    }
    Ok(DeflateDecoder::new(archive))
}

fn member_path<R: Read>(member: &tar::Entry<'_, R>) -> Result<EntryPath, GuestError> {
    let bytes = member.path_bytes();
    let text = String::from_utf8(bytes.into_owned())
        .map_err(|_| GuestError::Archive("a path is not UTF-8".to_owned()))?;
    let text = text.strip_suffix('/').unwrap_or(&text);
    text.parse().map_err(|error| GuestError::Archive(format!("{error}")))
}

fn read_manifest(
    path: &EntryPath,
    member: &mut dyn Read,
    digest: &Digest,
) -> Result<Manifest, GuestError> {
    if path.as_str() != document::MANIFEST {
        let first = format!("its first member is `{path}` and not the manifest");
        return Err(GuestError::Archive(first));
    }
    let mut bytes = Vec::new();
    member.take(MANIFEST_BYTES_MAX).read_to_end(&mut bytes).map_err(GuestError::ArchiveRead)?;
    parse_manifest(&bytes, digest)
}

fn make_folders(fs: &mut dyn GuestFs, staged: &str, manifest: &Manifest) -> Result<(), GuestError> {
    for folder in folders(manifest) {
        fs.mkdir(&format!("{staged}/{folder}"), 0o755)?;
    }
    Ok(())
}

fn unpack_member<R: Read>(
    fs: &mut dyn GuestFs,
    staged: &str,
    manifest: &Manifest,
    path: &EntryPath,
    member: &mut tar::Entry<'_, R>,
) -> Result<(), GuestError> {
    let refuse = |why: &str| Err(GuestError::Archive(format!("`{path}` {why}")));
    let Some(entry) = manifest.entries.get(path) else {
        return refuse("is not in the manifest");
    };
    let kind = member.header().entry_type();
    let at = format!("{staged}/{path}");
    match entry {
        Entry::Document(bytes) | Entry::File { bytes, .. } if kind.is_file() => {
            if member.size() != bytes.size {
                return refuse("has another size than in the manifest");
            }
            Ok(fs.write(&at, &mut member.take(bytes.size), staged_mode(entry), Sync::Later)?)
        }
        Entry::Link { target } if kind.is_symlink() => {
            if member.link_name_bytes().as_deref() != Some(target.as_bytes()) {
                return refuse("has another target than in the manifest");
            }
            Ok(fs.symlink(target, &at)?)
        }
        Entry::Directory { .. } if kind.is_dir() => Ok(()),
        _ => refuse("is of another type than in the manifest"),
    }
}
