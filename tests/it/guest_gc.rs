//! What a guest keeps of its past, and what it gives up.

use crate::guest_bundle::{Made, make};
use crate::guest_fixture::{Folder, caller, identity, input};
use crate::kill_points::{Kills, Left};
use crate::left_out::is_left_out;
use stackc::model::protocol::{
    Caller, Done, Garbage, GcRequest, HistoryReply, HistoryRequest, PinRequest, Refusal,
    RefusalCode,
};
use stackc::model::{GenerationId, Phase};
use std::collections::BTreeSet;
use std::ffi::OsStr;
use std::fs;
use std::os::unix::ffi::OsStrExt as _;
use std::process::Command;

const TX: &str = "00000000000000d1";

/// A guest on which as many bundles have been live, one after the other.
fn after(generations: u32) -> (Folder, Vec<Made>) {
    let (folder, first, _) = Folder::on_first();
    let mut owned = first.ledger();
    let mut all = vec![first];
    for number in 2..=generations {
        let made = make(number, 60);
        let tx = format!("00000000000000c{number}");
        let from = u64::from(number);
        let mut switch = made.switch(&tx, from - 1, from, &owned);
        switch.generation.parent = Some(GenerationId(from - 1));
        folder.activate(&made, &switch);
        owned = made.ledger();
        all.push(made);
    }
    (folder, all)
}

fn call(folder: &Folder, keep: u32, approved: Option<Garbage>) -> Result<Garbage, Refusal> {
    folder.call(&["gc"], &GcRequest { caller: caller(TX), keep, packages: true, approved }, &[])
}

fn seen(folder: &Folder, keep: u32) -> Garbage {
    call(folder, keep, None).expect("it is only looked for")
}

/// The request that removes what is not needed now.
pub fn approved(folder: &Folder, tx: &str, keep: u32) -> GcRequest {
    let look = GcRequest { caller: caller(tx), keep, packages: false, approved: None };
    let found = folder.call(&["gc"], &look, &[]).expect("it is only looked for");
    GcRequest { approved: Some(found), ..look }
}

pub fn collect(folder: &Folder, keep: u32) -> Garbage {
    call(folder, keep, Some(seen(folder, keep))).expect("it was approved")
}

/// Which bundles are in the store.
fn kept(folder: &Folder, all: &[Made]) -> Vec<bool> {
    let there = |made: &Made| folder.at(&format!("/var/lib/stackc/store/{}", made.bundle.digest));
    all.iter().map(|made| there(made).is_dir()).collect()
}

fn pin(folder: &Folder, number: u64, pinned: bool) -> Result<Done, Refusal> {
    let request = PinRequest { caller: caller(TX), number: GenerationId(number), pinned };
    folder.call(&["pin"], &request, &[])
}

fn pinned(folder: &Folder) -> BTreeSet<GenerationId> {
    let request = HistoryRequest { identity: identity() };
    let reply: HistoryReply = folder.call(&["history"], &request, &[]).expect("it is told");
    reply.pinned
}

#[test]
fn guest_gives_up_only_what_no_kept_generation_needs() {
    let (folder, all) = after(4);
    let shown = seen(&folder, 1);
    assert_eq!(kept(&folder, &all), [true; 4], "looking removes nothing");
    assert!(shown.paths.values().all(|bytes| *bytes > 0), "{shown:?}");
    let removed = collect(&folder, 1);
    assert_eq!(kept(&folder, &all), [false, false, true, true], "live, and where a rollback goes");
    assert_eq!(removed.paths.len(), 4, "two trees and two sets of secrets: {removed:?}");
    assert_eq!(seen(&folder, 1), Garbage::default());
    assert!(folder.observe(all[3].bundle.digest).drift.is_empty());
}

/// A guest that is full is the one that needs it most.
#[test]
fn guest_without_any_room_gives_up_what_it_does_not_need() {
    if is_left_out("root", rustix::process::geteuid().is_root()) {
        return;
    }
    let (folder, _) = after(4);
    let request = input(&approved(&folder, TX, 1), &[]);
    folder.put("/request", std::str::from_utf8(&request).expect("it is JSON"));
    let script = r#"set -e
        mkdir "$1.full" && mount -t tmpfs -o size=32m tmpfs "$1.full"
        cp -a "$1/." "$1.full" && cd /
        cat /dev/zero 2>/dev/null >"$1.full/fill" || true
        "$2" --root "$1.full" gc <"$1/request" && ls "$1.full/var/lib/stackc/store"
        umount "$1.full""#;
    let mut command = Command::new("unshare");
    command.args(["--mount", "sh", "-c", script, "sh"]).arg(folder.dir.path()).arg(folder.binary);
    let output = command.output().expect("it can be run");
    let full = format!("{}.full", folder.dir.path().display());
    fs::remove_dir(full).expect("it is mounted in the script only");
    let said = String::from_utf8_lossy(&output.stdout);
    let trees = said.lines().filter(|line| line.len() == 64).count();
    assert_eq!((output.status.success(), trees), (true, 2), "{output:?}");
}

#[test]
fn a_pinned_generation_outlives_every_gc_until_it_is_let_go() {
    let (folder, all) = after(4);
    assert!(!pin(&folder, 1, true).expect("it is there").already);
    assert!(pin(&folder, 1, true).expect("it is there").already);
    assert_eq!(pinned(&folder), BTreeSet::from([GenerationId(1)]));
    collect(&folder, 0);
    assert_eq!(kept(&folder, &all), [true, false, true, true]);
    // Of a generation that is not whole, no pin makes one again.
    let refusal = pin(&folder, 2, true).expect_err("it has been collected");
    assert!(refusal.message.contains("generation 2 has been collected in part"), "{refusal:?}");
    for (number, why) in [(0, "as it was found"), (9, "there is no generation 9")] {
        let refusal = pin(&folder, number, true).expect_err("it cannot be gone back to");
        assert!(refusal.message.contains(why), "{refusal:?}");
    }
    assert!(!pin(&folder, 1, false).expect("it was pinned").already);
    assert!(pin(&folder, 1, false).expect("it was let go").already);
    collect(&folder, 0);
    assert_eq!(kept(&folder, &all), [false, false, true, true]);
}

#[test]
fn guest_killed_in_pin_or_unpin_has_a_pin_or_none_and_the_same_call_ends_it() {
    let (before, all) = after(3);
    let pin_one = |folder: &Folder| pin(folder, 1, true).expect("it is there");
    let after = before.copy();
    pin_one(&after);
    for (from, wanted) in [(&before, true), (&after, false)] {
        let request = PinRequest { caller: caller(TX), number: GenerationId(1), pinned: wanted };
        let bytes = input(&request, &[]);
        let kills = Kills::of("pin").each(from, &["pin"], &bytes, |folder, at| {
            let left = Left::new_if(pinned(folder).is_empty() != wanted);
            pin(folder, 1, wanted).unwrap_or_else(|refusal| panic!("{at}: {refusal:?}"));
            assert_eq!(pinned(folder).is_empty(), !wanted, "{at}");
            collect(folder, 0);
            assert_eq!(kept(folder, &all), [wanted, true, true], "{at}");
            left
        });
        kills.expect_more_than(2);
    }
}

#[test]
fn what_was_not_shown_is_not_removed() {
    let (folder, all) = after(4);
    let shown = seen(&folder, 2);
    let refusal = call(&folder, 0, Some(Garbage::default())).expect_err("nothing was approved");
    assert_eq!(refusal.code, RefusalCode::Stale, "{refusal:?}");
    assert_eq!(kept(&folder, &all), [true; 4]);
    // A first try may have got through before its reply was lost.
    call(&folder, 2, Some(shown.clone())).expect("it was approved");
    call(&folder, 2, Some(shown)).expect("the same again");
    assert_eq!(kept(&folder, &all), [false, false, true, true]);
}

#[test]
fn gc_waits_for_no_activation_but_refuses_beside_one() {
    let (folder, all) = after(3);
    let shown = seen(&folder, 0);
    let next = make(4, 60);
    // The same person's activation, in another terminal, has got as far as its preparation.
    folder.prepare("00000000000000e1", &next);
    let refusal = call(&folder, 0, Some(shown)).expect_err("an activation is under way");
    assert_eq!(refusal.code, RefusalCode::Busy, "{refusal:?}");
    let switch = next.switch("00000000000000e1", 3, 4, &all[2].ledger());
    folder.switch_over(&next, &switch);
    let refusal = call(&folder, 0, Some(seen(&folder, 0))).expect_err("it waits for its confirm");
    assert_eq!(refusal.code, RefusalCode::Busy, "{refusal:?}");
    assert_eq!(folder.confirm(&switch).expect("it is heard").phase, Phase::Confirmed);
    collect(&folder, 0);
    // And nobody waits for the lease of a gc that is over.
    let mut other: Caller = caller("00000000000000e2");
    other.who = "qa@desk".to_owned();
    let request = PinRequest { caller: other, number: GenerationId(4), pinned: true };
    folder.call::<Done>(&["pin"], &request, &[]).expect("the guest is free");
}

#[test]
fn names_that_are_no_text_block_no_gc_and_what_others_put_there_stays() {
    let (folder, all) = after(3);
    let tree = folder.at(&format!("/var/lib/stackc/store/{}", all[0].bundle.digest));
    let odd = tree.join(OsStr::from_bytes(b"caf\xe9"));
    fs::create_dir(&odd).expect("it can be made");
    fs::write(odd.join(OsStr::from_bytes(b"\xff\xfe")), "x".repeat(1 << 20)).expect("it is ours");
    std::os::unix::fs::symlink("/", odd.join("root")).expect("it can be made");
    folder.put("/var/lib/stackc/store/notes.txt", "somebody's");
    folder.put("/var/lib/stackc/backup/of", "somebody's");
    folder.put("/usr/local/lib/stackc/own-scripts/run", "somebody's");
    folder.put("/usr/local/lib/stackc/0.0.1-abc/stackc-guest", "an old program");
    let bytes = seen(&folder, 0).paths.values().sum::<u64>();
    assert!(bytes > 1 << 20, "what has no name in text takes room as well: {bytes}");
    let removed = collect(&folder, 0);
    assert!(removed.paths.contains_key("/usr/local/lib/stackc/0.0.1-abc"), "{removed:?}");
    assert_eq!(kept(&folder, &all), [false, true, true]);
    assert!(!folder.at("/usr/local/lib/stackc/0.0.1-abc").exists());
    for path in [
        "/var/lib/stackc/store/notes.txt",
        "/var/lib/stackc/backup/of",
        "/usr/local/lib/stackc/own-scripts/run",
    ] {
        assert_eq!(folder.text(path), "somebody's", "{path}");
    }
    assert!(folder.at("/etc/passwd").exists(), "no link was followed");
}

#[test]
fn the_program_of_the_boots_recovery_stays_for_as_long_as_it_is_named() {
    let (folder, _) = after(1);
    let unit = folder.text("/etc/systemd/system/stackc-recover.service");
    let own = unit.lines().find_map(|line| line.strip_prefix("ExecStart=")).expect("it runs one");
    let old = "/usr/local/lib/stackc/0.0.1-abc/stackc-guest";
    let named = unit.replace(own, &format!("{old} recover"));
    folder.put("/etc/systemd/system/stackc-recover.service", &named);
    folder.put(old, "an old program");
    assert_eq!(seen(&folder, 5), Garbage::default());
    folder.put("/etc/systemd/system/stackc-recover.service", &unit);
    assert_eq!(collect(&folder, 5).paths.len(), 1);
    assert!(!folder.at(old).exists());
    // An open switch was begun by whichever program was sent then.
    folder.put(old, "an old program");
    let next = make(2, 60);
    folder.switch_over(&next, &next.switch("00000000000000e1", 1, 2, &make(1, 60).ledger()));
    assert_eq!(seen(&folder, 5), Garbage::default());
}
