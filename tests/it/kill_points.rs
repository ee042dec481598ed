//! Calls of the real binary killed at their state-changing system calls, one after the other, and what came of it.

use crate::guest_fixture::{BINARY, Folder};
use std::io::Write as _;
use std::os::unix::process::ExitStatusExt as _;
use std::path::Path;
use std::process::{Command, Stdio};

/// Every system call that changes a file, its name or its access, or makes it durable.
const SYSCALLS: [&str; 13] = [
    "write",
    "renameat",
    "renameat2",
    "linkat",
    "unlinkat",
    "symlinkat",
    "mkdirat",
    "fsync",
    "fdatasync",
    "syncfs",
    "fchmod",
    "fchownat",
    "copy_file_range",
];
/// No call has so many of one system call: one that fails for another reason than a kill would never be done.
const NUMBER_MAX: usize = 5000;

/// How many calls are passed over between two kills; `STACKC_KILLS=all` kills at each one.
fn stride() -> usize {
    if std::env::var("STACKC_KILLS").as_deref() == Ok("all") { 1 } else { 5 }
}

/// What a killed call left.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Left {
    Old,
    New,
}

impl Left {
    pub fn new_if(is_new: bool) -> Self {
        if is_new { Self::New } else { Self::Old }
    }
}

/// The kills of one phase. Said at the end, also after a failure, and written to `STACKC_KILLS_REPORT` as a line of JSON.
#[derive(serde::Serialize)]
pub struct Kills {
    phase: String,
    pub runs: usize,
    old: usize,
    new: usize,
    converged: usize,
}

impl Kills {
    pub fn of(phase: &str) -> Self {
        Self { phase: phase.to_owned(), runs: 0, old: 0, new: 0, converged: 0 }
    }

    /// Kills a call at each number in turn, on a fresh copy of `from`. `judge` says what is left, and panics unless it
    /// converges.
    pub fn each(
        mut self,
        from: &Folder,
        words: &[&str],
        bytes: &[u8],
        judge: impl Fn(&Folder, &str) -> Left,
    ) -> Self {
        for (offset, syscall) in SYSCALLS.into_iter().enumerate() {
            for number in (1 + offset % stride()..NUMBER_MAX).step_by(stride()) {
                let folder = from.copy();
                if !is_killed(&folder, words, bytes, syscall, number) {
                    break;
                }
                self.runs += 1;
                match judge(&folder, &format!("{words:?} killed at {syscall} {number}")) {
                    Left::Old => self.old += 1,
                    Left::New => self.new += 1,
                }
                self.converged += 1;
            }
        }
        self
    }

    /// # Panics
    /// When there were so few that the test has shown nothing.
    pub fn expect_more_than(&self, few: usize) {
        assert!(self.runs > few, "only {} kills", self.runs);
    }
}

impl Drop for Kills {
    fn drop(&mut self) {
        let line = serde_json::to_string(self).expect("it is JSON") + "\n";
        eprint!("kills {line}");
        if let Some(path) = std::env::var_os("STACKC_KILLS_REPORT") {
            let file = std::fs::File::options().append(true).create(true).open(path);
            let written = file.and_then(|mut file| file.write_all(line.as_bytes()));
            if let Err(error) = written {
                eprintln!("the report is not written: {error}");
            }
        }
    }
}

/// Runs a call and kills it as it enters its `number`th `syscall`; false when it has fewer of them. Each child counts
/// its own: a call whose child was killed fails, which is as good a disturbance.
pub fn is_killed(
    folder: &Folder,
    words: &[&str],
    bytes: &[u8],
    syscall: &str,
    number: usize,
) -> bool {
    let (trace, inject) =
        (format!("trace={syscall}"), format!("inject={syscall}:signal=SIGKILL:when={number}"));
    let mut command = Command::new("strace");
    command.args(["-f", "-qq", "-o", "/dev/null", "-e", &trace, "-e", &inject]);
    command.arg(BINARY).arg("--root").arg(folder.dir.path()).args(words);
    command.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::piped());
    let mut child = command.spawn().expect("strace is installed: apt-get install strace");
    let _unread = child.stdin.take().expect("it is piped").write_all(bytes);
    let output = child.wait_with_output().expect("it ends");
    let told = String::from_utf8_lossy(&output.stderr);
    assert!(!told.contains("strace:"), "{told}");
    output.status.signal() == Some(9) || !output.status.success()
}

/// Boots the guest and has it recover.
pub fn recover(folder: &Folder) {
    folder.boot();
    let output = folder.command(&["recover"]).output().expect("it can be run");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stdout));
    assert_no_leftovers(folder.dir.path());
}

/// # Panics
/// When something half-made is there.
pub fn assert_no_leftovers(root: &Path) {
    let is_left = |name: &str| {
        name.contains("stackc-0") || name.starts_with(".tmp-") || name.starts_with(".gone-")
    };
    let there = walkdir::WalkDir::new(root).into_iter().map(|e| e.expect("it is readable"));
    let found: Vec<_> = there
        .filter(|entry| is_left(&entry.file_name().to_string_lossy()))
        .map(walkdir::DirEntry::into_path)
        .collect();
    assert!(found.is_empty(), "left over: {found:?}");
}
