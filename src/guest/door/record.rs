//! The door on disk, in a folder that is root's alone.

use super::super::error::GuestError;
use super::super::fs::{FsError, GuestFs, Sync};
use super::super::kept;
use super::Door;
use super::texts::Texts;

const DOOR: &str = "way-in.json";
const TEXTS: &str = "way-in-texts";

pub fn write(
    fs: &mut dyn GuestFs,
    folder: &str,
    door: &Door,
    texts: &Texts,
) -> Result<(), FsError> {
    kept::write(fs, &format!("{folder}/{DOOR}"), door, 0o600)?;
    fs.write(&format!("{folder}/{TEXTS}"), &mut &texts.to_bytes()[..], 0o600, Sync::Now)
}

/// None in a transaction that an older version began.
pub fn read(fs: &mut dyn GuestFs, folder: &str) -> Result<Option<Door>, GuestError> {
    let path = format!("{folder}/{DOOR}");
    if fs.stat(&path)?.is_none() {
        return Ok(None);
    }
    kept::read(fs, &path).map(Some)
}

pub fn texts(fs: &mut dyn GuestFs, folder: &str) -> Result<Texts, GuestError> {
    let path = format!("{folder}/{TEXTS}");
    let texts = Texts::from_bytes(&fs.read(&path)?);
    texts.ok_or_else(|| GuestError::Inconsistent(format!("`{path}` is not what stackc wrote")))
}
