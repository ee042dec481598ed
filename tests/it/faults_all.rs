//! The whole failure matrix: cuts all over both wires, and the operator killed in every step, of a first activation, a
//! change and a rollback. `tests/long` runs it.

use crate::{
    fault_results,
    faults_cuts::{around_messages, near_the_end, sample},
    faults_disturbed::Measured,
    faults_moment::{in_all_steps, in_the_last_steps},
    faults_network::cuts,
    faults_report::{Heading, Report},
    faults_sweep::Sweep,
    faults_trial::{Fault, Trial, Verb, Wire},
    fixture_lab::RealLab,
};
use stackc::lab::Debian;

/// Guests side by side when nothing else is asked for: two processors are busy with them, and 16 GiB hold them.
const GUESTS: u32 = 16;

/// How close the cuts of a command are.
struct Density {
    /// Messages of each connection and direction.
    messages: usize,
    /// Takes one in so many of the places every 24 bytes near the end of the confirm's connection, and of the others'.
    confirm_stride: usize,
    end_stride: usize,
}

/// A change takes every path that the other two take, but for making the guest; and its guest is there already.
fn density(verb: Verb) -> Density {
    match verb {
        Verb::FirstActivation => Density { messages: 4, confirm_stride: 5, end_stride: 10 },
        Verb::Change => Density { messages: usize::MAX, confirm_stride: 1, end_stride: 3 },
        Verb::Rollback => Density { messages: 8, confirm_stride: 3, end_stride: 6 },
    }
}

fn cuts_of(measured: &Measured, wire: Wire) -> Vec<Trial> {
    let Density { messages, confirm_stride, end_stride } = density(measured.verb);
    let traffic = measured.on(wire);
    let mut places = around_messages(traffic, messages);
    let confirm = (wire == Wire::Ssh).then(|| traffic.len() - 1);
    for connection in 0..traffic.len() {
        let stride = if Some(connection) == confirm { confirm_stride } else { end_stride };
        places.extend(near_the_end(traffic, connection).into_iter().step_by(stride));
    }
    cuts(measured.verb, wire, places)
}

fn kills(measured: &Measured) -> impl Iterator<Item = Trial> {
    let verb = measured.verb;
    let moments = match verb {
        Verb::FirstActivation => in_the_last_steps(measured.steps),
        Verb::Change | Verb::Rollback => in_all_steps(measured.steps),
    };
    moments.into_iter().map(move |moment| Trial { verb, fault: Fault::Kill(moment) })
}

/// All trials, in an order that meets every sort of them early, so that a sweep that is broken off has seen most.
fn mixed(trials: &[Trial]) -> Vec<Trial> {
    const APART: usize = 37;
    (0..APART).flat_map(|n| trials.iter().skip(n).step_by(APART).copied()).collect()
}

/// `STACKC_FAULTS_GUESTS` and `STACKC_FAULTS_TRIALS`: how many guests, and at most how many trials.
pub fn asked(name: &str) -> Option<u32> {
    let number = fault_results::asked(name)?;
    Some(u32::try_from(number).unwrap_or_else(|_| panic!("{name} is less than {}", u32::MAX)))
}

#[test]
#[ignore = "takes half an hour"]
fn every_fault_leaves_the_guest_whole() {
    let Some(lab) = RealLab::start("fall") else { return };
    let guests = asked("STACKC_FAULTS_GUESTS").unwrap_or(GUESTS);
    let mut sweep = Sweep::new(&lab, guests);
    let mut trials = Vec::new();
    for verb in Verb::ALL {
        let measured = sweep.measure(verb);
        let wires = [Wire::Ssh, Wire::Api].into_iter();
        trials.extend(wires.flat_map(|wire| cuts_of(&measured, wire)));
        trials.extend(kills(&measured));
    }
    let most = asked("STACKC_FAULTS_TRIALS");
    let trials = mixed(&sample(trials, most.map_or(usize::MAX, |most| most as usize)));
    let mut report = Report::new(&Heading {
        name: "faults-cuts",
        what: "Cuts all over both wires, and the operator killed in every step, on real guests",
        test: "every_fault_leaves_the_guest_whole",
        debian: Debian::Twelve,
        trials: trials.len(),
        sample: most.is_some(),
        seed: None,
    });
    sweep.run(trials, &mut report);
    report.finish();
}
