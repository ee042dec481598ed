//! A scene disturbed at one system call after the other, by several workers, each with a disk of its own.
//!
//! A kill leaves what is there as the call is entered, and a power cut what is on disk then: one run shows both for many
//! calls, and is really killed, and cut by `FS_IOC_SHUTDOWN`, at the last of them.

use crate::{
    crash_disk::{Disk, FileSystem, Image, are_disks_left_out, own_mounts},
    crash_judge::Left,
    crash_points::{Points, WORKERS, side_by_side},
    crash_record::{Record, put},
    crash_scene::{Fingerprint, Scene, Verb, fingerprint},
    crash_tracer::{self, Look, Strike, Traced},
    fault_results::{Results, caught, stops},
    fault_summary::Verdict,
    guest_fixture::{Folder, reply},
};
use stackc::model::Digest;
use std::{
    collections::BTreeMap,
    path::Path,
    sync::Mutex,
    time::{Duration, Instant},
};

/// What is looked at in one run: short enough for nothing to become durable by itself, which the kernel sees to after half
/// a minute.
const LOOKS_MAX: usize = 64;
/// The kernel writes back every 5 s.
const QUICK: Duration = Duration::from_secs(4);
/// One in so many system calls of a run may be one that another run does without: a hook is waited for in rounds.
const FEW: usize = 5;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// The call dies, and the guest runs on.
    Kill,
    /// The call dies, and the guest boots: all that was written is there.
    KillThenBoot,
    /// The guest loses its power: what was not made durable is lost.
    PowerCut,
}

impl Fault {
    pub fn name(self) -> &'static str {
        match self {
            Self::Kill => "kill",
            Self::KillThenBoot => "kill, then boot",
            Self::PowerCut => "power cut",
        }
    }

    pub fn strike(self, disk: &mut Disk) {
        match self {
            Self::Kill | Self::KillThenBoot => {}
            Self::PowerCut => disk.cut_power(),
        }
    }
}

/// Verdicts by what was left, to the byte, and whether the call had answered: the same state is judged once, whichever file
/// system it was left on. What was in memory counts where there was no boot.
pub type Judged = Mutex<BTreeMap<(Digest, Option<Digest>, bool), Result<Verdict, String>>>;

/// One scene on one file system.
pub struct Stage<'s> {
    scene: &'s Scene,
    image: Image,
    pub clean: Traced,
    judged: &'s Judged,
}

/// A call of the binary that is watched.
pub struct Call<'c> {
    pub from: &'c Image,
    pub words: &'c [&'c str],
    pub input: &'c Path,
    /// As it enters this system call.
    pub killed_at: Option<usize>,
}

/// What was there as the binary entered a system call.
pub struct Seen {
    /// Which system call, from 1.
    pub point: usize,
    answered: bool,
    pub left: Fingerprint,
    /// Where that was not judged before.
    pub folder: Option<Folder>,
    durable: Image,
}

/// Crashes a scene's call at its points, in all ways and on all file systems.
pub fn sweep(scene: &Scene, points: Points, results: &Mutex<Results>) {
    let judged = Judged::default();
    for file_system in FileSystem::ALL {
        let stage = Stage::new(scene, file_system, &judged);
        let points = points.of(&stage.clean);
        let looks = points.len().div_ceil(2 * WORKERS).clamp(1, LOOKS_MAX);
        let runs: Vec<&[usize]> = points.chunks(looks).collect();
        stage.on_each(&runs, results, |disk, points| {
            stage.trial(disk, points).iter().for_each(|record| put(results, record));
        });
    }
}

impl<'s> Stage<'s> {
    pub fn new(scene: &'s Scene, file_system: FileSystem, judged: &'s Judged) -> Self {
        let (image, clean) = std::thread::scope(|scope| {
            let made = scope.spawn(|| {
                own_mounts();
                let image = Image::of(&scene.start, file_system);
                let mut disk = Disk::new(file_system, &scene.start);
                disk.load(&image);
                let clean = trace(scene, &disk.folder, Strike::None);
                (image, clean)
            });
            made.join().expect("a file system can be made and mounted")
        });
        Self { scene, image, clean, judged }
    }

    /// Does the work for each trial, until the results' time is up.
    pub fn on_each<T: Sync>(
        &self,
        trials: &[T],
        results: &Mutex<Results>,
        work: impl Fn(&mut Disk, &T) + Sync,
    ) {
        let disk = || Disk::new(self.image.file_system(), &self.scene.start);
        side_by_side(trials, disk, |disk, trial| {
            if !stops(results) {
                work(disk, trial);
            }
        });
    }

    /// Kills the call there. Whether it had answered before.
    pub fn strike(&self, disk: &mut Disk, point: usize) -> bool {
        disk.load(&self.image);
        answered(&trace(self.scene, &disk.folder, Strike::Kill(point)).said)
    }

    /// Looks at all points but the last in one run, which is struck at that.
    fn trial(&self, disk: &mut Disk, points: &[usize]) -> Vec<Record> {
        let (last, points) = points.split_last().expect("a run has a point");
        let (words, input) = (self.scene.words(), self.scene.input());
        let call = Call { from: &self.image, words: &words, input: &input, killed_at: Some(*last) };
        let (mut seen, answered) = self.watch(disk, &call, |at| points.contains(&at));
        let mut records = self.struck(disk, *last, answered);
        for seen in &mut seen {
            let folder = seen.folder.take();
            for (fault, rebooted) in [(Fault::Kill, false), (Fault::KillThenBoot, true)] {
                let verdict = self.judge(folder.as_ref(), seen.left, rebooted, seen.answered);
                records.push(self.record(fault.name().to_owned(), seen.point.to_string(), verdict));
            }
        }
        for (seen, verdict) in seen.iter().zip(self.cuts(disk, &seen)) {
            let fault = Fault::PowerCut.name().to_owned();
            records.push(self.record(fault, seen.point.to_string(), verdict));
        }
        records
    }

    /// What a real kill leaves is judged as it is and as the next boot finds it; then the power goes.
    fn struck(&self, disk: &mut Disk, point: usize, answered: bool) -> Vec<Record> {
        let there = fingerprint(&disk.folder);
        let killed = self.judge(Some(&disk.folder), there, false, answered);
        let booted = self.judge(Some(&disk.folder), there, true, answered);
        Fault::PowerCut.strike(disk);
        let cut = self.judge(Some(&disk.folder), fingerprint(&disk.folder), true, answered);
        let records =
            [(Fault::Kill, killed), (Fault::KillThenBoot, booted), (Fault::PowerCut, cut)];
        let record = |(fault, verdict): (Fault, _)| {
            self.record(fault.name().into(), point.to_string(), verdict)
        };
        records.map(record).into()
    }

    /// Runs a call, and looks at what is there at some of its points. What was seen, and whether it has answered.
    pub fn watch(
        &self,
        disk: &mut Disk,
        call: &Call,
        is_point: impl Fn(usize) -> bool,
    ) -> (Vec<Seen>, bool) {
        disk.load(call.from);
        let mut seen: Vec<Seen> = Vec::new();
        let argv = argv(&disk.folder, call.words);
        let argv: Vec<&str> = argv.iter().map(String::as_str).collect();
        // A recovery, which is let run to its end, has nobody to answer to.
        let answered = |said: &[u8]| call.killed_at.is_some() && answered(said);
        let traced = crash_tracer::watch(&argv, call.input, &mut |point, said| {
            if is_point(point) {
                let like = seen.last().map_or(call.from, |seen| &seen.durable);
                seen.push(self.look(disk, point, answered(said), like));
            }
            if call.killed_at == Some(point) { Look::Enough } else { Look::More }
        });
        // A run that waits less for a hook has fewer calls: it is over then, which a kill at its last one leaves too.
        let calls = traced.calls.len();
        let is_over = |at: usize| calls < at && at <= calls + calls / FEW;
        match call.killed_at {
            Some(at) => assert!(traced.is_killed() || is_over(at), "{calls} calls, and not {at}"),
            None => assert!(!traced.is_killed(), "it dies by itself"),
        }
        (seen, answered(&traced.said))
    }

    fn look(&self, disk: &Disk, point: usize, answered: bool, like: &Image) -> Seen {
        // First what a power cut leaves, before time makes it more.
        let durable = disk.durable(Some(like));
        let left = fingerprint(&disk.folder);
        let is_known =
            [false, true].iter().all(|rebooted| self.known(left, *rebooted, answered).is_some());
        let folder = (!is_known).then(|| disk.folder.copy());
        Seen { point, answered, left, folder, durable }
    }

    /// What power cuts leave, in the order in which it was seen. Where nothing became durable in between, they leave the
    /// same.
    pub fn cuts(&self, disk: &mut Disk, all: &[Seen]) -> Vec<Result<Verdict, String>> {
        let mut verdicts: Vec<Result<Verdict, String>> = Vec::new();
        for (number, seen) in all.iter().enumerate() {
            let before = number.checked_sub(1).map(|before| &all[before]);
            let is_same =
                |before: &Seen| before.answered == seen.answered && before.durable == seen.durable;
            if before.is_some_and(is_same) {
                verdicts.push(verdicts[number - 1].clone());
                continue;
            }
            disk.load(&seen.durable);
            let left = fingerprint(&disk.folder);
            verdicts.push(self.judge(Some(&disk.folder), left, true, seen.answered));
        }
        verdicts
    }

    fn known(
        &self,
        left: Fingerprint,
        rebooted: bool,
        answered: bool,
    ) -> Option<Result<Verdict, String>> {
        let key = (left.kept, (!rebooted).then_some(left.memory), answered);
        self.judged.lock().expect("nobody panics with it").get(&key).cloned()
    }

    /// Judges a copy, which needs no disk. Without a folder, it was judged before.
    pub fn judge(
        &self,
        there: Option<&Folder>,
        left: Fingerprint,
        rebooted: bool,
        answered: bool,
    ) -> Result<Verdict, String> {
        if let Some(verdict) = self.known(left, rebooted, answered) {
            return verdict;
        }
        let folder = there.expect("what nobody has judged is kept").copy();
        if rebooted {
            folder.boot();
        }
        let left_over = Left { scene: self.scene, folder: &folder, rebooted, answered };
        let verdict = caught(|| left_over.judge());
        let key = (left.kept, (!rebooted).then_some(left.memory), answered);
        self.judged.lock().expect("nobody panics with it").insert(key, verdict.clone());
        verdict
    }

    pub fn record(&self, fault: String, point: String, verdict: Result<Verdict, String>) -> Record {
        Record::new(self.scene, self.image.file_system().name(), (fault, point), verdict)
    }
}

pub fn argv(folder: &Folder, words: &[&str]) -> Vec<String> {
    let root = folder.dir.path().display().to_string();
    let words = words.iter().map(|&word| word.to_owned());
    [folder.binary.to_owned(), "--root".to_owned(), root].into_iter().chain(words).collect()
}

fn trace(scene: &Scene, folder: &Folder, strike: Strike) -> Traced {
    let argv = argv(folder, &scene.words());
    let argv: Vec<&str> = argv.iter().map(String::as_str).collect();
    crash_tracer::run(&argv, &scene.input(), strike)
}

fn answered(said: &[u8]) -> bool {
    !said.is_empty() && reply::<serde_json::Value>(said).is_some_and(|reply| reply.is_ok())
}

#[test]
fn what_is_seen_as_a_call_is_entered_is_what_a_kill_and_a_power_cut_leave_there() {
    if are_disks_left_out() {
        return;
    }
    let (scene, judged) = (Scene::new(Verb::Begin, 1), Judged::default());
    for file_system in FileSystem::ALL {
        let stage = Stage::new(&scene, file_system, &judged);
        let points = Points::Changing { stride: 37 }.of(&stage.clean);
        let (words, input) = (scene.words(), scene.input());
        let killed_at = points.last().copied();
        let call = Call { from: &stage.image, words: &words, input: &input, killed_at };
        side_by_side(
            &[()],
            || Disk::new(file_system, &scene.start),
            |disk, ()| {
                // On a machine so busy that the kernel writes back meanwhile, more is durable than is at once.
                let quick = (0..5).find_map(|_| {
                    let started = Instant::now();
                    let (seen, _) = stage.watch(disk, &call, |at| points.contains(&at));
                    (started.elapsed() < QUICK).then_some(seen)
                });
                let seen = quick.expect("one run of five is quick");
                assert!(seen.len() > 5, "only {} points", seen.len());
                for Seen { point, left, durable, .. } in &seen {
                    disk.load(durable);
                    let durable = fingerprint(&disk.folder).kept;
                    stage.strike(disk, *point);
                    assert_eq!(fingerprint(&disk.folder).kept, left.kept, "killed at {point}");
                    disk.cut_power();
                    assert_eq!(fingerprint(&disk.folder).kept, durable, "cut at {point}");
                }
            },
        );
    }
}
