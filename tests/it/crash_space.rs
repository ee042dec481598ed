//! No block left, and no inode, at one level after the other from none to enough: what cannot be done says why, the guest
//! is whole, what goes back goes back with nothing left at all, and the same again ends once there is room.

use crate::{
    crash_disk::{Disk, FileSystem, Image, are_disks_left_out, own_mounts},
    crash_judge::{Left, assert_whole},
    crash_kills::{Taken, run},
    crash_points::side_by_side,
    crash_record::{Record, put},
    crash_scene::{Fingerprint, Scene, TX, Verb, fingerprint},
    fault_results::{Results, caught, stops},
    fault_summary::Verdict,
    guest_fixture::{Folder, feed, reply},
};
use nix::mount::{MntFlags, MsFlags, mount, umount2};
use rustix::fs::{FallocateFlags, fallocate, ftruncate, statvfs, syncfs};
use serde_json::Value;
use stackc::model::{Phase, protocol::Refusal};
use std::{
    collections::BTreeMap,
    fs::{self, File},
    sync::Mutex,
};

/// What takes up the room, beside all that is managed.
const FILLER: &str = "/filler";
const FILES: usize = 30;
/// No call needs more: a switch begins with 16 MiB free, which are 4096 blocks.
const ENOUGH: u64 = 12_000;
/// Files at most that there is room for when all that counts as free is taken.
const MORE: u32 = 1000;
/// How many levels in a row must be enough.
const DONE: u32 = 2;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Scarce {
    Blocks,
    Inodes,
}

/// How the levels are walked through.
#[derive(Debug, Clone, Copy)]
enum Steps {
    /// Each one: blocks of 4 KiB, or inodes.
    Each,
    /// The first three, then by halves.
    Wide,
}

impl Steps {
    fn next(self, level: u64) -> u64 {
        match self {
            Self::Each => level + 1,
            Self::Wide => level + 1 + level / 2,
        }
    }
}

impl Scarce {
    const ALL: [Self; 2] = [Self::Blocks, Self::Inodes];

    fn fault(self) -> &'static str {
        match self {
            Self::Blocks => "no block left",
            Self::Inodes => "no inode left",
        }
    }

    fn free(self, folder: &Folder) -> u64 {
        let stat = statvfs(folder.dir.path()).expect("it is mounted");
        match self {
            Self::Blocks => stat.f_bfree,
            Self::Inodes => stat.f_ffree,
        }
    }

    /// Takes all that is free.
    fn fill(self, folder: &Folder) {
        fs::create_dir_all(folder.at(FILLER)).expect("there is room");
        match self {
            Self::Inodes => {
                for number in 0..self.free(folder) {
                    File::create(filler(folder, number)).expect("an inode is free");
                }
            }
            Self::Blocks => {
                let file = File::create(filler(folder, 0)).expect("there is room");
                let mut size = 0;
                let mut piece = self.free(folder) * BLOCK;
                while piece >= BLOCK {
                    match fallocate(&file, FallocateFlags::empty(), size, piece) {
                        Ok(()) => size += piece,
                        Err(_) => piece /= 2,
                    }
                    piece -= piece % BLOCK;
                }
            }
        }
    }

    /// Frees so many again, for good.
    fn give(self, folder: &Folder, level: u64) {
        match self {
            Self::Inodes => {
                for number in 0..level {
                    fs::remove_file(filler(folder, number)).expect("there are more");
                }
            }
            Self::Blocks => {
                let path = filler(folder, 0);
                let size = fs::metadata(&path).expect("it is there").len();
                let file = File::options().write(true).open(path).expect("it is there");
                ftruncate(&file, size - level * BLOCK).expect("it is ours");
            }
        }
        syncfs(File::open(folder.dir.path()).expect("it is mounted")).expect("it can be written");
    }
}

/// Of an ext4 as `crash_disk` makes it.
const BLOCK: u64 = 4096;

fn filler(folder: &Folder, number: u64) -> std::path::PathBuf {
    folder.at(&format!("{FILLER}/{number}"))
}

/// A scene on a disk with no room at all.
fn full(disk: &mut Disk, scene: &Scene, scarce: Scarce) -> Image {
    disk.load(&Image::of(&scene.start, disk.file_system));
    leave_nothing(disk, scarce);
    disk.save()
}

fn leave_nothing(disk: &Disk, scarce: Scarce) {
    scarce.fill(&disk.folder);
    // Root too may not have what ext4 keeps for itself, though it counts as free; and what was removed before may have
    // become free only now.
    let more = |number: u32| disk.folder.at(FILLER).join(format!("more-{number}"));
    let last = (0..MORE).find(|number| fs::write(more(*number), "text").is_err());
    let _gone = fs::remove_file(more(last.expect("nothing is left in the end")));
}

/// The call at one level after the other, until it has succeeded at some in a row.
fn sweep(disk: &mut Disk, scene: &Scene, scarce: Scarce, steps: Steps, results: &Mutex<Results>) {
    let full = full(disk, scene, scarce);
    let (mut level, mut done) = (0, 0);
    // Most levels leave what the one before has left, to the byte.
    let mut judged: BTreeMap<(Fingerprint, bool), Verdict> = BTreeMap::new();
    while done < DONE && !stops(results) {
        disk.load(&full);
        scarce.give(&disk.folder, level);
        let at = (scarce.fault().to_owned(), level.to_string());
        let mut succeeded = false;
        let verdict = caught(|| {
            succeeded = call(scene, &disk.folder);
            fs::remove_dir_all(disk.folder.at(FILLER)).expect("it is there");
            let key = (fingerprint(&disk.folder), succeeded);
            *judged.entry(key).or_insert_with(|| judge(scene, &disk.folder, succeeded))
        });
        put(results, &Record::new(scene, disk.file_system.name(), at, verdict));
        done = if succeeded { done + 1 } else { 0 };
        assert!(level < ENOUGH, "{:?} never succeeds for want of {scarce:?}", scene.verb);
        level = steps.next(level);
    }
}

fn judge(scene: &Scene, folder: &Folder, succeeded: bool) -> Verdict {
    let answered = succeeded && scene.verb != Verb::Switch;
    let left = Left { scene, folder, rebooted: false, answered };
    if succeeded || scene.verb != Verb::Begin {
        return left.judge();
    }
    // A switch that was refused is over: the same one comes by a new transaction.
    left.converges();
    Verdict::Old
}

/// Whether the call did what it was asked for. Else it says why, and the guest is whole.
fn call(scene: &Scene, folder: &Folder) -> bool {
    let said = feed(folder.command(&scene.words()), &scene.request);
    let reply: Result<Value, Refusal> = reply(&said).expect("it answers");
    if scene.verb == Verb::Switch {
        return is_switched(folder);
    }
    let Err(refusal) = reply else { return true };
    assert!(!matches!(scene.verb, Verb::Undo | Verb::Recover), "cannot go back: {refusal:?}");
    assert_cause(&refusal.message);
    assert!(refusal.state.contains("is live"), "it says no state: {refusal:?}");
    assert_whole(scene, folder);
    false
}

/// A switch says what came of it in the journal.
fn is_switched(folder: &Folder) -> bool {
    let state = folder.result(TX);
    if state.phase == Phase::AwaitingConfirm {
        return true;
    }
    assert_eq!(state.phase, Phase::Undone, "{state:?}");
    assert_cause(&state.failure.expect("it says why").what);
    false
}

fn assert_cause(message: &str) {
    let causes = ["No space left on device", "there is not enough room"];
    assert!(causes.iter().any(|cause| message.contains(cause)), "it names no cause: {message}");
}

fn all_verbs(steps: Steps, results: &Mutex<Results>) {
    let scenes = Verb::ALL.map(|verb| Scene::new(verb, FILES));
    let trials: Vec<(&Scene, Scarce)> =
        scenes.iter().flat_map(|scene| Scarce::ALL.map(|scarce| (scene, scarce))).collect();
    let disk = || Disk::new(FileSystem::Ext4, &scenes[0].start);
    side_by_side(&trials, disk, |disk, (scene, scarce)| {
        sweep(disk, scene, *scarce, steps, results);
    });
}

#[test]
fn guest_with_no_block_or_no_inode_left_is_whole_says_why_and_goes_back() {
    run("crash-short-space", "Too little room, at some levels", Taken::Some(50), |results| {
        all_verbs(Steps::Wide, results);
    });
}

/// What writes without end takes the room too that was kept to decide, and goes on until it is stopped.
#[test]
fn guest_goes_back_though_what_was_kept_to_decide_is_taken_as_well() {
    if are_disks_left_out() {
        return;
    }
    std::thread::scope(|scope| scope.spawn(go_back_without_a_reserve).join())
        .unwrap_or_else(|panic| std::panic::resume_unwind(panic));
}

fn go_back_without_a_reserve() {
    own_mounts();
    for (verb, scarce) in [Verb::Undo, Verb::Recover].map(|v| Scarce::ALL.map(|s| (v, s))).concat()
    {
        let scene = Scene::new(verb, FILES);
        let mut disk = Disk::new(FileSystem::Ext4, &scene.start);
        disk.load(&Image::of(&scene.start, disk.file_system));
        let reserve = disk.folder.at(&format!("/var/lib/stackc/tx/{TX}/reserve"));
        fs::remove_dir_all(reserve).expect("the transaction is open");
        // What stands for the service manager has its room in memory.
        let run = disk.folder.at("/run");
        let state = disk.folder.system();
        let (none, memory) = (None::<&str>, Some("tmpfs"));
        mount(memory, &run, memory, MsFlags::empty(), none).expect("root may");
        disk.folder.put("/run/stackc/system.json", &serde_json::to_string(&state).expect("JSON"));
        leave_nothing(&disk, scarce);
        let said = feed(disk.folder.command(&scene.words()), &scene.request);
        let reply: Result<Value, Refusal> = reply(&said).expect("it answers");
        assert!(reply.is_ok(), "{verb:?} with {}: {reply:?}", scarce.fault());
        assert!(!assert_whole(&scene, &disk.folder), "it is back");
        let state = disk.folder.result(TX);
        assert_eq!(state.phase, Phase::Undone, "{verb:?} with {}", scarce.fault());
        umount2(&run, MntFlags::MNT_DETACH).expect("it is mounted");
    }
}

#[test]
#[ignore = "takes minutes"]
fn crash_long_space() {
    run(
        "crash-long-space",
        "Too little room, at every level to enough: blocks of 4 KiB, and inodes",
        Taken::All(100),
        |results| {
            all_verbs(Steps::Each, results);
        },
    );
}
