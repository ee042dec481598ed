//! A scene disturbed at one system call after the other, by several workers, each with a disk of its own.

use crate::{
    crash_disk::{Disk, FileSystem, Image, own_mounts},
    crash_judge::Left,
    crash_record::{Record, put},
    crash_scene::{Scene, fingerprint},
    crash_tracer::{self, Strike, Traced},
    fault_results::{Results, caught, stops},
    fault_summary::Verdict,
    guest_fixture::{Folder, reply},
};
use stackc::model::Digest;
use std::{
    collections::BTreeMap,
    sync::{
        Mutex,
        atomic::{AtomicUsize, Ordering},
    },
};

/// As many as the machine that this is measured on has processors.
const WORKERS: usize = 2;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fault {
    /// The call dies, and the guest runs on.
    Kill,
    /// The call dies, and the guest boots: all that was written is there.
    KillThenBoot,
    /// The guest loses its power: what was not made durable is lost.
    PowerCut,
}

impl Fault {
    fn name(self) -> &'static str {
        match self {
            Self::Kill => "kill",
            Self::KillThenBoot => "kill, then boot",
            Self::PowerCut => "power cut",
        }
    }

    fn strike(self, disk: &mut Disk) {
        match self {
            Self::Kill | Self::KillThenBoot => {}
            Self::PowerCut => disk.cut_power(),
        }
    }
}

/// At which system calls.
#[derive(Debug, Clone, Copy)]
pub enum Points {
    /// At each one.
    All,
    /// At each `stride`th of those that change something: between two of them, each leaves the same.
    Changing { stride: usize },
}

impl Points {
    fn of(self, clean: &Traced) -> Vec<usize> {
        match self {
            Self::All => (1..=clean.calls.len()).collect(),
            Self::Changing { stride } => {
                let changing = clean.changing();
                let last = changing.last().copied();
                // Where it begins differs by scene, so that strides meet other calls in each.
                let offset = clean.calls.len() % stride;
                let some = changing.into_iter().skip(offset).step_by(stride);
                let mut some: Vec<usize> = some.collect();
                some.extend(last.filter(|last| some.last() != Some(last)));
                some
            }
        }
    }
}

/// Verdicts by what was left, to the byte: the same state is judged once, whichever file system it was left on.
type Judged = Mutex<BTreeMap<(Digest, bool, bool), Result<Verdict, String>>>;

/// How a recovery is crashed, too.
#[derive(Debug, Clone, Copy)]
pub struct Again {
    /// At each of so many system calls.
    pub stride: usize,
    /// And the recovery after that once more, at the same one.
    pub thrice: bool,
}

/// One scene on one file system.
struct Stage<'s> {
    scene: &'s Scene,
    image: Image,
    clean: Traced,
    judged: &'s Judged,
}

/// Crashes a scene's call at its points, in all ways and on all file systems.
pub fn sweep(scene: &Scene, points: Points, results: &Mutex<Results>) {
    let judged = Judged::default();
    for file_system in FileSystem::ALL {
        let stage = Stage::new(scene, file_system, &judged);
        stage.on_each(&points.of(&stage.clean), results, |disk, point| {
            stage.trial(disk, *point).iter().for_each(|record| put(results, record));
        });
    }
}

/// Crashes the recovery from crashes of a scene's call, too.
pub fn sweep_recoveries(scene: &Scene, (points, again): (Points, Again), results: &Mutex<Results>) {
    let judged = Judged::default();
    for file_system in FileSystem::ALL {
        let stage = Stage::new(scene, file_system, &judged);
        let points = points.of(&stage.clean).into_iter();
        let booted = [Fault::KillThenBoot, Fault::PowerCut];
        let trials: Vec<_> = points.flat_map(|at| booted.map(|fault| (at, fault))).collect();
        stage.on_each(&trials, results, |disk, (point, fault)| {
            stage.strike(disk, *point);
            fault.strike(disk);
            disk.folder.boot();
            let left = disk.save();
            for second in (1..).step_by(again.stride).take_while(|_| !stops(results)) {
                let at = (*point, second, *fault);
                let Some(record) = stage.second_trial(disk, &left, at, again.thrice) else { break };
                put(results, &record);
            }
        });
    }
}

/// Does the work for each trial, on workers that have mounts of their own, and what they begin with.
pub fn side_by_side<T: Sync, W>(
    trials: &[T],
    begin: impl Fn() -> W + Sync,
    work: impl Fn(&mut W, &T) + Sync,
) {
    let next = AtomicUsize::new(0);
    std::thread::scope(|scope| {
        for _ in 0..WORKERS {
            scope.spawn(|| {
                own_mounts();
                let mut worker = begin();
                while let Some(trial) = trials.get(next.fetch_add(1, Ordering::Relaxed)) {
                    work(&mut worker, trial);
                }
            });
        }
    });
}

impl<'s> Stage<'s> {
    fn new(scene: &'s Scene, file_system: FileSystem, judged: &'s Judged) -> Self {
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
    fn on_each<T: Sync>(
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
    fn strike(&self, disk: &mut Disk, point: usize) -> bool {
        disk.load(&self.image);
        answered(&trace(self.scene, &disk.folder, Strike::Kill(point)))
    }

    /// What a kill leaves is looked at first, as it is and as the next boot finds it; then the power goes.
    fn trial(&self, disk: &mut Disk, point: usize) -> [Record; 3] {
        let answered = self.strike(disk, point);
        let there = fingerprint(&disk.folder);
        let killed = self.judge(&disk.folder, there, false, answered);
        let booted = self.judge(&disk.folder, there, true, answered);
        Fault::PowerCut.strike(disk);
        let cut = self.judge(&disk.folder, fingerprint(&disk.folder), true, answered);
        [(Fault::Kill, killed), (Fault::KillThenBoot, booted), (Fault::PowerCut, cut)].map(
            |(fault, verdict)| self.record(fault.name().to_owned(), point.to_string(), verdict),
        )
    }

    /// None when the recovery was over before that.
    fn second_trial(
        &self,
        disk: &mut Disk,
        left: &Image,
        (point, second, fault): (usize, usize, Fault),
        thrice: bool,
    ) -> Option<Record> {
        disk.load(left);
        if !crash_recovery(&disk.folder, second) {
            return None;
        }
        fault.strike(disk);
        disk.folder.boot();
        if thrice {
            crash_recovery(&disk.folder, second);
            fault.strike(disk);
        }
        let verdict = self.judge(&disk.folder, fingerprint(&disk.folder), true, false);
        let often = if thrice { "three times" } else { "twice" };
        Some(self.record(
            format!("crashed again: {}, {often}", fault.name()),
            format!("{point}+{second}"),
            verdict,
        ))
    }

    /// Judges a copy, which needs no disk. What is there has this fingerprint.
    fn judge(
        &self,
        there: &Folder,
        fingerprint: Digest,
        rebooted: bool,
        answered: bool,
    ) -> Result<Verdict, String> {
        let key = (fingerprint, rebooted, answered);
        let known =
            |judged: &Judged| judged.lock().expect("nobody panics with it").get(&key).cloned();
        if let Some(verdict) = known(self.judged) {
            return verdict;
        }
        let folder = there.copy();
        if rebooted {
            folder.boot();
        }
        let left = Left { scene: self.scene, folder: &folder, rebooted, answered };
        let verdict = caught(|| left.judge());
        self.judged.lock().expect("nobody panics with it").insert(key, verdict.clone());
        verdict
    }

    fn record(&self, fault: String, point: String, verdict: Result<Verdict, String>) -> Record {
        Record::new(self.scene, self.image.file_system().name(), (fault, point), verdict)
    }
}

fn trace(scene: &Scene, folder: &Folder, strike: Strike) -> Traced {
    let root = folder.dir.path().display().to_string();
    let mut argv = vec![folder.binary, "--root", &root];
    argv.extend(scene.words());
    crash_tracer::run(&argv, &scene.input(), strike)
}

/// False when it was over before that.
fn crash_recovery(folder: &Folder, point: usize) -> bool {
    let root = folder.dir.path().display().to_string();
    let argv = [folder.binary, "--root", &root, "recover"];
    crash_tracer::run(&argv, "/dev/null".as_ref(), Strike::Kill(point)).is_killed()
}

fn answered(traced: &Traced) -> bool {
    !traced.said.is_empty() && reply::<serde_json::Value>(&traced.said).is_some_and(|r| r.is_ok())
}
