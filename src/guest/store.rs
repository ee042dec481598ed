//! The store of bundles' trees: each complete and verified before it has its name.

use super::account::Accounts;
use super::error::GuestError;
use super::fs::{GuestFs, Ids, mkdir_all, remove_tree, split};
use super::{tree, unpack};
use crate::model::canonical;
use crate::model::layout::STATE;
use crate::model::protocol::FetchReply;
use crate::model::{
    Digest, Entry, EntryPath, FILE_BYTES_MAX, GuestPath, Manifest, TxId, document, layout,
};
use serde::Serialize;
use serde::de::DeserializeOwned;
use std::collections::BTreeMap;
use std::io::Read;

/// The most bytes of a bundle's archive: a bundle has 64 MiB at most, and gzip adds little to what it cannot shrink.
pub const ARCHIVE_BYTES_MAX: u64 = 80 << 20;
/// Room that must be left for the guest's own life.
const ROOM_BYTES_MIN: u64 = 16 << 20;
/// Bytes of files that `fetch` tells at once; in its reply they take five times as much memory.
const FETCH_BYTES: u64 = FILE_BYTES_MAX;

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
    let store = format!("{STATE}/store");
    if verify(fs, digest).is_ok() {
        // A call that died may have put it there, and not have made that durable.
        fs.sync_dir(&store)?;
        return Ok(true);
    }
    mkdir_all(fs, &store, 0o755)?;
    let staged = format!("{store}/.tmp-{digest}-{tx}");
    remove_tree(fs, &staged)?;
    let made = make(fs, &staged, digest, archive);
    if made.is_err() {
        // A full disk must not stay full for it. What cannot be removed now is swept later.
        drop(remove_tree(fs, &staged));
    }
    made.map(|()| false)
}

fn make(
    fs: &mut dyn GuestFs,
    staged: &str,
    digest: &Digest,
    archive: &mut dyn Read,
) -> Result<(), GuestError> {
    fs.mkdir(staged, 0o755)?;
    unpack::unpack(fs, staged, digest, archive)?;
    tree::verify(fs, staged, digest)?;
    fs.sync_all(staged)?;
    publish(fs, staged, &tree_path(digest))
}

/// Refuses what would leave the guest too little room for its own life, besides these bytes.
pub fn check_room(fs: &mut dyn GuestFs, bytes: u64) -> Result<(), GuestError> {
    let free = fs.free_bytes(STATE)?;
    let needed = ROOM_BYTES_MIN + bytes;
    if free < needed { Err(GuestError::Room { free, needed }) } else { Ok(()) }
}

/// Gives a finished folder its name, durably. A damaged one of that name, which may be live, changes places with it in
/// one step, then leaves; a crash in between leaves it to the sweep.
pub fn publish(fs: &mut dyn GuestFs, staged: &str, path: &str) -> Result<(), GuestError> {
    let folder = split(path).0;
    if fs.stat(path)?.is_some() {
        fs.exchange(staged, path)?;
        fs.sync_dir(folder)?;
        return Ok(remove_tree(fs, staged)?);
    }
    fs.rename(staged, path)?;
    Ok(fs.sync_dir(folder)?)
}

/// Reads the manifest of a tree in the store.
pub fn manifest(fs: &mut dyn GuestFs, digest: &Digest) -> Result<Manifest, GuestError> {
    tree::manifest(fs, &tree_path(digest), digest)
}

/// Re-hashes a tree of the store.
pub fn verify(fs: &mut dyn GuestFs, digest: &Digest) -> Result<Manifest, GuestError> {
    tree::verify(fs, &tree_path(digest), digest)
}

/// The files of a bundle that follow a path, as many as are sent at once. The whole is verified before the first.
pub fn fetch(
    fs: &mut dyn GuestFs,
    digest: &Digest,
    after: Option<&EntryPath>,
) -> Result<FetchReply, GuestError> {
    let manifest = if after.is_none() { verify(fs, digest)? } else { manifest(fs, digest)? };
    let tree = tree_path(digest);
    let (mut files, mut room, mut more) = (BTreeMap::new(), FETCH_BYTES, false);
    for (path, entry) in &manifest.entries {
        let (Entry::Document(bytes) | Entry::File { bytes, .. }) = entry else { continue };
        if after.is_some_and(|after| path <= after) {
            continue;
        }
        more = bytes.size > room && !files.is_empty();
        if more {
            break;
        }
        room = room.saturating_sub(bytes.size);
        files.insert(path.clone(), fs.read(&format!("{tree}/{path}"))?);
    }
    Ok(FetchReply { manifest: after.is_none().then_some(manifest), files, more })
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
