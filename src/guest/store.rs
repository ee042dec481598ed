//! Trees of bundles: unpacked by own rules, complete and verified before they have their name.

use super::account::Accounts;
use super::error::GuestError;
use super::fs::{GuestFs, Ids, Kind, Sync, mkdir_all, remove_tree, split};
use crate::model::canonical;
use crate::model::layout::STATE;
use crate::model::protocol::FetchReply;
use crate::model::{Bytes, Digest, Entry, EntryPath, GuestPath, Manifest, TxId, document, layout};
use serde::Serialize;
use serde::de::DeserializeOwned;
use std::collections::{BTreeMap, BTreeSet};
use std::io::Read;

/// The most bytes of a bundle's archive: a bundle has 64 MiB at most, and gzip adds little to what it cannot shrink.
pub const ARCHIVE_BYTES_MAX: u64 = 80 << 20;
/// A manifest names at most 20,000 entries in lines of some hundred bytes each.
const MANIFEST_BYTES_MAX: u64 = 32 << 20;

/// Where a bundle's tree is.
pub fn tree_path(digest: &Digest) -> String {
    format!("{STATE}/store/{digest}")
}

/// Makes a bundle's tree from its archive, or finds it there whole. Returns whether it was there.
pub fn receive(
    fs: &mut dyn GuestFs,
    tx: &TxId,
    digest: &Digest,
    archive: &mut dyn Read,
) -> Result<bool, GuestError> {
    if verify(fs, digest).is_ok() {
        return Ok(true);
    }
    let store = format!("{STATE}/store");
    mkdir_all(fs, &store, 0o755)?;
    let staged = format!("{store}/.tmp-{digest}-{tx}");
    remove_tree(fs, &staged)?;
    fs.mkdir(&staged, 0o755)?;
    unpack(fs, &staged, digest, archive)?;
    verify_at(fs, &staged, digest)?;
    fs.sync_all(&staged)?;
    publish(fs, &staged, &tree_path(digest))?;
    Ok(false)
}

/// Gives a finished folder its name, durably. A damaged one of that name, which may be live, changes places with it in
/// one step, then leaves; a crash in between leaves it to the sweep.
fn publish(fs: &mut dyn GuestFs, staged: &str, path: &str) -> Result<(), GuestError> {
    let folder = split(path).0;
    if fs.stat(path)?.is_some() {
        fs.exchange(staged, path)?;
        fs.sync_dir(folder)?;
        return Ok(remove_tree(fs, staged)?);
    }
    fs.rename(staged, path)?;
    Ok(fs.sync_dir(folder)?)
}

/// Unpacks what the manifest lists, and nothing else. The manifest is the archive's first member.
fn unpack(
    fs: &mut dyn GuestFs,
    staged: &str,
    digest: &Digest,
    archive: &mut dyn Read,
) -> Result<(), GuestError> {
    let mut archive = tar::Archive::new(flate2::read::GzDecoder::new(archive));
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

fn parse_manifest(bytes: &[u8], digest: &Digest) -> Result<Manifest, GuestError> {
    if Digest::of(bytes) != *digest {
        let problem = format!("`{}` has another hash", document::MANIFEST);
        return Err(GuestError::Tree { digest: *digest, problem });
    }
    canonical::from_slice(bytes)
        .map_err(|cause| GuestError::Document { path: document::MANIFEST.to_owned(), cause })
}

/// Every folder of the tree, parents first.
fn folders(manifest: &Manifest) -> BTreeSet<String> {
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

/// The mode in the store until `accounts` sets owners: the manifest's bits, so that re-hashing sees one truth.
fn staged_mode(entry: &Entry) -> u32 {
    match entry {
        Entry::File { access, .. } => access.mode.bits(),
        _ => 0o644,
    }
}

/// Reads the manifest of a tree in the store.
pub fn manifest(fs: &mut dyn GuestFs, digest: &Digest) -> Result<Manifest, GuestError> {
    manifest_at(fs, &tree_path(digest), digest)
}

fn manifest_at(fs: &mut dyn GuestFs, tree: &str, digest: &Digest) -> Result<Manifest, GuestError> {
    let bytes = fs.read(&format!("{tree}/{}", document::MANIFEST))?;
    parse_manifest(&bytes, digest)
}

/// Re-hashes a tree: every byte, mode and link, and nothing that does not belong there.
pub fn verify(fs: &mut dyn GuestFs, digest: &Digest) -> Result<Manifest, GuestError> {
    verify_at(fs, &tree_path(digest), digest)
}

fn verify_at(fs: &mut dyn GuestFs, tree: &str, digest: &Digest) -> Result<Manifest, GuestError> {
    let manifest = manifest_at(fs, tree, digest)?;
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

/// A whole bundle, verified.
pub fn fetch(fs: &mut dyn GuestFs, digest: &Digest) -> Result<FetchReply, GuestError> {
    let manifest = verify(fs, digest)?;
    let tree = tree_path(digest);
    let mut files = BTreeMap::new();
    for (path, entry) in &manifest.entries {
        if matches!(entry, Entry::Document(_) | Entry::File { .. }) {
            files.insert(path.clone(), fs.read(&format!("{tree}/{path}"))?);
        }
    }
    Ok(FetchReply { manifest, files })
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

/// Gives the tree's files their owners by name.
pub fn set_owners(fs: &mut dyn GuestFs, digest: &Digest) -> Result<(), GuestError> {
    let accounts = Accounts::read(fs)?;
    let tree = tree_path(digest);
    for (path, entry) in &manifest(fs, digest)?.entries {
        let Some(ids) = owner_ids(&accounts, entry)? else { continue };
        let at = format!("{tree}/{path}");
        if fs.stat(&at)?.is_some_and(|stat| stat.ids != ids) {
            fs.set_access(&at, ids)?;
        }
    }
    Ok(fs.sync_all(&tree)?)
}

/// Refuses a tree whose files belong to others than the manifest says.
pub fn verify_owners(
    fs: &mut dyn GuestFs,
    digest: &Digest,
    manifest: &Manifest,
) -> Result<(), GuestError> {
    let accounts = Accounts::read(fs)?;
    let tree = tree_path(digest);
    for (path, entry) in &manifest.entries {
        let Some(ids) = owner_ids(&accounts, entry)? else { continue };
        if fs.stat(&format!("{tree}/{path}"))?.is_none_or(|stat| stat.ids != ids) {
            let problem = format!("`{path}` has another owner");
            return Err(GuestError::Tree { digest: *digest, problem });
        }
    }
    Ok(())
}

fn owner_ids(accounts: &Accounts, entry: &Entry) -> Result<Option<Ids>, GuestError> {
    match entry {
        Entry::File { access, .. } => accounts.ids(access).map(Some),
        _ => Ok(None),
    }
}

/// The bytes in the tree that stand as a copy at this path of the guest.
pub fn copy_source(digest: &Digest, path: &GuestPath) -> String {
    let tree = tree_path(digest);
    match path.as_str() {
        layout::USER_RULES => format!("{tree}/{}", document::USER_RULES),
        layout::USER6_RULES => format!("{tree}/{}", document::USER6_RULES),
        _ => format!("{tree}/{}", EntryPath::of_overlay(path)),
    }
}

/// One of the bundle's own documents; none when the bundle has none of that name.
pub fn document<T: Serialize + DeserializeOwned>(
    fs: &mut dyn GuestFs,
    digest: &Digest,
    name: &str,
) -> Result<Option<T>, GuestError> {
    let path = format!("{}/{name}", tree_path(digest));
    if fs.stat(&path)?.is_none() {
        return Ok(None);
    }
    read_document(fs, &path).map(Some)
}

/// Reads canonical JSON.
pub fn read_document<T: Serialize + DeserializeOwned>(
    fs: &mut dyn GuestFs,
    path: &str,
) -> Result<T, GuestError> {
    let bytes = fs.read(path)?;
    canonical::from_slice(&bytes)
        .map_err(|cause| GuestError::Document { path: path.to_owned(), cause })
}
