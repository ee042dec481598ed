//! The prepared neighbours of what a switch places: all that it then has to do is to rename them.

use super::account::Accounts;
use super::before::{Before, Found};
use super::error::GuestError;
use super::fs::{GuestFs, Sync, mkdir_all, split};
use super::journal::temp_path;
use super::keys;
use super::place::sync_folders;
use super::store::copy_source;
use crate::model::layout::{CURRENT, STATE};
use crate::model::{Digest, GuestPath, Ledger, Placed, Switch, TxId};

/// Files of others that stackc took the place of, under their own paths.
const FOUND: &str = "/var/lib/stackc/found";

/// Makes every prepared neighbour: all that can fail for want of room fails here, before any effect.
pub fn prepare(
    fs: &mut dyn GuestFs,
    switch: &Switch,
    before: &Before,
    owned: &Ledger,
) -> Result<(), GuestError> {
    for folder in &before.created {
        fs.mkdir(folder, 0o755)?;
        fs.sync_dir(split(folder).0)?;
    }
    let accounts = Accounts::read(fs)?;
    for (path, placed) in &switch.placement.place {
        if !owned.paths.contains_key(path) {
            keep_found(fs, path, before.paths[path])?;
        }
        prepare_placed(fs, switch, &accounts, path, placed)?;
        if let (Placed::Keys { keys }, Some(Placed::Keys { keys: old })) =
            (placed, owned.paths.get(path))
        {
            prepare_left_keys(fs, &switch.tx, path, old.keys().filter(|k| !keys.contains_key(*k)))?;
        }
    }
    for path in &switch.placement.remove {
        prepare_return(fs, &switch.tx, path, owned.paths.get(path))?;
    }
    let target = format!("generations/{}", switch.generation.number);
    fs.symlink(&target, &temp_path(CURRENT, &switch.tx))?;
    sync_folders(fs, switch)?;
    Ok(fs.sync_all(STATE)?)
}

/// Keeps a file of somebody else under a second name for as long as stackc stands in its place.
fn keep_found(fs: &mut dyn GuestFs, path: &GuestPath, found: Found) -> Result<(), GuestError> {
    let kept = format!("{FOUND}{path}");
    fs.remove(&kept)?;
    if matches!(found, Found::Saved { .. }) {
        mkdir_all(fs, split(&kept).0, 0o700)?;
        fs.link(path.as_str(), &kept)?;
        fs.sync_dir(split(&kept).0)?;
    }
    Ok(())
}

fn prepare_placed(
    fs: &mut dyn GuestFs,
    switch: &Switch,
    accounts: &Accounts,
    path: &GuestPath,
    placed: &Placed,
) -> Result<(), GuestError> {
    let temp = temp_path(path.as_str(), &switch.tx);
    match placed {
        Placed::Directory { access } => accounts.ids(access).map(drop),
        Placed::Link { target } => Ok(fs.symlink(target, &temp)?),
        Placed::Copy { sha256, access } => {
            let ids = accounts.ids(access)?;
            let bytes = copy_bytes(fs, switch, path, *sha256)?;
            fs.write(&temp, &mut &bytes[..], 0o600, Sync::Now)?;
            Ok(fs.set_access(&temp, ids)?)
        }
        Placed::Keys { keys } => {
            let text = read_text(fs, path.as_str())?;
            write_like(fs, path.as_str(), &temp, &keys::set(&text, keys))
        }
    }
}

fn copy_bytes(
    fs: &mut dyn GuestFs,
    switch: &Switch,
    path: &GuestPath,
    sha256: Digest,
) -> Result<Vec<u8>, GuestError> {
    let no_tree = || GuestError::Unfit(format!("`{path}` is a copy, and there is no bundle"));
    let digest = switch.generation.digest.ok_or_else(no_tree)?;
    let bytes = fs.read(&copy_source(&digest, path))?;
    if Digest::of(&bytes) == sha256 {
        return Ok(bytes);
    }
    Err(GuestError::Unfit(format!("`{path}` has another hash in the plan than in the bundle")))
}

/// Prepares what returns to a path that leaves: the file that was found there, or the found values of its keys.
fn prepare_return(
    fs: &mut dyn GuestFs,
    tx: &TxId,
    path: &GuestPath,
    owned: Option<&Placed>,
) -> Result<(), GuestError> {
    let kept = format!("{FOUND}{path}");
    if fs.stat(&kept)?.is_none() {
        return Ok(());
    }
    let temp = temp_path(path.as_str(), tx);
    fs.remove(&temp)?;
    if let Some(Placed::Keys { keys }) = owned {
        let found = read_text(fs, &kept)?;
        let text = keys::put_back(&read_text(fs, path.as_str())?, keys.keys(), &found);
        return write_like(fs, path.as_str(), &temp, &text);
    }
    fs.link(&kept, &temp)?;
    Ok(())
}

/// Puts back keys that the new generation no longer sets in a file that it still has keys in.
fn prepare_left_keys<'k>(
    fs: &mut dyn GuestFs,
    tx: &TxId,
    path: &GuestPath,
    left: impl Iterator<Item = &'k String>,
) -> Result<(), GuestError> {
    let temp = temp_path(path.as_str(), tx);
    let found = read_text(fs, &format!("{FOUND}{path}"))?;
    let text = keys::put_back(&read_text(fs, &temp)?, left, &found);
    write_like(fs, path.as_str(), &temp, &text)
}

fn read_text(fs: &mut dyn GuestFs, path: &str) -> Result<String, GuestError> {
    let not_text = |_| GuestError::Unfit(format!("`{path}` is not UTF-8 text"));
    String::from_utf8(fs.read(path)?).map_err(not_text)
}

/// Writes a text with the owner and mode of the file that it is to replace.
fn write_like(fs: &mut dyn GuestFs, like: &str, path: &str, text: &str) -> Result<(), GuestError> {
    fs.write(path, &mut text.as_bytes(), 0o600, Sync::Now)?;
    let like = fs.stat(like)?;
    Ok(like.map_or(Ok(()), |stat| fs.set_access(path, stat.ids))?)
}
