//! What a guest has to get over that no ordinary switch shows.

use crate::{
    guest_bundle::{Made, make},
    guest_fixture::{Folder, name},
};
use stackc::model::{
    Access, Bytes, Digest, Entry, EntryPath, FileClass, GuestPath, Ledger, Phase, Switch,
    canonical, protocol::RefusalCode,
};
use std::{collections::BTreeSet, fs, os::unix::fs::PermissionsExt as _};

const TX2: &str = "00000000000000a2";
const TX3: &str = "00000000000000a3";

/// A second version that waits for its confirm.
fn on_second() -> (Folder, Made, Made, Switch) {
    let (folder, first, _) = Folder::on_first();
    let second = make(2, 60);
    let switch = second.switch(TX2, 1, 2, &first.ledger());
    folder.switch_over(&second, &switch);
    assert_eq!(folder.result(TX2).phase, Phase::AwaitingConfirm);
    (folder, first, second, switch)
}

/// One more file in the bundle.
fn add(made: &mut Made, path: &GuestPath, text: &str) {
    let entry = EntryPath::of_overlay(path);
    let access = Access { mode: name("0644"), owner: name("root"), group: name("root") };
    let bytes = Bytes::of(text.as_bytes());
    let file = Entry::File { class: FileClass::Copied, access, bytes, unit: None };
    made.bundle.manifest.entries.insert(entry.clone(), file);
    made.bundle.files.insert(entry, text.as_bytes().to_vec());
    made.bundle.digest = Digest::of(&canonical::to_bytes(&made.bundle.manifest));
}

#[test]
fn a_file_whose_name_is_as_long_as_names_can_be_comes_and_goes() {
    let (folder, first, _) = Folder::on_first();
    let picture = folder.picture();
    let path: GuestPath = name(&format!("/etc/{}", "n".repeat(255)));
    let mut second = make(2, 60);
    add(&mut second, &path, "long\n");
    let switch = second.switch(TX2, 1, 2, &first.ledger());
    folder.switch_over(&second, &switch);
    assert_eq!(folder.text(path.as_str()), "long\n");
    assert_eq!(folder.undo(TX2).phase, Phase::Undone);
    assert_eq!(folder.picture(), picture);
    let again = second.switch(TX3, 1, 3, &first.ledger());
    folder.activate(&second, &again);
    assert_eq!(folder.text(path.as_str()), "long\n");
}

#[test]
fn a_confirm_that_comes_after_a_boot_which_did_not_recover_keeps_nothing_of_the_switch() {
    let (folder, _, _, switch) = on_second();
    let (before, ..) = Folder::on_first();
    folder.boot();
    let state = folder.confirm(&switch).expect("it says how it ended");
    assert_eq!(state.phase, Phase::Undone);
    let what = state.failure.expect("it says why").what;
    assert_eq!(what, "the guest went down before the switch was confirmed");
    assert_eq!(folder.picture(), before.picture());
}

#[test]
fn an_undo_that_fails_before_it_begins_is_tried_again_by_an_alarm() {
    let (folder, ..) = on_second();
    let ballot = folder.at(&format!("/var/lib/stackc/tx/{TX2}/decision.undone"));
    fs::remove_file(&ballot).expect("it is written with the journal");
    fs::create_dir_all(ballot.join("in-the-way")).expect("the folder is ours");
    let output = folder.command(&["timer-undo", TX2, "0"]).output().expect("it can be run");
    assert!(!output.status.success(), "it cannot decide");
    let alarms = folder.system().alarms;
    assert!(alarms.contains(&format!("{TX2} retry")), "{alarms:?}");
    fs::remove_dir_all(ballot).expect("it is there");
    folder.command(&["timer-undo", TX2, "0"]).output().expect("it can be run");
    assert_eq!(folder.result(TX2).phase, Phase::Undone);
}

#[test]
fn a_preparation_that_cannot_be_taken_back_at_once_leaves_the_units_alone() {
    let (folder, first, _) = Folder::on_first();
    let second = make(2, 60);
    let switch = second.switch(TX2, 1, 2, &first.ledger());
    folder.prepare(TX2, &second);
    // Where a prepared file would be, somebody has put a folder with something in it.
    let taken = "/etc/profile.d";
    folder.begin(&switch).expect("the switch begins");
    let names = fs::read_dir(folder.at(taken)).expect("it is there");
    let staged = names.map(|entry| entry.expect("it is listed").path());
    let staged: BTreeSet<_> = staged.filter(|path| is_staged(path)).collect();
    assert_eq!(staged.len(), 1, "{staged:?}");
    for path in &staged {
        fs::remove_file(path).expect("it is ours");
        fs::create_dir_all(path.join("in-the-way")).expect("the folder is ours");
    }
    let jobs = folder.system().jobs;
    folder.command(&["timer-undo", TX2, "0"]).output().expect("it can be run");
    assert_eq!(folder.result(TX2).phase, Phase::Begun);
    for path in &staged {
        fs::remove_dir_all(path).expect("it is ours");
    }
    folder.command(&["timer-undo", TX2, "0"]).output().expect("it can be run");
    assert_eq!(folder.result(TX2).phase, Phase::Undone);
    assert_eq!(folder.system().jobs, jobs, "nothing was switched, so nothing is restarted");
}

fn is_staged(path: &std::path::Path) -> bool {
    path.file_name().is_some_and(|name| name.to_string_lossy().starts_with(".stackc-"))
}

#[test]
fn a_second_run_of_the_same_person_cannot_end_a_switch_that_is_about_to_start() {
    let (folder, first, _) = Folder::on_first();
    let second = make(2, 60);
    let switch = second.switch(TX2, 1, 2, &first.ledger());
    folder.prepare(TX2, &second);
    folder.begin(&switch).expect("the switch begins");
    let unit = name(&format!("stackc-tx-{TX2}.service"));
    folder.change_system(|state| state.units.entry(unit).or_default().active = "active".to_owned());
    let other = second.switch(TX3, 1, 3, &first.ledger());
    let refusal = folder.begin(&other).expect_err("the first one is at work");
    assert_eq!(refusal.code, RefusalCode::Busy, "{refusal:?}");
    assert!(refusal.message.contains("ops@desk switches to generation 2"), "{refusal:?}");
    folder.run_switch(TX2);
    assert_eq!(folder.confirm(&switch).expect("it is heard").phase, Phase::Confirmed);
    let late = second.switch(TX3, 2, 2, &first.ledger());
    let refusal = folder.begin(&late).expect_err("that number is taken");
    assert_eq!(refusal.code, RefusalCode::Stale, "{refusal:?}");
}

#[test]
fn a_request_too_long_to_be_kept_is_refused_before_anything_is() {
    let folder = Folder::new();
    let made = make(1, 60);
    let mut switch = made.switch(TX2, 0, 1, &Ledger::default());
    folder.prepare(TX2, &made);
    switch.generation.at = "x".repeat(33 << 20);
    let refusal = folder.begin(&switch).expect_err("it is too long");
    assert!(refusal.message.contains("longer than"), "{}", refusal.message);
    switch.generation.at = "2026-11-22T12:00:00Z".to_owned();
    folder.begin(&switch).expect("nothing is in the way");
}

#[test]
fn what_units_logged_is_for_root_only_when_a_transaction_is_over() {
    let (folder, ..) = on_second();
    assert_eq!(folder.undo(TX2).phase, Phase::Undone);
    let record = folder.at(&format!("/var/lib/stackc/history/{TX2}.json"));
    let mode = fs::metadata(record).expect("it is there").permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
}
