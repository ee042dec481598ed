//! What calls that died left half-made, removed.

use super::error::GuestError;
use super::fs::{GuestFs, remove_tree};
use super::{Guest, packages};
use crate::model::layout::{BINARIES, STATE};

/// What is not whole yet.
pub const HALF_MADE: &str = ".tmp-";
/// What `gc` has renamed away and not removed yet.
pub const GONE: &str = ".tmp-gone-";

/// Removes half-made folders, and gives up a hold on services.
pub fn sweep(guest: &mut Guest) -> Result<(), GuestError> {
    packages::release_services(guest.fs)?;
    for folder in ["store", "releases", "secrets", "generations", "tx", "drift"] {
        sweep_folder(guest.fs, &format!("{STATE}/{folder}"), HALF_MADE)?;
    }
    for prefix in [HALF_MADE, ".gone-"] {
        sweep_folder(guest.fs, STATE, prefix)?;
    }
    sweep_folder(guest.fs, BINARIES, GONE)
}

fn sweep_folder(fs: &mut dyn GuestFs, folder: &str, prefix: &str) -> Result<(), GuestError> {
    for name in fs.list(folder)?.iter().filter(|name| name.starts_with(prefix)) {
        remove_tree(fs, &format!("{folder}/{name}"))?;
    }
    Ok(())
}
