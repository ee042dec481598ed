//! The recovery from a crash is crashed, too, and the one after that.

use crate::{
    crash_calls::Place,
    crash_disk::{Disk, FileSystem, Image},
    crash_points::Points,
    crash_record::{Record, put},
    crash_scene::{Scene, fingerprint},
    crash_sweep::{Call, Fault, Judged, Seen, Stage, argv},
    crash_tracer::{self, Look},
    fault_results::{Results, missed},
    guest_fixture::Folder,
};
use std::{path::Path, sync::Mutex};

/// How a recovery is crashed, too.
#[derive(Debug, Clone, Copy)]
pub struct Again {
    /// At each of so many system calls.
    pub stride: usize,
    /// And the recovery after that once more, at the same one.
    pub thrice: bool,
}

/// Crashes the recovery from crashes of a scene's call, too.
pub fn sweep_recoveries(scene: &Scene, (points, again): (Points, Again), results: &Mutex<Results>) {
    let judged = Judged::default();
    for file_system in FileSystem::ALL {
        let stage = Stage::new(scene, file_system, &judged);
        let points = points.of(&stage.clean).into_iter();
        let booted = [Fault::KillThenBoot, Fault::PowerCut];
        let trials: Vec<(Place, Fault)> =
            points.flat_map(|at| booted.map(|fault| (at.clone(), fault))).collect();
        stage.on_each(&trials, results, |disk, (place, fault)| {
            if !stage.strike(disk, place) {
                missed(results, &format!("{place} of {:?}", scene.verb));
                return;
            }
            fault.strike(disk);
            disk.folder.boot();
            let left = disk.save();
            let first = First { left, place, fault: *fault };
            let records = if again.thrice {
                stage.third_trials(disk, &first, again.stride)
            } else {
                stage.second_trials(disk, &first, again.stride)
            };
            for record in &records {
                put(results, record);
            }
        });
    }
}

/// What the first crash has left.
struct First<'p> {
    left: Image,
    place: &'p Place,
    fault: Fault,
}

impl Stage<'_> {
    /// The recovery of what was left is crashed at every so many-th of its system calls.
    fn second_trials(&self, disk: &mut Disk, first: &First<'_>, stride: usize) -> Vec<Record> {
        let First { left, place, fault } = first;
        let (words, input) = (&["recover"], Path::new("/dev/null"));
        let call = Call { from: left, words, input, killed_at: None };
        let mut seen = self.watch(disk, &call, |all| all.len() % stride == 1 % stride).seen;
        let verdicts = match fault {
            Fault::PowerCut => self.cuts(disk, &seen),
            _ => seen
                .iter_mut()
                .map(|seen| self.judge(seen.folder.take().as_ref(), seen.left, true, false))
                .collect(),
        };
        let record = |(seen, verdict): (&Seen, _)| {
            let fault = format!("crashed again: {}, twice", fault.name());
            self.record(fault, format!("{place}+{}", seen.place), verdict)
        };
        seen.iter().zip(verdicts).map(record).collect()
    }

    /// So is the recovery after that, at the same one.
    fn third_trials(&self, disk: &mut Disk, first: &First<'_>, stride: usize) -> Vec<Record> {
        let First { left, place, fault } = first;
        let mut records = Vec::new();
        for second in (1..).step_by(stride) {
            disk.load(left);
            if !crash_recovery(&disk.folder, second) {
                break;
            }
            fault.strike(disk);
            disk.folder.boot();
            // What is left may be ended sooner than it was the first time.
            if !crash_recovery(&disk.folder, second) {
                continue;
            }
            fault.strike(disk);
            let there = fingerprint(&disk.folder);
            let verdict = self.judge(Some(&disk.folder), there, true, false);
            let fault = format!("crashed again: {}, three times", fault.name());
            records.push(self.record(fault, format!("{place}+{second}"), verdict));
        }
        records
    }
}

/// Kills it as it enters this system call, from 1. False when it was over before that.
fn crash_recovery(folder: &Folder, number: usize) -> bool {
    let argv = argv(folder, &["recover"]);
    let argv: Vec<&str> = argv.iter().map(String::as_str).collect();
    let mut look = |all: &[Place], _: &[u8]| {
        if all.len() == number { Look::Enough } else { Look::More }
    };
    crash_tracer::watch(&argv, "/dev/null".as_ref(), &mut look).is_killed()
}
