//! A guest that falls silent: the operator is told soon, tries again while it may help, and no longer.

use crate::{
    cut_proxy::CutProxy,
    cut_redirect::Redirect,
    cut_traffic::{Cut, Direction, How, Scope, Traffic},
    faults_process::{Ended, Operator},
    faults_tiny::{Run, State, Tiny},
    fixture_lab::RealLab,
};
use stackc::model::layout;
use std::{thread, time::Duration};

/// 5 s of a look at the switch, 5 s of silence, a question to Proxmox; and a machine that does other things too.
const POWER_LIMIT: Duration = Duration::from_secs(25);
/// 51 s for a guest with these limits (kind.toml: 10 s to start, 1 s to hold, 15 s for the confirm), one last try of a
/// login, and what came before the switch.
const CABLE_LIMIT: Duration = Duration::from_secs(80);

/// Runs a change until its switch has begun.
fn begin(tiny: &Tiny<'_>, change: &Run) -> Operator {
    let mut operator = change.start(tiny);
    let begins = format!("{}  switch", tiny.target());
    assert!(operator.waits_for(|line| line.starts_with(&begins)), "a change switches");
    thread::sleep(Duration::from_millis(500));
    operator
}

/// Runs a command whose SSH connections go through a proxy that makes this cut.
fn through(tiny: &Tiny<'_>, run: &Run, cut: Option<Cut>) -> (Ended, Vec<Traffic>) {
    let proxy = CutProxy::start(tiny.sshd(), cut);
    let _redirect = Redirect::install(tiny.sshd().ip(), proxy.address());
    let ended = run.finish(tiny);
    assert_eq!(proxy.has_cut(), cut.is_some(), "{cut:?}: {ended}");
    (ended, proxy.traffic())
}

#[test]
fn guest_that_loses_its_power_in_a_switch_is_told_within_seconds() {
    let Some(lab) = RealLab::start("foff") else { return };
    let mut tiny = Tiny::new(&lab, 100);
    tiny.activate(1).finish(&tiny).expect_done();
    let change = tiny.activate(2);
    let operator = begin(&tiny, &change);
    tiny.switch_off();
    let ended = operator.finish(POWER_LIMIT);
    eprintln!("faults, power lost in a switch: {ended}");
    assert_eq!(ended.code, Some(6), "{ended}");
    let said = ended.lines.join("\n");
    assert!(said.contains("stopped before it told how its switch ended"), "{said}");
    assert!(said.contains("then the same command again"), "{said}");
    change.finish(&tiny).expect_done();
    assert_eq!(tiny.settle(), State::Live(2));
    // It may have lost its power before the switch began: then nothing was undone.
    let history = tiny.on_guest("cat /var/lib/stackc/history/*.json", "").lines.concat();
    let undone = history.matches(r#""phase":"undone""#).count();
    let reason = "the guest went down before the switch was confirmed";
    assert_eq!(history.matches(reason).count(), undone, "{history}");
}

#[test]
fn network_that_stays_away_is_waited_for_as_long_as_the_guest_takes_to_go_back() {
    let Some(lab) = RealLab::start("fcab") else { return };
    let mut tiny = Tiny::new(&lab, 100);
    tiny.activate(1).finish(&tiny).expect_done();
    let change = tiny.activate(2);
    let operator = begin(&tiny, &change);
    tiny.pull_cable();
    let ended = operator.finish(CABLE_LIMIT);
    eprintln!("faults, network away from a switch on: {ended}");
    assert_eq!(ended.code, Some(6), "{ended}");
    let said = ended.lines.join("\n");
    assert!(said.contains("asking again for up to"), "it says that it waits: {said}");
    tiny.plug_cable();
    assert_eq!(tiny.settle(), State::Live(1), "it has gone back by itself");
    change.finish(&tiny).expect_done();
    assert_eq!(tiny.settle(), State::Live(2));
}

#[test]
fn black_hole_in_the_login_of_a_confirm_costs_no_good_generation() {
    let Some(lab) = RealLab::start("fhol") else { return };
    let mut tiny = Tiny::new(&lab, 100);
    tiny.activate(1).finish(&tiny).expect_done();
    let change = tiny.activate(2);
    let (ended, traffic) = through(&tiny, &change, None);
    ended.expect_done();
    let last = traffic.len() - 1;
    for (version, quarter) in (3..).zip(0..4) {
        let after = traffic[last].bytes(Direction::Up) * quarter / 4;
        let (direction, how) = (Direction::Up, How::BlackHole);
        let cut = Cut { connection: last, direction, after, how, scope: Scope::Connection };
        let change = tiny.activate(version);
        let (ended, _) = through(&tiny, &change, Some(cut));
        eprintln!("faults, black hole in a confirm, {after} bytes: {ended}");
        assert_eq!(ended.code, Some(0), "{after} bytes: {ended}");
        assert_eq!(tiny.settle(), State::Live(version));
    }
}

#[test]
fn connection_that_breaks_while_stackc_guest_is_installed_is_tried_again() {
    let Some(lab) = RealLab::start("fins") else { return };
    let mut tiny = Tiny::new(&lab, 100);
    tiny.activate(1).finish(&tiny).expect_done();
    for (version, how) in [(2, How::Reset), (3, How::Close), (4, How::BlackHole)] {
        tiny.on_guest(&format!("rm -r {}", layout::BINARIES), "").expect_done();
        let (connection, after) = (0, 1 << 20);
        let (direction, scope) = (Direction::Up, Scope::Connection);
        let cut = Cut { connection, direction, after, how, scope };
        let change = tiny.activate(version);
        let (ended, _) = through(&tiny, &change, Some(cut));
        eprintln!("faults, {how:?} in the upload of stackc-guest: {ended}");
        assert_eq!(ended.code, Some(0), "{how:?}: {ended}");
        let said = ended.lines.join("\n");
        assert!(said.contains("while stackc-guest was being installed"), "it says so: {said}");
        assert_eq!(tiny.settle(), State::Live(version));
    }
}
