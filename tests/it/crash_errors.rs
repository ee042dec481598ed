//! A disk that fails, a file system that turns read-only half-way, and a binary that the kernel takes for want of memory:
//! the guest is whole, the message names the cause, and the same again ends as if nothing had been.

use crate::{
    crash_disk::{Disk, FileSystem, Image},
    crash_judge::{Left, assert_whole},
    crash_kills::{Taken, run, stride},
    crash_points::side_by_side,
    crash_record::{Record, put},
    crash_scene::{Scene, Verb},
    crash_tracer::{self, Strike, Traced},
    fault_results::{Results, caught, stops},
    fault_summary::Verdict,
    guest_fixture::{Folder, reply},
};
use nix::libc;
use serde_json::Value;
use stackc::model::protocol::Refusal;
use std::{
    fs,
    path::{Path, PathBuf},
    sync::{
        Mutex,
        atomic::{AtomicUsize, Ordering::Relaxed},
    },
};

const FILES: usize = 30;
/// One in so many of the changing calls, in the tests.
const SHORT_STRIDE: usize = 29;
/// Memory that each call has in turn, up to what is enough for all.
const MEMORY_STEP: usize = 256 << 10;
const MEMORY_MAX: usize = 30 << 20;

/// What makes written things durable: who hears that it failed may not say that all is done.
const SYNCS: [libc::c_long; 3] = [libc::SYS_fsync, libc::SYS_fdatasync, libc::SYS_syncfs];

fn argv<'a>(scene: &Scene, folder: &Folder, root: &'a str) -> Vec<&'a str> {
    let mut argv = vec![folder.binary, "--root", root];
    argv.extend(scene.words());
    argv
}

fn trace(scene: &Scene, folder: &Folder, strike: Strike, meanwhile: &mut dyn FnMut()) -> Traced {
    let root = folder.dir.path().display().to_string();
    crash_tracer::run_meanwhile(&argv(scene, folder, &root), &scene.input(), strike, meanwhile)
}

/// What the call said; none when it died first.
fn answer(said: &[u8]) -> Option<Result<Value, Refusal>> {
    if said.is_empty() { None } else { reply(said) }
}

/// A call that has failed names the cause, and says what is live.
fn assert_told(refusal: &Refusal, causes: &[&str]) {
    let told = format!("{} {}", refusal.message, refusal.details.join(" "));
    assert!(causes.iter().any(|cause| told.contains(cause)), "it names no cause: {refusal:?}");
    assert!(!refusal.state.is_empty(), "it says no state: {refusal:?}");
}

/// Whether a call changes nothing that runs, so that it is whole whenever it ends.
fn is_beside(verb: Verb) -> bool {
    !matches!(verb, Verb::Switch | Verb::Undo | Verb::Recover)
}

/// A judge of what such a call has left, once the disk works again.
fn judge(scene: &Scene, folder: &Folder, rebooted: bool, done: bool) -> Verdict {
    let answered = done && is_beside(scene.verb);
    let left = Left { scene, folder, rebooted, answered };
    if done || rebooted || scene.verb != Verb::Begin {
        return left.judge();
    }
    // A begin that was refused has ended its transaction, or will go on with it.
    if folder.at(&format!("/var/lib/stackc/tx/{}", crate::crash_scene::TX)).exists() {
        return left.judge();
    }
    left.converges();
    Verdict::Old
}

/// What system calls fail with, and in which way.
struct Trouble {
    fault: &'static str,
    /// How the message names it.
    cause: &'static str,
    strike: fn(usize) -> Strike,
}

/// The call fails once.
const FAILS: Trouble = Trouble {
    fault: "input/output error",
    cause: "Input/output error",
    strike: |at| Strike::Fail { at, errno: libc::EIO },
};
/// What takes room fails from there on, until the guest makes room. A quota itself needs a kernel that counts.
const QUOTA: Trouble = Trouble {
    fault: "quota used up",
    cause: "quota exceeded",
    strike: |from| Strike::NoRoom { from, errno: libc::EDQUOT },
};

/// System calls fail, at or from one changing system call after the other.
fn fail_each(scene: &Scene, trouble: &Trouble, stride: usize, results: &Mutex<Results>) {
    let clean = trace(scene, &scene.start.copy(), Strike::None, &mut || {});
    let points =
        clean.changing().into_iter().filter(|at| clean.calls[at - 1] != libc::SYS_exit_group);
    for at in points.skip(clean.calls.len() % stride).step_by(stride) {
        if stops(results) {
            return;
        }
        let folder = scene.start.copy();
        let verdict = caught(|| fail_one(scene, &folder, trouble, &clean.calls[..at]));
        let place = (trouble.fault.to_owned(), at.to_string());
        put(results, &Record::new(scene, "memory", place, verdict));
    }
}

/// The last of these calls is struck.
fn fail_one(scene: &Scene, folder: &Folder, trouble: &Trouble, calls: &[libc::c_long]) -> Verdict {
    let strike = (trouble.strike)(calls.len());
    let traced = trace(scene, folder, strike, &mut || {});
    assert!(!traced.is_killed());
    let answer = answer(&traced.said);
    let done = matches!(answer, Some(Ok(_)));
    let is_sync = calls.last().is_some_and(|call| SYNCS.contains(call));
    let is_lost = done && is_sync && matches!(strike, Strike::Fail { .. });
    assert!(!(is_lost && is_beside(scene.verb)), "it said that it was done, and is lost");
    if let Some(Err(refusal)) = &answer {
        assert_told(refusal, &[trouble.cause]);
        let goes_back = matches!(scene.verb, Verb::Undo | Verb::Recover);
        // The room that it has made itself may be taken by somebody else.
        let has_reserve = !calls.contains(&libc::SYS_unlinkat);
        let needs_room = matches!(strike, Strike::NoRoom { .. }) && has_reserve;
        assert!(!(goes_back && needs_room), "it cannot go back: {refusal:?}");
    }
    if is_beside(scene.verb) {
        assert_whole(scene, folder);
    }
    judge(scene, folder, false, done)
}

/// The file system finds a fault in itself as the call enters a system call, and is read-only from there on.
fn read_only_each(disk: &mut Disk, scene: &Scene, stride: usize, results: &Mutex<Results>) {
    let image = Image::of(&scene.start, disk.file_system);
    disk.load(&image);
    let clean = trace(scene, &disk.folder, Strike::None, &mut || {});
    let points = clean.changing();
    for at in points.into_iter().skip(clean.calls.len() % stride).step_by(stride) {
        if stops(results) {
            return;
        }
        disk.load(&image);
        let verdict = caught(|| read_only_one(disk, scene, at));
        let place = ("read-only half-way".to_owned(), at.to_string());
        put(results, &Record::new(scene, disk.file_system.name(), place, verdict));
    }
}

fn read_only_one(disk: &mut Disk, scene: &Scene, at: usize) -> Verdict {
    let mut turn = || disk.turn_read_only();
    let traced = trace(scene, &disk.folder, Strike::Meanwhile(at), &mut turn);
    let answer = answer(&traced.said);
    if let Some(Err(refusal)) = &answer {
        assert_told(refusal, &["Read-only file system", "Input/output error"]);
    }
    // A person boots it: the journal is replayed, and the file system can be written again.
    disk.unmount();
    disk.mount();
    disk.folder.boot();
    judge(scene, &disk.folder, true, matches!(answer, Some(Ok(_))))
}

/// A group of processes with little memory, of either hierarchy; removed when it is dropped.
struct MemoryGroup(PathBuf);

impl MemoryGroup {
    fn new() -> Option<Self> {
        static NEXT: AtomicUsize = AtomicUsize::new(0);
        let own = format!("stackc-crash-{}-{}", std::process::id(), NEXT.fetch_add(1, Relaxed));
        let tops = ["/sys/fs/cgroup/memory", "/sys/fs/cgroup"].map(Path::new);
        let made = tops.iter().find_map(|top| {
            let path = top.join(&own);
            fs::create_dir(&path).ok()?;
            let group = Self(path);
            (group.limit(MEMORY_MAX)).then_some(group)
        });
        if made.is_none() {
            eprintln!("skipped: needs a memory controller of cgroups");
        }
        made
    }

    fn limit(&self, bytes: usize) -> bool {
        let write = |name: &str| fs::write(self.0.join(name), bytes.to_string()).is_ok();
        write("memory.limit_in_bytes") || write("memory.max")
    }

    /// Runs a call in it.
    fn call(&self, scene: &Scene, folder: &Folder) -> std::process::Output {
        let root = folder.dir.path().display().to_string();
        let mut shell = std::process::Command::new("/bin/sh");
        let enter = format!("echo $$ >{}/cgroup.procs && exec \"$0\" \"$@\"", self.0.display());
        shell.args(["-c", &enter]).args(argv(scene, folder, &root));
        shell.stdin(fs::File::open(scene.input()).expect("it is there"));
        shell.output().expect("there is a shell")
    }
}

impl Drop for MemoryGroup {
    fn drop(&mut self) {
        let _gone = fs::remove_dir(&self.0);
    }
}

/// The call with more memory each time, until it has enough. Where it is too little, the kernel kills it.
fn starve(scene: &Scene, step: usize, results: &Mutex<Results>) {
    use std::os::unix::process::ExitStatusExt as _;
    for bytes in (step..MEMORY_MAX).step_by(step) {
        let folder = scene.start.copy();
        // What the last call left in memory is still counted for its group.
        let Some(group) = MemoryGroup::new() else { return };
        assert!(group.limit(bytes), "the limit can be set");
        let output = group.call(scene, &folder);
        let is_killed = output.status.signal() == Some(libc::SIGKILL);
        let place = ("out of memory".to_owned(), bytes.to_string());
        if is_killed {
            let verdict = caught(|| judge(scene, &folder, false, false));
            put(results, &Record::new(scene, "memory", place, verdict));
        } else if output.status.success() {
            break;
        }
    }
}

fn scenes() -> [Scene; 8] {
    Verb::ALL.map(|verb| Scene::new(verb, FILES))
}

fn all_errors(stride: usize, results: &Mutex<Results>) {
    let scenes = scenes();
    let troubles: Vec<_> = scenes.iter().flat_map(|s| [(s, &FAILS), (s, &QUOTA)]).collect();
    side_by_side(
        &troubles,
        || (),
        |(), (scene, trouble)| {
            fail_each(scene, trouble, stride, results);
        },
    );
    let disk = || Disk::new(FileSystem::Ext4, &scenes[0].start);
    side_by_side(&scenes, disk, |disk, scene| read_only_each(disk, scene, stride, results));
}

fn all_memory(step: usize, results: &Mutex<Results>) {
    for scene in scenes() {
        starve(&scene, step, results);
    }
}

#[test]
fn guest_whose_disk_fails_or_turns_read_only_is_whole_and_says_why() {
    run("crash-short-errors", "A disk that fails, at some calls", Taken::Some(50), |results| {
        all_errors(SHORT_STRIDE, results);
    });
}

#[test]
fn guest_whose_call_is_killed_for_want_of_memory_is_whole() {
    if MemoryGroup::new().is_none() {
        return;
    }
    run("crash-short-memory", "Too little memory, at some levels", Taken::Some(5), |results| {
        all_memory(MEMORY_STEP, results);
    });
}

#[test]
#[ignore = "takes minutes"]
fn crash_long_errors() {
    let what = "A disk that fails, turns read-only or has no quota left at each call that changes something; too little memory";
    run("crash-long-errors", what, Taken::by(stride(), 100), |results| {
        all_errors(stride(), results);
        all_memory(MEMORY_STEP / 8, results);
    });
}
