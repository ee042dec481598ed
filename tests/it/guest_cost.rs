//! What stackc-guest costs a guest: bytes to send, and memory beside what runs there.

use crate::guest_bundle::{Made, health, rules, seal};
use crate::guest_fixture::{Folder, SENT, caller, feed, identity, input, messages, name, reply};
use serde::de::DeserializeOwned;
use stackc::model::protocol::{
    BeginRequest, ConfirmRequest, Done, FetchReply, FetchRequest, ObserveRequest, ObservedGuest,
    ResultRequest, UndoRequest,
};
use stackc::model::*;
use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::process::Command;

const BINARY_BYTES_MAX: u64 = 3_000_000;
const MEMORY_BYTES_MAX: u64 = 30_000_000;
/// What it may ask the kernel for, stacks included: with the program itself, all that it can have at once.
const DATA_KIB_MAX: u64 = (MEMORY_BYTES_MAX - BINARY_BYTES_MAX) / 1024;

const FILES: usize = 500;
/// As many of them are as big as a file of a bundle can be.
const BIG_FILES: usize = 20;
/// With the bundle's own documents there is no room for one more: `BUNDLE_BYTES_MAX`.
const LARGEST: usize = 63;

#[test]
fn what_is_sent_to_a_guest_has_three_megabytes_at_most() {
    let bytes = fs::metadata(SENT).expect("it is built with the operator").len();
    assert!(bytes <= BINARY_BYTES_MAX, "{bytes} bytes");
}

#[test]
fn a_switch_of_many_files_and_its_undo_take_thirty_megabytes_at_most() {
    let (first, second) = (many(1), many(2));
    let folder = Folder { binary: SENT, ..Folder::new() };
    let switch = first.switch("00000000000000a1", 0, 1, &Ledger::default());
    switch_over(&folder, &first, &switch);
    let confirm =
        ConfirmRequest { identity: identity(), tx: switch.tx.clone(), nonce: switch.nonce.clone() };
    let state: TxState = call(&folder, "confirm", &input(&confirm, &[]));
    assert_eq!(state.phase, Phase::Confirmed, "{state:?}");

    let switch = second.switch("00000000000000a2", 1, 2, &first.ledger());
    switch_over(&folder, &second, &switch);
    let who = "ops@desk".to_owned();
    let undo = UndoRequest { identity: identity(), tx: switch.tx.clone(), who };
    let state: TxState = call(&folder, "undo", &input(&undo, &[]));
    assert_eq!(state.phase, Phase::Undone, "{state:?}");

    let observed: ObservedGuest = call(&folder, "observe", &input(&look(&second), &[]));
    assert!(observed.recorded.is_some() && observed.drift.is_empty(), "{:?}", observed.drift);
}

#[test]
fn the_largest_bundle_is_fetched_in_thirty_megabytes_at_most() {
    let made = files(1, LARGEST, LARGEST);
    let folder = Folder { binary: SENT, ..Folder::new() };
    for (verb, request, more) in messages("00000000000000a1", &made) {
        let _: Done = call(&folder, verb, &[request, more].concat());
    }
    let digest = made.bundle.digest;
    let mut request = FetchRequest { identity: identity(), digest, after: None };
    let (mut files, mut manifest) = (BTreeMap::new(), None);
    loop {
        let reply: FetchReply = call(&folder, "fetch", &input(&request, &[]));
        assert!(!reply.files.is_empty(), "each call goes on");
        manifest = manifest.or(reply.manifest);
        files.extend(reply.files);
        request.after = files.keys().next_back().cloned();
        if !reply.more {
            break;
        }
    }
    let proved = Bundle::prove(digest, manifest.expect("it comes first"), files);
    assert_eq!(proved, Some(made.bundle));
}

#[test]
fn a_limit_of_memory_that_is_too_small_is_noticed() {
    let folder = Folder { binary: SENT, ..Folder::new() };
    let said = feed(limited(&folder, 64, &["observe"]), &input(&look(&many(1)), &[]));
    assert!(said.is_empty(), "{}", String::from_utf8_lossy(&said));
}

/// Everything up to the confirm.
fn switch_over(folder: &Folder, made: &Made, switch: &Switch) {
    let tx = switch.tx.as_str();
    for (verb, request, more) in messages(tx, made) {
        let _: Done = call(folder, verb, &[request, more].concat());
    }
    let begin = BeginRequest { caller: caller(tx), switch: switch.clone() };
    let _: Done = call(folder, "begin", &input(&begin, &[]));
    feed(limited(folder, DATA_KIB_MAX, &["switch", tx]), &[]);
    let result = ResultRequest { tx: switch.tx.clone(), wait_seconds: 0 };
    let state: TxState = call(folder, "result", &input(&result, &[]));
    assert_eq!(state.phase, Phase::AwaitingConfirm, "{state:?}");
}

fn look(made: &Made) -> ObserveRequest {
    let units = BTreeSet::from([name("app.service")]);
    let (packages, paths) = (BTreeSet::new(), BTreeSet::new());
    ObserveRequest {
        identity: identity(),
        digest: Some(made.bundle.digest),
        units,
        packages,
        paths,
    }
}

/// One call within the limit of memory.
fn call<T: DeserializeOwned>(folder: &Folder, verb: &str, input: &[u8]) -> T {
    let said = feed(limited(folder, DATA_KIB_MAX, &[verb]), input);
    let reply = reply(&said).unwrap_or_else(|| panic!("`{verb}` ran out of memory"));
    reply.unwrap_or_else(|refusal| panic!("`{verb}`: {refusal:?}"))
}

/// A call of the binary that can get so much data, stack and heap from the kernel. Source: setrlimit(2), `RLIMIT_DATA`.
fn limited(folder: &Folder, kib: u64, words: &[&str]) -> Command {
    let plain = folder.command(words);
    let mut command = Command::new("sh");
    command.args(["-c", &format!("ulimit -d {kib}; exec \"$@\""), "sh"]);
    command.arg(plain.get_program()).args(plain.get_args());
    command
}

fn many(version: u32) -> Made {
    files(version, FILES, BIG_FILES)
}

fn files(version: u32, count: usize, big: usize) -> Made {
    let unit = format!("[Service]\nExecStart=/bin/true\n# {version}\n");
    let text = |n: usize| match n {
        n if n < big => "x".repeat(usize::try_from(FILE_BYTES_MAX).expect("it is small")),
        n => format!("{n} of {version}\n"),
    };
    let mut files = vec![("/etc/systemd/system/app.service".to_owned(), unit)];
    files.extend((0..count).map(|n| (format!("/srv/many/{n}"), text(n))));
    let files: Vec<_> = files
        .iter()
        .map(|(path, text)| (path.as_str(), FileClass::Linked, "0644", text.clone()))
        .collect();
    seal(version, &files, [rules("ufw", version), rules("ufw6", version)], health(60))
}
