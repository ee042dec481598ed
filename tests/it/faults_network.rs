//! TCP cut at chosen bytes over the whole of an activation, in both directions, the confirm's reply included.

use crate::{
    cut_proxy::{Cut, CutProxy, Direction, How, Redirect, Scope, Traffic},
    faults_process::Ended,
    faults_tally::{Tally, is_dense},
    faults_tiny::{Run, State, Tiny, Version},
    fixture_lab::RealLab,
};
use std::net::SocketAddr;

/// Each needs a guest of its own.
const API_SAMPLES: usize = 4;
const DIRECTIONS: [Direction; 2] = [Direction::Up, Direction::Down];
/// Between two cuts in the dense sweep.
const DENSE_STEP: u64 = 500;
/// The last bytes of a connection hold its last reply: there the dense sweep goes by this step.
const REPLY_STEP: u64 = 24;
const REPLY_BYTES: u64 = 1_200;

/// Where to cut a connection that carries `total` bytes in a direction: a few places, or all over.
fn places(total: u64) -> Vec<u64> {
    if total == 0 {
        return Vec::new();
    }
    if !is_dense() {
        return vec![total / 2, total.saturating_sub(200)];
    }
    let reply = total.saturating_sub(REPLY_BYTES);
    let step = usize::try_from(DENSE_STEP.max(total / 60)).expect("it is small");
    let reply_step = usize::try_from(REPLY_STEP).expect("it is small");
    (0..reply).step_by(step).chain((reply..total).step_by(reply_step)).collect()
}

/// Cuts all over a measured activation; how and how far changes from one to the next.
fn cuts(measured: &[Traffic]) -> Vec<Cut> {
    let ways = [
        (How::Reset, Scope::Connection),
        (How::Reset, Scope::Network),
        (How::BlackHole, Scope::Connection),
        (How::Close, Scope::Connection),
        (How::BlackHole, Scope::Network),
    ];
    let mut ways = ways.iter().cycle();
    let mut cuts = Vec::new();
    for (connection, traffic) in measured.iter().enumerate() {
        for direction in DIRECTIONS {
            for after in places(traffic.in_direction(direction)) {
                let &(how, scope) = ways.next().expect("it goes round");
                cuts.push(Cut { connection, direction, after, how, scope });
            }
        }
    }
    cuts
}

/// Runs a command with its SSH led through a proxy.
fn over_ssh(tiny: &Tiny<'_>, run: &Run, cut: Option<Cut>) -> (Ended, Vec<Traffic>) {
    let sshd = SocketAddr::new(tiny.address().into(), 22);
    let proxy = CutProxy::start(sshd, cut);
    let _redirect = Redirect::install(sshd.ip(), proxy.address());
    (run.finish(tiny), proxy.traffic())
}

/// Runs a command with its calls of the Proxmox API led through a proxy.
fn over_api(tiny: &Tiny<'_>, run: &Run, cut: Option<Cut>) -> (Ended, Vec<Traffic>) {
    let proxy = CutProxy::start(tiny.api(), cut);
    tiny.use_api(proxy.address());
    let outcome = (run.finish(tiny), proxy.traffic());
    tiny.use_api(tiny.api());
    outcome
}

#[test]
fn ssh_cut_anywhere_in_a_change_leaves_the_guest_whole() {
    let Some(lab) = RealLab::start("fssh") else { return };
    let tiny = Tiny::new(&lab, 100);
    Tiny::activate(Version::One).finish(&tiny).expect_done();
    let (ended, measured) = over_ssh(&tiny, &Tiny::activate(Version::Two), None);
    ended.expect_done();
    assert!(measured.len() >= 2, "the confirm has a connection of its own: {measured:?}");
    let mut tally = Tally::new("SSH cut in a change");
    let mut live = Version::Two;
    for cut in cuts(&measured) {
        let run = Tiny::activate(live.other());
        let (ended, _) = over_ssh(&tiny, &run, Some(cut));
        tally.judge(&tiny, &run, State::Live(live), &format!("{cut:?}"), &ended);
        tally.converge(&tiny, &run);
        live = live.other();
    }
}

#[test]
fn api_cut_anywhere_in_a_first_activation_leaves_the_guest_whole() {
    let Some(lab) = RealLab::start("fapi") else { return };
    let run = Tiny::activate(Version::One);
    let (ended, measured) = over_api(&Tiny::new(&lab, 100), &run, None);
    ended.expect_done();
    let mut tally = Tally::new("API cut in a first activation");
    let cuts = cuts(&measured);
    let stride = if is_dense() { 1 } else { cuts.len().div_ceil(API_SAMPLES) };
    for (vmid, cut) in (101..).zip(cuts.into_iter().step_by(stride)) {
        let tiny = Tiny::new(&lab, vmid);
        let (ended, _) = over_api(&tiny, &run, Some(cut));
        tally.judge(&tiny, &run, State::Untouched, &format!("{cut:?}"), &ended);
        tally.converge(&tiny, &run);
        tiny.switch_off();
    }
}
