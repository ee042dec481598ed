//! Two who want a real guest at the same moment, by the operator's own command; and a confirm that comes as its time ends.

use crate::{
    dice::Dice,
    fault_summary::Verdict,
    faults_process::Ended,
    faults_tiny::{RUN_LIMIT, Run, State, Tiny},
    fixture_lab::RealLab,
    guest_bundle::Made,
    guest_fixture::{feed, identity, input, reply},
    guest_races::{Race, race},
    guest_real::{PROGRAM, RealGuest},
    undo_real::{keep, tx, well},
};
use stackc::model::{
    HealthDocument, Ledger, Phase, Switch, TxState,
    protocol::{ConfirmRequest, Refusal},
};
use std::{thread, time::Duration};

/// The short form.
const ROUNDS: u64 = 3;
/// With so many, either may come first.
const MANY: u64 = 30;
/// The machines of two operators.
const HOSTS: [&str; 2] = ["desk", "train"];
/// How much later the second one begins, at most: both are done long after that.
const LATE_MS_MAX: usize = 1_000;
/// Time enough for the call that then waits for the moment.
const CONFIRM_SECONDS: u32 = 6;
/// Half of the time in which a confirm may come around the deadline: an alarm rings up to 100 ms late, then starts a process.
const AROUND_MS: usize = 150;

/// Both operators at once, the one with the number `late` some time after the other.
fn both(tiny: &Tiny<'_>, runs: [&Run; 2], late: usize, by: Duration) -> [Ended; 2] {
    let early = runs[1 - late].start_at(HOSTS[1 - late], tiny);
    thread::sleep(by);
    let late_one = runs[late].start_at(HOSTS[late], tiny);
    let [early, late_one] = [early, late_one].map(|operator| operator.finish(RUN_LIMIT));
    if late == 1 { [early, late_one] } else { [late_one, early] }
}

/// How many generations there have been, and how many transactions.
fn count(tiny: &Tiny<'_>) -> usize {
    let listed = tiny.on_guest("cd /var/lib/stackc && ls generations history", "").expect_done();
    listed.lines.len()
}

#[test]
fn of_two_activations_at_once_one_wins_and_the_other_is_told_who_and_changes_nothing() {
    let Some(lab) = RealLab::start("race") else { return };
    let mut tiny = Tiny::new(&lab, 100);
    let runs = [1, 2, 3].map(|version| tiny.activate(version));
    runs[0].finish(&tiny).expect_done();
    let mut wins = [0, 0];
    let [name, test] = ["races-operators-real", "of_two_activations_at_once"];
    let race_of = Race { name, fault: "two operators", test, on: "Debian 12", rounds: ROUNDS };
    race(&race_of, |dice| {
        let (live, before) = (tiny.settle(), count(&tiny));
        let wanted: Vec<&Run> =
            runs.iter().filter(|run| State::Live(run.version) != live).collect();
        let by = u64::try_from(dice.roll(LATE_MS_MAX)).expect("it is short");
        let ended = both(&tiny, [wanted[0], wanted[1]], dice.roll(2), Duration::from_millis(by));
        let won: Vec<usize> = (0..2).filter(|n| ended[*n].code == Some(0)).collect();
        assert_eq!(won.len(), 1, "{}\n{}", ended[0], ended[1]);
        let (winner, loser) = (won[0], &ended[1 - won[0]]);
        assert_eq!(loser.code, Some(3), "{loser}");
        assert!(loser.to_string().contains(&format!("root@{}", HOSTS[winner])), "{loser}");
        assert_eq!(tiny.settle(), State::Live(wanted[winner].version));
        assert_eq!(count(&tiny), before + 2, "one generation and one transaction came");
        wins[winner] += 1;
        Verdict::OneWon
    });
    eprintln!("won by {wins:?}");
}

/// A guest that is switched again and again.
struct Ticking {
    guest: RealGuest,
    live: Made,
    live_number: u64,
    number: u64,
}

impl Ticking {
    fn start(lab: &RealLab) -> Self {
        lab.boot(101, "tick");
        let mut guest = RealGuest::new(lab, "tick");
        guest.install_ufw();
        let live = well(&guest, 1, &[4001]);
        guest.prepare(&tx(1), &live);
        keep(&guest, &live.switch(&tx(1), 0, 1, &Ledger::default()));
        Self { guest, live, live_number: 1, number: 1 }
    }

    /// One switch that waits for its confirm, which comes about when nobody waits for it any more.
    fn round(&mut self, dice: &mut Dice) -> Verdict {
        self.number += 1;
        let (number, guest) = (self.number, &self.guest);
        let old = guest.picture();
        let mut next = well(guest, number, &[4001, 4002]);
        let health = HealthDocument { confirm_seconds: CONFIRM_SECONDS, ..next.health.clone() };
        next.set_health(health);
        let switch = next.switch(&tx(number), self.live_number, number, &self.live.ledger());
        guest.prepare(&tx(number), &next);
        let state = guest.begin(&switch);
        assert_eq!(state.phase, Phase::AwaitingConfirm, "{state:?}");
        let told = confirm_at(guest, &switch, dice.roll(2 * AROUND_MS));
        let state = guest.result(&switch);
        assert_eq!(told.phase, state.phase, "what was told is what is: {told:?}, {state:?}");
        let now = guest.picture();
        match state.phase {
            Phase::Undone => {
                assert_eq!(now, old);
                Verdict::Old
            }
            Phase::Confirmed => {
                let new = format!("version-{number}generations/{number}\n");
                assert!(now.starts_with(&new), "{now}");
                (self.live, self.live_number) = (next, number);
                Verdict::New
            }
            _ => panic!("{state:?}"),
        }
    }
}

/// A confirm so many milliseconds after the first at which it is tried, by the guest's own clock: a login takes longer.
fn confirm_at(guest: &RealGuest, switch: &Switch, ms: usize) -> TxState {
    let (tx, nonce) = (switch.tx.clone(), switch.nonce.clone());
    let early =
        f64::from(CONFIRM_SECONDS) - 0.001 * f64::from(u32::try_from(AROUND_MS).expect("few"));
    let script = format!(
        "import os, time\nat = os.stat('/var/lib/stackc/tx/{tx}/phase').st_mtime + {early} + {ms} / 1000\n\
         rest = at - time.time()\nassert rest > 0, 'the login took too long'\ntime.sleep(rest)\n\
         os.execv('{PROGRAM}', ['{PROGRAM}', 'confirm'])\n"
    );
    let request = ConfirmRequest { identity: identity(), tx, nonce };
    let said = feed(guest.command(&format!("python3 -c \"{script}\"")), &input(&request, &[]));
    let told: Result<TxState, Refusal> = reply(&said).expect("a confirm is answered");
    told.unwrap_or_else(|refusal| panic!("{refusal:?}"))
}

#[test]
fn confirm_and_deadline_of_a_real_guest_at_the_same_moment_have_one_decision() {
    let Some(lab) = RealLab::start("tick") else { return };
    let mut ticking = Ticking::start(&lab);
    let [name, fault] = ["races-confirm-real", "confirm at the deadline"];
    let test = "confirm_and_deadline_of_a_real_guest";
    let race_of = Race { name, fault, test, on: "Debian 12", rounds: ROUNDS };
    let counts = race(&race_of, |dice| ticking.round(dice));
    eprintln!("{counts:?}");
    let rounds: u64 = counts.values().sum();
    assert!(rounds < MANY || counts.len() == 2, "both may come first: {counts:?}");
}
