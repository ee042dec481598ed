//! The operator killed with SIGKILL at each step of an activation: the guest is whole, and the same command converges.

use crate::{
    faults_process::Ended,
    faults_tally::{Fault, Tally, is_dense},
    faults_tiny::{RUN_LIMIT, Run, State, TARGET, Tiny, Version},
    fixture_lab::RealLab,
};
use std::time::Duration;

/// After its line a step has hardly begun, or is in the middle.
const DELAYS: [Duration; 3] =
    [Duration::ZERO, Duration::from_millis(40), Duration::from_millis(250)];

/// When the operator dies: `delay` after its `step`th step has begun, counted from 0.
#[derive(Debug, Clone, Copy)]
struct Moment {
    step: usize,
    delay: Duration,
}

impl Moment {
    /// Runs a command and kills it then; it may be over before.
    fn kill(self, tiny: &Tiny<'_>, run: &Run) -> (Ended, Fault) {
        let mut operator = run.start(tiny);
        let mut steps = 0;
        operator.kill_when(self.delay, |line| {
            steps += usize::from(begins_step(line));
            steps > self.step
        });
        let ended = operator.finish(RUN_LIMIT);
        let fault = Fault { what: format!("{self:?}"), hit: ended.code.is_none() };
        (ended, fault)
    }
}

/// A step's line begins with the guest's name. So does the plan's first line, printed before anything happens: the
/// moment before all steps.
fn begins_step(line: &str) -> bool {
    line.starts_with(TARGET)
}

/// The moments of a command: as each of its steps begins, and in the middle of the last ones, which switch and confirm;
/// in the dense sweep in the middle of all.
fn moments(measured: &Ended) -> Vec<Moment> {
    let steps = measured.lines.iter().filter(|line| begins_step(line)).count();
    assert!(steps >= 4, "a switch and its confirm are steps: {measured}");
    let delays = |step| if is_dense() || step + 2 >= steps { &DELAYS[..] } else { &DELAYS[..1] };
    let at = |step| delays(step).iter().map(move |&delay| Moment { step, delay });
    (0..steps).flat_map(at).collect()
}

/// One command, killed, judged, and run again.
fn trial(tiny: &Tiny<'_>, run: &Run, old: State, moment: Moment, tally: &mut Tally) {
    let (ended, fault) = moment.kill(tiny, run);
    tally.judge(tiny, run, old, &fault, &ended);
    tally.converge(tiny, run);
}

#[test]
fn operator_killed_in_a_first_activation_leaves_the_guest_whole() {
    let Some(lab) = RealLab::start("fnew") else { return };
    let mut tally = Tally::new("killed in a first activation");
    let run = Tiny::activate(Version::One);
    if is_dense() {
        let measured = run.finish(&Tiny::new(&lab, 100)).expect_done();
        for (n, moment) in (101..).zip(moments(&measured)) {
            let tiny = Tiny::new(&lab, n);
            trial(&tiny, &run, State::Untouched, moment, &mut tally);
            tiny.switch_off();
        }
        tally.expect_hits();
        return;
    }
    // One guest, each try killed one step further: what a try has prepared the next one need not do again.
    let tiny = Tiny::new(&lab, 100);
    for step in 0.. {
        let moment = Moment { step, delay: Duration::ZERO };
        let (ended, fault) = moment.kill(&tiny, &run);
        let state = tally.judge(&tiny, &run, State::Untouched, &fault, &ended);
        if state != State::Untouched {
            break;
        }
        assert!(ended.code.is_none(), "it ended, but nothing is live");
    }
    tally.converge(&tiny, &run);
}

#[test]
fn operator_killed_in_a_change_leaves_the_guest_whole() {
    let Some(lab) = RealLab::start("fchg") else { return };
    let tiny = Tiny::new(&lab, 100);
    Tiny::activate(Version::One).finish(&tiny).expect_done();
    let measured = Tiny::activate(Version::Two).finish(&tiny).expect_done();
    let mut tally = Tally::new("killed in a change");
    let mut live = Version::Two;
    for moment in moments(&measured) {
        let run = Tiny::activate(live.other());
        trial(&tiny, &run, State::Live(live), moment, &mut tally);
        live = live.other();
    }
    tally.expect_hits();
}

#[test]
fn operator_killed_in_a_rollback_leaves_the_guest_whole() {
    let Some(lab) = RealLab::start("fbak") else { return };
    let tiny = Tiny::new(&lab, 100);
    let generation_of = |version: Version| {
        Tiny::activate(version).finish(&tiny).expect_done();
        tiny.look().generation.expect("it was just activated")
    };
    let numbers = [generation_of(Version::One), generation_of(Version::Two)];
    let back = |to: Version| -> Run { Tiny::rollback(to, numbers[to as usize]) };
    let measured = back(Version::One).finish(&tiny).expect_done();
    let mut tally = Tally::new("killed in a rollback");
    let mut live = Version::One;
    for moment in moments(&measured) {
        let run = back(live.other());
        trial(&tiny, &run, State::Live(live), moment, &mut tally);
        live = live.other();
    }
    tally.expect_hits();
}
