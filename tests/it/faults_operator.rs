//! The operator killed with SIGKILL at each step of a first activation: the guest is whole, and the same command converges.

use crate::{
    faults_tiny::{RUN_LIMIT, State, Tiny},
    faults_trial::{Outcome, judge},
    fixture_lab::RealLab,
};
use std::{collections::BTreeSet, time::Duration};

/// One guest, each try killed as it begins a sort of step in which none was killed before: what a try has prepared the
/// next one need not do again.
#[test]
fn operator_killed_in_a_first_activation_again_and_again_leaves_the_guest_whole() {
    let Some(lab) = RealLab::start("fnew") else { return };
    let mut tiny = Tiny::new(&lab, 100);
    let run = tiny.activate(1);
    let mut killed_in = BTreeSet::new();
    loop {
        let mut operator = run.start(&tiny);
        operator.kill_when(Duration::ZERO, |line| {
            let step = line.strip_prefix(&tiny.target()).and_then(|l| l.split_whitespace().next());
            step.is_some_and(|step| killed_in.insert(step.to_owned()))
        });
        let ended = operator.finish(RUN_LIMIT);
        eprintln!("faults, killed in {killed_in:?}: {ended}");
        let outcome = judge(tiny.settle(), State::Untouched, State::Live(1), &ended);
        if outcome == Outcome::New {
            break;
        }
        assert!(ended.code.is_none(), "it ended, but nothing is live");
    }
    let last: Vec<_> =
        ["switch", "confirm"].into_iter().filter(|s| killed_in.contains(*s)).collect();
    assert_eq!(last, ["switch", "confirm"], "every step met a dying operator: {killed_in:?}");
    run.finish(&tiny).expect_done();
    assert_eq!(tiny.settle(), State::Live(1));
}
