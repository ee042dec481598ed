//! TCP cut over the whole of an activation, in both directions, the confirm's reply included: a sample of all cuts.

use crate::{
    faults_cuts::{Place, around_messages, in_turn, near_the_end, sample},
    faults_disturbed::Measured,
    faults_report::{Heading, Report},
    faults_sweep::Sweep,
    faults_trial::{Fault, Trial, Verb, Wire},
    fixture_lab::RealLab,
};

/// A change and a first activation take all steps; each first activation needs a guest made for it.
const SAMPLES: [(Verb, usize); 3] =
    [(Verb::FirstActivation, 3), (Verb::Change, 8), (Verb::Rollback, 4)];
const CONFIRMS: usize = 4;
const GUESTS: u32 = 2;

/// Cuts at these places, in all ways in turn.
pub fn cuts(verb: Verb, wire: Wire, places: Vec<Place>) -> Vec<Trial> {
    let fault = |(place, way)| Fault::Cut { wire, place, way };
    in_turn(places).map(fault).map(|fault| Trial { verb, fault }).collect()
}

/// The end of the connection over which a run confirms: its last, opened for nothing else.
pub fn confirm_places(measured: &Measured) -> Vec<Place> {
    let ssh = measured.on(Wire::Ssh);
    let last = ssh.len().checked_sub(1).expect("a run confirms over SSH");
    near_the_end(ssh, last)
}

fn cut_a_sample(test: &str, lab: &RealLab, wire: Wire) {
    let mut sweep = Sweep::new(lab, GUESTS);
    let mut trials = Vec::new();
    for (verb, count) in SAMPLES {
        let measured = sweep.measure(verb);
        let places = around_messages(measured.on(wire), usize::MAX);
        trials.extend(cuts(verb, wire, sample(places, count)));
    }
    finish(&mut sweep, test, trials);
}

fn finish(sweep: &mut Sweep<'_>, test: &str, trials: Vec<Trial>) {
    let mut report = Report::new(&Heading::short(test, "Some cuts", trials.len()));
    sweep.run(trials, &mut report);
    report.finish();
}

#[test]
fn ssh_cut_anywhere_leaves_the_guest_whole() {
    let Some(lab) = RealLab::start("fssh") else { return };
    cut_a_sample("ssh_cut_anywhere", &lab, Wire::Ssh);
}

#[test]
fn api_cut_anywhere_leaves_the_guest_whole() {
    let Some(lab) = RealLab::start("fapi") else { return };
    cut_a_sample("api_cut_anywhere", &lab, Wire::Api);
}

#[test]
fn confirm_cut_near_its_reply_has_one_outcome() {
    let Some(lab) = RealLab::start("fcnf") else { return };
    let mut sweep = Sweep::new(&lab, GUESTS);
    let measured = sweep.measure(Verb::Change);
    let places = sample(confirm_places(&measured), CONFIRMS);
    finish(&mut sweep, "confirm_cut_near", cuts(Verb::Change, Wire::Ssh, places));
}
