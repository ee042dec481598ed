//! `detach`: stackc leaves a guest that is as it was found. Whoever dies in between does it again.

use super::error::GuestError;
use super::fs::{GuestFs, remove_tree, split};
use super::{Guest, found, generation, journal, lease, packages, place, recover, sweep};
use crate::model::GenerationId;
use crate::model::layout::{BINARIES, STATE};
use crate::model::protocol::DetachReply;

/// What releases of the app share, such as uploads: nobody else has it.
const SHARED: &str = "/var/lib/stackc/shared";
/// Where it stays.
const KEPT: &str = "/var/lib/stackc-shared";
/// All of stackc's, from the moment at which none of it counts any more.
const GONE: &str = "/var/lib/stackc.gone";

/// Removes all that stackc keeps on the guest, this program last. The app's own records are moved aside before.
pub fn detach(guest: &mut Guest) -> Result<DetachReply, GuestError> {
    refuse_live(guest.fs)?;
    let shared = keep_shared(guest.fs)?;
    sweep::sweep(guest)?;
    packages::restore_sources(guest.fs, GenerationId::FOUND)?;
    packages::services::release(guest)?;
    recover::uninstall(guest)?;
    take_place(guest.fs)?;
    remove_tree(guest.fs, GONE)?;
    guest.fs.sync_dir(split(STATE).0)?;
    remove_tree(guest.fs, BINARIES)?;
    let parent = split(BINARIES).0;
    if guest.fs.stat(parent)?.is_some() {
        guest.fs.sync_dir(parent)?;
    }
    leave_place(guest.fs)?;
    Ok(DetachReply { shared })
}

/// Takes the lock away, and the folder, unless the next operator has begun in it: without the lock file nothing is ours.
fn leave_place(fs: &mut dyn GuestFs) -> Result<(), GuestError> {
    fs.remove(lease::LOCK)?;
    let removed = fs.remove(STATE);
    if fs.list(STATE)?.is_empty() {
        removed?;
    }
    Ok(fs.sync_dir(split(STATE).0)?)
}

/// One step ends it: no half-removed folder has the name that the next call looks at, but one with nothing in it except
/// the lock that we hold. By this second name it keeps the next operator out until all is gone.
fn take_place(fs: &mut dyn GuestFs) -> Result<(), GuestError> {
    remove_tree(fs, GONE)?;
    fs.mkdir(GONE, 0o755)?;
    fs.link(lease::LOCK, &lease::LOCK.replacen(STATE, GONE, 1))?;
    fs.exchange(GONE, STATE)?;
    Ok(fs.sync_dir(split(STATE).0)?)
}

/// What is live would lose its files.
fn refuse_live(fs: &mut dyn GuestFs) -> Result<(), GuestError> {
    if let Some(tx) = journal::pending(fs)?.first() {
        return Err(GuestError::Busy { holder: format!("transaction `{tx}` is not over") });
    }
    match generation::live(fs)? {
        Some(number) if !found::is_found(fs, number)? => Err(GuestError::Unfit(format!(
            "generation {number} is live; the guest has to be as it was found"
        ))),
        _ => Ok(()),
    }
}

fn keep_shared(fs: &mut dyn GuestFs) -> Result<Option<String>, GuestError> {
    let is_kept = fs.stat(KEPT)?.is_some();
    place::remove_or_leave(fs, SHARED)?;
    if fs.stat(SHARED)?.is_some() {
        if is_kept {
            return Err(GuestError::Unfit(format!(
                "`{KEPT}` is there already; move it away first"
            )));
        }
        fs.rename(SHARED, KEPT)?;
        fs.sync_dir(STATE)?;
        fs.sync_dir(split(KEPT).0)?;
        return Ok(Some(KEPT.to_owned()));
    }
    Ok(is_kept.then(|| KEPT.to_owned()))
}
