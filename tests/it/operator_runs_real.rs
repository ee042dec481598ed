//! Ctrl-C, and a second run beside the first, on a real guest.

use crate::{
    faults_process::Operator,
    faults_tiny::{RUN_LIMIT, State, Tiny},
    fixture_lab::RealLab,
};
use std::{
    thread,
    time::{Duration, Instant},
};

/// From the signal to the end: going back starts the old units again.
const END_LIMIT: Duration = Duration::from_secs(60);

fn wait_for(tiny: &Tiny<'_>, operator: &mut Operator, step: &str) {
    let own = tiny.target();
    let begins = |line: &str| {
        line.strip_prefix(&own).and_then(|l| l.split_whitespace().next()).is_some_and(|s| s == step)
    };
    assert!(operator.waits_for(begins), "`{step}` did not come");
}

/// Sends ^C some time after a step of the guest has begun, and returns what was told after that.
fn interrupt(
    tiny: &Tiny<'_>,
    mut operator: Operator,
    (step, delay_ms): (&str, u64),
) -> (Option<i32>, String) {
    wait_for(tiny, &mut operator, step);
    thread::sleep(Duration::from_millis(delay_ms));
    operator.interrupt();
    let (before, sent) = (operator.lines(), Instant::now());
    let ended = operator.finish(RUN_LIMIT);
    assert!(sent.elapsed() < END_LIMIT, "{ended}");
    (ended.code, ended.lines[before..].join("\n"))
}

const BEFORE: &str = "state: what ran before still runs";
const UNDONE: &str = "state: the guest is whole on its old generation";

#[test]
fn an_interrupted_activation_says_how_the_guest_is_and_leaves_it_free() {
    let Some(lab) = RealLab::start("intr") else { return };
    let mut tiny = Tiny::new(&lab, 100);
    tiny.activate(1).finish(&tiny).expect_done();
    let run = tiny.activate(2);
    let mut told = Vec::new();
    for moment in
        [("validate", 0), ("switch", 0), ("switch", 700), ("switch", 2000), ("confirm", 0)]
    {
        let (code, said) = interrupt(&tiny, run.start(&tiny), moment);
        eprintln!("{moment:?}: {code:?}\n{said}");
        let state = tiny.settle();
        if code == Some(0) {
            assert_eq!((moment.0, state), ("confirm", State::Live(2)), "it was too late: {said}");
            break;
        }
        assert_eq!(code, Some(130), "{moment:?}: {said}");
        assert!(said.contains("interrupted: ending what is at work"), "{moment:?}: {said}");
        assert_eq!(state, State::Live(1), "{moment:?}: {said}");
        told.push([BEFORE, UNDONE].into_iter().find(|state| said.contains(state)));
    }
    assert!(told.contains(&Some(BEFORE)) && told.contains(&Some(UNDONE)), "{told:?}");
    assert!(!told.contains(&None), "the state is told: {told:?}");
    run.finish(&tiny).expect_done();
    assert_eq!(tiny.settle(), State::Live(2));
}

#[test]
fn kamal_a_second_run_is_refused_while_the_first_lives_and_takes_its_lock_over_when_it_was_killed()
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
