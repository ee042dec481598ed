//! The guest's files: the one seam through which everything is read and changed.

use std::io::{self, Read};
use std::os::fd::OwnedFd;

/// The most bytes that are read from one file. Requests and what is kept of them are below; documents and logs far below.
pub const READ_BYTES_MAX: u64 = 32 << 20;

/// Effects on files, by absolute path on the guest. No path passes through a symlink but its last component, which is
/// never followed: a user who owns a folder cannot redirect what root does there.
pub trait GuestFs {
    /// What is at the path itself; none when nothing is.
    fn stat(&mut self, path: &str) -> Result<Option<Stat>, FsError>;
    /// The bytes of a regular file of at most [`READ_BYTES_MAX`].
    fn read(&mut self, path: &str) -> Result<Vec<u8>, FsError>;
    fn read_link(&mut self, path: &str) -> Result<String, FsError>;
    /// The names in a directory, sorted; none when it does not exist.
    fn list(&mut self, path: &str) -> Result<Vec<String>, FsError>;
    /// The same of those that are text, and whether there are others.
    fn list_text(&mut self, path: &str) -> Result<(Vec<String>, bool), FsError>;
    /// Removes whatever in a directory has a name that is no text, with everything below it.
    fn remove_unnamed(&mut self, path: &str) -> Result<(), FsError>;
    /// Writes a new file in place of a leftover one. What is written is only durable at once with `Sync::Now`.
    fn write(
        &mut self,
        path: &str,
        bytes: &mut dyn Read,
        mode: u32,
        sync: Sync,
    ) -> Result<(), FsError>;
    /// A symlink in place of a leftover one.
    fn symlink(&mut self, target: &str, path: &str) -> Result<(), FsError>;
    /// A second name for a file or a symlink; false when the name is taken, by whatever.
    fn link(&mut self, from: &str, to: &str) -> Result<bool, FsError>;
    fn rename(&mut self, from: &str, to: &str) -> Result<(), FsError>;
    /// Two paths that exist change places in one step: neither is ever missing. Needs a file system that can: ext4, xfs,
    /// btrfs, overlayfs, ZFS since 2.2. Source: rename(2), `RENAME_EXCHANGE`.
    fn exchange(&mut self, left: &str, right: &str) -> Result<(), FsError>;
    /// A file, a symlink or an empty directory leaves; it may be gone already.
    fn remove(&mut self, path: &str) -> Result<(), FsError>;
    /// A directory, which may be there already. Nobody but the owner may write, whatever `mode` says: the umask is 022.
    fn mkdir(&mut self, path: &str, mode: u32) -> Result<(), FsError>;
    /// Owner and mode of a file or directory; of a symlink the owner only.
    fn set_access(&mut self, path: &str, access: Ids) -> Result<(), FsError>;
    /// Makes a directory's names durable.
    fn sync_dir(&mut self, path: &str) -> Result<(), FsError>;
    /// Makes everything on the path's file system durable.
    fn sync_all(&mut self, path: &str) -> Result<(), FsError>;
    /// Free bytes for root on the path's file system.
    fn free_bytes(&mut self, path: &str) -> Result<u64, FsError>;
    /// Holds the lock file until the guard is dropped; none when somebody else has it.
    fn lock(&mut self, path: &str) -> Result<Option<Guard>, FsError>;

    /// The bytes of a regular file once more, however many, in place of a leftover file, root's alone and durable at once.
    fn copy(&mut self, from: &str, to: &str) -> Result<(), FsError> {
        let bytes = self.read(from)?;
        self.write(to, &mut &bytes[..], 0o600, Sync::Now)
    }

    /// Removes a path with everything below it; it may be gone already.
    fn remove_tree(&mut self, path: &str) -> Result<(), FsError> {
        if self.stat(path)?.is_some_and(|stat| stat.kind == Kind::Directory) {
            for name in self.list(path)? {
                self.remove_tree(&format!("{path}/{name}"))?;
            }
        }
        self.remove(path)
    }

    /// Bytes that a path and everything below it take; 0 when it is not there.
    fn tree_bytes(&mut self, path: &str) -> Result<u64, FsError> {
        let Some(stat) = self.stat(path)? else { return Ok(0) };
        let mut bytes = stat.size;
        if stat.kind == Kind::Directory {
            for name in self.list(path)? {
                bytes += self.tree_bytes(&format!("{path}/{name}"))?;
            }
        }
        Ok(bytes)
    }
}

/// Keeps a lock; the kernel lets go of it when the holder dies.
#[derive(Debug)]
pub struct Guard {
    _file: Option<OwnedFd>,
}

impl Guard {
    /// A guard that keeps the lock on an open file.
    pub fn held(file: OwnedFd) -> Self {
        Self { _file: Some(file) }
    }

    /// A guard without a file, for file systems in memory.
    pub fn detached() -> Self {
        Self { _file: None }
    }
}

/// When written bytes must be on disk.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sync {
    /// Before the call returns.
    Now,
    /// With the `sync_all` that follows: one for hundreds of files.
    Later,
}

/// Owner, group and permission bits, as numbers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Ids {
    pub uid: u32,
    pub gid: u32,
    pub mode: u32,
}

/// What sort of thing is at a path.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    File,
    Link,
    Directory,
    /// Device, socket or pipe.
    Special,
}

/// What is at a path.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Stat {
    pub kind: Kind,
    pub ids: Ids,
    pub size: u64,
    pub device: u64,
    pub inode: u64,
}

/// An effect on a file that did not happen.
#[derive(Debug, thiserror::Error)]
#[error("cannot {verb} `{path}`")]
pub struct FsError {
    pub verb: &'static str,
    pub path: String,
    #[source]
    pub cause: io::Error,
}

impl FsError {
    /// Whether the disk is full, or the quota of whoever writes.
    pub fn lacks_room(&self) -> bool {
        matches!(self.cause.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded)
    }
}

/// The folder of a path, and its name there.
pub fn split(path: &str) -> (&str, &str) {
    let (folder, name) = path.rsplit_once('/').unwrap_or(("", path));
    (if folder.is_empty() { "/" } else { folder }, name)
}

/// The text of a file; empty when nothing is there.
pub fn text(fs: &mut dyn GuestFs, path: &str) -> Result<String, FsError> {
    Ok(match fs.stat(path)? {
        Some(_) => String::from_utf8_lossy(&fs.read(path)?).into_owned(),
        None => String::new(),
    })
}

/// Puts bytes at a path whole or not at all, durably.
pub fn replace(fs: &mut dyn GuestFs, path: &str, bytes: &[u8], mode: u32) -> Result<(), FsError> {
    let fresh = format!("{path}.new");
    fs.write(&fresh, &mut &bytes[..], mode, Sync::Now)?;
    fs.rename(&fresh, path)?;
    fs.sync_dir(split(path).0)
}

/// A directory and all that it lacks above it, each durable in its parent.
pub fn mkdir_all(fs: &mut dyn GuestFs, path: &str, mode: u32) -> Result<(), FsError> {
    if path == "/" || fs.stat(path)?.is_some_and(|stat| stat.kind == Kind::Directory) {
        return Ok(());
    }
    let parent = split(path).0;
    mkdir_all(fs, parent, 0o755)?;
    fs.mkdir(path, mode)?;
    fs.sync_dir(parent)
}

/// Removes a path with everything below it.
pub fn remove_tree(fs: &mut dyn GuestFs, path: &str) -> Result<(), FsError> {
    fs.remove_tree(path)
}

#[cfg(test)]
mod tests {
    use super::*;
    use rustix::io::Errno;

    #[test]
    fn a_used_up_quota_is_a_lack_of_room_as_a_full_disk_is() {
        let lacks_room = |errno: Errno| {
            FsError { verb: "write", path: "/x".to_owned(), cause: errno.into() }.lacks_room()
        };
        assert_eq!([Errno::NOSPC, Errno::DQUOT, Errno::IO].map(lacks_room), [true, true, false]);
    }
}
