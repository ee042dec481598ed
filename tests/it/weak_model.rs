//! A guest whose disk keeps only what POSIX promises loses its power at each effect: it is whole, old or new, and goes on.

use crate::dice::Dice;
use crate::weak_explore::{Depth, Explorer, Judged, Tally};
use crate::weak_guest::WeakGuest;
use crate::weak_story::{Story, TX, activate, all, version};
use stackc::model::Ledger;
use std::time::Instant;

const SHORT: Depth = Depth { losses: 8, recoveries: 7, again: 2, kills: 23 };
const LONG: Depth = Depth { losses: 150, recoveries: 3, again: 8, kills: 2 };

/// # Panics
/// At the first state that is not whole.
fn explore(story: &Story, depth: Depth, seed: u64) -> Tally {
    let mut explorer = Explorer::new(story, depth, seed, &Judged::default());
    let started = Instant::now();
    if let Err(fault) = explorer.explore() {
        panic!("{}, STACKC_SEED={seed}: {fault}", story.name);
    }
    eprintln!("{}: {:?} in {:?}", story.name, explorer.tally, started.elapsed());
    explorer.tally
}

fn explore_all(depth: Depth) -> Tally {
    let seed = Dice::seeded().0;
    let mut sum = Tally::default();
    for story in all() {
        sum.add(explore(&story, depth, seed));
    }
    eprintln!("all: {sum:?}");
    sum
}

#[test]
fn a_power_cut_on_a_weak_disk_leaves_the_guest_whole_wherever_it_comes() {
    let tally = explore_all(SHORT);
    assert!(tally.states > 5000, "only {tally:?}");
    assert!(tally.new > 100 && tally.again > 100 && tally.kills > 10, "{tally:?}");
}

#[test]
#[ignore = "minutes: a hundred thousand states"]
fn a_power_cut_on_a_weak_disk_leaves_the_guest_whole_in_a_hundred_thousand_states() {
    let tally = explore_all(LONG);
    assert!(tally.states > 100_000, "only {tally:?}");
}

#[test]
fn a_folder_of_a_bundle_keeps_its_mode_through_a_power_cut_after_the_confirm() {
    let (mut guest, made) = (WeakGuest::found(), version(1));
    activate(&mut guest, &made, &made.switch(TX, 0, 1, &Ledger::default()));
    let mut booted = guest.booted(guest.fs.disk().cut_hard());
    assert_eq!(booted.picture()["/etc/app-data"], "750 0:0 folder");
}
