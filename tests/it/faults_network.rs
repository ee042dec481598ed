//! TCP cut at chosen bytes over the whole of an activation, in both directions, the confirm's reply included.

use crate::{
    cut_proxy::{Cut, CutProxy, Direction, How, Redirect, Scope, Traffic},
    faults_process::Ended,
    faults_tally::{Fault, Tally, is_dense},
    faults_tiny::{Run, State, Tiny, Version},
    fixture_lab::RealLab,
};
use std::{net::SocketAddr, time::Duration};

const DIRECTIONS: [Direction; 2] = [Direction::Up, Direction::Down];
/// Longer than the guest waits for its confirm (kind.toml), and shorter.
const LONG: Duration = Duration::from_secs(25);
const SHORT: Duration = Duration::from_secs(5);
const WAYS: [(How, Scope); 5] = [
    (How::Reset, Scope::Connection),
    (How::Reset, Scope::Network(LONG)),
    (How::Close, Scope::Connection),
    (How::BlackHole, Scope::Connection),
    (How::BlackHole, Scope::Network(SHORT)),
];
/// Between two cuts in the dense sweep; near the end of a connection, where its last reply is, they are closer.
const DENSE_STEP: usize = 500;
const REPLY_STEP: usize = 24;
const REPLY_BYTES: u64 = 1_200;
/// Cuts of the API in the default run: each needs a guest of its own.
const API_SAMPLES: usize = 3;

/// Where to cut a connection that carries `total` bytes in a direction: a few places, or all over.
fn places(total: u64) -> Vec<u64> {
    if total == 0 {
        return Vec::new();
    }
    if !is_dense() {
        return vec![total / 2, total * 7 / 8, total.saturating_sub(150)];
    }
    let reply = total.saturating_sub(REPLY_BYTES);
    (0..reply).step_by(DENSE_STEP).chain((reply..total).step_by(REPLY_STEP)).collect()
}

/// Cuts all over a measured activation; how and how far changes from one to the next.
fn cuts(measured: &[Traffic]) -> Vec<Cut> {
    let mut ways = WAYS.iter().cycle();
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
fn over_ssh(tiny: &Tiny<'_>, run: &Run, cut: Option<Cut>) -> (Ended, CutProxy) {
    let sshd = SocketAddr::new(tiny.address().into(), 22);
    let proxy = CutProxy::start(sshd, cut);
    let _redirect = Redirect::install(sshd.ip(), proxy.address());
    (run.finish(tiny), proxy)
}

/// Runs a command with its calls of the Proxmox API led through a proxy.
fn over_api(tiny: &Tiny<'_>, run: &Run, cut: Option<Cut>) -> (Ended, CutProxy) {
    let proxy = CutProxy::start(tiny.api(), cut);
    tiny.use_api(proxy.address());
    let ended = run.finish(tiny);
    tiny.use_api(tiny.api());
    (ended, proxy)
}

#[test]
fn ssh_cut_anywhere_in_a_change_leaves_the_guest_whole() {
    let Some(lab) = RealLab::start("fssh") else { return };
    let tiny = Tiny::new(&lab, 100);
    Tiny::activate(Version::One).finish(&tiny).expect_done();
    let (ended, proxy) = over_ssh(&tiny, &Tiny::activate(Version::Two), None);
    ended.expect_done();
    let measured = proxy.traffic();
    eprintln!("measured: {measured:?}");
    assert!(measured.len() >= 2, "the confirm has a connection of its own: {measured:?}");
    let mut tally = Tally::new("SSH cut in a change");
    let mut live = Version::Two;
    for cut in cuts(&measured) {
        let run = Tiny::activate(live.other());
        let (ended, proxy) = over_ssh(&tiny, &run, Some(cut));
        let fault = Fault { what: format!("{cut:?}"), hit: proxy.has_cut() };
        drop(proxy);
        tally.judge(&tiny, &run, State::Live(live), &fault, &ended);
        tally.converge(&tiny, &run);
        live = live.other();
    }
    tally.expect_hits();
}

#[test]
fn api_cut_anywhere_in_a_first_activation_leaves_the_guest_whole() {
    let Some(lab) = RealLab::start("fapi") else { return };
    let run = Tiny::activate(Version::One);
    let (ended, proxy) = over_api(&Tiny::new(&lab, 100), &run, None);
    ended.expect_done();
    let measured = proxy.traffic();
    eprintln!("measured: {measured:?}");
    let mut tally = Tally::new("API cut in a first activation");
    let cuts = cuts(&measured);
    let stride = if is_dense() { 1 } else { cuts.len().div_ceil(API_SAMPLES) };
    for (vmid, cut) in (101..).zip(cuts.into_iter().step_by(stride)) {
        let tiny = Tiny::new(&lab, vmid);
        let (ended, proxy) = over_api(&tiny, &run, Some(cut));
        let fault = Fault { what: format!("{cut:?}"), hit: proxy.has_cut() };
        drop(proxy);
        tally.judge(&tiny, &run, State::Untouched, &fault, &ended);
        tally.converge(&tiny, &run);
        tiny.switch_off();
    }
    tally.expect_hits();
}
