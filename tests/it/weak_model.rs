//! A guest whose disk keeps only what POSIX promises loses its power at each effect: it is whole, old or new, and goes on.

use crate::dice::Dice;
use crate::fake::SSHD;
use crate::fault_results::{Results, stops};
use crate::fault_summary::{Sort, Summary, Verdict};
use crate::weak_explore::{Depth, Disks, Explorer, Judged, Tally};
use crate::weak_guest::WeakGuest;
use crate::weak_stories::{all, hooked};
use crate::weak_story::{Story, TX, activate, version};
use stackc::model::Ledger;
use std::sync::{
    Mutex,
    atomic::{AtomicUsize, Ordering},
};
use std::thread;
use std::time::Instant;

/// As many as the machine that this is measured on has processors.
const WORKERS: usize = 2;
const SHORT: Depth = Depth { losses: 6, recoveries: 25, again: 2, kills: 31 };
const LONG: Depth = Depth { losses: 150, recoveries: 3, again: 8, kills: 2 };

/// Tells a story, and counts what it shows beside those before.
fn explore(
    story: &Story,
    (depth, seed): (Depth, u64),
    disks: &Disks,
    results: &Mutex<Results>,
) -> Tally {
    let mut explorer = Explorer::new(story, depth, seed, (&Judged::default(), disks));
    let started = Instant::now();
    let told = explorer.explore();
    let tally = explorer.tally;
    eprintln!("{}: {tally:?} in {:?}", story.name, started.elapsed());
    let sort = Sort {
        fault: "weak disk".to_owned(),
        verb: story.name.to_owned(),
        on: "a model of POSIX".to_owned(),
        size: String::new(),
    };
    let mut results = results.lock().expect("nobody panics with it");
    for (verdict, states) in [(Verdict::Old, tally.old), (Verdict::New, tally.new)] {
        results.summary.add(&sort, verdict, states as u64);
    }
    if let Err(fault) = told {
        eprintln!("{}: {fault}", story.name);
        results.add(&sort, Verdict::Failed, Some(&fault), &sort);
    }
    results.keep();
    tally
}

/// The stories to tell, by `STACKC_STORIES=gc,mending`: all of them where it is not set.
fn is_wanted(story: &Story) -> bool {
    let wanted = std::env::var("STACKC_STORIES").ok();
    wanted.is_none_or(|wanted| wanted.split(',').any(|name| name == story.name))
}

fn explore_all(name: &str, depth: Depth, few: u64) -> Tally {
    let seed = Dice::seeded().0;
    let what = "Power cuts on a disk that keeps only what POSIX promises";
    let again =
        format!("STACKC_SEED={seed} cargo test --test it a_power_cut_on_a_weak_disk -- --ignored");
    let results = Mutex::new(Results::new(name, Summary::new(what, &again, Some(seed))));
    let (next, sum) = (AtomicUsize::new(0), Mutex::new(Tally::default()));
    let disks = Disks::default();
    thread::scope(|scope| {
        for _ in 0..WORKERS {
            scope.spawn(|| {
                // A story stays with its thread. The last are the longest, and begin first.
                let mut stories = all();
                stories.reverse();
                while let Some(story) = stories.get(next.fetch_add(1, Ordering::Relaxed)) {
                    if is_wanted(story) && !stops(&results) {
                        let tally = explore(story, (depth, seed), &disks, &results);
                        sum.lock().expect("nobody panics with it").add(tally);
                    }
                }
            });
        }
    });
    let sum = sum.into_inner().expect("nobody panicked with it");
    eprintln!("all: {sum:?}");
    results.into_inner().expect("nobody panicked with it").finish(few);
    sum
}

#[test]
fn a_power_cut_on_a_weak_disk_leaves_the_guest_whole_wherever_it_comes() {
    let tally = explore_all("weak-short", SHORT, 5000);
    assert!(tally.new > 100 && tally.again > 100 && tally.kills > 10, "{tally:?}");
}

#[test]
#[ignore = "takes ten minutes: a hundred thousand states"]
fn a_power_cut_on_a_weak_disk_leaves_the_guest_whole_in_a_hundred_thousand_states() {
    explore_all("weak-model", LONG, 100_000);
}

#[test]
fn a_folder_of_a_bundle_keeps_its_mode_through_a_power_cut_after_the_confirm() {
    let (mut guest, made) = (WeakGuest::found(), version(1));
    activate(&mut guest, &made, &made.switch(TX, 0, 1, &Ledger::default()));
    let mut booted = guest.booted(guest.fs.disk().cut_hard());
    assert_eq!(booted.picture()["/etc/app-data"], "750 0:0 folder");
}

#[test]
fn what_recovery_puts_back_of_the_way_in_keeps_its_mode_through_the_next_power_cut() {
    let story = hooked();
    let begin = story.steps.iter().position(|step| step.verb() == "begin").expect("it begins");
    let guest = story.before(begin);
    let (back, _) = guest.boot(guest.fs.disk().cut_kept()).expect("it recovers");
    let (mut again, _) = back.boot(back.fs.disk().cut_hard()).expect("it boots");
    assert_eq!(again.picture()[SSHD], story.old[SSHD]);
}
