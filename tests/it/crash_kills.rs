//! Kill and power cut at system calls of all that changes a guest, and of the recovery after them: each time the guest is
//! whole, old or new, and converges. The tests take a sample; the long form, a run for each size and one for recoveries:
//!
//! ```sh
//! STACKC_CRASH_RESULTS=out cargo test --test it crash_long -- --ignored --test-threads 1
//! ```

use crate::{
    crash_disk::{FileSystem, are_disks_left_out},
    crash_results::Results,
    crash_scene::{Scene, Verb},
    crash_sweep::{Again, Fault, Points, sweep, sweep_recoveries},
    fault_summary::Summary,
};
use std::sync::Mutex;

/// What a crash leaves to the recovery: whatever is open. A recovery that crashes is one of these.
const OPEN: [Verb; 5] = [Verb::Begin, Verb::Switch, Verb::Confirm, Verb::Undo, Verb::Recover];
/// What can be crashed three times before the guest, by its fourth boot, waits for a person.
const OPEN_FIRST: [Verb; 4] = [Verb::Begin, Verb::Switch, Verb::Confirm, Verb::Undo];
/// Of the changing calls before a crash that is followed by others.
const LONG_STRIDE: usize = 55;
const SHORT_STRIDE: usize = 17;
/// How a recovery is crashed: at every third system call.
const EVERY_THIRD: usize = 3;

/// A run whose title says what was done, and whose name says by which test.
pub fn run(name: &str, what: &str, few: u64, work: impl FnOnce(&Mutex<Results>)) {
    if are_disks_left_out() {
        return;
    }
    let stride = match stride() {
        1 => String::new(),
        stride => format!("STACKC_CRASH_STRIDE={stride} "),
    };
    let test = name.replace('-', "_");
    let again = format!("{stride}cargo test --test it {test} -- --ignored");
    let results = Mutex::new(Results::new(name, Summary::new(what, &again, None)));
    work(&results);
    results.into_inner().expect("no worker panicked").finish(few);
}

fn all_verbs(files: usize, points: Points, results: &Mutex<Results>) {
    for verb in Verb::ALL {
        let scene = Scene::new(verb, files);
        for file_system in FileSystem::ALL {
            sweep(&scene, file_system, &Fault::ALL, points, results);
        }
    }
}

/// `STACKC_CRASH_STRIDE`: the long form takes one in so many of the calls that change something, instead of each.
pub fn stride() -> usize {
    let text = std::env::var("STACKC_CRASH_STRIDE").unwrap_or_else(|_| "1".to_owned());
    text.parse().unwrap_or_else(|error| panic!("STACKC_CRASH_STRIDE=\"{text}\": {error}"))
}

/// Crashes of some changing calls, and of each `again`th system call of the recovery after them.
fn recoveries(verbs: &[Verb], files: usize, strides: (usize, Again), results: &Mutex<Results>) {
    let (stride, again) = strides;
    let faults = [Fault::KillThenBoot, Fault::PowerCut];
    for verb in verbs {
        let scene = Scene::new(*verb, files);
        for file_system in FileSystem::ALL {
            let points = Points::Changing { stride };
            sweep_recoveries(&scene, file_system, &faults, (points, again), results);
        }
    }
}

#[test]
fn guest_killed_or_cut_from_its_power_at_system_calls_is_whole_on_every_file_system() {
    run("crash-short", "Kill and power cut at some system calls", 100, |results| {
        all_verbs(30, Points::Changing { stride: SHORT_STRIDE }, results);
    });
}

#[test]
fn guest_crashed_again_in_its_recovery_recovers_at_the_boot_after() {
    run("crash-short-recoveries", "Crashes in some recoveries", 50, |results| {
        let again = Again { stride: 10 * EVERY_THIRD, thrice: false };
        recoveries(&[Verb::Switch], 1, (5 * SHORT_STRIDE, again), results);
    });
}

#[test]
#[ignore = "takes minutes"]
fn crash_long_1() {
    run("crash-long-1", "Kill and power cut at every system call, 1 file", 1000, |results| {
        all_verbs(1, Points::All, results);
    });
}

#[test]
#[ignore = "takes a quarter of an hour"]
fn crash_long_30() {
    long("crash-long-30", 30);
}

#[test]
#[ignore = "takes hours, or with STACKC_CRASH_STRIDE=20 minutes"]
fn crash_long_500() {
    long("crash-long-500", 500);
}

/// At every system call that changes something: what a kill at another one leaves is what the next of these does, as
/// `crash_long_1` shows.
fn long(name: &str, files: usize) {
    let stride = stride();
    let each = if stride == 1 { "each".to_owned() } else { format!("one in {stride}") };
    let what =
        format!("Kill and power cut at {each} of the calls that change something, {files} files");
    run(name, &what, 100, |results| all_verbs(files, Points::Changing { stride }, results));
}

#[test]
#[ignore = "takes an hour"]
fn crash_long_recoveries() {
    let what = "Crashed, and crashed again at every third system call of the recovery, 30 files";
    run("crash-long-recoveries", what, 1000, |results| {
        let twice = Again { stride: EVERY_THIRD, thrice: false };
        recoveries(&OPEN, 30, (LONG_STRIDE * stride(), twice), results);
        let thrice = Again { stride: 5 * EVERY_THIRD, thrice: true };
        recoveries(&OPEN_FIRST, 30, (2 * LONG_STRIDE * stride(), thrice), results);
    });
}
