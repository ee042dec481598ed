//! What is at a path of the door, told apart by hash: its bytes may be a secret, and lie in a file of their own.

use super::super::error::GuestError;
use super::super::fs::{GuestFs, Ids, Kind, Stat, Sync, mkdir_all, remove_tree, split};
use crate::model::Digest;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// What is longer is no configuration, such as sshd's moduli, and is not kept.
const TEXT_BYTES_MAX: u64 = 64 << 10;

/// Texts by their hash: host keys and password hashes among them, so that nothing can print them.
#[derive(Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Texts {
    texts: BTreeMap<Digest, String>,
}

impl Texts {
    pub fn add(&mut self, text: &str) -> Digest {
        let hash = Digest::of(text.as_bytes());
        self.texts.entry(hash).or_insert_with(|| text.to_owned());
        hash
    }

    pub fn get(&self, hash: Digest) -> Result<&str, GuestError> {
        let missing = || GuestError::Inconsistent(format!("no text `{}` was kept", hash.short()));
        self.texts.get(&hash).map(String::as_str).ok_or_else(missing)
    }
}

/// What is at a path.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase", deny_unknown_fields)]
pub enum Part {
    Absent,
    File {
        uid: u32,
        gid: u32,
        mode: u32,
        sha256: Digest,
    },
    Link {
        target: String,
    },
    Directory {
        uid: u32,
        gid: u32,
        mode: u32,
    },
    /// Too long, no text, or a device: whatever it is, it stays.
    Other,
}

impl Part {
    pub fn of(
        fs: &mut dyn GuestFs,
        path: &str,
        stat: Option<Stat>,
        texts: &mut Texts,
    ) -> Result<Self, GuestError> {
        let Some(stat) = stat else { return Ok(Self::Absent) };
        let Ids { uid, gid, mode } = stat.ids;
        Ok(match stat.kind {
            Kind::Link => Self::Link { target: fs.read_link(path)? },
            Kind::Directory => Self::Directory { uid, gid, mode },
            Kind::File if stat.size <= TEXT_BYTES_MAX => match String::from_utf8(fs.read(path)?) {
                Ok(text) => Self::File { uid, gid, mode, sha256: texts.add(&text) },
                Err(_) => Self::Other,
            },
            Kind::File | Kind::Special => Self::Other,
        })
    }

    pub fn put(&self, fs: &mut dyn GuestFs, path: &str, texts: &Texts) -> Result<(), GuestError> {
        let is_folder = fs.stat(path)?.is_some_and(|stat| stat.kind == Kind::Directory);
        if is_folder && !matches!(self, Self::Directory { .. } | Self::Other) {
            remove_tree(fs, path)?;
        }
        mkdir_all(fs, split(path).0, 0o755)?;
        match *self {
            Self::Absent => Ok(fs.remove(path)?),
            Self::Link { ref target } => {
                fs.remove(path)?;
                Ok(fs.symlink(target, path)?)
            }
            Self::Directory { uid, gid, mode } => {
                fs.mkdir(path, mode)?;
                Ok(fs.set_access(path, Ids { uid, gid, mode })?)
            }
            Self::File { uid, gid, mode, sha256 } => {
                write(fs, path, texts.get(sha256)?, Some(Ids { uid, gid, mode }))
            }
            Self::Other => Ok(()),
        }
    }
}

/// Puts a text there whole or not at all, with its owner and mode from the first moment on.
pub fn write(
    fs: &mut dyn GuestFs,
    path: &str,
    text: &str,
    ids: Option<Ids>,
) -> Result<(), GuestError> {
    let fresh = format!("{path}.stackc-door.tmp");
    fs.write(&fresh, &mut text.as_bytes(), 0o600, Sync::Now)?;
    if let Some(ids) = ids {
        fs.set_access(&fresh, ids)?;
    }
    Ok(fs.rename(&fresh, path)?)
}
