//! Where apt looks on a guest: what is planned, what a bundle says while it is prepared and live, and what the old one said
//! after an undo.

use crate::guest_bundle::{Made, make};
use crate::guest_fixture::{Folder, caller, feed, identity, input, name, reply};
use crate::handmade::{self, Stack};
use crate::kill_points::{Kills, Left};
use crate::plan;
use stackc::model::protocol::{BundleRequest, Done, Refusal, UndoRequest};
use stackc::model::{
    AptDocument, Bundle, Entry, Ledger, Phase, SecretsVersion, Switch, TxState, canonical, document,
};
use stackc::plan::{Documents, PlannedStep, Step, Wanted};

const TX: &str = "00000000000000a2";
const SOURCES: &str = "/etc/apt/sources.list.d";
const PINS: &str = "/etc/apt/preferences.d";

/// A version of the small app that has these sources and pins; their texts name the version.
fn made(version: u32, sources: &[&str], pins: &[&str]) -> Made {
    let mut made = make(version, 60);
    made.set_document(document::APT, canonical::to_bytes(&apt(version, sources, pins)));
    made
}

fn apt(version: u32, sources: &[&str], pins: &[&str]) -> AptDocument {
    let texts = |names: &[&str]| {
        names.iter().map(|name| ((*name).to_owned(), format!("{name} {version}\n"))).collect()
    };
    AptDocument { sources: texts(sources), pins: texts(pins), ..AptDocument::default() }
}

/// A stack's bundle that says this of packages.
fn bundle(version: &'static str, apt: &AptDocument) -> Bundle {
    let mut bundle = handmade::bundle(&Stack::default().version(version));
    handmade::put(&mut bundle, document::APT, &canonical::to_bytes(apt), Entry::Document);
    bundle
}

/// Why a plan from one to the other goes to apt; none when it does not.
fn cause(live: &AptDocument, wanted: &AptDocument) -> Option<String> {
    step(live, wanted).map(|planned| planned.cause)
}

fn step(live: &AptDocument, wanted: &AptDocument) -> Option<PlannedStep> {
    let (live, wanted) = (bundle("one", live), bundle("two", wanted));
    let documents = Documents::of(&wanted).expect("the bundle is whole");
    let tags = plan::tags("a");
    let guest = plan::guest(&live, &wanted, &tags);
    let secrets = SecretsVersion::of(&tags, &wanted.manifest);
    let there = plan::container(&Stack::default());
    let wanted = Wanted { bundle: &wanted, tags: &tags, secrets, release: None, goes_back: false };
    let plan = stackc::plan::plan(&wanted, &documents, Some(&there), Some(&guest));
    let steps = plan.expect("it can be planned").steps;
    steps.into_iter().find(|planned| matches!(planned.step, Step::Packages(_)))
}

#[test]
fn every_source_and_pin_that_comes_changes_or_goes_is_a_line_of_the_plan() {
    let (live, wanted) = (apt(1, &["gone", "kept"], &["p"]), apt(2, &["come", "kept"], &["p"]));
    let planned = step(&live, &wanted).expect("it goes to apt");
    let Step::Packages(lines) = planned.step else { panic!("it is that step") };
    assert_eq!(
        lines,
        [
            "~ /etc/apt/preferences.d/stackc-p",
            "+ /etc/apt/sources.list.d/stackc-come.sources",
            "- /etc/apt/sources.list.d/stackc-gone.sources",
            "~ /etc/apt/sources.list.d/stackc-kept.sources",
        ]
    );
}

#[test]
fn sources_that_come_change_or_go_are_planned_though_no_package_is_missing() {
    let (nothing, one) = (AptDocument::default(), apt(1, &["a"], &[]));
    let differs = Some("where packages come from differs".to_owned());
    for (live, wanted) in [
        (&nothing, &one),
        (&one, &apt(2, &["a"], &[])),
        (&one, &nothing),
        (&nothing, &apt(1, &[], &["p"])),
    ] {
        assert_eq!(cause(live, wanted), differs, "{wanted:?}");
    }
    assert_eq!(cause(&one, &one), None);
    assert_eq!(cause(&nothing, &nothing), None);
}

/// A guest with files of its own where apt looks.
fn guest() -> Folder {
    let folder = Folder::new();
    folder.put(&format!("{SOURCES}/debian.sources"), "Debian's\n");
    folder.put(&format!("{PINS}/own"), "the guest's own\n");
    folder
}

fn files(folder: &Folder, below: &str) -> Vec<String> {
    let entries = std::fs::read_dir(folder.at(below)).expect("it is there");
    let name = |entry: std::fs::DirEntry| entry.file_name().to_string_lossy().into_owned();
    let mut names: Vec<_> = entries.map(|entry| name(entry.expect("it is listed"))).collect();
    names.sort();
    names
}

/// A guest on version 1, and version 2 with one source that stays, one that goes, one that comes, and no pin.
fn second() -> (Folder, Made, Switch) {
    let (folder, first) = (guest(), made(1, &["goes", "stays"], &["pin"]));
    folder.activate(&first, &first.switch("00000000000000a1", 0, 1, &Ledger::default()));
    let second = made(2, &["comes", "stays"], &[]);
    let switch = second.switch(TX, 1, 2, &first.ledger());
    (folder, second, switch)
}

#[test]
fn sources_that_left_the_definitions_are_gone_before_anything_is_installed() {
    let (folder, second, switch) = second();
    assert_eq!(
        files(&folder, SOURCES),
        ["debian.sources", "stackc-goes.sources", "stackc-stays.sources"]
    );
    assert_eq!(files(&folder, PINS), ["own", "stackc-pin"]);
    folder.activate(&second, &switch);
    assert_eq!(
        files(&folder, SOURCES),
        ["debian.sources", "stackc-comes.sources", "stackc-stays.sources"]
    );
    assert_eq!(files(&folder, PINS), ["own"]);
    assert_eq!(folder.text(&format!("{SOURCES}/stackc-stays.sources")), "stays 2\n");
}

#[test]
fn sources_of_a_switch_that_is_undone_are_as_they_were_to_the_byte() {
    let (folder, second, switch) = second();
    let picture = folder.picture();
    folder.switch_over(&second, &switch);
    assert_ne!(folder.picture(), picture);
    folder.command(&["timer-undo", TX, "0"]).output().expect("it can be run");
    assert_eq!(folder.result(TX).phase, Phase::Undone);
    assert_eq!(folder.picture(), picture);
}

#[test]
fn a_first_activation_that_is_undone_leaves_no_source_and_no_pin() {
    let folder = guest();
    let picture = folder.picture();
    let made = made(1, &["comes"], &["pin"]);
    folder.switch_over(&made, &made.switch(TX, 0, 1, &Ledger::default()));
    assert_eq!(folder.undo(TX).phase, Phase::Undone);
    assert_eq!(folder.picture(), picture);
}

#[test]
fn an_undo_that_is_killed_puts_the_sources_back_all_the_same() {
    let (folder, second, switch) = second();
    let picture = folder.picture();
    folder.switch_over(&second, &switch);
    let who = "ops@desk".to_owned();
    let undo = input(&UndoRequest { identity: identity(), tx: name(TX), who }, &[]);
    let kills = Kills::of("undo of sources").each(&folder, &["undo"], &undo, |folder, at| {
        let state: Result<TxState, Refusal> =
            reply(&feed(folder.command(&["undo"]), &undo)).expect("it answers");
        assert_eq!(state.map(|state| state.phase), Ok(Phase::Undone), "{at}");
        assert_eq!(folder.picture(), picture, "{at}");
        Left::Old
    });
    kills.expect_more_than(10);
}

#[test]
fn sources_that_cannot_be_put_back_are_told_and_keep_nothing_else_from_going_back() {
    let (folder, second, switch) = second();
    folder.switch_over(&second, &switch);
    std::fs::remove_dir_all(folder.at(PINS)).expect("it is there");
    folder.put(PINS, "no folder");
    let state = folder.undo(TX);
    assert_eq!(state.phase, Phase::Undone);
    let evidence = state.failure.expect("it says why").evidence.join("\n");
    assert!(evidence.contains("apt's sources are not as before"), "{evidence}");
    assert!(evidence.contains(PINS), "{evidence}");
}

#[test]
fn a_name_that_would_leave_the_folder_is_refused() {
    let folder = guest();
    let made = made(1, &["../x"], &[]);
    let bundle = BundleRequest { caller: caller(TX), digest: made.bundle.digest };
    let (verb, request, more) = crate::guest_fixture::messages(TX, &made).remove(0);
    feed(folder.command(&[verb]), &[request, more].concat());
    let refusal = folder.call::<Done>(&["packages"], &bundle, &[]).expect_err("it is no name");
    assert!(refusal.message.contains("`../x`"), "{refusal:?}");
}
