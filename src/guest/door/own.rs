//! The switch's own files of the door, which an undo restores before it knows whether all else goes back.

use super::super::before::{Before, Found};
use super::super::error::GuestError;
use super::super::fs::{GuestFs, Kind, remove_tree, split};
use super::super::{copies, journal, place};
use super::files::is_door;
use crate::model::{GuestPath, TxId};

/// Brings back the switch's own files of the door, apart from all others; whether one was another.
pub fn restore(fs: &mut dyn GuestFs, tx: &TxId, before: &Before) -> Result<bool, GuestError> {
    let (mut changed, mut first) = (false, Ok(()));
    for (path, found) in before.paths.iter().filter(|(path, _)| is_door(path.as_str())) {
        let restored = restore_one(fs, tx, (path, *found));
        changed |= *restored.as_ref().unwrap_or(&true);
        first = first.and(restored.map(drop));
    }
    first.map(|()| changed)
}

fn restore_one(
    fs: &mut dyn GuestFs,
    tx: &TxId,
    (path, found): (&GuestPath, Found),
) -> Result<bool, GuestError> {
    let was = fs.stat(path.as_str())?;
    let stands = was.map(|stat| stat.kind);
    let is_in_the_way = match found {
        Found::Absent => false,
        Found::Saved { .. } => stands == Some(Kind::Directory),
        Found::Directory { .. } => stands.is_some_and(|kind| kind != Kind::Directory),
    };
    // Nothing is renamed into the place of a folder, nor a folder into that of a file. Others' paths are no door, and stay.
    if is_in_the_way {
        let (files, unnamed) = copies::files_at(fs, path.as_str(), true)?;
        let told = copies::keep_taken_back(fs, tx, &files);
        let told = told.into_iter().chain(unnamed.iter().map(|folder| copies::not_named(folder)));
        journal::note_evidence(fs, tx, told.collect())?;
        remove_tree(fs, path.as_str())?;
    }
    place::restore(fs, tx, path, found)?;
    let changed = fs.stat(path.as_str())? != was;
    if changed {
        fs.sync_dir(split(path.as_str()).0)?;
    }
    Ok(changed)
}
