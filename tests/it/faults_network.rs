//! TCP cut at chosen bytes over the whole of an activation, in both directions, the confirm's reply included.

use crate::{
    cut_proxy::{Cut, CutProxy, Direction, How, Redirect, Scope, Traffic},
    faults_process::Ended,
    faults_tally::{Fault, Tally, is_dense},
    faults_tiny::{Run, State, Tiny},
    fixture_lab::RealLab,
};
use std::time::Duration;

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
/// Between two cuts in the dense sweep, at most 100 to a connection; near the end of a connection, where its last reply is, they are closer.
const DENSE_STEP: usize = 500;
const REPLY_STEP: usize = 24;
const REPLY_BYTES: u64 = 1_200;
/// Cuts of first activations in the default run: each needs a guest of its own.
const FIRST_SAMPLES: usize = 3;

/// Where to cut a connection that carries `total` bytes in a direction: a few places, or all over.
fn places(total: u64) -> Vec<u64> {
    if total == 0 {
        return Vec::new();
    }
    if !is_dense() {
        return vec![total / 3, total * 7 / 8];
    }
    let reply = total.saturating_sub(REPLY_BYTES);
    let step = DENSE_STEP.max(usize::try_from(total / 100).expect("it is small"));
    (0..reply).step_by(step).chain((reply..total).step_by(REPLY_STEP)).collect()
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

/// Which connections of stackc go through the proxy.
#[derive(Debug, Clone, Copy)]
enum Wire {
    Ssh,
    Api,
}

impl Wire {
    /// Runs a command whose connections go through a proxy, which still knows what it saw.
    fn run(self, tiny: &mut Tiny<'_>, run: &Run, cut: Option<Cut>) -> (Ended, CutProxy) {
        match self {
            Self::Ssh => {
                let proxy = CutProxy::start(tiny.sshd(), cut);
                let _redirect = Redirect::install(tiny.sshd().ip(), proxy.address());
                (run.finish(tiny), proxy)
            }
            Self::Api => {
                let proxy = CutProxy::start(tiny.lab_api(), cut);
                tiny.use_api(proxy.address());
                let ended = run.finish(tiny);
                tiny.use_api(tiny.lab_api());
                (ended, proxy)
            }
        }
    }

    /// What each connection of an undisturbed run carries.
    fn measure(self, tiny: &mut Tiny<'_>, run: &Run) -> Vec<Traffic> {
        let (ended, proxy) = self.run(tiny, run, None);
        ended.expect_done();
        let traffic = proxy.traffic();
        eprintln!("{self:?}: {traffic:?}");
        traffic
    }

    /// One command, cut, judged, and run again.
    fn trial(self, tiny: &mut Tiny<'_>, run: &Run, old: State, cut: Cut, tally: &mut Tally) {
        let (ended, proxy) = self.run(tiny, run, Some(cut));
        let fault = Fault { what: format!("{self:?} {cut:?}"), hit: proxy.has_cut() };
        // No connection through it may outlive the run.
        drop(proxy);
        tally.judge(tiny, run, old, &fault, &ended);
        tally.converge(tiny, run);
    }

    /// Changes of one guest, cut all over.
    fn cut_changes(self, lab: &RealLab, tally: &mut Tally) {
        let mut tiny = Tiny::new(lab, 100);
        tiny.activate(1).finish(&tiny).expect_done();
        let run = tiny.activate(2);
        for (live, cut) in (2..).zip(cuts(&self.measure(&mut tiny, &run))) {
            let run = tiny.activate(live + 1);
            self.trial(&mut tiny, &run, State::Live(live), cut, tally);
        }
        tally.expect_hits();
    }

    /// First activations, each of a guest of its own, cut all over.
    fn cut_first_activations(self, lab: &RealLab, tally: &mut Tally) {
        let mut tiny = Tiny::new(lab, 100);
        let run = tiny.activate(1);
        let cuts = cuts(&self.measure(&mut tiny, &run));
        tiny.switch_off();
        let stride = if is_dense() { 1 } else { (cuts.len() / FIRST_SAMPLES).max(1) };
        for (vmid, cut) in (101..).zip(cuts.into_iter().step_by(stride)) {
            let mut tiny = Tiny::new(lab, vmid);
            let run = tiny.activate(1);
            self.trial(&mut tiny, &run, State::Untouched, cut, tally);
            tiny.switch_off();
        }
        tally.expect_hits();
    }
}

#[test]
fn ssh_cut_in_a_change_leaves_the_guest_whole() {
    let Some(lab) = RealLab::start("fssh") else { return };
    Wire::Ssh.cut_changes(&lab, &mut Tally::new("SSH cut in a change"));
}

#[test]
fn api_cut_in_a_change_leaves_the_guest_whole() {
    let Some(lab) = RealLab::start("fapc") else { return };
    Wire::Api.cut_changes(&lab, &mut Tally::new("API cut in a change"));
}

#[test]
fn ssh_cut_in_a_first_activation_leaves_the_guest_whole() {
    let Some(lab) = RealLab::start("fssn") else { return };
    Wire::Ssh.cut_first_activations(&lab, &mut Tally::new("SSH cut in a first activation"));
}

#[test]
fn api_cut_in_a_first_activation_leaves_the_guest_whole() {
    let Some(lab) = RealLab::start("fapi") else { return };
    Wire::Api.cut_first_activations(&lab, &mut Tally::new("API cut in a first activation"));
}
