//! `pin`: a generation that `gc` keeps until a person lets go of it.

use super::error::GuestError;
use super::fs::{GuestFs, replace};
use super::{Guest, generation, release, store};
use crate::model::protocol::{Done, PinRequest};
use crate::model::{Generation, GenerationId, Outcome};
use std::collections::BTreeSet;

/// In the generation's own folder, so that it leaves with it; its text is who asked.
fn path(number: GenerationId) -> String {
    format!("{}/pinned", generation::path(number))
}

/// Generations that are pinned.
pub fn pinned(fs: &mut dyn GuestFs) -> Result<BTreeSet<GenerationId>, GuestError> {
    let mut pinned = BTreeSet::new();
    for number in generation::numbers(fs)? {
        pinned.extend(fs.stat(&path(number))?.map(|_| number));
    }
    Ok(pinned)
}

/// Pins a generation that is there whole, or lets go of one.
pub fn pin(guest: &mut Guest, request: &PinRequest) -> Result<Done, GuestError> {
    let number = request.number;
    if !generation::numbers(guest.fs)?.contains(&number) {
        return Err(GuestError::Unfit(format!("there is no generation {number}")));
    }
    let (path, folder) = (path(number), generation::path(number));
    let already = guest.fs.stat(&path)?.is_some() == request.pinned;
    if request.pinned && !already {
        refuse_incomplete(guest.fs, number)?;
        replace(guest.fs, &path, format!("{}\n", request.caller.who).as_bytes(), 0o644)?;
    } else if !already {
        guest.fs.remove(&path)?;
        guest.fs.sync_dir(&folder)?;
    }
    Ok(Done { already })
}

/// Only what a rollback could go to is worth its room.
fn refuse_incomplete(fs: &mut dyn GuestFs, number: GenerationId) -> Result<(), GuestError> {
    let Generation { digest, release, secrets, outcome, .. } = generation::read(fs, number)?;
    let no = |why: &str| Err(GuestError::Unfit(format!("generation {number} {why}")));
    let Some(digest) = digest else {
        return no("is the guest as it was found, and holds no bundle");
    };
    if outcome != Outcome::Confirmed {
        return no("was never confirmed, so that no rollback goes there");
    }
    let is_built = match release {
        Some(release) => release::is_built(fs, release)?,
        None => true,
    };
    let whole = fs.stat(&store::tree_path(&digest))?.is_some()
        && fs.stat(&generation::secrets_path(secrets))?.is_some()
        && is_built;
    if whole {
        Ok(())
    } else {
        no("has been collected in part; a rollback to it sends what is missing")
    }
}
