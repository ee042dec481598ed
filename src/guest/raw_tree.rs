//! Whole trees by the bytes of their names, which need not be text: what an app leaves in its release is not ours to name.

use rustix::fs::{self as sys, AtFlags, FileType, Mode, OFlags};
use rustix::io::{Errno, Result};
use std::ffi::{CStr, CString};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

/// `st_blocks` counts these, whatever the file system's own are. Source: stat(3type).
const BLOCK_BYTES: u64 = 512;

/// Removes a name with everything below it. No symlink is followed.
pub fn remove(folder: BorrowedFd<'_>, name: &CStr) -> Result<()> {
    match sys::unlinkat(folder, name, AtFlags::empty()) {
        Err(Errno::NOENT) => Ok(()),
        Err(Errno::ISDIR | Errno::PERM) => remove_directory(folder, name),
        other => other,
    }
}

fn remove_directory(folder: BorrowedFd<'_>, name: &CStr) -> Result<()> {
    let inside = open(folder, name)?;
    for name in names(&inside)? {
        remove(inside.as_fd(), &name)?;
    }
    match sys::unlinkat(folder, name, AtFlags::REMOVEDIR) {
        Err(Errno::NOENT) => Ok(()),
        other => other,
    }
}

/// The room that a name and everything below it take on the disk.
pub fn bytes(folder: BorrowedFd<'_>, name: &CStr) -> Result<u64> {
    let stat = sys::statat(folder, name, AtFlags::SYMLINK_NOFOLLOW)?;
    let mut total = u64::try_from(stat.st_blocks).unwrap_or(0).saturating_mul(BLOCK_BYTES);
    if FileType::from_raw_mode(stat.st_mode) == FileType::Directory {
        let inside = open(folder, name)?;
        for name in names(&inside)? {
            total = total.saturating_add(bytes(inside.as_fd(), &name)?);
        }
    }
    Ok(total)
}

fn open(folder: BorrowedFd<'_>, name: &CStr) -> Result<OwnedFd> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    sys::openat(folder, name, flags, Mode::empty())
}

fn names(folder: &OwnedFd) -> Result<Vec<CString>> {
    let mut names = Vec::new();
    for entry in sys::Dir::read_from(folder)? {
        let entry = entry?;
        let name = entry.file_name();
        if name != c"." && name != c".." {
            names.push(name.to_owned());
        }
    }
    Ok(names)
}
