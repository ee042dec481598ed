//! System calls of a run, and which of one run is which of another.

use nix::libc::{self, c_long, user_regs_struct};
use std::{
    collections::BTreeMap,
    fmt::{Display, Formatter},
    fs::{File, read_link},
    os::unix::fs::FileExt as _,
};

/// Calls that change a file, its name or its access, make it durable, or end the run. Opening a file changes something only
/// where it may make or empty one.
const CHANGING: [c_long; 34] = [
    libc::SYS_write,
    libc::SYS_writev,
    libc::SYS_pwrite64,
    libc::SYS_pwritev,
    libc::SYS_sendfile,
    libc::SYS_copy_file_range,
    libc::SYS_truncate,
    libc::SYS_ftruncate,
    libc::SYS_fallocate,
    libc::SYS_creat,
    libc::SYS_rename,
    libc::SYS_renameat,
    libc::SYS_renameat2,
    libc::SYS_link,
    libc::SYS_linkat,
    libc::SYS_unlink,
    libc::SYS_unlinkat,
    libc::SYS_rmdir,
    libc::SYS_symlink,
    libc::SYS_symlinkat,
    libc::SYS_mkdir,
    libc::SYS_mkdirat,
    libc::SYS_fsync,
    libc::SYS_fdatasync,
    libc::SYS_sync_file_range,
    libc::SYS_syncfs,
    libc::SYS_sync,
    libc::SYS_chmod,
    libc::SYS_fchmod,
    libc::SYS_fchmodat,
    libc::SYS_fchown,
    libc::SYS_fchownat,
    libc::SYS_utimensat,
    libc::SYS_exit_group,
];
/// Their first argument is an open file.
const OF_OPEN: [c_long; 12] = [
    libc::SYS_read,
    libc::SYS_pread64,
    libc::SYS_getdents64,
    libc::SYS_write,
    libc::SYS_writev,
    libc::SYS_pwrite64,
    libc::SYS_ftruncate,
    libc::SYS_fsync,
    libc::SYS_fdatasync,
    libc::SYS_syncfs,
    libc::SYS_fchmod,
    libc::SYS_fchown,
];
/// Their second argument is a path.
const OF_SECOND: [c_long; 14] = [
    libc::SYS_openat,
    libc::SYS_openat2,
    libc::SYS_newfstatat,
    libc::SYS_statx,
    libc::SYS_readlinkat,
    libc::SYS_faccessat,
    libc::SYS_unlinkat,
    libc::SYS_mkdirat,
    libc::SYS_renameat,
    libc::SYS_renameat2,
    libc::SYS_linkat,
    libc::SYS_fchmodat,
    libc::SYS_fchownat,
    libc::SYS_symlink,
];
/// Their first one is.
const OF_FIRST: [c_long; 10] = [
    libc::SYS_open,
    libc::SYS_stat,
    libc::SYS_lstat,
    libc::SYS_access,
    libc::SYS_readlink,
    libc::SYS_rename,
    libc::SYS_mkdir,
    libc::SYS_unlink,
    libc::SYS_rmdir,
    libc::SYS_execve,
];
const MAY_MAKE: u64 = (libc::O_CREAT | libc::O_TRUNC).cast_unsigned() as u64;
const PATH_MAX: usize = 4096;

/// A system call as it is entered.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct SystemCall {
    pub number: c_long,
    /// What it names, or has open: below the guest's root where it is there. Empty where it is of no file.
    pub path: String,
    /// Something on disk, or how the run ends.
    pub changes: bool,
    /// On the disk.
    pub takes_room: bool,
}

/// Where to look for what a stopped process says.
pub struct Stopped<'p> {
    pub pid: nix::unistd::Pid,
    pub memory: &'p File,
    pub root: &'p str,
}

impl SystemCall {
    pub fn entered(stopped: &Stopped, registers: &user_regs_struct) -> Self {
        let number = c_long::try_from(registers.orig_rax).expect("numbers are small");
        let path = stopped.path(number, registers);
        let flags = match number {
            libc::SYS_openat => registers.rdx,
            libc::SYS_openat2 => stopped.word(registers.rdx),
            _ => 0,
        };
        let changes = CHANGING.contains(&number) || flags & MAY_MAKE != 0;
        let takes_room = match number {
            // A file is made with `O_EXCL` here, or is there.
            libc::SYS_openat => flags & u64::from(libc::O_EXCL.cast_unsigned()) != 0,
            // `/run` is in memory.
            libc::SYS_write => path.starts_with('/') && !path.starts_with("/run/"),
            call => {
                [libc::SYS_mkdirat, libc::SYS_symlinkat, libc::SYS_copy_file_range].contains(&call)
            }
        };
        Self { number, path, changes, takes_room }
    }
}

impl Stopped<'_> {
    fn path(&self, number: c_long, registers: &user_regs_struct) -> String {
        if OF_OPEN.contains(&number) {
            let open = read_link(format!("/proc/{}/fd/{}", self.pid, registers.rdi));
            let open = open.map(|path| path.to_string_lossy().into_owned()).unwrap_or_default();
            // Pipes, and files without a name, have another number in each run.
            return open.strip_prefix(self.root).unwrap_or("not the guest's").to_owned();
        }
        let place = match number {
            libc::SYS_symlinkat => registers.rdx,
            second if OF_SECOND.contains(&second) => registers.rsi,
            first if OF_FIRST.contains(&first) => registers.rdi,
            _ => return String::new(),
        };
        let path = self.text(place);
        if path.starts_with("/proc/") {
            // Other processes, in each run.
            return path.replace(|letter: char| letter.is_ascii_digit(), "#");
        }
        path.strip_prefix(self.root).unwrap_or(&path).to_owned()
    }

    fn text(&self, place: u64) -> String {
        let mut bytes = vec![0; PATH_MAX];
        // None where the process names no memory of its own: the call will fail.
        let length = self.memory.read_at(&mut bytes, place).unwrap_or_default();
        let end = bytes[..length].iter().position(|byte| *byte == 0).unwrap_or(length);
        String::from_utf8_lossy(&bytes[..end]).into_owned()
    }

    fn word(&self, place: u64) -> u64 {
        let mut bytes = [0; 8];
        let read = self.memory.read_exact_at(&mut bytes, place);
        read.map(|()| u64::from_ne_bytes(bytes)).unwrap_or_default()
    }
}

/// Which call of a run it is, told so that another run has the same though it enters more of those, or fewer, that change
/// nothing: all processes of the machine are looked through, and a hook is waited for in rounds.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Place {
    /// Its number among those that change something, or that of the last one before it.
    changed: usize,
    pub call: SystemCall,
    /// Which of the like ones since then, from 1.
    nth: usize,
}

impl Display for Place {
    fn fmt(&self, out: &mut Formatter<'_>) -> std::fmt::Result {
        let Self { changed, call: SystemCall { number, path, changes, .. }, nth } = self;
        if *changes {
            return write!(out, "{changed}");
        }
        write!(out, "{changed}, then the {nth}. of system call {number} {path}")
    }
}

/// The place of each call of a run as it comes.
#[derive(Default)]
pub struct Places {
    changed: usize,
    since: BTreeMap<SystemCall, usize>,
}

impl Places {
    pub fn next(&mut self, call: SystemCall) -> Place {
        if call.changes {
            self.changed += 1;
            self.since.clear();
        }
        let nth = self.since.entry(call.clone()).or_default();
        *nth += 1;
        Place { changed: self.changed, call, nth: *nth }
    }
}
