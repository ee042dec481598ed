//! Runs of an operator beside each other, and runs that are interrupted.

use crate::{
    activate_faults::{Operator, WHO, never, stacks},
    fake::operator::{At, Fault, World},
};
use stackc::{
    activate::{ActivateError, Stage},
    model::protocol::Lease,
    remote::RemoteError,
};

fn lease(who: &str) -> Lease {
    Lease {
        tx: "00000000000000e1".parse().expect("a transaction's name"),
        who: who.to_owned(),
        why: "activation of shop/dev 12345678, pid 4711 since 2026-01-01T00:00:00Z".to_owned(),
        boot_id: "b".to_owned(),
        expires_at_seconds: 120,
    }
}

#[test]
fn a_run_beside_another_is_refused_at_once_and_told_which_also_the_same_persons() {
    let (one, two) = stacks();
    let operator = Operator::new();
    let world = World::of(&[&one, &two]);
    operator.run_well(&world, &one);
    for (who, holder) in [(WHO, "you are"), ("eve@desk", "eve@desk is")] {
        world.inside().lease = Some(lease(who));
        let failed = operator.run(&world, &two, &never()).expect_err("another one is at work");
        assert_eq!((failed.stage, failed.exit_code()), (Stage::Refused, 3), "{:?}", failed.error);
        let told = failed.error.to_string();
        let wanted = format!("{holder} at work on shop/dev already: activation of shop/dev");
        assert!(told.starts_with(&wanted) && told.contains("pid 4711 since"), "{told}");
    }
    assert_eq!(world.live_digest(), Some(one.digest));
    assert!(world.inside().abandoned.is_empty(), "what the other one prepared is left alone");
}

#[test]
fn an_interrupt_at_any_call_goes_back_at_once_tells_the_truth_and_leaves_nothing_open() {
    let (one, two) = stacks();
    let operator = Operator::new();
    let mut stages = Vec::new();
    for after_effect in [false, true] {
        for call in 0.. {
            let world = World::of(&[&one, &two]);
            operator.run_well(&world, &one);
            let fault = Fault::new(At::Interrupt(call), after_effect);
            let run = operator.run(&world, &two, &fault);
            if fault.struck() == 0 {
                break;
            }
            let (live, pending) = (world.live_digest(), world.inside().pending());
            assert!(pending.is_none(), "call {call}: {pending:?} is left to its deadline");
            let stage = run.as_ref().map_or_else(|failed| failed.stage, |_| Stage::AfterConfirm);
            let wanted = if stage == Stage::AfterConfirm { two.digest } else { one.digest };
            assert_eq!(live, Some(wanted), "call {call}: {run:?}");
            if stage == Stage::BeforeSwitch {
                assert!(!world.inside().abandoned.is_empty(), "call {call}: it holds the guest");
            }
            assert_ne!(stage, Stage::Unknown, "call {call}: {run:?}");
            if let Err(failed) = &run {
                let next = failed.error.next().unwrap_or_default();
                assert!(next.starts_with("the same command again"), "call {call}: {next}");
                assert!(!next.contains("mend"), "call {call}: nothing is broken: {next}");
            }
            stages.push(stage);
            operator.run_well(&world, &two);
            assert_eq!(world.live_digest(), Some(two.digest));
        }
    }
    for stage in [Stage::Refused, Stage::BeforeSwitch, Stage::Undone, Stage::AfterConfirm] {
        assert!(stages.contains(&stage), "no interrupt ended in {stage:?}: {stages:?}");
    }
}

#[test]
fn a_switch_that_failed_by_itself_is_to_be_mended_first() {
    let (one, two) = stacks();
    let operator = Operator::new();
    let world = World::of(&[&one, &two]).breaks(&two);
    operator.run_well(&world, &one);
    let failed = operator.run(&world, &two, &never()).expect_err("it does not get healthy");
    assert_eq!(failed.error.next().as_deref(), Some("the same command again, after mending it"));
}

#[test]
fn a_guest_that_this_run_started_may_answer_before_its_keys_are_in_place() {
    let (one, _) = stacks();
    let operator = Operator::new();
    let world = World::of(&[&one]);
    let fault = Fault::new(At::Login(2), false);
    operator.run(&world, &one, &fault).expect("the third login is let in");
    assert_eq!(fault.struck(), 2);
    assert_eq!(world.live_digest(), Some(one.digest));
}

#[test]
fn a_login_that_a_guest_denies_which_ran_before_is_told_at_once() {
    let (one, two) = stacks();
    let operator = Operator::new();
    let world = World::of(&[&one, &two]);
    operator.run_well(&world, &one);
    let fault = Fault::new(At::Login(usize::MAX), false);
    let failed = operator.run(&world, &two, &fault).expect_err("nobody is let in");
    assert_eq!((fault.struck(), failed.stage), (1, Stage::Refused));
    let is_denied = matches!(failed.error, ActivateError::Remote(RemoteError::Denied { .. }));
    assert!(is_denied, "{:?}", failed.error);
}
