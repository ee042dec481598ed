//! Two who want the guest at the same moment: one gets it, and the other is told by whom, and has changed nothing.

use crate::dice::Dice;
use crate::faults_all::asked;
use crate::guest_bundle::{Made, make};
use crate::guest_fixture::{Folder, caller, feed, identity, input, messages, reply};
use stackc::model::protocol::{BeginRequest, ConfirmRequest, Done, Refusal, RefusalCode};
use stackc::model::{Phase, Switch, TxState};
use std::process::Stdio;
use std::sync::Barrier;
use std::thread;
use std::time::Duration;

/// The long form asks for more: `STACKC_FAULTS_TRIALS=1000 cargo test --test it guest_races`.
const ROUNDS: u32 = 100;
const TX: [&str; 2] = ["00000000000000a2", "00000000000000b2"];
const WHO: [&str; 2] = ["ops@desk", "dev@train"];

fn rounds() -> u32 {
    asked("STACKC_FAULTS_TRIALS").unwrap_or(ROUNDS)
}

/// A whole activation up to its switch, by this operator.
fn activate(folder: &Folder, who: &str, made: &Made, switch: &Switch) -> Result<Done, Refusal> {
    let tx = switch.tx.as_str();
    let mut calls = messages(tx, made);
    let begin = BeginRequest { caller: caller(tx), switch: switch.clone() };
    calls.push(("begin", input(&begin, &[]), Vec::new()));
    let mut last = Ok(Done { already: false });
    for (verb, request, more) in calls {
        let request = String::from_utf8(request).expect("JSON").replace(WHO[0], who);
        let said = feed(folder.command(&[verb]), &[request.into_bytes(), more].concat());
        last = reply(&said).unwrap_or_else(|| panic!("{verb} says nothing"));
        if last.is_err() {
            break;
        }
    }
    last
}

#[test]
fn of_two_operators_in_a_race_one_wins_and_the_other_is_told_who_and_changes_nothing() {
    let (start, first, _) = Folder::on_first();
    let versions = [2, 3].map(|version| make(version, 60));
    let switches = [0, 1].map(|n| versions[n].switch(TX[n], 1, 2, &first.ledger()));
    let clean = [0, 1].map(|n| {
        let folder = start.copy();
        folder.activate(&versions[n], &switches[n]);
        folder.picture()
    });
    let mut dice = Dice::seeded();
    let mut wins = [0, 0];
    for round in 0..rounds() {
        let folder = start.copy();
        let (gate, late) = (Barrier::new(2), dice.roll(2));
        let by = Duration::from_micros(u64::try_from(dice.roll(4_000)).expect("it is short"));
        let ended = thread::scope(|scope| {
            let (folder, gate, versions, switches) = (&folder, &gate, &versions, &switches);
            let operators = [0, 1].map(|n| {
                scope.spawn(move || {
                    gate.wait();
                    thread::sleep(if n == late { by } else { Duration::ZERO });
                    activate(folder, WHO[n], &versions[n], &switches[n])
                })
            });
            operators.map(|operator| operator.join().expect("a call answers"))
        });
        let won: Vec<usize> = (0..2).filter(|n| ended[*n].is_ok()).collect();
        assert_eq!(won.len(), 1, "round {round}: {ended:?}");
        let (winner, loser) = (won[0], 1 - won[0]);
        wins[winner] += 1;
        let refusal = ended[loser].as_ref().expect_err("it lost");
        assert_eq!(refusal.code, RefusalCode::Busy, "round {round}: {refusal:?}");
        assert!(refusal.message.contains(WHO[winner]), "round {round}: {refusal:?}");
        folder.run_switch(TX[winner]);
        let state = folder.confirm(&switches[winner]).expect("the confirm is heard");
        assert_eq!(state.phase, Phase::Confirmed, "round {round}: {state:?}");
        assert_eq!(folder.picture(), clean[winner], "round {round}: the loser left something");
        let trees = std::fs::read_dir(folder.at("/var/lib/stackc/store")).expect("it is there");
        assert_eq!(trees.count(), 2, "round {round}: the loser's bundle is there");
    }
    eprintln!("{} rounds, won by {wins:?}", rounds());
}

#[test]
fn confirm_and_deadline_at_the_same_moment_have_one_decision() {
    let (start, first, _) = Folder::on_first();
    let (old, made) = (start.picture(), make(2, 60));
    let switch = made.switch(TX[0], 1, 2, &first.ledger());
    start.switch_over(&made, &switch);
    let new = start.picture();
    let confirm =
        ConfirmRequest { identity: identity(), tx: switch.tx.clone(), nonce: switch.nonce.clone() };
    let mut dice = Dice::seeded();
    let mut decided = [0, 0];
    for round in 0..rounds() {
        let folder = start.copy();
        let (early, late) = (dice.roll(2) == 0, dice.roll(3_000));
        let by = Duration::from_micros(u64::try_from(late).expect("it is short"));
        let mut alarm = folder.command(&["timer-undo", TX[0], "0"]);
        alarm.stdout(Stdio::null()).stderr(Stdio::null());
        let said: Result<TxState, Refusal> = thread::scope(|scope| {
            let ringing = scope.spawn(|| {
                thread::sleep(if early { Duration::ZERO } else { by });
                alarm.status().expect("the binary can be run")
            });
            thread::sleep(if early { by } else { Duration::ZERO });
            let said = feed(folder.command(&["confirm"]), &input(&confirm, &[]));
            ringing.join().expect("it ends");
            reply(&said).expect("a confirm is answered")
        });
        let told = said.unwrap_or_else(|refusal| panic!("round {round}: {refusal:?}"));
        let state = folder.result(TX[0]);
        let (picture, number) = match state.phase {
            Phase::Confirmed => (&new, 0),
            Phase::Undone => (&old, 1),
            _ => panic!("round {round}: {state:?}"),
        };
        assert_eq!(told.phase, state.phase, "round {round}: what was told is what is");
        assert_eq!(folder.picture(), *picture, "round {round}: {state:?}");
        decided[number] += 1;
    }
    eprintln!("{} rounds, confirmed and undone {decided:?}", rounds());
    assert!(decided.iter().all(|count| *count > 0), "both may come first: {decided:?}");
}
