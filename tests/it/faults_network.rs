//! TCP cut over the whole of an activation, in both directions, the confirm's reply included, and the operator killed with
//! SIGKILL as each step begins: a sample of all that `faults_all` does.

use crate::{
    faults_cuts::{Place, around_messages, in_turn, near_the_end, sample},
    faults_disturbed::Measured,
    faults_moment::in_the_last_steps,
    faults_report::{Heading, Report},
    faults_sweep::Sweep,
    faults_trial::{Fault, Trial, Verb, Wire},
    fixture_lab::RealLab,
};

/// Cuts of each wire. A change and a first activation take all steps; each first activation needs a guest made for it.
const SAMPLES: [(Verb, usize); 3] =
    [(Verb::FirstActivation, 2), (Verb::Change, 5), (Verb::Rollback, 2)];
const CONFIRMS: usize = 3;
/// Most of a trial is waiting.
const GUESTS: u32 = 4;

/// Cuts at these places, in all ways in turn.
pub fn cuts(verb: Verb, wire: Wire, places: Vec<Place>) -> Vec<Trial> {
    let fault = |(place, way)| Fault::Cut { wire, place, way };
    in_turn(places).map(fault).map(|fault| Trial { verb, fault }).collect()
}

/// The end of the connection over which a run confirms: its last, opened for nothing else.
fn confirm_places(measured: &Measured) -> Vec<Place> {
    let ssh = measured.on(Wire::Ssh);
    let last = ssh.len().checked_sub(1).expect("a run confirms over SSH");
    near_the_end(ssh, last)
}

/// What a command is disturbed by that was measured.
fn trials(measured: &Measured, cuts_of_each_wire: usize) -> Vec<Trial> {
    let verb = measured.verb;
    let mut trials = Vec::new();
    for wire in [Wire::Ssh, Wire::Api] {
        let places = around_messages(measured.on(wire), usize::MAX);
        trials.extend(cuts(verb, wire, sample(places, cuts_of_each_wire)));
    }
    if verb == Verb::Change {
        trials.extend(cuts(verb, Wire::Ssh, sample(confirm_places(measured), CONFIRMS)));
    }
    // A first activation that is killed again and again has a test of its own.
    if verb != Verb::FirstActivation {
        let moments = in_the_last_steps(measured.steps).into_iter();
        trials.extend(moments.map(|moment| Trial { verb, fault: Fault::Kill(moment) }));
    }
    trials
}

#[test]
fn wires_cut_anywhere_and_operators_killed_in_any_step_leave_the_guest_whole() {
    let Some(lab) = RealLab::start("fcut") else { return };
    let mut sweep = Sweep::new(&lab, GUESTS);
    let mut all = Vec::new();
    for (verb, count) in SAMPLES {
        all.extend(trials(&sweep.measure(verb), count));
    }
    let what = "Some cuts and killed operators";
    let mut report = Report::new(&Heading::short("wires_cut_anywhere", what, all.len()));
    sweep.run(all, &mut report);
    report.finish();
}
