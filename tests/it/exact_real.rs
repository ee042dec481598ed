//! Random transitions of a real guest: what differs before and after is what the plan says, line by line.

use crate::{
    dice::Dice,
    exact_guest::{Guest, Move},
    fault_summary::{Sort, Summary, Verdict},
    faults_all::asked,
};
use std::{env, path::Path};

/// So many transitions the short form has.
const SHORT: u32 = 8;
const LONG: u32 = 200;
const AGAIN: &str =
    "STACKC_EXACT_RESULT=exact.jsonl cargo test --test it two_hundred_transitions -- --ignored";

/// Goes through so many; every line that no plan said.
fn go(name: &str, count: u32) -> Option<(Summary, Vec<String>)> {
    let mut guest = Guest::start(name)?;
    let mut dice = Dice::seeded();
    let title = "Random transitions of a whole guest against their plans";
    let (mut summary, mut found) = (Summary::new(title, AGAIN, Some(dice.0)), Vec::new());
    for number in 1..=count {
        let (way, faults) = guest.step(&mut dice);
        eprintln!("transition {number}, {way:?}: {} lines differ", faults.len());
        for fault in &faults {
            eprintln!("  {fault}");
        }
        let verdict = if faults.is_empty() { Verdict::New } else { Verdict::Failed };
        summary.count(&sort(way), verdict);
        found.extend(faults.into_iter().map(|fault| format!("transition {number}: {fault}")));
    }
    Some((summary, found))
}

fn sort(way: Move) -> Sort {
    let verb = match way {
        Move::Activate => "activate",
        Move::ActivateSaved => "activate --plan",
        Move::Rollback => "rollback",
        Move::RollbackTo(0) => "rollback --to 0",
        Move::RollbackTo(_) => "rollback --to",
    };
    let [fault, verb, on, size] =
        ["none", verb, "Debian 12", "definitions by lot"].map(str::to_owned);
    Sort { fault, verb, on, size }
}

#[test]
fn what_a_transition_changes_on_a_guest_is_what_its_plan_says_line_by_line() {
    let Some((_, found)) = go("exac", asked("STACKC_TRANSITIONS").unwrap_or(SHORT)) else { return };
    assert!(found.is_empty(), "{}", found.join("\n"));
}

/// With `STACKC_EXACT_RESULT=FILE` the summary is written there, as it is checked in.
#[test]
#[ignore = "takes half an hour: cargo test --test it two_hundred_transitions -- --ignored --nocapture"]
fn two_hundred_transitions_change_what_their_plans_say_line_by_line() {
    let count = asked("STACKC_TRANSITIONS").unwrap_or(LONG);
    let Some((mut summary, found)) = go("exal", count) else { return };
    if let Some(path) = env::var_os("STACKC_EXACT_RESULT") {
        summary.write(Path::new(&path));
    }
    assert!(found.is_empty(), "{}", found.join("\n"));
}

#[test]
fn what_a_hand_changes_meanwhile_is_told_by_the_judge_of_a_real_guest() {
    let Some(mut guest) = Guest::start("exah") else { return };
    let hand = "echo hand >>/etc/theirs.conf; chmod 0700 /srv; systemctl restart cron; iptables -A INPUT -p tcp --dport 9 -j DROP; touch /var/lib/stackc/found.txt";
    let faults = guest.go_with(Move::Activate, hand);
    let told = faults.join("\n");
    for what in [
        "/etc/theirs.conf: ",
        "/srv: ",
        "cron.service was to be left alone, and was restarted",
        "the kernel has other rules",
        "nobody planned /var/lib/stackc/found.txt",
    ] {
        assert!(told.contains(what), "{what}: {told}");
    }
}
