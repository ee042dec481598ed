//! At which system calls a scene is disturbed, and who does it side by side.

use crate::{
    crash_calls::Place,
    crash_disk::own_mounts,
    crash_scene::{Scene, Verb},
    crash_sweep::trace,
    crash_tracer::{Strike, Traced},
};
use std::{
    collections::BTreeSet,
    process::{Child, Command},
    sync::atomic::{AtomicUsize, Ordering},
};

/// As many as the machine that this is measured on has processors.
pub const WORKERS: usize = 2;
/// So many undisturbed runs tell which calls are not there in every one.
pub const CLEAN_RUNS: usize = 3;
/// How often a call is looked for that a run did without: a hook is waited for in rounds.
pub const TRIES: usize = 4;

/// At which system calls.
#[derive(Debug, Clone, Copy)]
pub enum Points {
    /// At each one.
    All,
    /// At each `stride`th of those that change something: between two of them, each leaves the same.
    Changing { stride: usize },
}

impl Points {
    /// Of the calls that undisturbed runs have in common.
    pub fn of(self, clean: &[Place]) -> Vec<Place> {
        match self {
            Self::All => clean.to_vec(),
            Self::Changing { stride } => {
                let changing: Vec<&Place> = clean.iter().filter(|at| at.call.changes).collect();
                // Where it begins differs by scene, so that strides meet other calls in each.
                let some = changing.iter().skip(changing.len() % stride).step_by(stride);
                let mut some: Vec<Place> = some.map(|at| (*at).clone()).collect();
                let last = changing.last().map(|at| (*at).clone());
                some.extend(last.filter(|last| some.last() != Some(last)));
                some
            }
        }
    }
}

/// What all of these runs came to.
pub fn in_common(runs: &[Traced]) -> Vec<Place> {
    let (first, others) = runs.split_first().expect("there is a run");
    let others: Vec<BTreeSet<&Place>> =
        others.iter().map(|run| run.places.iter().collect()).collect();
    let in_all = |place: &&Place| others.iter().all(|run| run.contains(place));
    first.places.iter().filter(in_all).cloned().collect()
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

#[test]
fn a_call_is_struck_where_it_was_planned_beside_two_hundred_other_processes() {
    let scene = Scene::new(Verb::Undo, 1);
    let run = |strike: Strike| trace(&scene, &scene.start.copy(), strike);
    let clean = in_common(&[(); CLEAN_RUNS].map(|()| run(Strike::None)));
    let points = Points::Changing { stride: 7 }.of(&clean);
    let sleeper = || Command::new("/bin/sleep").arg("60").spawn().expect("it can be run");
    let sleepers: Vec<Child> = (0..200).map(|_| sleeper()).collect();
    let beside = run(Strike::None);
    let killed: Vec<Traced> = points.iter().map(|at| run(Strike::Kill(at))).collect();
    for mut sleeper in sleepers {
        sleeper.kill().expect("it is our child");
        sleeper.wait().expect("it is our child");
    }
    assert!(beside.places.len() > clean.len() + 200, "nobody looks at other processes");
    let changing = |places: &[Place]| -> Vec<Place> {
        places.iter().filter(|at| at.call.changes).cloned().collect()
    };
    let all = changing(&clean);
    assert_eq!(changing(&beside.places), all);
    for (at, killed) in points.iter().zip(killed) {
        let before = all.iter().position(|place| place == at).expect("it is one of them");
        assert!(killed.is_killed(), "it was not killed at {at}");
        assert_eq!(changing(&killed.places), all[..=before], "killed at {at}");
    }
}
