//! What other tools got wrong about going back, each by the name of its report. Their words: deploy-rs' "magic rollback"
//! waits for a "canary", a file that the operator removes; `d5eff7f` is the last commit that was read.

use crate::guest_bundle::Made;
use crate::guest_fixture::{identity, input, name};
use crate::weak_guest::{Picture, WeakGuest};
use crate::weak_stories::on_first;
use crate::weak_story::{TX, activate, activation, version};
use stackc::guest::{Answer, UnitReport};
use stackc::model::protocol::{ConfirmRequest, RefusalCode, ResultRequest};
use stackc::model::{GenerationId, Ledger, Nonce, Phase, Switch, TxState, UnitName};

const NEXT_TX: &str = "00000000000000a3";

fn reply(answer: Answer) -> TxState {
    match answer {
        Answer::Reply(value) => serde_json::from_value(value).expect("it is a state"),
        other => panic!("refused: {other:?}"),
    }
}

fn confirm(guest: &mut WeakGuest, tx: &str, nonce: &Nonce) -> Answer {
    let request = ConfirmRequest { identity: identity(), tx: name(tx), nonce: nonce.clone() };
    guest.call(&["confirm"], &input(&request, &[]))
}

fn result(guest: &mut WeakGuest, tx: &str) -> TxState {
    let request = ResultRequest { tx: name(tx), wait_seconds: 0 };
    reply(guest.call(&["result"], &input(&request, &[])))
}

fn silence(guest: &mut WeakGuest, tx: &str) {
    let answer = guest.call(&["timer-undo", tx, "0"], &[]);
    assert!(matches!(answer, Answer::Reply(_)), "{answer:?}");
}

/// Everything but the confirm.
fn switch_over(guest: &mut WeakGuest, made: &Made, switch: &Switch) {
    let mut steps = activation(made, switch);
    steps.pop();
    for step in steps {
        step.run(guest).unwrap_or_else(|refused| panic!("{refused}"));
    }
}

/// A picture without what runs.
fn files(mut picture: Picture) -> Picture {
    picture.remove("running");
    picture
}

/// A guest on version 1, as it is then, and the way to version 2.
fn before_second() -> (WeakGuest, Picture, Made, Switch) {
    let (mut guest, first) = on_first();
    let second = version(2);
    let switch = second.switch(TX, 1, 2, &first.ledger());
    let picture = guest.picture();
    (guest, picture, second, switch)
}

/// Whether the next alarm leads back after each effect of what is done.
fn assert_undone_wherever_it_ends(
    before: &WeakGuest,
    old: &Picture,
    done: impl FnOnce(&mut WeakGuest),
) {
    let mut guest = before.fork();
    done(&mut guest);
    let moments = guest.fs.take_cuts();
    assert!(moments.len() > 15, "only {} effects", moments.len());
    for (number, disk) in moments.into_iter().enumerate() {
        let mut next = before.with_disk(disk);
        next.memory = guest.memory.after(number + 1, &next.fs);
        let mut guest = next;
        silence(&mut guest, TX);
        assert_eq!(guest.picture(), *old, "it ended after effect {number}");
        assert_eq!(result(&mut guest, TX).phase, Phase::Undone, "effect {number}");
    }
}

#[test]
fn deploy_rs_38_an_alarm_that_comes_after_the_confirm_undoes_nothing() {
    let (mut guest, _, second, switch) = before_second();
    activate(&mut guest, &second, &switch);
    let kept = guest.picture();
    silence(&mut guest, TX);
    assert_eq!(guest.picture(), kept);
    assert_eq!(result(&mut guest, TX).phase, Phase::Confirmed);
    assert_eq!(guest.memory.state.alarms.len(), 0, "{:?}", guest.memory.state.alarms);
}

#[test]
fn deploy_rs_214_a_switch_that_went_back_is_never_told_as_one_that_stayed() {
    let (mut guest, old, second, switch) = before_second();
    switch_over(&mut guest, &second, &switch);
    silence(&mut guest, TX);
    for state in [reply(confirm(&mut guest, TX, &switch.nonce)), result(&mut guest, TX)] {
        assert_eq!(state.phase, Phase::Undone);
        assert_eq!(state.failure.expect("why").what, "nobody confirmed the switch in time");
    }
    assert_eq!(guest.picture(), old);
}

#[test]
fn deploy_rs_58_a_switch_that_hangs_has_its_alarm_set_before_anything_changes() {
    let (mut guest, old, second, switch) = before_second();
    switch_over(&mut guest, &second, &switch);
    let jobs = guest.memory.state.jobs.clone();
    let first = jobs.iter().position(|job| job == "stop app.service").expect("it is stopped");
    let armed = jobs.iter().rposition(|job| job == "arm switch").expect("the alarm is set");
    assert!(armed < first, "{jobs:?}");
    silence(&mut guest, TX);
    let since = &guest.memory.state.jobs[jobs.len()..];
    assert_eq!(since[0], "end switch", "what hangs is ended first");
    assert_eq!(guest.picture(), old);
}

#[test]
fn deploy_rs_58_a_switch_that_hangs_anywhere_is_undone_by_its_alarm() {
    let (guest, old, second, switch) = before_second();
    let mut before = guest.fork();
    let mut steps = activation(&second, &switch);
    steps.truncate(steps.len() - 2);
    for step in steps {
        step.run(&mut before).unwrap_or_else(|refused| panic!("{refused}"));
    }
    before.fs.take_cuts();
    assert_undone_wherever_it_ends(&before, &old, |guest| {
        guest.call(&["switch", TX], &[]);
    });
}

#[test]
fn deploy_rs_68_going_back_brings_back_what_only_reads_its_file_again() {
    let (mut guest, _, second, switch) = before_second();
    switch_over(&mut guest, &second, &switch);
    let done = guest.memory.state.jobs.len();
    silence(&mut guest, TX);
    let since = &guest.memory.state.jobs[done..];
    assert!(since.contains(&"reload ssh.service".to_owned()), "{since:?}");
}

#[test]
fn deploy_rs_86_the_first_switch_of_all_can_be_undone() {
    let (mut guest, first) = (WeakGuest::found(), version(1));
    let found = guest.picture();
    switch_over(&mut guest, &first, &first.switch(TX, 0, 1, &Ledger::default()));
    assert_ne!(guest.picture(), found);
    silence(&mut guest, TX);
    assert_eq!(guest.picture(), found);
}

#[test]
fn deploy_rs_211_a_reboot_before_the_confirm_goes_back_and_starts_what_ran() {
    let (mut guest, old, second, switch) = before_second();
    switch_over(&mut guest, &second, &switch);
    let (mut booted, recovers) = guest.boot(guest.fs.disk().cut_hard()).expect("it goes back");
    assert!(recovers);
    assert_eq!(booted.picture(), old);
    let started = "startlater app.service".to_owned();
    assert!(booted.memory.state.jobs.contains(&started));
    let late = reply(confirm(&mut booted, TX, &switch.nonce));
    assert_eq!(late.phase, Phase::Undone, "who confirms now hears the truth");
}

/// Where a unit that had failed before counts against what comes, a guest is neither switched nor gone back on.
#[test]
fn devenv_c_a_unit_that_had_failed_before_counts_neither_forth_nor_back() {
    for fails_again in [false, true] {
        let (mut guest, old, second, switch) = before_second();
        let state = &mut guest.memory.state;
        let unit: UnitName = name("app.service");
        let report = state.units.get_mut(&unit).expect("it runs");
        *report = UnitReport {
            active: "failed".to_owned(),
            result: "exit-code".to_owned(),
            ..report.clone()
        };
        state.failing.extend(fails_again.then_some(unit));
        switch_over(&mut guest, &second, &switch);
        if !fails_again {
            assert_eq!(result(&mut guest, TX).phase, Phase::AwaitingConfirm);
            silence(&mut guest, TX);
        }
        assert_eq!(result(&mut guest, TX).phase, Phase::Undone, "fails again: {fails_again}");
        let [now, before] = [guest.picture(), old].map(files);
        assert_eq!(now, before);
    }
}

/// Nobody repeats a rollback that was interrupted.
#[test]
fn devenv_d_going_back_that_was_interrupted_anywhere_is_done_again() {
    let (mut guest, old, second, switch) = before_second();
    switch_over(&mut guest, &second, &switch);
    guest.fs.take_cuts();
    assert_undone_wherever_it_ends(&guest, &old, |guest| silence(guest, TX));
}

#[test]
fn a_canary_of_an_earlier_switch_confirms_no_later_one() {
    let (mut guest, _, second, switch) = before_second();
    activate(&mut guest, &second, &switch);
    let kept = guest.picture();
    let third = version(3);
    let next = third.switch(NEXT_TX, 2, 3, &second.ledger());
    switch_over(&mut guest, &third, &next);
    let stale = confirm(&mut guest, NEXT_TX, &switch.nonce);
    assert!(matches!(&stale, Answer::Refused(r) if r.code == RefusalCode::Refused), "{stale:?}");
    assert_eq!(reply(confirm(&mut guest, TX, &switch.nonce)).phase, Phase::Confirmed);
    assert_eq!(result(&mut guest, NEXT_TX).phase, Phase::AwaitingConfirm);
    silence(&mut guest, NEXT_TX);
    assert_eq!(guest.picture(), kept);
}

#[test]
fn the_same_bundle_again_without_a_confirm_goes_back_one_generation_and_not_two() {
    let (mut guest, _, second, switch) = before_second();
    activate(&mut guest, &second, &switch);
    let live = guest.picture();
    // Nothing changes but the generation, and still the way back leads to the one before.
    switch_over(&mut guest, &second, &second.switch(NEXT_TX, 2, 3, &second.ledger()));
    assert_eq!(guest.picture()["current"], "Some(\"generations/3\")");
    silence(&mut guest, NEXT_TX);
    assert_eq!(guest.picture(), live);
    assert_eq!(live["current"], "Some(\"generations/2\")");
}

#[test]
fn going_back_leads_to_what_was_running_and_not_to_the_number_before() {
    let (mut guest, old, second, switch) = before_second();
    switch_over(&mut guest, &second, &switch);
    silence(&mut guest, TX);
    let third = version(3);
    let mut next = third.switch(NEXT_TX, 1, 3, &version(1).ledger());
    next.generation.parent = Some(GenerationId(1));
    switch_over(&mut guest, &third, &next);
    silence(&mut guest, NEXT_TX);
    assert_eq!(guest.picture(), old, "generation 2 never was what ran");
}
