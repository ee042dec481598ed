//! Copies of what somebody changed, kept before it is overwritten: true ones, which no later write through another name
//! changes. They lie by transaction, and there under their own paths, and nobody but root gets in.

use super::error::GuestError;
use super::fs::{GuestFs, Kind, mkdir_all, split};
use super::generation;
use super::sweep::HALF_MADE;
use super::{drift, journal, store};
use crate::model::{FILE_BYTES_MAX, Generation, GenerationId, Ledger, Switch, TxId};

const COPIES: &str = "/var/lib/stackc/drift";

pub fn folder(tx: &TxId) -> String {
    format!("{COPIES}/{tx}")
}

/// Keeps what somebody changed by hand at the paths that a switch touches, before it does.
pub fn keep(fs: &mut dyn GuestFs, switch: &Switch, owned: &Ledger) -> Result<(), GuestError> {
    let live = match switch.from {
        GenerationId::FOUND => None,
        number => Some(generation::read(fs, number)?),
    };
    let mut changed = drift::at_paths_of(fs, switch, owned)?;
    changed.extend(drift::written(fs, live.as_ref(), owned)?);
    keep_all(fs, &switch.tx, &changed)
}

/// The same before the live bundle, or its secrets, are sent again, which takes away what was written through links.
pub fn keep_before(
    fs: &mut dyn GuestFs,
    tx: &TxId,
    sent: impl FnOnce(&Generation) -> bool,
) -> Result<(), GuestError> {
    let Some(number) = generation::live(fs)? else { return Ok(()) };
    let (live, owned) = (generation::read(fs, number)?, generation::ledger(fs, number)?);
    if !sent(&live) {
        return Ok(());
    }
    let changed = drift::written(fs, Some(&live), &owned)?;
    keep_all(fs, tx, &changed)
}

/// Keeps files and links, each given by the path that it goes by and the one where it is.
fn keep_all(
    fs: &mut dyn GuestFs,
    tx: &TxId,
    changed: &[(String, String)],
) -> Result<(), GuestError> {
    check_room(fs, changed)?;
    changed.iter().try_for_each(|(path, from)| keep_one(fs, tx, path, from))
}

/// A guest that copies would fill up is left as it is.
fn check_room(fs: &mut dyn GuestFs, changed: &[(String, String)]) -> Result<(), GuestError> {
    let mut bytes = 0;
    for (_, from) in changed {
        bytes += fs.stat(from)?.map_or(0, |stat| stat.size);
    }
    if changed.is_empty() { Ok(()) } else { store::check_room(fs, bytes) }
}

/// A folder's mode is all that was changed of it.
fn keep_one(fs: &mut dyn GuestFs, tx: &TxId, path: &str, from: &str) -> Result<(), GuestError> {
    let Some(kind @ (Kind::File | Kind::Link)) = fs.stat(from)?.map(|stat| stat.kind) else {
        return Ok(());
    };
    let Some(copy) = free_name(fs, from, &format!("{}{path}", folder(tx)))? else { return Ok(()) };
    let fresh = fresh(fs, tx)?;
    if kind == Kind::Link {
        let target = fs.read_link(from)?;
        fs.symlink(&target, &fresh)?;
    } else {
        fs.copy(from, &fresh)?;
    }
    put(fs, &fresh, &copy)
}

/// Where a copy grows: what dies in the middle of it leaves nothing that looks like one.
fn fresh(fs: &mut dyn GuestFs, tx: &TxId) -> Result<String, GuestError> {
    mkdir_all(fs, COPIES, 0o700)?;
    mkdir_all(fs, &folder(tx), 0o700)?;
    Ok(format!("{COPIES}/{HALF_MADE}{tx}"))
}

fn put(fs: &mut dyn GuestFs, fresh: &str, copy: &str) -> Result<(), GuestError> {
    let folder = split(copy).0;
    mkdir_all(fs, folder, 0o700)?;
    fs.rename(fresh, copy)?;
    Ok(fs.sync_dir(folder)?)
}

/// A name that no other copy has; none when this very copy is there, of a call that died.
fn free_name(fs: &mut dyn GuestFs, from: &str, copy: &str) -> Result<Option<String>, GuestError> {
    let mut name = copy.to_owned();
    for number in 2_u32.. {
        if fs.stat(&name)?.is_none() {
            return Ok(Some(name));
        }
        if is_same(fs, from, &name)? {
            return Ok(None);
        }
        name = format!("{copy}.{number}");
    }
    Ok(None)
}

/// What is long is never the same, rather than read.
fn is_same(fs: &mut dyn GuestFs, left: &str, right: &str) -> Result<bool, GuestError> {
    let (Some(of_left), Some(of_right)) = (fs.stat(left)?, fs.stat(right)?) else {
        return Ok(false);
    };
    Ok(match (of_left.kind, of_right.kind) {
        (Kind::Link, Kind::Link) => fs.read_link(left)? == fs.read_link(right)?,
        (Kind::File, Kind::File) if of_left.size.max(of_right.size) <= FILE_BYTES_MAX => {
            fs.read(left)? == fs.read(right)?
        }
        _ => false,
    })
}

/// Keeps what an undo is about to take back and is no part of the bundle. What cannot be kept is said, and no reason not to
/// go back.
pub fn keep_taken_back(fs: &mut dyn GuestFs, tx: &TxId, paths: &[String]) -> Option<String> {
    let mut first = Ok(());
    for path in paths {
        let alone = [(path.clone(), path.clone())];
        first = first.and(keep_all(fs, tx, &alone));
    }
    let kept = first.and(note(fs, tx));
    kept.err().map(|error| not_kept(&error))
}

/// What is said of copies that could not be made.
pub fn not_kept(error: &GuestError) -> String {
    format!("not all of it could be copied: {}", error.refusal("").message)
}

/// What is said of what no copy can be named after.
pub fn not_named(folder: &str) -> String {
    format!("removed without a copy: what has a name that is no text in {folder}")
}

/// The path, or with `below` all files below the folder that it is; and folders there in which names are no text.
pub fn files_at(
    fs: &mut dyn GuestFs,
    path: &str,
    below: bool,
) -> Result<(Vec<String>, Vec<String>), GuestError> {
    let (mut found, mut unnamed) = (Vec::new(), Vec::new());
    if below && fs.stat(path)?.is_some_and(|stat| stat.kind == Kind::Directory) {
        list_files(fs, path, &mut found, &mut unnamed)?;
    } else {
        found.push(path.to_owned());
    }
    Ok((found, unnamed))
}

/// The same of the kernel's rules, by the program that lists them; those that the first try found.
pub fn keep_rules(fs: &mut dyn GuestFs, tx: &TxId, rules: &[(&str, &str)]) -> Option<String> {
    let kept = keep_texts(fs, tx, rules).and_then(|()| note(fs, tx));
    kept.err().map(|error| format!("the rules could not be copied: {}", error.refusal("").message))
}

/// Keeps texts by their names, but for those whose names are taken.
pub fn keep_texts(
    fs: &mut dyn GuestFs,
    tx: &TxId,
    texts: &[(&str, &str)],
) -> Result<(), GuestError> {
    for (name, text) in texts {
        let copy = format!("{}/{name}", folder(tx));
        if fs.stat(&copy)?.is_none() {
            store::check_room(fs, text.len() as u64)?;
            let fresh = fresh(fs, tx)?;
            fs.write(&fresh, &mut text.as_bytes(), 0o600, super::fs::Sync::Now)?;
            put(fs, &fresh, &copy)?;
        }
    }
    Ok(())
}

/// Notes where all copies of a transaction are.
pub fn note(fs: &mut dyn GuestFs, tx: &TxId) -> Result<(), GuestError> {
    let copies = of(fs, tx)?;
    // Before there is a transaction nobody notes them: its hooks alone may have been taken back.
    let is_noted = !copies.is_empty() && journal::is_pending(fs, tx)?;
    if is_noted { journal::note_copies(fs, tx, copies) } else { Ok(()) }
}

/// Copies that a transaction left and that are still there.
pub fn of(fs: &mut dyn GuestFs, tx: &TxId) -> Result<Vec<String>, GuestError> {
    let mut found = Vec::new();
    list_files(fs, &folder(tx), &mut found, &mut Vec::new())?;
    Ok(found)
}

/// Transactions that left copies.
pub fn transactions(fs: &mut dyn GuestFs) -> Result<Vec<TxId>, GuestError> {
    Ok(fs.list(COPIES)?.iter().filter_map(|name| name.parse().ok()).collect())
}

fn list_files(
    fs: &mut dyn GuestFs,
    folder: &str,
    found: &mut Vec<String>,
    unnamed: &mut Vec<String>,
) -> Result<(), GuestError> {
    let (names, others) = fs.list_text(folder)?;
    if others {
        unnamed.push(folder.to_owned());
    }
    for name in names {
        let path = format!("{folder}/{name}");
        match fs.stat(&path)?.map(|stat| stat.kind) {
            Some(Kind::Directory) => list_files(fs, &path, found, unnamed)?,
            _ => found.push(path),
        }
    }
    Ok(())
}
