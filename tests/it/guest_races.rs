//! Two who want the guest at the same moment: one gets it, and the other is told by whom, and has changed nothing.

use crate::dice::Dice;
use crate::fault_results::{Results, asked, caught};
use crate::fault_summary::{Counts, Sort, Summary, Verdict};
use crate::guest_bundle::{Made, make};
use crate::guest_fixture::{Folder, caller, feed, identity, input, messages, reply};
use stackc::model::protocol::{
    BeginRequest, BundleRequest, Caller, ConfirmRequest, Done, Refusal, RefusalCode,
};
use stackc::model::{Phase, Switch, TxState};
use std::process::Stdio;
use std::sync::Barrier;
use std::thread;
use std::time::Duration;

const ROUNDS: u64 = 100;
const TX: [&str; 2] = ["00000000000000a2", "00000000000000b2"];
const WHO: [&str; 2] = ["ops@desk", "dev@train"];

/// What two want at the same moment, and where.
pub struct Race<'a> {
    /// Names the result file.
    pub name: &'a str,
    pub fault: &'a str,
    /// As cargo takes it to run the same again.
    pub test: &'a str,
    pub on: &'a str,
    /// `STACKC_FAULTS_TRIALS` asks for more.
    pub rounds: u64,
}

/// Rounds of a race, each judged.
pub fn race(race: &Race, mut round: impl FnMut(&mut Dice) -> Verdict) -> Counts {
    let Race { name, fault, test, on, rounds } = *race;
    let rounds = asked("STACKC_FAULTS_TRIALS").unwrap_or(rounds);
    let mut dice = Dice::seeded();
    let seed = dice.0;
    let again =
        format!("STACKC_SEED={seed} STACKC_FAULTS_TRIALS={rounds} cargo test --test it {test}");
    let what = format!("Races on {on}: {fault}");
    let mut results = Results::new(name, Summary::new(&what, &again, Some(seed)));
    let [fault, verb, on, size] = [fault, "switch", on, ""].map(str::to_owned);
    let sort = Sort { fault, verb, on, size };
    for number in 0..rounds {
        if results.stops() {
            break;
        }
        let verdict = caught(|| round(&mut dice));
        let problem = verdict.as_ref().err().map(String::as_str);
        results.add(&sort, verdict.as_ref().copied().unwrap_or(Verdict::Failed), problem, &number);
    }
    let counts = results.summary.counts.get(&sort).cloned().unwrap_or_default();
    results.finish(0);
    counts
}

/// With the binary itself.
fn in_memory<'a>(name: &'a str, fault: &'a str, test: &'a str) -> Race<'a> {
    Race { name, fault, test, on: "a folder in memory", rounds: ROUNDS }
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
    let mut wins = [0, 0];
    let race_of = in_memory("races-operators", "two operators", "of_two_operators_in");
    let counts = race(&race_of, |dice| {
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
        assert_eq!(won.len(), 1, "{ended:?}");
        let (winner, loser) = (won[0], 1 - won[0]);
        wins[winner] += 1;
        let refusal = ended[loser].as_ref().expect_err("it lost");
        assert_eq!(refusal.code, RefusalCode::Busy, "{refusal:?}");
        assert!(refusal.message.contains(WHO[winner]), "{refusal:?}");
        folder.run_switch(TX[winner]);
        let state = folder.confirm(&switches[winner]).expect("the confirm is heard");
        assert_eq!(state.phase, Phase::Confirmed, "{state:?}");
        assert_eq!(folder.picture(), clean[winner], "the loser left something");
        let trees = std::fs::read_dir(folder.at("/var/lib/stackc/store")).expect("it is there");
        assert_eq!(trees.count(), 2, "the loser's bundle is there");
        Verdict::OneWon
    });
    eprintln!("{counts:?}, won by {wins:?}");
}

#[test]
fn two_runs_of_one_person_do_not_prepare_beside_each_other() {
    let (folder, first, _) = Folder::on_first();
    let made = make(2, 60);
    folder.prepare(TX[0], &made);
    let call = |caller: Caller| {
        let request = BundleRequest { caller, digest: made.bundle.digest };
        folder.call::<Done>(&["accounts"], &request, &[])
    };
    let refusal = call(caller(TX[1])).expect_err("the first one is at work");
    assert_eq!(refusal.code, RefusalCode::Busy, "{refusal:?}");
    assert!(refusal.message.contains("ops@desk holds it for another 1"), "{refusal:?}");
    call(caller(TX[0])).expect("the first one goes on");
    let over = |tx: &str| Some(tx.parse().expect("a transaction's name"));
    let another = Caller { over: over("00000000000000d1"), ..caller(TX[1]) };
    call(another).expect_err("it is another one that is dead");
    call(Caller { over: over(TX[0]), ..caller(TX[1]) }).expect("the first one is dead");
    call(caller(TX[0])).expect_err("and finds that out, should it live");
    // A transaction that is over leaves nobody waiting for its lease.
    let switch = made.switch(TX[1], 1, 2, &first.ledger());
    folder.switch_over(&made, &switch);
    folder.command(&["timer-undo", TX[1], "0"]).output().expect("it can be run");
    assert_eq!(folder.result(TX[1]).phase, Phase::Undone);
    call(caller(TX[0])).expect("the guest is free");
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
    let race_of = in_memory("races-confirm", "confirm at the deadline", "confirm_and_deadline_at");
    let counts = race(&race_of, |dice| {
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
        let told = said.unwrap_or_else(|refusal| panic!("{refusal:?}"));
        let state = folder.result(TX[0]);
        let (picture, verdict) = match state.phase {
            Phase::Confirmed => (&new, Verdict::New),
            Phase::Undone => (&old, Verdict::Old),
            _ => panic!("{state:?}"),
        };
        assert_eq!(told.phase, state.phase, "what was told is what is");
        assert_eq!(folder.picture(), *picture, "{state:?}");
        verdict
    });
    eprintln!("{counts:?}");
    assert_eq!(counts.len(), 2, "both may come first: {counts:?}");
}
