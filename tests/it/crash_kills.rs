//! Kill and power cut at system calls of all that changes a guest, and of the recovery after them: each time the guest is
//! whole, old or new, and converges. The tests take a sample; `tests/long` has the long form, a run for each size and one
//! for recoveries.

use crate::{
    crash_again::{Again, sweep_recoveries},
    crash_disk::are_disks_left_out,
    crash_points::Points,
    crash_scene::{Scene, Verb},
    crash_sweep::sweep,
    fault_results::{Results, asked},
    fault_summary::Summary,
};
use std::sync::Mutex;

/// What a crash leaves to the recovery: whatever is open. A recovery that crashes is one of these.
const OPEN: [Verb; 5] = [Verb::Begin, Verb::Switch, Verb::Confirm, Verb::Undo, Verb::Recover];
/// What can be crashed three times before the guest, by its fourth boot, waits for a person.
const OPEN_FIRST: [Verb; 4] = [Verb::Begin, Verb::Switch, Verb::Confirm, Verb::Undo];
/// Of the changing calls before a crash that is followed by others.
const LONG_STRIDE: usize = 19;
const SHORT_STRIDE: usize = 17;
/// How a recovery is crashed: at every third system call.
const EVERY_THIRD: usize = 3;

/// Which of the places of a run are taken, and how many states show too little.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Taken {
    All(u64),
    Some(u64),
}

impl Taken {
    /// One in so many of them.
    pub fn by(stride: usize, few: u64) -> Self {
        if stride == 1 { Self::All(few) } else { Self::Some(few) }
    }
}

/// A run whose title says what was done, and whose name says by which test.
pub fn run(name: &str, what: &str, taken: Taken, work: impl FnOnce(&Mutex<Results>)) {
    if are_disks_left_out() {
        return;
    }
    let stride = match asked(STRIDE) {
        None => String::new(),
        Some(stride) => format!("{STRIDE}={stride} "),
    };
    let test = name.replace('-', "_");
    let mut summary =
        Summary::new(what, &format!("{stride}cargo test --test it {test} -- --ignored"), None);
    let (Taken::All(few) | Taken::Some(few)) = taken;
    summary.run.sample = matches!(taken, Taken::Some(_));
    let results = Mutex::new(Results::new(name, summary));
    work(&results);
    results.into_inner().expect("no worker panicked").finish(few);
}

fn all_verbs(files: usize, points: Points, results: &Mutex<Results>) {
    for verb in Verb::ALL {
        sweep(&Scene::new(verb, files), points, results);
    }
}

/// The long form takes one in so many of the calls that change something, instead of each.
const STRIDE: &str = "STACKC_CRASH_STRIDE";

pub fn stride() -> usize {
    usize::try_from(asked(STRIDE).unwrap_or(1)).expect("64 bits")
}

/// Crashes of some changing calls, and of each `again`th system call of the recovery after them.
fn recoveries(verbs: &[Verb], files: usize, strides: (usize, Again), results: &Mutex<Results>) {
    let (stride, again) = strides;
    for verb in verbs {
        let points = Points::Changing { stride };
        sweep_recoveries(&Scene::new(*verb, files), (points, again), results);
    }
}

#[test]
fn guest_killed_or_cut_from_its_power_at_system_calls_is_whole_on_every_file_system() {
    run("crash-short", "Kill and power cut at some system calls", Taken::Some(100), |results| {
        all_verbs(30, Points::Changing { stride: SHORT_STRIDE }, results);
    });
}

#[test]
fn guest_crashed_again_in_its_recovery_recovers_at_the_boot_after() {
    run("crash-short-recoveries", "Crashes in some recoveries", Taken::Some(50), |results| {
        let again = Again { stride: 10 * EVERY_THIRD, thrice: false };
        recoveries(&[Verb::Switch], 1, (5 * SHORT_STRIDE, again), results);
    });
}

/// What a kill leaves at a call that changes nothing is what it leaves at the next one that does: all of them are struck
/// here, and the other sizes leave the former out.
#[test]
#[ignore = "takes minutes"]
fn crash_long_1_file() {
    let what = "Kill and power cut at every system call, 1 file";
    run("crash-long-1-file", what, Taken::All(10_000), |results| {
        all_verbs(1, Points::All, results);
    });
}

#[test]
#[ignore = "takes minutes"]
fn crash_long_10_files() {
    long("crash-long-10-files", 10);
}

#[test]
#[ignore = "takes a quarter of an hour"]
fn crash_long_100_files() {
    long("crash-long-100-files", 100);
}

/// At each of the calls that change something, or at one in so many.
fn long(name: &str, files: usize) {
    let stride = stride();
    let each = if stride == 1 { "each".to_owned() } else { format!("one in {stride}") };
    let what =
        format!("Kill and power cut at {each} of the calls that change something, {files} files");
    let points = Points::Changing { stride };
    run(name, &what, Taken::by(stride, 100), |results| all_verbs(files, points, results));
}

#[test]
#[ignore = "takes an hour"]
fn crash_long_recoveries() {
    let (once, twice) = (LONG_STRIDE * stride(), 2 * LONG_STRIDE * stride());
    let what = format!(
        "Crashed at one in {once} of the calls that change something, and again at every third system call of the recovery; at \
         one in {twice}, and at every fifteenth of two recoveries; 10 files"
    );
    run("crash-long-recoveries", &what, Taken::by(stride(), 1000), |results| {
        let again = Again { stride: EVERY_THIRD, thrice: false };
        recoveries(&OPEN, 10, (once, again), results);
        let thrice = Again { stride: 5 * EVERY_THIRD, thrice: true };
        recoveries(&OPEN_FIRST, 10, (twice, thrice), results);
    });
}
