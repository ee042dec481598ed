//! Whole trees by the bytes of their names, which need not be text: what an app leaves in its release is not ours to name.
//! Of however deep a tree only one folder is open at a time: who owns it could use up every descriptor otherwise.

use rustix::fs::{self as sys, AtFlags, FileType, Mode, OFlags};
use rustix::io::{Errno, Result};
use std::ffi::{CStr, CString};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

/// `st_blocks` counts these, whatever the file system's own are. Source: stat(3type).
const BLOCK_BYTES: u64 = 512;

/// Removes a name with everything below it. No symlink is followed.
pub fn remove(folder: BorrowedFd<'_>, name: &CStr) -> Result<()> {
    let mut enter =
        |folder: BorrowedFd<'_>, name: &CStr| match sys::unlinkat(folder, name, AtFlags::empty()) {
            Ok(()) | Err(Errno::NOENT) => Ok(false),
            Err(Errno::ISDIR | Errno::PERM) => Ok(true),
            Err(cause) => Err(cause),
        };
    walk(folder, name, &mut enter, |folder, name| {
        match sys::unlinkat(folder, name, AtFlags::REMOVEDIR) {
            Err(Errno::NOENT) => Ok(()),
            other => other,
        }
    })
}

/// The room that a name and everything below it take on the disk.
pub fn bytes(folder: BorrowedFd<'_>, name: &CStr) -> Result<u64> {
    let mut total = 0_u64;
    let mut enter = |folder: BorrowedFd<'_>, name: &CStr| {
        let stat = sys::statat(folder, name, AtFlags::SYMLINK_NOFOLLOW)?;
        let blocks = u64::try_from(stat.st_blocks).unwrap_or(0);
        total = total.saturating_add(blocks.saturating_mul(BLOCK_BYTES));
        Ok(FileType::from_raw_mode(stat.st_mode) == FileType::Directory)
    };
    walk(folder, name, &mut enter, |_, _| Ok(()))?;
    Ok(total)
}

/// A folder that the walk is in.
struct Level {
    name: CString,
    id: (u64, u64),
    left: Vec<CString>,
}

/// Calls `enter` with each name and goes into it when that says so, and `leave` when all below is done.
///
/// # Errors
/// `ESTALE` when somebody moves a folder that the walk is in.
fn walk(
    top: BorrowedFd<'_>,
    name: &CStr,
    enter: &mut dyn FnMut(BorrowedFd<'_>, &CStr) -> Result<bool>,
    leave: impl Fn(BorrowedFd<'_>, &CStr) -> Result<()>,
) -> Result<()> {
    if !enter(top, name)? {
        return Ok(());
    }
    let mut here = open(top, name)?;
    let mut levels = vec![Level::of(&here, name)?];
    while let Some(level) = levels.last_mut() {
        if let Some(name) = level.left.pop() {
            if enter(here.as_fd(), &name)? {
                here = open(here.as_fd(), &name)?;
                levels.push(Level::of(&here, &name)?);
            }
            continue;
        }
        let Some(done) = levels.pop() else { break };
        let Some(above) = levels.last() else { return leave(top, &done.name) };
        here = open(here.as_fd(), c"..")?;
        if id(&here)? != above.id {
            return Err(Errno::STALE);
        }
        leave(here.as_fd(), &done.name)?;
    }
    Ok(())
}

impl Level {
    fn of(folder: &OwnedFd, name: &CStr) -> Result<Self> {
        Ok(Self { name: name.to_owned(), id: id(folder)?, left: names(folder)? })
    }
}

fn id(folder: &OwnedFd) -> Result<(u64, u64)> {
    sys::fstat(folder).map(|stat| (stat.st_dev, stat.st_ino))
}

fn open(folder: BorrowedFd<'_>, name: &CStr) -> Result<OwnedFd> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    sys::openat(folder, name, flags, Mode::empty())
}

/// The names in a folder, in no order.
pub fn names(folder: &OwnedFd) -> Result<Vec<CString>> {
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

#[cfg(test)]
mod tests {
    use super::*;
    use rustix::fs::CWD;

    #[test]
    fn a_tree_deeper_than_there_are_descriptors_is_measured_and_removed() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let top = open(CWD, &CString::new(folder.path().to_str().expect("UTF-8")).expect("no NUL"));
        let top = top.expect("it is there");
        let mut here = top.try_clone().expect("one more descriptor");
        for _ in 0..3000 {
            sys::mkdirat(&here, c"d", Mode::RWXU).expect("a folder");
            sys::symlinkat(c"/etc", &here, c"link").expect("a link");
            here = open(here.as_fd(), c"d").expect("the folder");
        }
        bytes(top.as_fd(), c"d").expect("it can be measured");
        remove(top.as_fd(), c"d").expect("it can be removed");
        assert_eq!(names(&top).expect("it is there"), [c"link".to_owned()]);
        remove(top.as_fd(), c"d").expect("again");
    }
}
