//! Going back on a real guest while the workspace is in every bad state that a working tree can be in.

use crate::{
    activate_cli::stackc,
    faults_tiny::{State, Tiny},
    fixture_lab::RealLab,
};
use camino::Utf8Path;
use serde_json::Value;
use std::{fs, path::Path};

/// Replaces a file of the definitions.
fn write(stacks: &Path, file: &str, text: &str) {
    fs::write(stacks.join(file), text).expect("the folder is ours");
}

#[test]
fn a_guest_goes_back_while_its_definition_is_broken_short_of_a_secret_or_gone() {
    let Some(lab) = RealLab::start("back") else { return };
    let mut tiny = Tiny::new(&lab, 100);
    let generations = [1, 2].map(|version| {
        tiny.activate(version).finish(&tiny).expect_done();
        tiny.look().generation.expect("it was just activated")
    });
    let stacks = tiny.workspace(2).join("stacks");
    let good = fs::read_to_string(stacks.join("tiny.toml")).expect("it was written");

    // A slip in its own definition, and a file of another project that is no TOML.
    write(&stacks, "tiny.toml", &good.replace("[project]", "[project]\nkidn = 1"));
    write(&stacks, "other.toml", "[[[");
    tiny.rollback(2, generations[0]).finish(&tiny).expect_done();
    assert_eq!(tiny.settle(), State::Live(1));

    // A definition that names a secret which nobody has yet, and an operator who has none but the token.
    fs::remove_file(stacks.join("other.toml")).expect("it was written");
    write(&stacks, "tiny.toml", &good.replace("\"tiny/word\"", "\"tiny/not-there-yet\""));
    let token = format!("[proxmox]\ntoken = \"{}\"\n", lab.info.token);
    write(&stacks, "secrets.local.toml", &token);
    tiny.rollback(2, generations[1]).finish(&tiny).expect_done();
    assert_eq!(tiny.settle(), State::Live(2));

    // No definition at all, and nothing built: only the guest's mark in Proxmox is left.
    fs::remove_file(stacks.join("tiny.toml")).expect("it was written");
    fs::remove_dir_all(tiny.workspace(2).join("out")).expect("it was built");
    tiny.rollback(2, generations[0]).finish(&tiny).expect_done();
    assert_eq!(tiny.settle(), State::Live(1));
    let workspace = tiny.workspace(2);
    let workspace = Utf8Path::from_path(&workspace).expect("UTF-8");
    let (code, document, errors) = stackc(workspace, &["status", "--json"]);
    assert_eq!(code, Some(0), "{errors}");
    let document: Value = serde_json::from_str(&document).expect("it is one document");
    let guest = &document["guests"][0];
    assert_eq!(guest["target"], tiny.target(), "{document}");
    assert_eq!((&guest["definition"], &guest["vmid"]), (&"absent".into(), &100.into()));
    let (_, history, _) = stackc(workspace, &["history", &tiny.target()]);
    assert!(history.contains(&format!("rollback to {}", generations[0])), "{history}");
    let [from, to] = generations.map(|number| number.to_string());
    let arguments = ["history", &tiny.target(), "--diff", &from, &to];
    let (code, told, errors) = stackc(workspace, &arguments);
    assert_eq!(code, Some(0), "{errors}");
    assert!(told.contains("~ secret tiny/word: another value"), "{told}");
    assert!(told.lines().count() > 5, "from the guest alone, which has both: {told}");
}

#[test]
fn a_way_back_that_was_reviewed_is_gone_exactly_and_once() {
    let Some(lab) = RealLab::start("plans") else { return };
    let mut tiny = Tiny::new(&lab, 100);
    let generations = [1, 2].map(|version| {
        tiny.activate(version).finish(&tiny).expect_done();
        tiny.look().generation.expect("it was just activated")
    });
    let workspace = tiny.workspace(2);
    let workspace = Utf8Path::from_path(&workspace).expect("UTF-8");
    let (target, file) = (tiny.target(), workspace.join("back.json"));
    let run = |arguments: &[&str]| {
        let (code, told, errors) = stackc(workspace, arguments);
        (code, told + &errors)
    };
    let (code, told) = run(&["rollback", &target, "--out", file.as_str()]);
    assert_eq!(code, Some(0), "{told}");
    assert_eq!(tiny.settle(), State::Live(2), "nothing has changed");
    let saved: Value =
        serde_json::from_slice(&fs::read(&file).expect("it is saved")).expect("JSON");
    assert_eq!(saved["plans"][0]["back_to"], generations[0], "{saved}");
    let (code, told) = run(&["activate", "--plan", file.as_str()]);
    assert!(code == Some(3) && told.contains("stackc rollback --plan"), "{told}");

    let (code, told) = run(&["rollback", "--plan", file.as_str()]);
    assert_eq!(code, Some(0), "unasked: {told}");
    assert_eq!(tiny.settle(), State::Live(1));
    let live = tiny.look().generation;
    let (code, told) = run(&["rollback", "--plan", file.as_str()]);
    let again = format!("stackc rollback {target} --out FILE");
    assert!(code == Some(3) && told.contains(&again), "it was for another guest: {told}");
    assert_eq!(tiny.look().generation, live, "and nothing has changed");
    let (code, told) = run(&["plan", &target, "--out", file.as_str()]);
    assert_eq!(code, Some(0), "{told}");
    let (code, told) = run(&["rollback", "--plan", file.as_str()]);
    assert!(code == Some(3) && told.contains("stackc activate --plan"), "{told}");
}
