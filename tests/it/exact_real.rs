//! Random transitions of a real guest: what differs before and after is what the plan says, line by line.

use crate::{
    dice::Dice,
    exact_guest::{Guest, Move, Step},
    fault_results::Results,
    fault_summary::{Sort, Summary, Verdict},
    faults_all::asked,
};

/// So many transitions the short form has.
const SHORT: u32 = 8;
const LONG: u32 = 200;

/// Goes through so many, and tells every line that no plan said. `STACKC_FAULTS_TRIALS` asks for another number.
fn go(name: &str, trials: u32, test: &str) {
    let Some(mut guest) = Guest::start(name) else { return };
    let trials = asked("STACKC_FAULTS_TRIALS").unwrap_or(trials);
    let mut dice = Dice::seeded();
    let again = format!(
        "STACKC_SEED={} STACKC_FAULTS_TRIALS={trials} cargo test --test it {test} -- --ignored",
        dice.0
    );
    let what = "Random transitions of a whole guest against their plans";
    let mut results = Results::new("exactness", Summary::new(what, &again, Some(dice.0)));
    let mut number = 0;
    while number < trials && !results.stops() {
        let Step { way, changes, faults } = guest.step(&mut dice);
        number += u32::from(changes);
        eprintln!("transition {number}, {way:?}: {} lines differ", faults.len());
        let problem = (!faults.is_empty()).then(|| faults.join("\n"));
        let state = (number, format!("{way:?}"), &faults);
        results.add(&sort(way, changes), Verdict::New, problem.as_deref(), &state);
    }
    results.finish(0);
}

/// What changes nothing is judged, too, and is none of those that are asked for.
fn sort(way: Move, changes: bool) -> Sort {
    let verb = match way {
        Move::Activate => "activate",
        Move::ActivateSaved => "activate --plan",
        Move::Rollback => "rollback",
        Move::RollbackTo(0) => "rollback --to 0",
        Move::RollbackTo(_) => "rollback --to",
    };
    let fault = if changes { "no fault, against its plan" } else { "no change, and no fault" };
    let [fault, verb, on, size] =
        [fault, verb, "Debian 12", "definitions by lot"].map(str::to_owned);
    Sort { fault, verb, on, size }
}

#[test]
fn what_a_transition_changes_on_a_guest_is_what_its_plan_says_line_by_line() {
    go("exac", SHORT, "what_a_transition_changes");
}

#[test]
#[ignore = "takes half an hour"]
fn two_hundred_transitions_change_what_their_plans_say_line_by_line() {
    go("exal", LONG, "two_hundred_transitions");
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
    // A rule that can keep people out does not stay, and a copy is kept of it: that is not planned.
    guest.change_by_hand("iptables -D INPUT -p tcp --dport 9 -j DROP");
    // The guest as it was found is in no bundle: its judge goes by what was written down.
    for way in [Move::RollbackTo(0), Move::Activate] {
        assert_eq!(guest.go(way), Vec::<String>::new(), "{way:?}");
    }
    let hand = "echo '# hand' >>/etc/default/ufw; iptables -A INPUT -p tcp --dport 10 -j DROP";
    let told = guest.go_with(Move::RollbackTo(0), hand).join("\n");
    for what in ["/etc/default/ufw: ", "the kernel's rules are not what was found"] {
        assert!(told.contains(what), "{what}: {told}");
    }
}
