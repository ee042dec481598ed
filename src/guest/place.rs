//! Placed paths: the way forth and back, by renames of what is there already.

use super::account::Accounts;
use super::before::{Before, Found, current};
use super::error::GuestError;
use super::found;
use super::fs::{GuestFs, Ids, Kind, mkdir_all, split};
use super::journal::{is_volatile, saved_path, temp_path};
use crate::model::layout::{CURRENT, STATE};
use crate::model::{GuestPath, Placed, Switch, TxId};
use std::collections::BTreeSet;
use std::io::ErrorKind;

/// Removes what leaves, flips `current`, and puts the new paths in place, each step durable before the next.
pub fn forth(fs: &mut dyn GuestFs, switch: &Switch, accounts: &Accounts) -> Result<(), GuestError> {
    let folders = found::read(fs)?.folders;
    for path in &switch.placement.remove {
        let temp = temp_path(path.as_str(), &switch.tx);
        if fs.stat(&temp)?.is_some() {
            fs.rename(&temp, path.as_str())?;
        } else if let Some(folder) = folders.get(path) {
            restore(fs, &switch.tx, path, *folder)?;
        } else {
            remove_or_leave(fs, path.as_str())?;
        }
    }
    let removed = switch.placement.remove.iter().map(|path| split(path.as_str()).0);
    sync_each(fs, removed.collect())?;
    fs.rename(&temp_path(CURRENT, &switch.tx), CURRENT)?;
    fs.sync_dir(STATE)?;
    for (path, placed) in &switch.placement.place {
        match placed {
            Placed::Directory { access } => fs.set_access(path.as_str(), accounts.ids(access)?)?,
            _ => fs.rename(&temp_path(path.as_str(), &switch.tx), path.as_str())?,
        }
    }
    sync_folders(fs, switch)
}

/// A directory that holds things of others stays, whatever their names are, which need not be text; and one that something is
/// mounted on. Below what somebody has made a file of, nothing is left to remove.
pub fn remove_or_leave(fs: &mut dyn GuestFs, path: &str) -> Result<(), GuestError> {
    use ErrorKind::{DirectoryNotEmpty, NotADirectory, ResourceBusy};
    let is_done = |kind| matches!(kind, DirectoryNotEmpty | NotADirectory | ResourceBusy);
    match fs.remove(path) {
        Err(error) if is_done(error.cause.kind()) => Ok(()),
        removed => Ok(removed?),
    }
}

/// Brings every path back to what was there before. Uses names that exist already, so a full disk does not stop it. A path
/// that cannot be brought back keeps no other one from it; the first error is returned.
pub fn back(fs: &mut dyn GuestFs, switch: &Switch, before: &Before) -> Result<(), GuestError> {
    let is_new = |found: &Found| *found == Found::Absent;
    let here = current();
    let mut first = Ok(());
    for (path, _) in before.paths.iter().rev().filter(|(p, found)| is_new(found) && **p != here) {
        let removed = remove_or_leave(fs, path.as_str());
        first = first.and(removed);
    }
    restore(fs, &switch.tx, &here, before.paths[&here])?;
    fs.sync_dir(STATE)?;
    for (path, found) in before.paths.iter().filter(|(path, _)| **path != here) {
        let restored = restore(fs, &switch.tx, path, *found);
        first = first.and(restored);
    }
    // What was prepared is still needed for the next try.
    first?;
    sweep(fs, switch)?;
    for folder in before.created.iter().rev() {
        remove_or_leave(fs, folder)?;
    }
    sync_folders(fs, switch)?;
    Ok(fs.sync_all(STATE)?)
}

/// Brings one path back.
pub fn restore(
    fs: &mut dyn GuestFs,
    tx: &TxId,
    path: &GuestPath,
    found: Found,
) -> Result<(), GuestError> {
    let at = path.as_str();
    match found {
        Found::Absent => remove_or_leave(fs, at),
        Found::Directory { uid, gid, mode } => {
            fs.mkdir(at, mode)?;
            Ok(fs.set_access(at, Ids { uid, gid, mode })?)
        }
        Found::Saved { name } => {
            if is_saved(fs, tx, path, name)? {
                return Ok(());
            }
            let (saved, temp) = (saved_path(tx, path, name), temp_path(at, tx));
            mkdir_all(fs, split(at).0, 0o755)?;
            fs.remove(&temp)?;
            fs.link(&saved, &temp)?;
            fs.rename(&temp, at)?;
            Ok(fs.remove(&temp)?)
        }
    }
}

/// Whether the very file that was saved is at its path. One that a boot has taken is nobody's to bring back.
fn is_saved(
    fs: &mut dyn GuestFs,
    tx: &TxId,
    path: &GuestPath,
    name: u64,
) -> Result<bool, GuestError> {
    let saved = inode(fs, &saved_path(tx, path, name))?;
    let is_gone = saved.is_none() && is_volatile(path.as_str());
    Ok(is_gone || inode(fs, path.as_str())? == saved)
}

fn inode(fs: &mut dyn GuestFs, path: &str) -> Result<Option<(u64, u64)>, GuestError> {
    Ok(fs.stat(path)?.map(|stat| (stat.device, stat.inode)))
}

/// Paths that are not what they were before.
pub fn differences(
    fs: &mut dyn GuestFs,
    tx: &TxId,
    before: &Before,
) -> Result<Vec<String>, GuestError> {
    let mut wrong = Vec::new();
    for (path, found) in &before.paths {
        let stat = fs.stat(path.as_str())?;
        let same = match found {
            Found::Saved { name } => is_saved(fs, tx, path, *name)?,
            // A directory may have got things of others meanwhile, and stays then.
            Found::Absent => stat.is_none_or(|stat| stat.kind == Kind::Directory),
            Found::Directory { .. } => stat.is_some_and(|s| Found::directory(s.ids) == *found),
        };
        if !same {
            wrong.push(path.to_string());
        }
    }
    Ok(wrong)
}

/// Removes prepared neighbours that were not used.
pub fn sweep(fs: &mut dyn GuestFs, switch: &Switch) -> Result<(), GuestError> {
    let placement = &switch.placement;
    for path in placement.place.keys().chain(&placement.remove) {
        fs.remove(&temp_path(path.as_str(), &switch.tx))?;
    }
    Ok(fs.remove(&temp_path(CURRENT, &switch.tx))?)
}

/// Makes the names in every folder that the switch touches durable, and owner and mode of the folders that it places.
pub fn sync_folders(fs: &mut dyn GuestFs, switch: &Switch) -> Result<(), GuestError> {
    let placement = &switch.placement;
    let paths = placement.place.keys().chain(&placement.remove);
    let is_folder = |placed: &Placed| matches!(placed, Placed::Directory { .. });
    let placed = placement.place.iter().filter(|(_, placed)| is_folder(placed));
    let placed = placed.map(|(path, _)| path.as_str());
    let parents = paths.map(|path| split(path.as_str()).0);
    sync_each(fs, parents.chain(placed).chain([STATE]).collect())
}

fn sync_each(fs: &mut dyn GuestFs, folders: BTreeSet<&str>) -> Result<(), GuestError> {
    for folder in folders {
        if fs.stat(folder)?.is_some() {
            fs.sync_dir(folder)?;
        }
    }
    Ok(())
}
