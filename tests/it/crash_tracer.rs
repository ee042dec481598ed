//! A killer of our own: runs the guest's binary under ptrace(2), and strikes as it enters a system call.
//!
//! Calls are counted from the one after execve, of the first thread alone. Threads and children of the binary run on
//! unseen, and are not counted: a kill takes the threads along, and lets children end by themselves, as a real one does.

use nix::{
    libc,
    sys::{
        ptrace::{self, Options},
        signal::{Signal, kill},
        wait::{WaitPidFlag, WaitStatus, waitpid},
    },
    unistd::Pid,
};
use std::{
    fs::File,
    os::unix::fs::FileExt as _,
    path::Path,
    process::{Child, Command, Stdio},
};

/// Calls that change a file, its name or its access, or make it durable. `openat` makes files too, mostly it does not.
const CHANGING: [libc::c_long; 16] = [
    libc::SYS_write,
    libc::SYS_openat,
    libc::SYS_rename,
    libc::SYS_renameat,
    libc::SYS_renameat2,
    libc::SYS_linkat,
    libc::SYS_unlinkat,
    libc::SYS_symlinkat,
    libc::SYS_mkdirat,
    libc::SYS_fsync,
    libc::SYS_fdatasync,
    libc::SYS_syncfs,
    libc::SYS_fchmod,
    libc::SYS_fchownat,
    libc::SYS_copy_file_range,
    libc::SYS_exit_group,
];

/// What befalls a call of the binary.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Strike {
    /// It is let run, and its system calls are noted.
    None,
    /// Killed as it enters this system call, from 1; the call has no effect.
    Kill(usize),
    /// This system call has no effect, and fails with the error.
    Fail { at: usize, errno: i32 },
    /// From this system call on, those that take room on the disk have no effect and fail with the error, until something
    /// is removed.
    NoRoom { from: usize, errno: i32 },
    /// Something happens as it enters this system call.
    Meanwhile(usize),
}

/// What a call of the binary came to.
pub struct Traced {
    /// The numbers of the system calls that it entered, in order.
    pub calls: Vec<libc::c_long>,
    pub status: WaitStatus,
    pub said: Vec<u8>,
}

impl Traced {
    pub fn is_killed(&self) -> bool {
        matches!(self.status, WaitStatus::Signaled(_, Signal::SIGKILL, _))
    }

    /// Positions, from 1, of the calls that change something on disk. Killed at any other one, the binary leaves what
    /// it leaves at the next of these.
    pub fn changing(&self) -> Vec<usize> {
        let calls = self.calls.iter().enumerate();
        calls.filter(|(_, call)| CHANGING.contains(call)).map(|(index, _)| index + 1).collect()
    }
}

/// Runs a program with a file as its standard input.
pub fn run(argv: &[&str], input: &Path, strike: Strike) -> Traced {
    run_meanwhile(argv, input, strike, &mut || {})
}

/// The same, with what `Strike::Meanwhile` has happen.
pub fn run_meanwhile(
    argv: &[&str],
    input: &Path,
    strike: Strike,
    meanwhile: &mut dyn FnMut(),
) -> Traced {
    let mut tracee = Tracee::stopped_at_exec(argv, input);
    tracee.go_on(&mut |tracee, at| tracee.enter(at, strike, meanwhile))
}

/// Runs a program, and shows it as it enters each system call, before that has an effect: the call's number, from 1, and
/// what was said so far. It is killed there when `look` has seen enough.
pub fn watch(argv: &[&str], input: &Path, look: &mut dyn FnMut(usize, &[u8]) -> Look) -> Traced {
    Tracee::stopped_at_exec(argv, input).go_on(&mut |tracee, at| {
        if look(at, &tracee.said()) == Look::Enough {
            kill(tracee.pid, Signal::SIGKILL).expect("it is our child");
        }
        None
    })
}

/// Whether somebody who looks at a program wants to see more of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Look {
    More,
    Enough,
}

struct Tracee {
    /// Waited for by its number alone.
    _child: Child,
    pid: Pid,
    /// What it says goes into a file, which can be read while it is stopped.
    stdout: File,
    /// Something was removed since there was no room.
    has_room: bool,
}

impl Tracee {
    /// A shell stops itself before it becomes the program, so that nothing of the program is missed. Without
    /// `PTRACE_TRACEME`, which a child could only call in unsafe code.
    fn stopped_at_exec(argv: &[&str], input: &Path) -> Self {
        let input = File::open(input).expect("the input is there");
        let mut shell = Command::new("/bin/sh");
        shell.args(["-c", "kill -STOP $$; exec \"$0\" \"$@\""]).args(argv);
        let stdout = tempfile::tempfile().expect("there is room");
        let written = stdout.try_clone().expect("it is ours");
        shell.stdin(input).stdout(written).stderr(Stdio::null());
        let child = shell.spawn().expect("there is a shell");
        let pid = Pid::from_raw(i32::try_from(child.id()).expect("it was a pid_t before"));
        let stopped = waitpid(pid, Some(WaitPidFlag::WUNTRACED)).expect("it is our child");
        assert_eq!(stopped, WaitStatus::Stopped(pid, Signal::SIGSTOP));
        let options = Options::PTRACE_O_EXITKILL
            | Options::PTRACE_O_TRACESYSGOOD
            | Options::PTRACE_O_TRACEEXEC;
        ptrace::seize(pid, options).expect("it is our child");
        kill(pid, Signal::SIGCONT).expect("it is our child");
        loop {
            match waitpid(pid, None).expect("it is our child") {
                WaitStatus::PtraceEvent(_, _, libc::PTRACE_EVENT_EXEC) => break,
                WaitStatus::PtraceEvent(..) => ptrace::cont(pid, None),
                WaitStatus::Stopped(_, signal) => ptrace::cont(pid, signal),
                other => panic!("{argv:?} did not start: {other:?}"),
            }
            .expect("it is stopped");
        }
        Self { _child: child, pid, stdout, has_room: false }
    }

    fn said(&self) -> Vec<u8> {
        let length = self.stdout.metadata().expect("it is ours").len();
        let mut said = vec![0; usize::try_from(length).expect("64 bits")];
        self.stdout.read_exact_at(&mut said, 0).expect("it only grows");
        said
    }

    /// Runs it to its end. `enter` says with which error a call is to end that it is about to make.
    fn go_on(&mut self, enter: &mut dyn FnMut(&mut Self, usize) -> Option<i32>) -> Traced {
        let mut calls = Vec::new();
        // The first stop is the end of execve.
        let mut enters = false;
        let mut failing = None;
        ptrace::syscall(self.pid, None).expect("it is stopped");
        loop {
            let signal = match waitpid(self.pid, None).expect("it is our child") {
                WaitStatus::PtraceSyscall(_) if enters => {
                    calls.push(self.call());
                    failing = enter(self, calls.len());
                    enters = false;
                    None
                }
                WaitStatus::PtraceSyscall(_) => {
                    self.leave(failing.take());
                    enters = true;
                    None
                }
                WaitStatus::PtraceEvent(..) => None,
                WaitStatus::Stopped(_, signal) => Some(signal),
                status => return Traced { calls, status, said: self.said() },
            };
            // A tracee that was killed meanwhile is gone, and the next wait says so.
            let _gone = ptrace::syscall(self.pid, signal);
        }
    }

    fn registers(&self) -> libc::user_regs_struct {
        ptrace::getregs(self.pid).expect("it is stopped")
    }

    fn call(&self) -> libc::c_long {
        let number = self.registers().orig_rax;
        libc::c_long::try_from(number).expect("numbers of system calls are small")
    }

    /// The error that the call is to end with.
    fn enter(&mut self, at: usize, strike: Strike, meanwhile: &mut dyn FnMut()) -> Option<i32> {
        match strike {
            Strike::Kill(there) if there == at => {
                kill(self.pid, Signal::SIGKILL).expect("it is our child");
            }
            Strike::Meanwhile(there) if there == at => meanwhile(),
            Strike::Fail { at: there, errno } if there == at => {
                self.skip();
                return Some(errno);
            }
            Strike::NoRoom { from, errno } if from <= at && !self.has_room => {
                self.has_room = self.call() == libc::SYS_unlinkat;
                if self.takes_room() {
                    self.skip();
                    return Some(errno);
                }
            }
            _ => {}
        }
        None
    }

    /// A file is made with `O_EXCL` here, never without.
    fn takes_room(&self) -> bool {
        let registers = self.registers();
        match self.call() {
            libc::SYS_openat => registers.rdx & u64::from(libc::O_EXCL.cast_unsigned()) != 0,
            libc::SYS_write => self.writes_to_disk(registers.rdi),
            call => {
                [libc::SYS_mkdirat, libc::SYS_symlinkat, libc::SYS_copy_file_range].contains(&call)
            }
        }
    }

    /// Not to a pipe, nor to `/run`, which is in memory.
    fn writes_to_disk(&self, fd: u64) -> bool {
        let path = std::fs::read_link(format!("/proc/{}/fd/{fd}", self.pid));
        path.is_ok_and(|path| path.is_absolute() && !path.to_string_lossy().contains("/run/"))
    }

    /// No system call has this number, so the kernel does nothing.
    fn skip(&self) {
        let registers = self.registers();
        let skipped = libc::user_regs_struct { orig_rax: u64::MAX, ..registers };
        ptrace::setregs(self.pid, skipped).expect("it is stopped");
    }

    fn leave(&self, failing: Option<i32>) {
        let Some(errno) = failing else { return };
        let registers = self.registers();
        let failed = libc::user_regs_struct { rax: i64::from(-errno).cast_unsigned(), ..registers };
        ptrace::setregs(self.pid, failed).expect("it is stopped");
    }
}

#[test]
fn the_tracer_kills_before_the_call_that_it_counts_to_and_misses_none() {
    let folder = tempfile::tempdir().expect("there is room");
    let path = folder.path().join("made").display().to_string();
    let argv = ["/bin/mkdir", &path];
    let null = Path::new("/dev/null");
    let clean = run(&argv, null, Strike::None);
    assert!(matches!(clean.status, WaitStatus::Exited(_, 0)), "{:?}", clean.status);
    let made = clean.calls.iter().position(|call| *call == libc::SYS_mkdir).expect("it makes it");
    for number in 1..=clean.calls.len() {
        let _gone = std::fs::remove_dir(&path);
        let killed = run(&argv, null, Strike::Kill(number));
        assert!(killed.is_killed() && killed.calls.len() == number, "{number}");
        assert_eq!(folder.path().join("made").is_dir(), number > made + 1, "{number}");
    }
    let _gone = std::fs::remove_dir(&path);
    assert!(!run(&argv, null, Strike::Kill(clean.calls.len() + 1)).is_killed());
}

#[test]
fn the_tracer_makes_a_call_fail_without_its_effect() {
    let folder = tempfile::tempdir().expect("there is room");
    let path = folder.path().join("made").display().to_string();
    let argv = ["/bin/mkdir", &path];
    let null = Path::new("/dev/null");
    let clean = run(&argv, null, Strike::None);
    std::fs::remove_dir(&path).expect("it was made");
    let made = clean.calls.iter().position(|call| *call == libc::SYS_mkdir).expect("it makes it");
    let strike = Strike::Fail { at: made + 1, errno: libc::EIO };
    let failed = run(&argv, null, strike);
    assert!(matches!(failed.status, WaitStatus::Exited(_, 1)), "{:?}", failed.status);
    assert!(!folder.path().join("made").exists());
}

#[test]
fn the_tracer_leaves_no_room_until_something_is_removed() {
    let folder = tempfile::tempdir().expect("there is room");
    let at = |name: &str| folder.path().join(name).display().to_string();
    let (from, to) = (at("from"), at("to"));
    std::fs::write(&from, "text").expect("there is room");
    let null = Path::new("/dev/null");
    let strike = Strike::NoRoom { from: 1, errno: libc::EDQUOT };
    let full = run(&["/bin/cp", &from, &to], null, strike);
    assert!(matches!(full.status, WaitStatus::Exited(_, 1)), "{:?}", full.status);
    assert_eq!(std::fs::read(&to).unwrap_or_default(), b"");
    // It removes what is in its way first.
    std::fs::write(&to, "before").expect("there is room");
    let freed = run(&["/bin/cp", "--remove-destination", &from, &to], null, strike);
    assert!(matches!(freed.status, WaitStatus::Exited(_, 0)), "{:?}", freed.status);
    assert_eq!(std::fs::read(&to).expect("it is there"), b"text");
}
