//! Which code a result is of, and whether that is the code that is here.

use crate::fault_summary::Summary;
use std::{fs, process::Command};

/// What the guest's binary is made of, and how a guest is made for it.
const GUEST: &str = "src/guest src/model src/bin src/lib.rs Cargo.toml Cargo.lock build.rs tests/it/guest_fixture.rs \
                     tests/it/guest_bundle.rs";
const ALL: &str = "src stacks templates Cargo.toml Cargo.lock build.rs tests/it";
/// Other parts' tests, and pages about results.
const OTHERS: &str =
    ":(exclude)tests/it/crash_* :(exclude)tests/it/weak_* :(exclude)tests/it/fault_*";

/// The paths that a result is of, as git takes them. Crashes, weak disks and races meet the guest's binary alone, and stay
/// shown when the operator's side changes; nor do they share more than how a guest is made.
fn tested(name: &str) -> Vec<String> {
    let own = match name.split('-').next() {
        Some("crash") => {
            "tests/it/crash_* tests/it/kill_points.rs tests/it/guest_gc.rs tests/it/folder_copy.rs"
        }
        Some("weak") => "tests/it/weak_* tests/it/fake tests/it/dice.rs",
        Some("races") if !name.ends_with("-real") => "tests/it/guest_* tests/it/folder_copy.rs",
        _ => return paths(&[ALL, OTHERS]),
    };
    paths(&[GUEST, own])
}

fn paths(lists: &[&str]) -> Vec<String> {
    lists.iter().flat_map(|list| list.split_whitespace()).map(str::to_owned).collect()
}

/// What is tested: the last commit that changed any of it, so that results may be checked in and stay true.
pub fn commit(name: &str) -> String {
    let (_, last) = git(&["log", "-1", "--format=%H"], name);
    let (_, changes) = git(&["status", "--porcelain"], name);
    if changes.is_empty() { last } else { last + "-dirty" }
}

/// How the code that a result is of stands to the code that is here.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Code {
    Same,
    Other,
    /// This copy of the repository has not all of its history.
    Unknown,
}

/// Whether what a commit has of the tested paths is what is here.
pub fn code(name: &str, commit: &str) -> Code {
    match git(&["diff", "--quiet", commit], name).0 {
        Some(0) => Code::Same,
        Some(1) => Code::Other,
        // It is not there: it was never published, or the history is not.
        _ => match git(&["rev-parse", "--is-shallow-repository"], name).1.lines().next() {
            Some("false") => Code::Other,
            _ => Code::Unknown,
        },
    }
}

/// Its exit code, and what it says of the tested paths.
fn git(words: &[&str], name: &str) -> (Option<i32>, String) {
    let mut command = Command::new("git");
    command.args(words).arg("--").args(tested(name));
    let output = command.current_dir(env!("CARGO_MANIFEST_DIR")).output();
    let output = output.unwrap_or_else(|error| panic!("cannot run git: {error}"));
    (output.status.code(), String::from_utf8_lossy(&output.stdout).trim().to_owned())
}

/// What `tests/long` asks before it does a part again, and before it publishes one.
#[test]
#[ignore = "a question of tests/long: STACKC_RESULT names the file"]
fn a_result_is_whole_and_of_the_code_that_is_here() {
    let path = std::env::var_os("STACKC_RESULT").expect("a result is named");
    let path = std::path::PathBuf::from(path);
    let summary = Summary::read(&fs::read_to_string(&path).expect("it is text"));
    let name = path.file_stem().expect("it has a name").to_string_lossy();
    // A stride that was asked for takes some of the places.
    let is_asked = std::env::var_os("STACKC_CRASH_STRIDE").is_some();
    let run = &summary.run;
    assert!(run.ended, "it was stopped");
    assert!(!run.sample || is_asked, "it has a sample of the places");
    assert_eq!(summary.failed(), 0, "states have failed");
    assert_eq!(code(&name, &run.commit), Code::Same, "it is of {}", run.commit);
}

#[test]
fn a_result_stays_of_the_code_that_is_here_until_that_changes() {
    let (_, here) = git(&["rev-parse", "HEAD"], "crash-x");
    let here = here.lines().next().expect("it is a repository");
    let is_clean = git(&["status", "--porcelain", "-uno"], "crash-x").1.is_empty();
    let wanted = if is_clean { Code::Same } else { Code::Other };
    assert_eq!(code("crash-x", here), wanted);
    assert_ne!(code("crash-x", "0000000000000000000000000000000000000000"), Code::Same);
    assert_ne!(code("crash-x", &format!("{here}-dirty")), Code::Same);
    let (_, before) = git(&["log", "--format=%H"], "crash-x");
    // But for a copy without its history, much of it has changed since the first commit that has any of it.
    if let [_, .., first] = before.lines().collect::<Vec<_>>()[..] {
        assert_eq!(code("crash-x", first), Code::Other);
    }
}
