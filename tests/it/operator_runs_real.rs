//! Ctrl-C, and a second run beside the first, on a real guest.

use crate::{
    faults_process::Operator,
    faults_tiny::{RUN_LIMIT, State, Tiny},
    fixture_lab::RealLab,
};
use std::time::Duration;

/// From the signal to the end: going back starts the old units again.
const END_LIMIT: Duration = Duration::from_secs(60);

fn wait_for(tiny: &Tiny<'_>, operator: &mut Operator, step: &str) {
    let own = tiny.target();
    let begins = |line: &str| {
        line.strip_prefix(&own).and_then(|l| l.split_whitespace().next()).is_some_and(|s| s == step)
    };
    assert!(operator.waits_for(begins), "`{step}` did not come");
}

/// Sends ^C when a step of the guest begins, and returns what was told after that.
fn interrupt(tiny: &Tiny<'_>, mut operator: Operator, step: &str) -> (Option<i32>, String) {
    wait_for(tiny, &mut operator, step);
    operator.interrupt();
    let before = operator.lines();
    let ended = operator.finish(RUN_LIMIT);
    assert!(ended.took < RUN_LIMIT - END_LIMIT, "{ended}");
    (ended.code, ended.lines[before..].join("\n"))
}

#[test]
fn an_interrupted_activation_says_how_the_guest_is_and_leaves_it_whole_and_free() {
    let Some(lab) = RealLab::start("intr") else { return };
    let mut tiny = Tiny::new(&lab, 100);
    tiny.activate(1).finish(&tiny).expect_done();
    let run = tiny.activate(2);
    for (step, told) in [
        ("receive", "state: what ran before still runs"),
        ("switch", "state: the guest is whole on its old generation"),
        ("confirm", "state: "),
    ] {
        let (code, said) = interrupt(&tiny, run.start(&tiny), step);
        eprintln!("{step}:\n{said}");
        let state = tiny.settle();
        if code == Some(0) {
            assert_eq!((step, state), ("confirm", State::Live(2)), "it was too late: {said}");
            break;
        }
        assert_eq!(code, Some(130), "{step}: {said}");
        assert!(said.contains("interrupted: ending what is at work"), "{step}: {said}");
        assert!(said.contains(told), "{step}: {said}");
        assert_eq!(state, State::Live(1), "{step}: {said}");
    }
    run.finish(&tiny).expect_done();
    assert_eq!(tiny.settle(), State::Live(2));
}

#[test]
fn a_second_run_on_the_same_machine_is_refused_while_the_first_lives_and_takes_over_when_it_is_killed()
 {
    let Some(lab) = RealLab::start("twice") else { return };
    let mut tiny = Tiny::new(&lab, 100);
    tiny.activate(1).finish(&tiny).expect_done();
    let (two, three) = (tiny.activate(2), tiny.activate(3));
    let mut first = two.start(&tiny);
    wait_for(&tiny, &mut first, "validate");
    first.stop();
    let second = three.start(&tiny).finish(RUN_LIMIT);
    assert_eq!(second.code, Some(3), "{second}");
    assert!(second.to_string().contains("you are at work on tiny/e100 already"), "{second}");
    assert!(second.took < END_LIMIT, "nobody waits for it: {second}");
    first.kill();
    first.finish(RUN_LIMIT);
    let third = three.finish(&tiny).expect_done();
    assert!(third.took < END_LIMIT, "nobody waits for the dead: {third}");
    assert_eq!(tiny.settle(), State::Live(3));
}
