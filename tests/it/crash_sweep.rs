//! A scene disturbed at one system call after the other, by several workers, each with a disk of its own.

use crate::{
    crash_disk::{Disk, FileSystem, Image, own_mounts},
    crash_judge::Left,
    crash_results::{Record, Results, caught},
    crash_scene::{Scene, fingerprint},
    crash_tracer::{self, Strike, Traced},
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

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Fault {
    /// The call dies, and the guest runs on.
    Kill,
    /// The call dies, and the guest boots: all that was written is there.
    KillThenBoot,
    /// The guest loses its power: what was not made durable is lost.
    PowerCut,
}

impl Fault {
    pub const ALL: [Self; 3] = [Self::Kill, Self::KillThenBoot, Self::PowerCut];

    pub fn name(self) -> &'static str {
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

/// Verdicts by what was left, to the byte: the same state is judged once.
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
pub struct Stage<'s> {
    scene: &'s Scene,
    image: Image,
    clean: Traced,
    judged: Judged,
}

/// Crashes a scene's call at its points, in the ways given.
pub fn sweep(
    scene: &Scene,
    file_system: FileSystem,
    faults: &[Fault],
    points: Points,
    results: &Mutex<Results>,
) {
    let stage = Stage::new(scene, file_system);
    let trials = stage.trials(faults, points);
    stage.on_each(&trials, |disk, (point, fault)| {
        let record = stage.trial(disk, *point, *fault);
        results.lock().expect("no worker panics with it").add(record);
    });
}

/// Crashes the recovery from crashes of a scene's call, too.
pub fn sweep_recoveries(
    scene: &Scene,
    file_system: FileSystem,
    faults: &[Fault],
    (points, again): (Points, Again),
    results: &Mutex<Results>,
) {
    let stage = Stage::new(scene, file_system);
    let trials = stage.trials(faults, points);
    stage.on_each(&trials, |disk, (point, fault)| {
        stage.strike(disk, *point, *fault);
        disk.folder.boot();
        let left = disk.save();
        for second in (1..).step_by(again.stride) {
            let at = (*point, second, *fault);
            let Some(record) = stage.second_trial(disk, &left, at, again.thrice) else { break };
            results.lock().expect("no worker panics with it").add(record);
        }
    });
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
    fn new(scene: &'s Scene, file_system: FileSystem) -> Self {
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
        Self { scene, image, clean, judged: Mutex::default() }
    }

    fn trials(&self, faults: &[Fault], points: Points) -> Vec<(usize, Fault)> {
        let points = points.of(&self.clean).into_iter();
        points.flat_map(|point| faults.iter().map(move |fault| (point, *fault))).collect()
    }

    fn on_each(&self, trials: &[(usize, Fault)], work: impl Fn(&mut Disk, &(usize, Fault)) + Sync) {
        let disk = || Disk::new(self.image.file_system(), &self.scene.start);
        side_by_side(trials, disk, work);
    }

    /// Whether the call had answered before it died there.
    fn strike(&self, disk: &mut Disk, point: usize, fault: Fault) -> bool {
        disk.load(&self.image);
        let traced = trace(self.scene, &disk.folder, Strike::Kill(point));
        fault.strike(disk);
        answered(&traced)
    }

    fn trial(&self, disk: &mut Disk, point: usize, fault: Fault) -> Record {
        let answered = self.strike(disk, point, fault);
        let verdict = self.judge(disk, fault != Fault::Kill, answered);
        self.record(fault.name().to_owned(), point.to_string(), verdict)
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
        let verdict = self.judge(disk, true, false);
        let often = if thrice { "three times" } else { "twice" };
        Some(self.record(
            format!("{}, {often}", fault.name()),
            format!("{point}+{second}"),
            verdict,
        ))
    }

    fn judge(&self, disk: &Disk, rebooted: bool, answered: bool) -> Result<Verdict, String> {
        let key = (fingerprint(&disk.folder), rebooted, answered);
        let known =
            |judged: &Judged| judged.lock().expect("nobody panics with it").get(&key).cloned();
        if let Some(verdict) = known(&self.judged) {
            return verdict;
        }
        if rebooted {
            disk.folder.boot();
        }
        let left = Left { scene: self.scene, folder: &disk.folder, rebooted, answered };
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
