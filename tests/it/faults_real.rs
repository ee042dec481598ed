//! Accidents by lot on real guests, and versions that compile and do not work: the guest is whole, the operator told the truth,
//! and a next version goes live.

use crate::{
    dice::Dice,
    faults_accident::{Accident, Flaw, What},
    faults_all::asked,
    faults_moment::Moment,
    faults_report::{Heading, Report},
    faults_sweep::Sweep,
    faults_trial::{Fault, Trial, Verb},
    fixture_lab::RealLab,
};
use stackc::lab::Debian;
use std::{collections::BTreeSet, time::Duration};

/// So many trials the long form has: 500 together, and some more for those that come too late to be one.
const ON_12: u32 = 440;
const ON_13: u32 = 115;
/// One in so many trials is a flaw, which costs a deadline each.
const FLAW_IN: usize = 4;
const GUESTS: u32 = 3;
/// Most of a trial is waiting: for a deadline, a network, a boot.
const LONG_GUESTS: u32 = 8;
/// The short form: each sort of accident, and half of the flaws.
const SHORT: usize = 10;
/// For each guest, what differs from its base: room for what the tiny project installs, and for a hundred of its versions.
const DISK_MIB: Option<u32> = Some(1_024);

/// Accidents of all sorts in a change and in a rollback, and every flaw among them.
fn trials(sweep: &mut Sweep<'_>, mut dice: Dice, count: usize) -> Vec<Trial> {
    let verbs = [Verb::Change, Verb::Rollback];
    let steps = verbs.map(|verb| sweep.measure(verb).steps);
    let mut next = |number: usize| {
        if number.is_multiple_of(FLAW_IN) {
            return flawed(number / FLAW_IN);
        }
        let which = dice.roll(verbs.len());
        let accident = Accident::by_lot(&mut dice, steps[which], number);
        Trial { verb: verbs[which], fault: Fault::Accident(accident) }
    };
    (0..count).map(&mut next).collect()
}

/// Every flaw in turn, each by the one command and then by the other.
fn flawed(number: usize) -> Trial {
    let (round, flaw) = (number / Flaw::ALL.len(), number % Flaw::ALL.len());
    let verb = [Verb::Change, Verb::Rollback][(round + flaw) % 2];
    Trial { verb, fault: Fault::Flaw(Flaw::ALL[flaw]) }
}

fn sweep(lab: &RealLab, guests: u32, heading: &Heading) {
    let mut sweep = Sweep::new(lab, guests);
    let dice = Dice::seeded();
    let heading = Heading { seed: Some(dice.0), ..*heading };
    let trials = trials(&mut sweep, dice, heading.trials);
    let mut report = Report::new(&heading);
    sweep.run(trials, &mut report);
    report.finish();
}

#[test]
fn accidents_in_a_change_or_a_rollback_leave_the_guest_whole() {
    let Some(lab) = RealLab::with("facc", Debian::Twelve, DISK_MIB) else { return };
    sweep(&lab, GUESTS, &Heading::short("accidents_in_a_change", "Some accidents", SHORT));
}

#[test]
fn a_power_cut_in_a_switch_of_debian_13_leaves_the_guest_whole() {
    let Some(lab) = RealLab::with("fa3s", Debian::Thirteen, DISK_MIB) else { return };
    let mut sweep = Sweep::new(&lab, 1);
    // The confirm is the last step, and the switch the one before it.
    let step = sweep.measure(Verb::Change).steps - 2;
    let moment = Moment { step, delay: Duration::from_millis(300) };
    let accident = Accident { what: What::Power(Duration::from_secs(1)), moment };
    let trial = Trial { verb: Verb::Change, fault: Fault::Accident(accident) };
    let heading = Heading::short("a_power_cut_in_a_switch_of_debian_13", "An accident", 1);
    let mut report = Report::new(&Heading { debian: Debian::Thirteen, ..heading });
    sweep.run(vec![trial], &mut report);
    report.finish();
}

#[test]
fn every_flaw_is_met_in_a_change_and_in_a_rollback() {
    let met: BTreeSet<String> =
        (0..2 * Flaw::ALL.len()).map(|n| format!("{:?}", flawed(n))).collect();
    assert_eq!(met.len(), 2 * Flaw::ALL.len(), "{met:?}");
}

fn all(lab: &str, debian: Debian, count: u32) {
    let Some(lab) = RealLab::with(lab, debian, DISK_MIB) else { return };
    let count = asked("STACKC_FAULTS_TRIALS").unwrap_or(count);
    let guests = asked("STACKC_FAULTS_GUESTS").unwrap_or(LONG_GUESTS);
    let what =
        format!("Accidents by lot, and versions that do not work, on real guests, Debian {debian}");
    let heading = Heading {
        name: &format!("accidents-{debian}"),
        what: &what,
        test: &format!("every_accident_on_debian_{debian}"),
        debian,
        trials: usize::try_from(count).expect("64 bits"),
        sample: false,
        seed: None,
    };
    sweep(&lab, guests, &heading);
}

#[test]
#[ignore = "takes half an hour"]
fn every_accident_on_debian_12_leaves_the_guest_whole() {
    all("fa12", Debian::Twelve, ON_12);
}

#[test]
#[ignore = "takes ten minutes"]
fn every_accident_on_debian_13_leaves_the_guest_whole() {
    all("fa13", Debian::Thirteen, ON_13);
}
