//! What was approved is what is done: not to a guest that somebody else has changed meanwhile, nor to one that was off and
//! of which nobody had seen anything.

use crate::{
    activate_faults::{Operator, cores, never, planned, stacks},
    fake::operator::{At, Fault, World},
    handmade::{self, Stack},
};
use stackc::{
    activate::{ActivateError, Activated, Failed, Stage, activate, look},
    model::{Bundle, Down, RuntimeDrift},
    plan::{Step, text},
};
use std::time::{Duration, Instant};

/// Far longer than a plan takes that is carried out unasked.
const THINKING: Duration = Duration::from_secs(60);

/// Plans, lets something happen while the operator thinks, and goes on.
fn after_thinking(
    operator: &Operator,
    world: &World,
    bundle: &Bundle,
    fault: &Fault,
    (thinking, meanwhile): (Duration, impl FnOnce()),
) -> Result<Activated, Failed> {
    let job = operator.job(bundle);
    operator.with_seams(world, fault, |seams| {
        let found = look(seams, &job)?;
        let (mut found, plan) = planned(seams, &job, found)?;
        meanwhile();
        found.seen = Instant::now().checked_sub(thinking).expect("it has been up for longer");
        activate(seams, &job, found, &plan)
    })
}

fn three() -> (Bundle, Bundle, Bundle) {
    let (one, two) = stacks();
    (one, two, handmade::bundle(&Stack::default().version("three")))
}

/// Two plans against generation 1: the second to be approved finds generation 2, and leaves it as it is.
#[test]
fn a_plan_that_another_one_has_overtaken_changes_nothing() {
    let (one, two, three) = three();
    let operator = Operator::new();
    for verb in ["set", "receive", "packages", "accounts", "migrate", "hooks", "begin"] {
        let world = World::of(&[&one, &two, &three]);
        operator.run_well(&world, &one);
        let called = Fault::new(At::Verb { verb, from: 0, times: 9 }, true);
        let other = || drop(operator.run_well(&world, &three));
        let failed = after_thinking(&operator, &world, &two, &called, (THINKING, other));
        let failed = failed.expect_err("it was made against generation 1");
        assert!(matches!(failed.error, ActivateError::Stale { .. }), "{:?}", failed.error);
        assert_eq!((failed.stage, failed.exit_code()), (Stage::Refused, 3), "{verb}");
        assert_eq!(called.struck(), 0, "`{verb}` was called");
        assert_eq!((world.live_digest(), cores(&world)), (Some(three.digest), Some(1)));
    }
}

#[test]
fn a_unit_that_is_stopped_while_somebody_thinks_is_not_started_unasked() {
    let (one, two, _) = three();
    let operator = Operator::new();
    let world = World::of(&[&one, &two]);
    operator.run_well(&world, &one);
    let hand = || world.inside().runtime = stopped();
    let failed = after_thinking(&operator, &world, &two, &never(), (THINKING, hand));
    let failed = failed.expect_err("it is drift");
    assert!(matches!(failed.error, ActivateError::Drift { .. }), "{:?}", failed.error);
    assert_eq!((failed.stage, cores(&world)), (Stage::Refused, Some(1)));
}

#[test]
fn a_plan_that_is_carried_out_at_once_looks_once_before_the_switch() {
    let (one, two, _) = three();
    let operator = Operator::new();
    let world = World::of(&[&one, &two]);
    operator.run_well(&world, &one);
    let third_look = Fault::new(At::Verb { verb: "observe", from: 2, times: 9 }, true);
    let at_once = (Duration::ZERO, || {});
    let done = after_thinking(&operator, &world, &two, &third_look, at_once);
    done.expect("one look is its plan's, and one the switch's");
    assert_eq!(third_look.struck(), 0);
}

fn stopped() -> RuntimeDrift {
    let unit = "web.service".parse().expect("a unit's name");
    RuntimeDrift { units: [(unit, Down::Stopped)].into(), ..RuntimeDrift::default() }
}

fn enabled() -> RuntimeDrift {
    let unit = "web.service".parse().expect("a unit's name");
    let link = "/etc/systemd/system/default.target.wants/web.service".parse().expect("a path");
    RuntimeDrift { enabled: [(link, unit)].into(), ..RuntimeDrift::default() }
}

#[test]
fn what_a_hand_does_to_units_and_rules_while_a_switch_is_prepared_is_not_gone_over() {
    let (one, two, _) = three();
    let operator = Operator::new();
    let rules = RuntimeDrift { firewall: vec!["one rule".to_owned()], ..RuntimeDrift::default() };
    for hand in [stopped(), enabled(), rules] {
        let world = World::of(&[&one, &two]);
        operator.run_well(&world, &one);
        world.inside().hand = Some(hand.clone());
        let failed = operator.run(&world, &two, &never()).expect_err("nobody has seen it");
        let ActivateError::Drift { what, .. } = &failed.error else { panic!("{:?}", failed.error) };
        assert_eq!(*what, hand.by_hand());
        assert_eq!((failed.stage, failed.exit_code()), (Stage::BeforeSwitch, 4));
        assert_eq!((world.live_digest(), cores(&world)), (Some(one.digest), Some(1)));
        world.inside().runtime = RuntimeDrift::default();
        let mut job = operator.job(&two);
        job.overwrite_drift = true;
        world.inside().hand = Some(hand);
        operator.run_job(&world, &job, &never()).expect("there is leave to");
    }
}

/// A guest that nobody can look into has whatever it has.
#[test]
fn the_plan_of_a_guest_that_is_off_only_starts_it_and_the_rest_is_planned_when_it_runs() {
    let (one, two, _) = three();
    let operator = Operator::new();
    let world = World::of(&[&one, &two]);
    operator.run_well(&world, &one);
    world.inside().container.as_mut().expect("it is there").running = false;
    let job = operator.job(&two);
    let (_, plan) = operator
        .with_seams(&world, &never(), |seams| {
            let found = look(seams, &job)?;
            planned(seams, &job, found)
        })
        .expect("it can be planned");
    let steps: Vec<&str> = plan.steps.iter().map(|planned| planned.step.name()).collect();
    assert_eq!((plan.off, &steps[..]), (true, &["settings", "start"][..]));
    assert!(matches!(plan.steps[1].step, Step::Start));
    insta::assert_snapshot!(text(&plan));
    operator.run_well(&world, &two);
    assert_eq!((world.live_digest(), cores(&world)), (Some(two.digest), Some(4)));
}

#[test]
fn a_guest_that_was_off_and_whose_switch_is_undone_has_its_settings_of_before_the_start() {
    let (one, two, _) = three();
    let operator = Operator::new();
    let world = World::of(&[&one, &two]).breaks(&two);
    operator.run_well(&world, &one);
    world.inside().container.as_mut().expect("it is there").running = false;
    let failed = operator.run(&world, &two, &never()).expect_err("it is undone");
    assert_eq!((failed.stage, failed.exit_code()), (Stage::Undone, 5), "{:?}", failed.error);
    assert_eq!((world.live_digest(), cores(&world)), (Some(one.digest), Some(1)));
}

#[test]
fn a_guest_that_dies_while_it_is_asked_to_confirm_may_have_kept_its_switch() {
    let (one, two, _) = three();
    let operator = Operator::new();
    let world = World::of(&[&one, &two]);
    operator.run_well(&world, &one);
    world.inside().dies_at_confirm = true;
    let failed = operator.run(&world, &two, &never()).expect_err("nobody tells how it ended");
    assert_eq!((failed.stage, failed.exit_code()), (Stage::Unknown, 6));
    assert!(matches!(failed.error, ActivateError::Stopped { .. }), "{:?}", failed.error);
    insta::assert_snapshot!(failed.error.to_string());
}

/// What cannot be asked has its files all the same: no plan may call it new.
#[test]
fn a_guest_that_runs_without_a_fixed_address_is_refused_before_anything() {
    let (one, two, _) = three();
    let operator = Operator::new();
    let world = World::of(&[&one, &two]);
    operator.run_well(&world, &one);
    world.inside().container.as_mut().expect("it is there").network.ip = None;
    let job = operator.job(&two);
    let failed = operator.with_seams(&world, &never(), |seams| look(seams, &job).map(drop));
    let failed = failed.expect_err("nobody knows what is on it");
    let ran = operator.run(&world, &two, &never()).expect_err("it cannot be asked");
    let back = operator.way_back(&world, &one.manifest.target, None).expect_err("nor for this");
    assert_eq!((failed.exit_code(), ran.exit_code(), cores(&world)), (3, 3, Some(1)));
    assert_eq!(failed.error.to_string(), back.error.to_string());
    let next = failed.error.next().expect("it says how");
    insta::assert_snapshot!(format!("{}\n{next}", failed.error));
}

#[test]
fn a_guest_whose_creation_was_cut_short_is_told_as_that_and_not_to_be_started_by_hand() {
    let (one, _, _) = three();
    let operator = Operator::new();
    let world = World::of(&[&one]);
    let fault = Fault::new(At::Verb { verb: "introduce", from: 0, times: 1 }, false);
    operator.run(&world, &one, &fault).expect_err("its creation is cut short");
    let failed = operator.way_back(&world, &one.manifest.target, None);
    let failed = failed.expect_err("there is no way back");
    assert!(matches!(failed.error, ActivateError::HalfMade { .. }), "{:?}", failed.error);
    let next = failed.error.next().expect("there is something to do");
    assert!(next.starts_with("stackc activate shop/dev "), "{next}");
}
