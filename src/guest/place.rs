//! Placed paths: what was there, the prepared neighbours, and the way forth and back by renames alone.

use super::account::Accounts;
use super::error::GuestError;
use super::fs::{GuestFs, Ids, Kind, Sync, mkdir_all, split};
use super::journal::{Before, Found, saved_path, temp_path};
use super::keys;
use super::store::copy_source;
use crate::model::layout::{CURRENT, STATE};
use crate::model::{Digest, GuestPath, Ledger, Placed, Switch, TxId};
use std::collections::{BTreeMap, BTreeSet};

/// Files of others that stackc took the place of, under their own paths.
const FOUND: &str = "/var/lib/stackc/found";

/// What is at every path that the switch touches, `current` included.
pub fn look(
    fs: &mut dyn GuestFs,
    switch: &Switch,
) -> Result<BTreeMap<GuestPath, Found>, GuestError> {
    let placement = &switch.placement;
    let mut paths: BTreeSet<GuestPath> = placement.place.keys().cloned().collect();
    paths.extend(placement.remove.iter().cloned());
    paths.insert(current());
    let mut found = BTreeMap::new();
    for (name, path) in (0..).zip(paths) {
        let at = match fs.stat(path.as_str())? {
            None => Found::Absent,
            Some(stat) if stat.kind == Kind::Directory => Found::directory(stat.ids),
            Some(stat) if stat.kind == Kind::Special => return Err(unfit(&path, "is a device")),
            Some(_) => Found::Saved { name },
        };
        check_type(&path, at, placement.place.get(&path))?;
        found.insert(path, at);
    }
    Ok(found)
}

fn current() -> GuestPath {
    CURRENT.parse().expect("the layout's paths are guest paths")
}

fn unfit(path: &GuestPath, why: &str) -> GuestError {
    GuestError::Unfit(format!("`{path}` {why}; move it away first"))
}

/// A directory cannot be replaced by a rename, nor become one.
fn check_type(path: &GuestPath, found: Found, placed: Option<&Placed>) -> Result<(), GuestError> {
    match (found, placed) {
        (Found::Directory { .. }, None | Some(Placed::Directory { .. })) => Ok(()),
        (Found::Directory { .. }, Some(_)) => Err(unfit(path, "is a directory on the guest")),
        (Found::Saved { .. }, Some(Placed::Directory { .. })) => {
            Err(unfit(path, "is no directory on the guest"))
        }
        (Found::Absent, Some(Placed::Keys { .. })) => Err(GuestError::Unfit(format!(
            "`{path}` is not on the guest, so no keys can be set in it; install its package"
        ))),
        _ => Ok(()),
    }
}

/// Directories that must be made to hold what is placed, parents first.
pub fn missing_folders(
    fs: &mut dyn GuestFs,
    switch: &Switch,
) -> Result<BTreeSet<String>, GuestError> {
    let mut missing = BTreeSet::new();
    for (path, placed) in &switch.placement.place {
        let mut folder = match placed {
            Placed::Directory { .. } => path.as_str(),
            _ => split(path.as_str()).0,
        };
        while folder != "/" && fs.stat(folder)?.is_none() {
            missing.insert(folder.to_owned());
            folder = split(folder).0;
        }
    }
    Ok(missing)
}

/// Every placed path must be on the file system of `/var/lib/stackc`: a second name cannot cross to another.
pub fn check_one_file_system(fs: &mut dyn GuestFs, switch: &Switch) -> Result<(), GuestError> {
    let device = fs.stat(STATE)?.map(|stat| stat.device);
    let folders: BTreeSet<&str> = switch
        .placement
        .place
        .keys()
        .chain(&switch.placement.remove)
        .map(|path| split(path.as_str()).0)
        .chain(["/etc"])
        .collect();
    for folder in folders {
        if let Some(stat) = fs.stat(folder)?
            && Some(stat.device) != device
        {
            return Err(GuestError::Unfit(format!(
                "`{folder}` and `{STATE}` are on two file systems; a switch needs one"
            )));
        }
    }
    Ok(())
}

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

/// Removes what leaves, flips `current`, and puts the new paths in place, each step durable before the next.
pub fn forth(fs: &mut dyn GuestFs, switch: &Switch, accounts: &Accounts) -> Result<(), GuestError> {
    for path in &switch.placement.remove {
        let temp = temp_path(path.as_str(), &switch.tx);
        if fs.stat(&temp)?.is_some() {
            fs.rename(&temp, path.as_str())?;
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

/// A directory that holds things of others stays.
fn remove_or_leave(fs: &mut dyn GuestFs, path: &str) -> Result<(), GuestError> {
    let is_folder = fs.stat(path)?.is_some_and(|stat| stat.kind == Kind::Directory);
    if is_folder && !fs.list(path)?.is_empty() {
        return Ok(());
    }
    Ok(fs.remove(path)?)
}

/// Brings every path back to what was there before. Uses names that exist already, so a full disk does not stop it.
pub fn back(fs: &mut dyn GuestFs, switch: &Switch, before: &Before) -> Result<(), GuestError> {
    let is_new = |found: &Found| *found == Found::Absent;
    let here = current();
    for (path, _) in before.paths.iter().rev().filter(|(p, found)| is_new(found) && **p != here) {
        remove_or_leave(fs, path.as_str())?;
    }
    restore(fs, &switch.tx, &here, before.paths[&here])?;
    fs.sync_dir(STATE)?;
    for (path, found) in before.paths.iter().filter(|(path, _)| **path != here) {
        restore(fs, &switch.tx, path, *found)?;
    }
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
    let path = path.as_str();
    match found {
        Found::Absent => remove_or_leave(fs, path),
        Found::Directory { uid, gid, mode } => {
            fs.mkdir(path, mode)?;
            Ok(fs.set_access(path, Ids { uid, gid, mode })?)
        }
        Found::Saved { name } => {
            let saved = saved_path(tx, name);
            if inode(fs, path)? == inode(fs, &saved)? {
                return Ok(());
            }
            let temp = temp_path(path, tx);
            fs.remove(&temp)?;
            fs.link(&saved, &temp)?;
            fs.rename(&temp, path)?;
            Ok(fs.remove(&temp)?)
        }
    }
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
            Found::Saved { name } => {
                inode(fs, path.as_str())? == inode(fs, &saved_path(tx, *name))?
            }
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

fn sync_folders(fs: &mut dyn GuestFs, switch: &Switch) -> Result<(), GuestError> {
    let placement = &switch.placement;
    let paths = placement.place.keys().chain(&placement.remove);
    sync_each(fs, paths.map(|path| split(path.as_str()).0).chain([STATE]).collect())
}

fn sync_each(fs: &mut dyn GuestFs, folders: BTreeSet<&str>) -> Result<(), GuestError> {
    for folder in folders {
        if fs.stat(folder)?.is_some() {
            fs.sync_dir(folder)?;
        }
    }
    Ok(())
}
