//! What the guest's binary keeps for itself, generations and journals among it: canonical JSON that says its format.

use super::error::GuestError;
use super::fs::{FsError, GuestFs, READ_BYTES_MAX, Sync, replace};
use crate::model::canonical;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use std::io;

/// The one format so far. A reader keeps an old one while a generation or a transaction may have it.
pub const FORMAT: u32 = 1;

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Kept<T> {
    format: u32,
    kept: T,
}

/// All that another format may still have in common with this one.
#[derive(Deserialize)]
struct Head {
    format: u32,
}

/// Refuses what `read` would not take: nothing is kept that cannot be had again.
fn to_bytes<T: Serialize>(path: &str, kept: &T) -> Result<Vec<u8>, FsError> {
    let bytes = canonical::to_bytes(&Kept { format: FORMAT, kept });
    if bytes.len() as u64 <= READ_BYTES_MAX {
        return Ok(bytes);
    }
    let cause = io::ErrorKind::FileTooLarge.into();
    Err(FsError { verb: "keep", path: path.to_owned(), cause })
}

/// Reads what was kept.
///
/// # Errors
/// When a newer stackc wrote it, and when nobody's did.
pub fn read<T: Serialize + DeserializeOwned>(
    fs: &mut dyn GuestFs,
    path: &str,
) -> Result<T, GuestError> {
    let bytes = fs.read(path)?;
    match serde_json::from_slice(&bytes) {
        Ok(Head { format }) if format != FORMAT => {
            return Err(GuestError::Format { path: path.to_owned(), found: format });
        }
        _ => {}
    }
    let kept: Result<Kept<T>, _> = canonical::from_slice(&bytes);
    kept.map(|kept| kept.kept)
        .map_err(|cause| GuestError::Document { path: path.to_owned(), cause })
}

/// The same; none when nothing was kept.
pub fn find<T: Serialize + DeserializeOwned>(
    fs: &mut dyn GuestFs,
    path: &str,
) -> Result<Option<T>, GuestError> {
    if fs.stat(path)?.is_some() { read(fs, path).map(Some) } else { Ok(None) }
}

/// Writes it to a path that nobody sees yet, durably.
pub fn write<T: Serialize>(
    fs: &mut dyn GuestFs,
    path: &str,
    kept: &T,
    mode: u32,
) -> Result<(), FsError> {
    fs.write(path, &mut &to_bytes(path, kept)?[..], mode, Sync::Now)
}

/// Puts it at a path whole or not at all, durably.
pub fn put<T: Serialize>(
    fs: &mut dyn GuestFs,
    path: &str,
    kept: &T,
    mode: u32,
) -> Result<(), FsError> {
    replace(fs, path, &to_bytes(path, kept)?, mode)
}
