//! What is at a path of the door, told apart by hash: its bytes may be a secret, and lie in a file of their own.

use super::super::error::GuestError;
use super::super::fs::{GuestFs, Ids, Kind, Sync, mkdir_all, remove_tree, split};
use super::texts::{TEXT_BYTES_MAX, Texts};
use crate::model::Digest;
use serde::{Deserialize, Serialize};

/// The name under which a text grows beside its path: it fits whatever the path's own name is.
const FRESH: &str = ".stackc-door.tmp";

/// Who may change what is at a path.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Whose {
    /// Root alone: what stands in the way of its return is removed.
    Roots,
    /// A user: nothing that they put there may keep the guest from its end, nor is a folder of theirs removed.
    Users,
}

/// What is at a path.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase", deny_unknown_fields)]
pub enum Part {
    Absent,
    File { uid: u32, gid: u32, mode: u32, sha256: Digest },
    Link { target: String },
    Directory { uid: u32, gid: u32, mode: u32 },
}

impl Part {
    /// What is there, and a file's bytes; none when it is nothing that is kept: a device, or a file that is too long.
    pub fn of(fs: &mut dyn GuestFs, path: &str) -> Result<Option<(Self, Vec<u8>)>, GuestError> {
        let Some(stat) = fs.stat(path)? else { return Ok(Some((Self::Absent, Vec::new()))) };
        let Ids { uid, gid, mode } = stat.ids;
        Ok(Some(match stat.kind {
            Kind::Link => (Self::Link { target: fs.read_link(path)? }, Vec::new()),
            Kind::Directory => (Self::Directory { uid, gid, mode }, Vec::new()),
            Kind::File if stat.size <= TEXT_BYTES_MAX => {
                let bytes = fs.read(path)?;
                (Self::File { uid, gid, mode, sha256: Digest::of(&bytes) }, bytes)
            }
            Kind::File | Kind::Special => return Ok(None),
        }))
    }

    pub fn is_directory(&self) -> bool {
        matches!(self, Self::Directory { .. })
    }

    /// Brings it back.
    pub fn put(
        &self,
        fs: &mut dyn GuestFs,
        path: &str,
        texts: &Texts,
        whose: Whose,
    ) -> Result<(), GuestError> {
        if *self != Self::Absent {
            mkdir_all(fs, split(path).0, 0o755)?;
        }
        self.clear(fs, path, whose)?;
        match *self {
            Self::Absent => Ok(()),
            Self::Link { ref target } => Ok(fs.symlink(target, path)?),
            Self::Directory { uid, gid, mode } => {
                fs.mkdir(path, mode)?;
                Ok(fs.set_access(path, Ids { uid, gid, mode })?)
            }
            Self::File { uid, gid, mode, sha256 } => {
                write(fs, path, texts.get(sha256)?, Ids { uid, gid, mode })
            }
        }
    }

    /// Removes what stands in the way: what no rename replaces.
    fn clear(&self, fs: &mut dyn GuestFs, path: &str, whose: Whose) -> Result<(), GuestError> {
        let stands = fs.stat(path)?.map(|stat| stat.kind);
        let is_in_the_way = match (self, stands) {
            (_, None) | (Self::Directory { .. }, Some(Kind::Directory)) => false,
            (Self::Absent | Self::Directory { .. }, _) | (_, Some(Kind::Directory)) => true,
            _ => false,
        };
        match whose {
            _ if !is_in_the_way => Ok(()),
            Whose::Roots => Ok(remove_tree(fs, path)?),
            Whose::Users => Ok(fs.remove(path)?),
        }
    }
}

/// Puts bytes there whole or not at all, with their owner and mode from the first moment on.
pub fn write(fs: &mut dyn GuestFs, path: &str, bytes: &[u8], ids: Ids) -> Result<(), GuestError> {
    let fresh = format!("{}/{FRESH}", split(path).0);
    fs.write(&fresh, &mut &bytes[..], 0o600, Sync::Now)?;
    fs.set_access(&fresh, ids)?;
    Ok(fs.rename(&fresh, path)?)
}
