//! Every call to the guest's files and system made to fail, before its effect and after it, once and from then on.

use crate::fake::{Fault, Faulty};
use crate::guest_bundle::{Made, make};
use crate::guest_fixture::{Folder, caller, identity, input, messages};
use stackc::guest::{Answer, Guest, Offline, RealFs, answer};
use stackc::model::Switch;
use stackc::model::protocol::{BeginRequest, ConfirmRequest};
use std::collections::BTreeMap;

const TX: &str = "00000000000000a2";
const NEXT_TX: &str = "00000000000000a3";

/// How many calls are passed over between two faults; `STACKC_FAULTS=all` fails each one.
fn stride() -> usize {
    if std::env::var("STACKC_FAULTS").as_deref() == Ok("all") { 1 } else { 19 }
}

/// The whole of an activation in this process; false at the first call that is refused.
fn activate(folder: &Folder, made: &Made, switch: &Switch, fault: &Fault) -> bool {
    let tx = switch.tx.as_str();
    let mut calls: Vec<(Vec<&str>, Vec<u8>)> = messages(tx, made)
        .into_iter()
        .map(|(verb, request, more)| (vec![verb], [request, more].concat()))
        .collect();
    let begin = BeginRequest { caller: caller(tx), switch: switch.clone() };
    calls.push((vec!["begin"], input(&begin, &[])));
    calls.push((vec!["switch", tx], Vec::new()));
    let (tx_id, nonce) = (switch.tx.clone(), switch.nonce.clone());
    let confirm = ConfirmRequest { identity: identity(), tx: tx_id, nonce };
    calls.push((vec!["confirm"], input(&confirm, &[])));
    calls.into_iter().all(|(words, bytes)| call(folder, &words, &bytes, fault))
}

fn call(folder: &Folder, words: &[&str], bytes: &[u8], fault: &Fault) -> bool {
    let root = folder.dir.path();
    let fs = RealFs::open(root).expect("the folder is there");
    let system = Offline::open(root).expect("the folder is there");
    let mut fs = Faulty { inner: fs, fault: fault.clone() };
    let mut system = Faulty { inner: system, fault: fault.clone() };
    let mut guest = Guest { fs: &mut fs, system: &mut system, news: &mut |_| {} };
    let words: Vec<String> = words.iter().map(|&word| word.to_owned()).collect();
    matches!(answer(&mut guest, &words, &mut &bytes[..]), Answer::Reply(_))
}

#[test]
fn guest_with_any_call_failing_is_whole_and_a_retry_finishes() {
    let (start, first, _) = Folder::on_first();
    let second = make(2, 60);
    let switch = second.switch(TX, 1, 2, &first.ledger());
    let old = start.picture();
    let clean = start.copy();
    clean.activate(&second, &switch);
    let mut new = clean.picture();
    new.remove("current");
    let mut faults = 0;
    for (after_effect, lasting) in [(false, false), (true, false), (false, true), (true, true)] {
        for number in (1 + usize::from(after_effect) * 3..).step_by(stride()) {
            let folder = start.copy();
            let fault = Fault::at(number, after_effect, lasting);
            let finished = activate(&folder, &second, &switch, &fault);
            if !fault.struck.get() {
                assert!(finished, "an activation without a fault finishes");
                break;
            }
            faults += 1;
            let at = format!("call {number}, after {after_effect}, lasting {lasting}");
            check(&folder, &second, &first, &old, &new, &at);
        }
    }
    assert!(faults > 20, "only {faults} faults");
}

/// What the service manager runs when a switch ends, then the operator's next try, both without faults.
fn check(
    folder: &Folder,
    second: &Made,
    first: &Made,
    old: &BTreeMap<String, String>,
    new: &BTreeMap<String, String>,
    at: &str,
) {
    let ended = folder.command(&["switch-ended", TX]).output().expect("it can be run");
    assert!(ended.status.success(), "{at}: {}", String::from_utf8_lossy(&ended.stdout));
    // A switch that waits for its confirm is whole, and goes back like any other.
    folder.command(&["timer-undo", TX, "0"]).output().expect("it can be run");
    let mut picture = folder.picture();
    if picture == *old {
        folder.prepare(NEXT_TX, second);
        let last = folder.observe(second.bundle.digest).last_number.0;
        folder.activate(second, &second.switch(NEXT_TX, 1, last + 1, &first.ledger()));
        picture = folder.picture();
    }
    picture.remove("current");
    assert_eq!(picture, *new, "{at}");
}
