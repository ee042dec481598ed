//! A killer of our own: runs the guest's binary under ptrace(2), and strikes as it enters a system call.
//!
//! Only calls of the first thread are seen, from the one after execve. Threads and children of the binary run on unseen: a
//! kill takes the threads along, and lets children end by themselves, as a real one does.

use crate::crash_calls::{Place, Places, Stopped, SystemCall};
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

/// What befalls a call of the binary.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Strike<'p> {
    /// It is let run, and its system calls are noted.
    None,
    /// Killed as it enters this system call, which has no effect.
    Kill(&'p Place),
    /// This system call has no effect, and fails with the error.
    Fail { at: &'p Place, errno: i32 },
    /// From this system call on, those that take room on the disk have no effect and fail with the error, until something
    /// is removed.
    NoRoom { from: &'p Place, errno: i32 },
    /// Something happens as it enters this system call.
    Meanwhile(&'p Place),
}

impl Strike<'_> {
    fn place(&self) -> Option<&Place> {
        match self {
            Self::None => None,
            Self::Kill(at)
            | Self::Meanwhile(at)
            | Self::Fail { at, .. }
            | Self::NoRoom { from: at, .. } => Some(at),
        }
    }
}

/// What a call of the binary came to.
pub struct Traced {
    /// The system calls that it entered, in order.
    pub places: Vec<Place>,
    pub status: WaitStatus,
    pub said: Vec<u8>,
}

impl Traced {
    pub fn is_killed(&self) -> bool {
        matches!(self.status, WaitStatus::Signaled(_, Signal::SIGKILL, _))
    }

    /// Whether it came there: another run may do without a call that changes nothing.
    pub fn met(&self, place: &Place) -> bool {
        self.places.contains(place)
    }

    /// The calls that change something. Killed at any other one, the binary leaves what it leaves at the next of these.
    pub fn changing(&self) -> impl Iterator<Item = &Place> {
        self.places.iter().filter(|place| place.call.changes)
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
    tracee.go_on(&mut |tracee, places| tracee.enter(places, strike, meanwhile))
}

/// Runs a program, and shows it as it enters each system call, before that has an effect: those that it has entered, this
/// one last, and what was said so far. It is killed there when `look` has seen enough.
pub fn watch(argv: &[&str], input: &Path, look: &mut dyn FnMut(&[Place], &[u8]) -> Look) -> Traced {
    Tracee::stopped_at_exec(argv, input).go_on(&mut |tracee, places| {
        if look(places, &tracee.said()) == Look::Enough {
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
    memory: File,
    /// The guest's folder, as the arguments have it.
    root: String,
    /// `Strike::NoRoom` has begun.
    is_full: bool,
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
        let memory = File::open(format!("/proc/{pid}/mem")).expect("it is our child");
        let root = argv.iter().skip_while(|word| **word != "--root").nth(1);
        let root = root.map_or_else(|| "/nowhere".to_owned(), |root| (*root).to_owned());
        Self { _child: child, pid, stdout, memory, root, is_full: false, has_room: false }
    }

    fn said(&self) -> Vec<u8> {
        let length = self.stdout.metadata().expect("it is ours").len();
        let mut said = vec![0; usize::try_from(length).expect("64 bits")];
        self.stdout.read_exact_at(&mut said, 0).expect("it only grows");
        said
    }

    /// Runs it to its end. `enter` says with which error a call is to end that it is about to make.
    fn go_on(&mut self, enter: &mut dyn FnMut(&mut Self, &[Place]) -> Option<i32>) -> Traced {
        let (mut places, mut all) = (Vec::new(), Places::default());
        // The first stop is the end of execve.
        let mut enters = false;
        let mut failing = None;
        ptrace::syscall(self.pid, None).expect("it is stopped");
        loop {
            let signal = match waitpid(self.pid, None).expect("it is our child") {
                WaitStatus::PtraceSyscall(_) if enters => {
                    places.push(all.next(self.call()));
                    failing = enter(self, &places);
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
                status => return Traced { places, status, said: self.said() },
            };
            // A tracee that was killed meanwhile is gone, and the next wait says so.
            let _gone = ptrace::syscall(self.pid, signal);
        }
    }

    fn registers(&self) -> libc::user_regs_struct {
        ptrace::getregs(self.pid).expect("it is stopped")
    }

    fn call(&self) -> SystemCall {
        let stopped = Stopped { pid: self.pid, memory: &self.memory, root: &self.root };
        SystemCall::entered(&stopped, &self.registers())
    }

    /// The error that the call is to end with.
    fn enter(
        &mut self,
        places: &[Place],
        strike: Strike,
        meanwhile: &mut dyn FnMut(),
    ) -> Option<i32> {
        let is_there = places.last() == strike.place();
        match strike {
            Strike::Kill(_) if is_there => {
                kill(self.pid, Signal::SIGKILL).expect("it is our child");
            }
            Strike::Meanwhile(_) if is_there => meanwhile(),
            Strike::Fail { errno, .. } if is_there => return Some(self.skip(errno)),
            Strike::NoRoom { errno, .. } => {
                let call = &places.last().expect("it is entered").call;
                self.is_full |= is_there;
                self.has_room |= self.is_full && call.number == libc::SYS_unlinkat;
                if self.is_full && !self.has_room && call.takes_room {
                    return Some(self.skip(errno));
                }
            }
            _ => {}
        }
        None
    }

    /// No system call has this number, so the kernel does nothing. The error that the call is to end with.
    fn skip(&self, errno: i32) -> i32 {
        let registers = self.registers();
        let skipped = libc::user_regs_struct { orig_rax: u64::MAX, ..registers };
        ptrace::setregs(self.pid, skipped).expect("it is stopped");
        errno
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
    let made = position_of_mkdir(&clean);
    for (index, place) in clean.places.iter().enumerate() {
        let _gone = std::fs::remove_dir(&path);
        let killed = run(&argv, null, Strike::Kill(place));
        assert!(killed.is_killed() && killed.places == clean.places[..=index], "{place}");
        assert_eq!(folder.path().join("made").is_dir(), index > made, "{place}");
    }
    let _gone = std::fs::remove_dir(&path);
    let elsewhere = run(&["/bin/true"], null, Strike::Kill(&clean.places[made]));
    assert!(!elsewhere.is_killed() && !elsewhere.met(&clean.places[made]));
}

fn position_of_mkdir(clean: &Traced) -> usize {
    let is_it = |place: &Place| place.call.number == libc::SYS_mkdir;
    clean.places.iter().position(is_it).expect("it makes it")
}

#[test]
fn the_tracer_makes_a_call_fail_without_its_effect() {
    let folder = tempfile::tempdir().expect("there is room");
    let path = folder.path().join("made").display().to_string();
    let argv = ["/bin/mkdir", &path];
    let null = Path::new("/dev/null");
    let clean = run(&argv, null, Strike::None);
    std::fs::remove_dir(&path).expect("it was made");
    let made = &clean.places[position_of_mkdir(&clean)];
    let strike = Strike::Fail { at: made, errno: libc::EIO };
    let failed = run(&argv, null, strike);
    assert!(matches!(failed.status, WaitStatus::Exited(_, 1)), "{:?}", failed.status);
    assert!(!folder.path().join("made").exists());
}

#[test]
fn the_tracer_leaves_no_room_until_something_is_removed() {
    let folder = tempfile::tempdir().expect("there is room");
    let at = |name: &str| folder.path().join(name).display().to_string();
    let (from_path, to) = (at("from"), at("to"));
    std::fs::write(&from_path, "text").expect("there is room");
    let null = Path::new("/dev/null");
    let clean = run(&["/bin/cp", &from_path, &to], null, Strike::None);
    std::fs::remove_file(&to).expect("it was made");
    let strike = Strike::NoRoom { from: &clean.places[0], errno: libc::EDQUOT };
    let full = run(&["/bin/cp", &from_path, &to], null, strike);
    assert!(matches!(full.status, WaitStatus::Exited(_, 1)), "{:?}", full.status);
    assert_eq!(std::fs::read(&to).unwrap_or_default(), b"");
    // It removes what is in its way first.
    std::fs::write(&to, "before").expect("there is room");
    let freed = run(&["/bin/cp", "--remove-destination", &from_path, &to], null, strike);
    assert!(matches!(freed.status, WaitStatus::Exited(_, 0)), "{:?}", freed.status);
    assert_eq!(std::fs::read(&to).expect("it is there"), b"text");
}
