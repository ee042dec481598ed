//! The operator killed with SIGKILL at each step of an activation: the guest is whole, and the same command converges.

use crate::{
    faults_process::Ended,
    faults_tally::{Fault, Tally, is_dense},
    faults_tiny::{RUN_LIMIT, Run, State, Tiny},
    fixture_lab::RealLab,
};
use std::{collections::BTreeSet, time::Duration};

/// After its line a step has hardly begun, is in the middle, or is over.
const DELAYS: [Duration; 5] = [
    Duration::ZERO,
    Duration::from_millis(40),
    Duration::from_millis(250),
    Duration::from_millis(600),
    Duration::from_secs(1),
];

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
            steps += usize::from(begins_step(tiny, line));
            steps > self.step
        });
        let ended = operator.finish(RUN_LIMIT);
        let fault = Fault { what: format!("{self:?}"), hit: ended.code.is_none() };
        (ended, fault)
    }
}

/// A step's line begins with the guest's name. So does the plan's first line, printed before anything happens: the
/// moment before all steps.
fn begins_step(tiny: &Tiny<'_>, line: &str) -> bool {
    line.starts_with(&tiny.target())
}

/// The moments of a command: as each of its steps begins, and in the middle of the last ones, which switch and confirm;
/// in the dense sweep in the middle of all.
fn moments(tiny: &Tiny<'_>, measured: &Ended) -> Vec<Moment> {
    let steps = measured.lines.iter().filter(|line| begins_step(tiny, line)).count();
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
    if is_dense() {
        kill_first_activations_everywhere(&lab, &mut tally);
    } else {
        kill_one_first_activation_again_and_again(&lab, &mut tally);
    }
    tally.expect_hits();
}

/// A guest of its own for each moment.
fn kill_first_activations_everywhere(lab: &RealLab, tally: &mut Tally) {
    let mut tiny = Tiny::new(lab, 100);
    let measured = tiny.activate(1).finish(&tiny).expect_done();
    for (vmid, moment) in (101..).zip(moments(&tiny, &measured)) {
        let mut tiny = Tiny::new(lab, vmid);
        let run = tiny.activate(1);
        trial(&tiny, &run, State::Untouched, moment, tally);
        tiny.switch_off();
    }
}

/// One guest, each try killed as it begins a sort of step in which none was killed before: what a try has prepared the
/// next one need not do again.
fn kill_one_first_activation_again_and_again(lab: &RealLab, tally: &mut Tally) {
    let mut tiny = Tiny::new(lab, 100);
    let run = tiny.activate(1);
    let mut killed_in = BTreeSet::new();
    loop {
        let mut operator = run.start(&tiny);
        operator.kill_when(Duration::ZERO, |line| {
            let step = line.strip_prefix(&tiny.target()).and_then(|l| l.split_whitespace().next());
            step.is_some_and(|step| killed_in.insert(step.to_owned()))
        });
        let ended = operator.finish(RUN_LIMIT);
        let fault = Fault { what: format!("{killed_in:?}"), hit: ended.code.is_none() };
        if tally.judge(&tiny, &run, State::Untouched, &fault, &ended) != State::Untouched {
            break;
        }
        assert!(ended.code.is_none(), "it ended, but nothing is live");
    }
    let last: Vec<_> =
        ["switch", "confirm"].into_iter().filter(|s| killed_in.contains(*s)).collect();
    assert_eq!(last, ["switch", "confirm"], "every step met a dying operator: {killed_in:?}");
    tally.converge(&tiny, &run);
}

#[test]
fn operator_killed_in_a_change_leaves_the_guest_whole() {
    let Some(lab) = RealLab::start("fchg") else { return };
    let mut tiny = Tiny::new(&lab, 100);
    tiny.activate(1).finish(&tiny).expect_done();
    let measured = tiny.activate(2).finish(&tiny).expect_done();
    let opened = |line: &String| line.contains("+ firewall allow in tcp to port 8102");
    assert!(measured.lines.iter().any(opened), "the plan says what the change opens: {measured}");
    let mut tally = Tally::new("killed in a change");
    for (live, moment) in (2..).zip(moments(&tiny, &measured)) {
        let run = tiny.activate(live + 1);
        trial(&tiny, &run, State::Live(live), moment, &mut tally);
    }
    tally.expect_hits();
}

#[test]
fn operator_killed_in_a_rollback_leaves_the_guest_whole() {
    let Some(lab) = RealLab::start("fbak") else { return };
    let mut tiny = Tiny::new(&lab, 100);
    let mut runs = Vec::new();
    for version in [1, 2] {
        tiny.activate(version).finish(&tiny).expect_done();
        let generation = tiny.look().generation.expect("it was just activated");
        runs.push(tiny.rollback(version, generation));
    }
    let measured = runs[0].finish(&tiny).expect_done();
    let mut tally = Tally::new("killed in a rollback");
    for (n, moment) in moments(&tiny, &measured).into_iter().enumerate() {
        // Forth and back: what a rollback finds on the guest, and needs not send, is the point.
        let (live, run) = (&runs[n % 2], &runs[(n + 1) % 2]);
        trial(&tiny, run, State::Live(live.version), moment, &mut tally);
    }
    tally.expect_hits();
}
