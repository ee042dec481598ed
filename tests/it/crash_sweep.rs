//! A scene disturbed at one system call after the other, by several workers, each with a disk of its own.
//!
//! A kill leaves what is there as the call is entered, and a power cut what is on disk then: one run shows both for many
//! calls, and is really killed, and cut by `FS_IOC_SHUTDOWN`, at the last of them.

use crate::{
    crash_calls::Place,
    crash_disk::{Disk, FileSystem, Image, are_disks_left_out, own_mounts},
    crash_judge::Left,
    crash_points::{CLEAN_RUNS, Points, TRIES, WORKERS, in_common, side_by_side},
    crash_record::{Record, put},
    crash_scene::{Fingerprint, Scene, Verb, fingerprint},
    crash_tracer::{self, Look, Strike, Traced},
    fault_results::{Results, caught, missed, stops},
    fault_summary::Verdict,
    guest_fixture::{Folder, reply},
};
use stackc::model::Digest;
use std::{
    collections::{BTreeMap, BTreeSet},
    path::Path,
    sync::Mutex,
    time::{Duration, Instant},
};

/// What is looked at in one run: short enough for nothing to become durable by itself, which the kernel sees to after half
/// a minute.
const LOOKS_MAX: usize = 64;
/// The kernel writes back every 5 s.
const QUICK: Duration = Duration::from_secs(4);
/// How many runs of one call may take longer than that on a busy machine.
const SLOW_MAX: u32 = 5;

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
    /// What undisturbed runs enter, all of them.
    pub clean: Vec<Place>,
    judged: &'s Judged,
}

/// A call of the binary that is watched.
pub struct Call<'c> {
    pub from: &'c Image,
    pub words: &'c [&'c str],
    pub input: &'c Path,
    /// As it enters this system call.
    pub killed_at: Option<&'c Place>,
}

/// What was there as the binary entered a system call.
pub struct Seen {
    pub place: Place,
    answered: bool,
    pub left: Fingerprint,
    /// Where that was not judged before.
    pub folder: Option<Folder>,
    durable: Image,
}

/// A run of a call that was watched.
pub struct Watched {
    pub seen: Vec<Seen>,
    answered: bool,
    /// It came to where it was to be killed.
    is_struck: bool,
}

/// Crashes a scene's call at its points, in all ways and on all file systems.
pub fn sweep(scene: &Scene, points: Points, results: &Mutex<Results>) {
    let judged = Judged::default();
    for file_system in FileSystem::ALL {
        let stage = Stage::new(scene, file_system, &judged);
        let mut left = points.of(&stage.clean);
        for _ in 0..TRIES {
            let met = Mutex::new(BTreeSet::new());
            let looks = left.len().div_ceil(2 * WORKERS).clamp(1, LOOKS_MAX);
            let runs: Vec<&[Place]> = left.chunks(looks).collect();
            stage.on_each(&runs, results, |disk, places| {
                let (here, records) = stage.trial(disk, places);
                met.lock().expect("nobody panics with it").extend(here);
                for record in &records {
                    put(results, record);
                }
            });
            let met = met.into_inner().expect("no worker panicked");
            left.retain(|place| !met.contains(place));
        }
        for place in left {
            missed(results, &format!("{} of {:?} on {}", place, scene.verb, file_system.name()));
        }
    }
}

impl<'s> Stage<'s> {
    pub fn new(scene: &'s Scene, file_system: FileSystem, judged: &'s Judged) -> Self {
        let (image, clean) = std::thread::scope(|scope| {
            let made = scope.spawn(|| {
                own_mounts();
                let image = Image::of(&scene.start, file_system);
                let mut disk = Disk::new(file_system, &scene.start);
                let mut clean = || {
                    disk.load(&image);
                    trace(scene, &disk.folder, Strike::None)
                };
                let clean = in_common(&[(); CLEAN_RUNS].map(|()| clean()));
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

    /// Kills the call there. False when no run comes there.
    pub fn strike(&self, disk: &mut Disk, place: &Place) -> bool {
        (0..TRIES).any(|_| {
            disk.load(&self.image);
            trace(self.scene, &disk.folder, Strike::Kill(place)).is_killed()
        })
    }

    /// Looks at all places but the last in one run, which is struck at that. Those that the run came to, and what it has
    /// left there.
    fn trial(&self, disk: &mut Disk, places: &[Place]) -> (Vec<Place>, Vec<Record>) {
        let (last, others) = places.split_last().expect("a run has a place");
        let (words, input) = (self.scene.words(), self.scene.input());
        let call = Call { from: &self.image, words: &words, input: &input, killed_at: Some(last) };
        let watched = self.watch(disk, &call, |all| others.contains(&all[all.len() - 1]));
        let Watched { mut seen, answered, is_struck } = watched;
        let mut met: Vec<Place> = seen.iter().map(|seen| seen.place.clone()).collect();
        let mut records = Vec::new();
        if is_struck {
            records.extend(self.struck(disk, last, answered));
            met.push(last.clone());
        }
        for seen in &mut seen {
            let folder = seen.folder.take();
            for (fault, rebooted) in [(Fault::Kill, false), (Fault::KillThenBoot, true)] {
                let verdict = self.judge(folder.as_ref(), seen.left, rebooted, seen.answered);
                records.push(self.record(fault.name().to_owned(), seen.place.to_string(), verdict));
            }
        }
        for (seen, verdict) in seen.iter().zip(self.cuts(disk, &seen)) {
            let fault = Fault::PowerCut.name().to_owned();
            records.push(self.record(fault, seen.place.to_string(), verdict));
        }
        (met, records)
    }

    /// What a real kill leaves is judged as it is and as the next boot finds it; then the power goes.
    fn struck(&self, disk: &mut Disk, place: &Place, answered: bool) -> Vec<Record> {
        let there = fingerprint(&disk.folder);
        let killed = self.judge(Some(&disk.folder), there, false, answered);
        let booted = self.judge(Some(&disk.folder), there, true, answered);
        Fault::PowerCut.strike(disk);
        let cut = self.judge(Some(&disk.folder), fingerprint(&disk.folder), true, answered);
        let records =
            [(Fault::Kill, killed), (Fault::KillThenBoot, booted), (Fault::PowerCut, cut)];
        let record = |(fault, verdict): (Fault, _)| {
            self.record(fault.name().into(), place.to_string(), verdict)
        };
        records.map(record).into()
    }

    /// Runs a call, and looks at what is there at some of its system calls: it is asked for each, with those before it.
    pub fn watch(
        &self,
        disk: &mut Disk,
        call: &Call,
        is_looked_at: impl Fn(&[Place]) -> bool,
    ) -> Watched {
        disk.load(call.from);
        let mut seen: Vec<Seen> = Vec::new();
        let argv = argv(&disk.folder, call.words);
        let argv: Vec<&str> = argv.iter().map(String::as_str).collect();
        // A recovery, which is let run to its end, has nobody to answer to.
        let answered = |said: &[u8]| call.killed_at.is_some() && answered(said);
        let traced = crash_tracer::watch(&argv, call.input, &mut |places, said| {
            let here = places.last().expect("it is entered");
            if is_looked_at(places) {
                let like = seen.last().map_or(call.from, |seen| &seen.durable);
                seen.push(self.look(disk, here.clone(), answered(said), like));
            }
            if call.killed_at == Some(here) { Look::Enough } else { Look::More }
        });
        let is_struck = call.killed_at.is_some_and(|at| traced.met(at));
        assert_eq!(traced.is_killed(), is_struck, "it dies by itself: {:?}", traced.status);
        Watched { seen, answered: answered(&traced.said), is_struck }
    }

    fn look(&self, disk: &Disk, place: Place, answered: bool, like: &Image) -> Seen {
        // First what a power cut leaves, before time makes it more.
        let durable = disk.durable(Some(like));
        let left = fingerprint(&disk.folder);
        let is_known =
            [false, true].iter().all(|rebooted| self.known(left, *rebooted, answered).is_some());
        let folder = (!is_known).then(|| disk.folder.copy());
        Seen { place, answered, left, folder, durable }
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

pub fn trace(scene: &Scene, folder: &Folder, strike: Strike) -> Traced {
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
        let places = Points::Changing { stride: 13 }.of(&stage.clean);
        side_by_side(
            &[()],
            || Disk::new(file_system, &scene.start),
            |disk, ()| {
                assert!(places.len() > 5, "only {} places", places.len());
                for at in &places {
                    stage.assert_seen_is_left(disk, at, &places);
                }
            },
        );
    }
}

impl Stage<'_> {
    /// What is seen at a call, after looks at others, is what is there once it is killed there, and cut.
    fn assert_seen_is_left(&self, disk: &mut Disk, at: &Place, places: &[Place]) {
        let (words, input) = (self.scene.words(), self.scene.input());
        let call = Call { from: &self.image, words: &words, input: &input, killed_at: Some(at) };
        for _ in 0..SLOW_MAX {
            // On a machine so busy that the kernel writes back meanwhile, more is durable than is at once.
            let started = Instant::now();
            let watched = self.watch(disk, &call, |all| places.contains(&all[all.len() - 1]));
            let is_quick = started.elapsed() < QUICK;
            let seen = watched.seen.iter().find(|seen| seen.place == *at);
            let seen = seen.unwrap_or_else(|| panic!("no run comes to {at}"));
            disk.load(&seen.durable);
            let durable = fingerprint(&disk.folder).kept;
            let started = Instant::now();
            assert!(self.strike(disk, at), "no run comes to {at}");
            let killed = fingerprint(&disk.folder).kept;
            disk.cut_power();
            let is_quick = is_quick && started.elapsed() < QUICK;
            let cut = fingerprint(&disk.folder).kept;
            assert_eq!(killed, seen.left.kept, "killed at {at}, of {}", places.len());
            if is_quick {
                assert_eq!(cut, durable, "cut at {at}, of {}", places.len());
                return;
            }
        }
        eprintln!("skipped: what a power cut leaves at {at}: no run of {SLOW_MAX} is quick enough");
    }
}
