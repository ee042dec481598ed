//! `docs/faults.md`: what was asked for and what was run, made of the result files alone.

use crate::{
    fault_asks::{ASKS, LET_IN, SERVES, Summaries},
    fault_summary::{Counts, Run, Sort, Summary, Times, Verdict},
    fault_tested::{Code, code},
};
use std::{
    collections::BTreeMap,
    fmt::Write as _,
    fs,
    path::{Path, PathBuf},
};

const INTRODUCTION: &str = "# Faults: what was broken on purpose, and what came of it

Made of the result files in `docs/faults/` alone; `tests/long` makes those, and this page. Each file names the commit that was
tested and the command that does it again; one of other code than this counts for nothing in the first table. A *state* is
what one fault left behind, repaired by nothing but what a guest does by itself at its next boot and an operator by the same
call again, and then judged: every managed path, `current`, the secrets, and the files of the firewall
and of the units are all of the *old* generation, or all of the *new* one; nothing half-made is left; and the same activation
ends on the new generation. What runs, and which rules the kernel has, is judged after a kill of a switch or an undo that
ends on the old generation, and on real guests. A state that is neither, or does not converge, has *failed*.

Kills and power cuts are made in runs of some dozen system calls: the binary is stopped by ptrace(2) as it enters each of them,
and what is there then is what a kill leaves, what is on the device then what a power cut leaves; both are judged on copies. At
the last one it is really killed, and the file system really shut down (`FS_IOC_SHUTDOWN`, without its log). System calls are
those of the binary's first thread that three undisturbed runs have in common, each found again by what was changed before
it: how often the binary looks whether a hook has ended, or through how many other processes, differs from run to run. Of
ten files in a bundle's size one has a name of 255 bytes with all that a shell trips over, one is empty, one is twelve folders deep, one is a
unit, and one takes the place of a file that is not text.
";

/// The page of all result files.
fn page(summaries: &Summaries) -> String {
    let mut page = format!("{INTRODUCTION}\n## What is asked for, and what was run\n\n");
    page += "| | asked for | run | failed | missing |\n|---|---|---|--:|---|\n";
    for ask in ASKS {
        let shown = ask.shown(summaries);
        let missing = ask.missing(&shown).unwrap_or_else(|| "nothing".to_owned());
        let failed = shown.failed().to_string();
        row(&mut page, &[ask.what, &ask.wanted(), &shown.run(), &failed, &missing]);
    }
    let states: u64 = summaries.values().map(Summary::states).sum();
    let failed: u64 = summaries.values().map(Summary::failed).sum();
    write!(page, "\nAll together: {states} states, {failed} failed.\n").expect("a text takes it");
    for (name, summary) in summaries {
        write_summary(&mut page, name, summary);
    }
    page
}

fn write_summary(page: &mut String, name: &str, summary: &Summary) {
    let Run { what, again, commit, date, seconds, sample, ended, .. } = &summary.run;
    let seed = summary.run.seed.map_or("none".to_owned(), |seed| seed.to_string());
    let states = summary.states();
    let end = if *ended { String::new() } else { format!(" **Stopped after {states} states.**") };
    let sample = if *sample { " A sample of the places." } else { "" };
    let old = if summary.is_of_other_code { " **Of other code than this.**" } else { "" };
    write!(
        page,
        "\n## {what}\n\n[{name}](faults/{name}): {date}, {seconds} s, commit `{commit}`, seed {seed}.{sample}{end}{old} Again:\n\
         `{again}`\n\n| fault | disturbed | on | size | states | how they ended | failed |\n|---|---|---|---|--:|---|--:|\n"
    )
    .expect("a text takes it");
    for (Sort { fault, verb, on, size }, counts) in &summary.counts {
        let (ends, failed) = ends(counts);
        let states = crate::fault_summary::states(counts).to_string();
        row(page, &[fault, verb, on, size, &states, &ends, &failed.to_string()]);
    }
    for Times { what, on, count, median_ms, longest_ms } in &summary.times {
        write!(
            page,
            "\n{what}, {on}: {count} times, median {median_ms} ms, longest {longest_ms} ms.\n"
        )
        .expect("a text takes it");
    }
    write_equivalents(page, &summary.equivalents);
}

/// `12 old, 3 new`, and how many failed.
fn ends(counts: &Counts) -> (String, u64) {
    let well = counts.iter().filter(|(verdict, _)| **verdict != Verdict::Failed);
    let well: Vec<String> =
        well.map(|(verdict, states)| format!("{states} {}", verdict.word())).collect();
    (well.join(", "), counts.get(&Verdict::Failed).copied().unwrap_or_default())
}

/// Effects that make no difference, by the reason for it.
fn write_equivalents(page: &mut String, equivalents: &BTreeMap<String, String>) {
    if equivalents.is_empty() {
        return;
    }
    let mut by_reason: BTreeMap<&str, Vec<String>> = BTreeMap::new();
    for (effect, why) in equivalents {
        by_reason.entry(why).or_default().push(format!("`{effect}`"));
    }
    *page += "\n| why it makes no difference | effects that were left out |\n|---|---|\n";
    for (why, effects) in by_reason {
        row(page, &[why, &effects.join(", ")]);
    }
}

fn row(page: &mut String, cells: &[&str]) {
    writeln!(page, "| {} |", cells.join(" | ")).expect("a text takes it");
}

/// Marks results that are not of the code that is here. None where that is not known.
fn aged(mut summaries: Summaries) -> Option<Summaries> {
    for (name, summary) in &mut summaries {
        let name = name.trim_end_matches(".jsonl");
        summary.is_of_other_code = match code(name, &summary.run.commit) {
            Code::Same => false,
            Code::Other => true,
            Code::Unknown => return None,
        };
    }
    Some(summaries)
}

/// The result files that are checked in, by name.
fn summaries() -> Summaries {
    let folder = docs().join("faults");
    let entries = fs::read_dir(&folder).into_iter().flatten();
    let paths = entries.map(|entry| entry.expect("it is listed").path());
    let name = |path: &Path| path.file_name().expect("it has one").to_string_lossy().into_owned();
    let read = |path: PathBuf| {
        (name(&path), Summary::read(&fs::read_to_string(&path).expect("it is text")))
    };
    paths.filter(|path| path.extension().is_some_and(|end| end == "jsonl")).map(read).collect()
}

fn docs() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("docs")
}

/// Run with `STACKC_WRITE=1` to write it anew.
#[test]
fn the_page_of_faults_is_that_of_the_result_files() {
    let Some(summaries) = aged(summaries()) else {
        eprintln!("skipped: needs the history, to know which results are of this code");
        return;
    };
    let (path, page) = (docs().join("faults.md"), page(&summaries));
    if std::env::var_os("STACKC_WRITE").is_some() {
        fs::write(&path, &page).expect("it is written");
    }
    let written = fs::read_to_string(&path).expect("it is there");
    assert!(written == page, "STACKC_WRITE=1 writes it anew");
}

#[test]
fn a_fault_that_failed_is_in_no_result_file_that_is_checked_in() {
    for (name, summary) in summaries() {
        assert_eq!(summary.failed(), 0, "{name}");
        assert!(summary.states() > 0, "{name} has shown nothing");
    }
}

#[test]
fn the_page_of_faults_says_what_is_missing_and_what_was_stopped_and_every_number() {
    let sort = |fault: &str, verb: &str, on: &str, size: &str| Sort {
        fault: fault.to_owned(),
        verb: verb.to_owned(),
        on: on.to_owned(),
        size: size.to_owned(),
    };
    let mut crash = Summary::new("an example", "cargo test --test it example", Some(7));
    crash.run.commit = "0123456789".to_owned();
    crash.run.date = "2026-01-01T00:00:00Z".to_owned();
    crash.run.ended = true;
    for files in ["1 file", "10 files", "100 files"] {
        for call in ["receive", "secrets", "begin", "switch", "confirm", "undo", "recover", "gc"] {
            crash.count(&sort("kill", call, "ext4", files), Verdict::Old);
            crash.count(&sort("kill, then boot", call, "ext4", files), Verdict::Old);
        }
        crash.count(&sort("power cut", "undo", "xfs", files), Verdict::New);
    }
    crash.add(&sort("kill", "switch", "xfs", "30 files"), Verdict::New, 17);
    crash.count(&sort("no block left", "gc", "ext4", "30 files"), Verdict::Failed);
    let mut other = Summary::new("another example", "cargo test --test it other", None);
    let (what, sample) = ("another".to_owned(), true);
    other.run = Run { what, sample, ended: false, seed: None, ..crash.run.clone() };
    other.add(&sort("left out: fsync", "begin", "a model", ""), Verdict::Found, 300);
    other.add(&sort("weak disk", "gc", "a model", ""), Verdict::Old, 100_000);
    other.add(&sort("lock-out: link down", "hook", "Debian 12", ""), Verdict::LetIn, 21);
    other.add(&sort("accident: power cut", "change", "Debian 13", ""), Verdict::New, 99);
    let why = "nobody reads it after a power cut".to_owned();
    other.equivalents.insert("begin: fsync /x".to_owned(), why);
    let times = |what: &str, longest_ms| Times {
        what: what.to_owned(),
        on: "Debian 12".to_owned(),
        count: 21,
        median_ms: 900,
        longest_ms,
    };
    other.times = vec![times(LET_IN, 4_900), times(SERVES, 10_001)];
    let mut old = Summary::new("an old example", "cargo test --test it old", None);
    old.run = Run { what: "older".to_owned(), sample: false, ended: true, ..other.run.clone() };
    old.add(&sort("two operators", "activate", "Debian 12", ""), Verdict::OneWon, 1_000);
    old.is_of_other_code = true;
    let all = [("a.jsonl", crash), ("b.jsonl", other), ("c.jsonl", old)];
    let all = BTreeMap::from(all.map(|(name, summary)| (name.to_owned(), summary)));
    insta::assert_snapshot!(page(&all).split_once("## What").expect("it is there").1);
}
