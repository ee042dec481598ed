//! The real files of a guest, reached by openat2(2) below a root.

use super::fs::{FsError, Guard, GuestFs, Ids, Kind, READ_BYTES_MAX, Stat, Sync, split};
use super::raw_tree;
use rustix::fs::{
    self as sys, AtFlags, CWD, FileType, FlockOperation, Mode, OFlags, RenameFlags, ResolveFlags,
};
use rustix::io::Errno;
use std::ffi::CString;
use std::fs::File;
use std::io::{self, Read};
use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;

/// The real files below a root: `/`, or the folder of `--root`.
#[derive(Debug)]
pub struct RealFs {
    root: OwnedFd,
}

impl RealFs {
    pub fn open(root: &Path) -> Result<Self, FsError> {
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let root_fd = sys::openat(CWD, root, flags, Mode::empty());
        root_fd.map(|root| Self { root }).map_err(|cause| FsError {
            verb: "open",
            path: root.display().to_string(),
            cause: cause.into(),
        })
    }

    fn open_at(&self, path: &str, flags: OFlags, mode: u32) -> rustix::io::Result<OwnedFd> {
        let below = path.trim_start_matches('/');
        let below = if below.is_empty() { "." } else { below };
        let beneath =
            ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS | ResolveFlags::NO_MAGICLINKS;
        let flags = flags | OFlags::CLOEXEC | OFlags::NOFOLLOW;
        sys::openat2(&self.root, below, flags, Mode::from_raw_mode(mode), beneath)
    }

    /// Whether an open file is still the one at its path.
    fn is_at(&mut self, path: &str, file: &OwnedFd) -> Result<bool, FsError> {
        let open = sys::fstat(file).map_err(|cause| failed("look at", path, cause))?;
        Ok(self.stat(path)?.is_some_and(|there| there.inode == open.st_ino))
    }

    /// The directory that holds the path, and the path's name in it.
    fn parent<'p>(&self, path: &'p str) -> rustix::io::Result<(OwnedFd, &'p str)> {
        let (folder, name) = split(path);
        let name = if name.is_empty() { "." } else { name };
        Ok((self.open_at(folder, OFlags::PATH | OFlags::DIRECTORY, 0)?, name))
    }

    fn open_file(&self, path: &str) -> io::Result<File> {
        let file = File::from(self.open_at(path, OFlags::RDONLY | OFlags::NONBLOCK, 0)?);
        if file.metadata()?.is_file() { Ok(file) } else { Err(Errno::INVAL.into()) }
    }

    fn write_new<R: Read + ?Sized>(
        &self,
        path: &str,
        bytes: &mut R,
        mode: u32,
        sync: Sync,
    ) -> io::Result<()> {
        let (folder, name) = self.parent(path)?;
        absent_is_fine(sys::unlinkat(&folder, name, AtFlags::empty()))?;
        let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::CLOEXEC;
        let fd = sys::openat(&folder, name, flags | OFlags::NOFOLLOW, Mode::from_raw_mode(0o600))?;
        let written = fill(&File::from(fd), bytes, mode, sync);
        if written.is_err() {
            // Half a file is no use to anybody, and on a full disk it holds what the next one needs.
            let _gone = sys::unlinkat(&folder, name, AtFlags::empty());
        }
        written
    }

    fn link_at(&self, from: &str, to: &str) -> rustix::io::Result<()> {
        let (from_folder, from_name) = self.parent(from)?;
        let (to_folder, to_name) = self.parent(to)?;
        sys::linkat(from_folder, from_name, to_folder, to_name, AtFlags::empty())
    }

    fn rename_at(&self, from: &str, to: &str) -> rustix::io::Result<()> {
        let (from_folder, from_name) = self.parent(from)?;
        let (to_folder, to_name) = self.parent(to)?;
        sys::renameat(from_folder, from_name, to_folder, to_name)
    }

    fn exchange_at(&self, left: &str, right: &str) -> rustix::io::Result<()> {
        let (left_folder, left_name) = self.parent(left)?;
        let (right_folder, right_name) = self.parent(right)?;
        let flags = RenameFlags::EXCHANGE;
        sys::renameat_with(left_folder, left_name, right_folder, right_name, flags)
    }

    fn remove_at(&self, path: &str) -> rustix::io::Result<()> {
        let (folder, name) = self.parent(path)?;
        match sys::unlinkat(&folder, name, AtFlags::empty()) {
            Err(Errno::ISDIR | Errno::PERM) => sys::unlinkat(&folder, name, AtFlags::REMOVEDIR),
            other => other,
        }
    }

    fn set_access_at(&self, path: &str, ids: Ids) -> io::Result<()> {
        let (folder, name) = self.parent(path)?;
        let owner = (rustix::fs::Uid::from_raw(ids.uid), rustix::fs::Gid::from_raw(ids.gid));
        let (uid, gid) = (Some(owner.0), Some(owner.1));
        sys::chownat(&folder, name, uid, gid, AtFlags::SYMLINK_NOFOLLOW)?;
        let stat = sys::statat(&folder, name, AtFlags::SYMLINK_NOFOLLOW)?;
        if FileType::from_raw_mode(stat.st_mode) == FileType::Symlink {
            return Ok(());
        }
        let flags = OFlags::RDONLY | OFlags::NONBLOCK;
        Ok(sys::fchmod(self.open_at(path, flags, 0)?, Mode::from_raw_mode(ids.mode))?)
    }
}

impl GuestFs for RealFs {
    fn stat(&mut self, path: &str) -> Result<Option<Stat>, FsError> {
        let found = self
            .parent(path)
            .and_then(|(folder, name)| sys::statat(folder, name, AtFlags::SYMLINK_NOFOLLOW));
        match found {
            Ok(stat) => Ok(Some(Stat::from(&stat))),
            Err(Errno::NOENT | Errno::NOTDIR) => Ok(None),
            Err(cause) => Err(failed("look at", path, cause)),
        }
    }

    fn read(&mut self, path: &str) -> Result<Vec<u8>, FsError> {
        let mut bytes = Vec::new();
        let file = self.open_file(path);
        let read = file.and_then(|f| f.take(READ_BYTES_MAX + 1).read_to_end(&mut bytes));
        match read {
            Ok(count) if count as u64 > READ_BYTES_MAX => Err(failed("read", path, Errno::FBIG)),
            Ok(_) => Ok(bytes),
            Err(cause) => Err(failed("read", path, cause)),
        }
    }

    fn read_link(&mut self, path: &str) -> Result<String, FsError> {
        let target = self
            .parent(path)
            .and_then(|(folder, name)| sys::readlinkat(folder, name, Vec::new()))
            .map_err(|cause| failed("read the link", path, cause))?;
        target.into_string().map_err(|_| failed("read the link", path, Errno::ILSEQ))
    }

    fn list(&mut self, path: &str) -> Result<Vec<String>, FsError> {
        match self.list_text(path)? {
            (names, false) => Ok(names),
            (_, true) => Err(failed("list", path, Errno::ILSEQ)),
        }
    }

    fn list_text(&mut self, path: &str) -> Result<(Vec<String>, bool), FsError> {
        let folder = match self.open_at(path, OFlags::RDONLY | OFlags::DIRECTORY, 0) {
            Err(Errno::NOENT) => return Ok((Vec::new(), false)),
            other => other.map_err(|cause| failed("list", path, cause))?,
        };
        let found = raw_tree::names(&folder).map_err(|cause| failed("list", path, cause))?;
        let count = found.len();
        let mut names: Vec<String> =
            found.into_iter().filter_map(|name| name.into_string().ok()).collect();
        let others = names.len() < count;
        names.sort();
        Ok((names, others))
    }

    fn write(
        &mut self,
        path: &str,
        bytes: &mut dyn Read,
        mode: u32,
        sync: Sync,
    ) -> Result<(), FsError> {
        self.write_new(path, bytes, mode, sync).map_err(|cause| failed("write", path, cause))
    }

    fn symlink(&mut self, target: &str, path: &str) -> Result<(), FsError> {
        self.parent(path)
            .and_then(|(folder, name)| {
                absent_is_fine(sys::unlinkat(&folder, name, AtFlags::empty()))?;
                sys::symlinkat(target, folder, name)
            })
            .map_err(|cause| failed("make the link", path, cause))
    }

    fn link(&mut self, from: &str, to: &str) -> Result<bool, FsError> {
        match self.link_at(from, to) {
            Ok(()) => Ok(true),
            Err(Errno::EXIST) => Ok(false),
            Err(cause) => Err(failed("make the second name", to, cause)),
        }
    }

    fn rename(&mut self, from: &str, to: &str) -> Result<(), FsError> {
        self.rename_at(from, to).map_err(|cause| failed("put in place", to, cause))
    }

    fn exchange(&mut self, left: &str, right: &str) -> Result<(), FsError> {
        self.exchange_at(left, right)
            .map_err(|cause| failed("put the new one in the place of", right, cause))
    }

    fn remove(&mut self, path: &str) -> Result<(), FsError> {
        absent_is_fine(self.remove_at(path)).map_err(|cause| failed("remove", path, cause))
    }

    fn mkdir(&mut self, path: &str, mode: u32) -> Result<(), FsError> {
        let result = self.parent(path).and_then(|(folder, name)| {
            match sys::mkdirat(&folder, name, Mode::from_raw_mode(mode)) {
                Ok(()) => Ok(()),
                Err(Errno::EXIST) => {
                    self.open_at(path, OFlags::PATH | OFlags::DIRECTORY, 0).map(drop)
                }
                Err(cause) => Err(cause),
            }
        });
        result.map_err(|cause| failed("make the directory", path, cause))
    }

    fn set_access(&mut self, path: &str, ids: Ids) -> Result<(), FsError> {
        self.set_access_at(path, ids).map_err(|cause| failed("set owner and mode of", path, cause))
    }

    fn sync_dir(&mut self, path: &str) -> Result<(), FsError> {
        self.open_at(path, OFlags::RDONLY | OFlags::DIRECTORY, 0)
            .and_then(sys::fsync)
            .map_err(|cause| failed("make durable", path, cause))
    }

    fn sync_all(&mut self, path: &str) -> Result<(), FsError> {
        self.open_at(path, OFlags::RDONLY | OFlags::DIRECTORY, 0)
            .and_then(sys::syncfs)
            .map_err(|cause| failed("make everything durable on the file system of", path, cause))
    }

    fn free_bytes(&mut self, path: &str) -> Result<u64, FsError> {
        self.open_at(path, OFlags::RDONLY | OFlags::DIRECTORY, 0)
            .and_then(sys::fstatvfs)
            .map(|stat| stat.f_bfree.saturating_mul(stat.f_frsize))
            .map_err(|cause| failed("measure the free space at", path, cause))
    }

    fn lock(&mut self, path: &str) -> Result<Option<Guard>, FsError> {
        let locked = self.open_at(path, OFlags::RDWR | OFlags::CREATE, 0o600).and_then(|fd| {
            sys::flock(fd.as_fd(), FlockOperation::NonBlockingLockExclusive)?;
            // Others' programs may lock by either call, neither of which the other one sees: lckpwdf(3) does by this.
            sys::fcntl_lock(fd.as_fd(), FlockOperation::NonBlockingLockExclusive).map(|()| fd)
        });
        match locked {
            // Who had it may have taken the file away: then it locks nobody else out.
            Ok(fd) if self.is_at(path, &fd)? => Ok(Some(Guard::held(fd))),
            Ok(_) | Err(Errno::WOULDBLOCK) => Ok(None),
            Err(cause) => Err(failed("lock", path, cause)),
        }
    }

    /// From file to file `io::copy` has the kernel do it, which shares the blocks where the file system can.
    fn copy(&mut self, from: &str, to: &str) -> Result<(), FsError> {
        let copied = self
            .open_file(from)
            .and_then(|mut file| self.write_new(to, &mut file, 0o600, Sync::Now));
        copied.map_err(|cause| failed("copy", from, cause))
    }

    fn remove_unnamed(&mut self, path: &str) -> Result<(), FsError> {
        let removed =
            self.open_at(path, OFlags::RDONLY | OFlags::DIRECTORY, 0).and_then(|folder| {
                let mut names = raw_tree::names(&folder)?;
                names.retain(|name| name.to_str().is_err());
                names.iter().try_for_each(|name| raw_tree::remove(folder.as_fd(), name))
            });
        absent_is_fine(removed).map_err(|cause| failed("remove", path, cause))
    }

    fn remove_tree(&mut self, path: &str) -> Result<(), FsError> {
        let removed = self.parent(path).and_then(|(folder, name)| {
            raw_tree::remove(folder.as_fd(), &CString::new(name).map_err(|_| Errno::INVAL)?)
        });
        // A folder above it that is not there has nothing below it.
        absent_is_fine(removed).map_err(|cause| failed("remove", path, cause))
    }

    fn tree_bytes(&mut self, path: &str) -> Result<u64, FsError> {
        let found = self.parent(path).and_then(|(folder, name)| {
            raw_tree::bytes(folder.as_fd(), &CString::new(name).map_err(|_| Errno::INVAL)?)
        });
        match found {
            Err(Errno::NOENT) => Ok(0),
            found => found.map_err(|cause| failed("measure", path, cause)),
        }
    }
}

impl From<&sys::Stat> for Stat {
    fn from(stat: &sys::Stat) -> Self {
        let kind = match FileType::from_raw_mode(stat.st_mode) {
            FileType::RegularFile => Kind::File,
            FileType::Symlink => Kind::Link,
            FileType::Directory => Kind::Directory,
            _ => Kind::Special,
        };
        let ids = Ids { uid: stat.st_uid, gid: stat.st_gid, mode: stat.st_mode & 0o7777 };
        let size = u64::try_from(stat.st_size).unwrap_or(0);
        Self { kind, ids, size, device: stat.st_dev, inode: stat.st_ino }
    }
}

fn fill<R: Read + ?Sized>(mut file: &File, bytes: &mut R, mode: u32, sync: Sync) -> io::Result<()> {
    io::copy(bytes, &mut file)?;
    // The umask has no say.
    sys::fchmod(file, Mode::from_raw_mode(mode))?;
    if sync == Sync::Now { file.sync_all() } else { Ok(()) }
}

fn absent_is_fine(result: rustix::io::Result<()>) -> rustix::io::Result<()> {
    match result {
        Err(Errno::NOENT) => Ok(()),
        other => other,
    }
}

fn failed(verb: &'static str, path: &str, cause: impl Into<io::Error>) -> FsError {
    FsError { verb, path: path.to_owned(), cause: cause.into() }
}
