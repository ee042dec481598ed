//! A disk that fails, a file system that turns read-only half-way, and a binary that the kernel takes for want of memory:
//! the guest is whole, the message names the cause, and the same again ends as if nothing had been.

use crate::{
    crash_calls::{Place, SystemCall},
    crash_disk::{Disk, FileSystem, Image},
    crash_judge::{Left, assert_whole},
    crash_kills::{Taken, run, stride},
    crash_points::{CLEAN_RUNS, TRIES, in_common, side_by_side},
    crash_record::{Record, put},
    crash_scene::{Scene, Verb},
    crash_tracer::{self, Strike, Traced},
    fault_results::{Results, caught, missed, stops},
    fault_summary::Verdict,
    guest_fixture::{Folder, reply},
    left_out::is_left_out,
};
use nix::{libc, sys::wait::WaitStatus};
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
    strike: for<'p> fn(&'p Place) -> Strike<'p>,
    /// Of what it can befall.
    befalls: fn(&SystemCall) -> bool,
}

/// The call fails once.
const FAILS: Trouble = Trouble {
    fault: "input/output error",
    cause: "Input/output error",
    strike: |at| Strike::Fail { at, errno: libc::EIO },
    befalls: |call| call.changes && call.number != libc::SYS_exit_group,
};
/// What is on the disk cannot be read.
const UNREADABLE: Trouble = Trouble {
    fault: "input/output error, reading",
    befalls: |call| {
        let is_elsewhere =
            ["/proc/", "/sys/", "/dev/", "/run/"].iter().any(|top| call.path.starts_with(top));
        !call.changes
            && call.path.starts_with('/')
            && !is_elsewhere
            && call.number != libc::SYS_execve
    },
    ..FAILS
};
/// What takes room fails from there on, until the guest makes room. A quota itself needs a kernel that counts.
const QUOTA: Trouble = Trouble {
    fault: "quota used up",
    cause: "quota exceeded",
    strike: |from| Strike::NoRoom { from, errno: libc::EDQUOT },
    befalls: |call| call.takes_room,
};

/// Which calls of a run are struck: one in so many.
fn some(
    clean: &[Place],
    befalls: impl Fn(&SystemCall) -> bool,
    stride: usize,
) -> impl Iterator<Item = &Place> {
    let all: Vec<&Place> = clean.iter().filter(|place| befalls(&place.call)).collect();
    let offset = all.len() % stride;
    all.into_iter().skip(offset).step_by(stride)
}

/// System calls fail, at or from one after the other that it can befall.
fn fail_each(scene: &Scene, trouble: &Trouble, stride: usize, results: &Mutex<Results>) {
    let clean = in_common(
        &[(); CLEAN_RUNS].map(|()| trace(scene, &scene.start.copy(), Strike::None, &mut || {})),
    );
    for at in some(&clean, trouble.befalls, stride) {
        if stops(results) {
            return;
        }
        let struck = (0..TRIES).find_map(|_| {
            let folder = scene.start.copy();
            let traced = trace(scene, &folder, (trouble.strike)(at), &mut || {});
            traced.met(at).then_some((folder, traced))
        });
        let Some((folder, traced)) = struck else {
            missed(results, &format!("{at} of {:?}", scene.verb));
            continue;
        };
        let verdict = caught(|| judge_failed(scene, &folder, trouble, (at, &traced)));
        let place = (trouble.fault.to_owned(), at.to_string());
        put(results, &Record::new(scene, "memory", place, verdict));
    }
}

/// What a run has left that met trouble there.
fn judge_failed(
    scene: &Scene,
    folder: &Folder,
    trouble: &Trouble,
    (at, traced): (&Place, &Traced),
) -> Verdict {
    let strike = (trouble.strike)(at);
    assert!(!traced.is_killed());
    let answer = answer(&traced.said);
    let done = matches!(answer, Some(Ok(_)));
    let is_sync = SYNCS.contains(&at.call.number);
    let is_lost = done && is_sync && matches!(strike, Strike::Fail { .. });
    assert!(!(is_lost && is_beside(scene.verb)), "it said that it was done, and is lost");
    if let Some(Err(refusal)) = &answer {
        assert_told(refusal, &[trouble.cause]);
        let goes_back = matches!(scene.verb, Verb::Undo | Verb::Recover);
        // The room that it has made itself may be taken by somebody else.
        let mut before = traced.places.iter().take_while(|place| *place != at);
        let has_reserve = !before.any(|place| place.call.number == libc::SYS_unlinkat);
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
    let mut clean = || {
        disk.load(&image);
        trace(scene, &disk.folder, Strike::None, &mut || {})
    };
    let clean = in_common(&[(); CLEAN_RUNS].map(|()| clean()));
    for at in some(&clean, |call| call.changes, stride) {
        if stops(results) {
            return;
        }
        let struck = (0..TRIES).find_map(|_| {
            disk.load(&image);
            let mut turn = || disk.turn_read_only();
            let traced = trace(scene, &disk.folder, Strike::Meanwhile(at), &mut turn);
            traced.met(at).then_some(traced)
        });
        let Some(traced) = struck else {
            missed(results, &format!("{at} of {:?}", scene.verb));
            continue;
        };
        let verdict = caught(|| judge_read_only(disk, scene, &traced));
        let place = ("read-only half-way".to_owned(), at.to_string());
        put(results, &Record::new(scene, disk.file_system.name(), place, verdict));
    }
}

fn judge_read_only(disk: &mut Disk, scene: &Scene, traced: &Traced) -> Verdict {
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
        tops.iter().find_map(|top| {
            let path = top.join(&own);
            fs::create_dir(&path).ok()?;
            let group = Self(path);
            (group.limit(MEMORY_MAX)).then_some(group)
        })
    }

    fn limit(&self, bytes: usize) -> bool {
        let write = |name: &str| fs::write(self.0.join(name), bytes.to_string()).is_ok();
        write("memory.limit_in_bytes") || write("memory.max")
    }

    /// Runs a call in it: the shell's system calls, then the binary's.
    fn call(&self, scene: &Scene, folder: &Folder) -> Traced {
        let root = folder.dir.path().display().to_string();
        let enter = format!("echo $$ >{}/cgroup.procs && exec \"$0\" \"$@\"", self.0.display());
        let mut argv_in_it = vec!["/bin/sh", "-c", &enter];
        argv_in_it.extend(argv(scene, folder, &root));
        crash_tracer::run(&argv_in_it, &scene.input(), Strike::None)
    }
}

impl Drop for MemoryGroup {
    fn drop(&mut self) {
        let _gone = fs::remove_dir(&self.0);
    }
}

/// The call with more memory each time, until it has enough. Where it is too little, the kernel kills it.
fn starve(scene: &Scene, step: usize, results: &Mutex<Results>) {
    for bytes in (step..MEMORY_MAX).step_by(step) {
        let folder = scene.start.copy();
        // What the last call left in memory is still counted for its group.
        let group = MemoryGroup::new().expect("the machine counts memory");
        assert!(group.limit(bytes), "the limit can be set");
        let traced = group.call(scene, &folder);
        let place = ("out of memory".to_owned(), bytes.to_string());
        if traced.is_killed() && is_the_binary(&traced) {
            let verdict = caught(|| judge(scene, &folder, false, false));
            put(results, &Record::new(scene, "memory", place, verdict));
        } else if matches!(traced.status, WaitStatus::Exited(_, 0)) {
            break;
        }
    }
}

/// Whether the shell had become it, and it has made a call of its own.
fn is_the_binary(traced: &Traced) -> bool {
    let execs = |place: &Place| place.call.number == libc::SYS_execve;
    let last = traced.places.iter().rposition(execs);
    last.is_some_and(|last| last + 1 < traced.places.len())
}

fn scenes() -> [Scene; 8] {
    Verb::ALL.map(|verb| Scene::new(verb, FILES))
}

fn all_errors(stride: usize, results: &Mutex<Results>) {
    let scenes = scenes();
    let troubles: Vec<_> =
        scenes.iter().flat_map(|s| [(s, &FAILS), (s, &UNREADABLE), (s, &QUOTA)]).collect();
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
    if is_left_out("memory controller of cgroups", MemoryGroup::new().is_some()) {
        return;
    }
    run("crash-short-memory", "Too little memory, at some levels", Taken::Some(5), |results| {
        all_memory(MEMORY_STEP, results);
    });
}

#[test]
#[ignore = "takes minutes"]
fn crash_long_errors() {
    let what = "A disk that fails at each call that reads or changes it, turns read-only or has no quota left at each that changes it; too little memory";
    run("crash-long-errors", what, Taken::by(stride(), 100), |results| {
        all_errors(stride(), results);
        if is_left_out("memory controller of cgroups", MemoryGroup::new().is_some()) {
            return;
        }
        all_memory(MEMORY_STEP / 8, results);
    });
}
