//! `docs/faults.md`: what was asked for and what was run, made of the result files alone.

use crate::fault_summary::{Counts, Run, Sort, Summary, Times, Verdict, states};
use std::{
    collections::{BTreeMap, BTreeSet},
    fmt::Write as _,
    fs,
    path::{Path, PathBuf},
};

type Summaries = BTreeMap<String, Summary>;

/// What a newcomer may ask this project to show, and when it is shown.
struct Ask {
    what: &'static str,
    /// Faults as their sorts name them, up to a colon.
    faults: &'static [&'static str],
    enough: Enough,
}

/// When there is enough of something.
#[derive(Clone, Copy)]
enum Enough {
    /// Runs that took every place and were not stopped, on each of these and in so many sizes.
    Everywhere { on: &'static [&'static str], sizes: usize },
    /// So many states on this, or wherever they were when it is empty.
    States { least: u64, on: &'static str },
    /// This was measured, and its median and its longest are no longer.
    Milliseconds { what: &'static str, median: u64, longest: u64 },
}

const DISKS: &[&str] = &["ext4", "xfs"];
const ACCIDENTS: &[&str] = &["accident", "flaw"];

const ASKS: [Ask; 16] = [
    Ask {
        what: "The guest's binary is killed at every system call that changes something",
        faults: &["kill", "kill, then boot"],
        enough: Enough::Everywhere { on: DISKS, sizes: 3 },
    },
    Ask {
        what: "The power is cut at each of them",
        faults: &["power cut"],
        enough: Enough::Everywhere { on: DISKS, sizes: 3 },
    },
    Ask {
        what: "The recovery after that is crashed, at every third system call, and the one after that",
        faults: &["crashed again"],
        enough: Enough::Everywhere { on: DISKS, sizes: 1 },
    },
    Ask {
        what: "A power cut on a disk that keeps only what POSIX promises",
        faults: &["weak disk"],
        enough: Enough::States { least: 100_000, on: "" },
    },
    Ask {
        what: "Each fsync, rename and journal write of the guest's code is left out: does a tester see it?",
        faults: &["left out"],
        enough: Enough::States { least: 200, on: "" },
    },
    Ask {
        what: "No block, no inode, no quota left, at every level from none to enough",
        faults: &["no block left", "no inode left", "quota used up"],
        enough: Enough::States { least: 300, on: "" },
    },
    Ask {
        what: "The disk fails, turns read-only; the kernel kills for want of memory",
        faults: &["input/output error", "read-only half-way", "out of memory"],
        enough: Enough::States { least: 1_000, on: "" },
    },
    Ask {
        what: "Real guests, Debian 12: kill, power, network, full disk, versions that do not work",
        faults: ACCIDENTS,
        enough: Enough::States { least: 400, on: "Debian 12" },
    },
    Ask {
        what: "Real guests, Debian 13: the same",
        faults: ACCIDENTS,
        enough: Enough::States { least: 100, on: "Debian 13" },
    },
    Ask {
        what: "Real guests: SSH and the API are cut in every phase and all over the bytes of both directions, \
               and the operator's own process is killed",
        faults: &["SSH cut", "API cut", "operator killed"],
        enough: Enough::States { least: 500, on: "" },
    },
    Ask {
        what: "Two operators race for one guest: exactly one wins",
        faults: &["two operators"],
        enough: Enough::States { least: 1_000, on: "" },
    },
    Ask {
        what: "The confirm comes at the moment of the deadline: one decision",
        faults: &["confirm at the deadline"],
        enough: Enough::States { least: 1_000, on: "" },
    },
    Ask {
        what: "Real guests: lock-outs that get past the compiler, reachable again within 5 s of the deadline",
        faults: &["lock-out"],
        enough: Enough::States { least: 20, on: "" },
    },
    Ask {
        what: "… and the longest of them was no later",
        faults: &[],
        enough: Enough::Milliseconds { what: LET_IN, median: 5_000, longest: 5_000 },
    },
    Ask {
        what: "Real guests: a failure that is seen is undone within 3 s (median) and 10 s (longest)",
        faults: &[],
        enough: Enough::Milliseconds { what: SERVES, median: 3_000, longest: 10_000 },
    },
    Ask {
        what: "Real guests: new connections while the firewall changes, none lost",
        faults: &["new connection"],
        enough: Enough::States { least: 1_000, on: "" },
    },
];

/// What is measured, as its tests and its page name it.
pub const LET_IN: &str = "from the guest's own deadline to a fresh login";
pub const SERVES: &str = "from a failure to the old generation's answer";

/// What there is of one ask.
struct Shown<'a> {
    rows: Vec<(&'a Run, &'a Sort, &'a Counts)>,
    times: Option<&'a Times>,
}

impl Ask {
    fn has(&self, sort: &Sort) -> bool {
        let name = sort.fault.split(':').next().unwrap_or_default();
        let on = match self.enough {
            Enough::States { on, .. } => on,
            _ => "",
        };
        self.faults.contains(&name) && sort.on.starts_with(on)
    }

    fn shown<'a>(&self, summaries: &'a Summaries) -> Shown<'a> {
        let mut shown = Shown { rows: Vec::new(), times: None };
        for Summary { run, counts, times, .. } in summaries.values() {
            let rows = counts.iter().filter(|(sort, _)| self.has(sort));
            shown.rows.extend(rows.map(|(sort, counts)| (run, sort, counts)));
            if let Enough::Milliseconds { what, .. } = self.enough {
                shown.times = shown.times.or(times.iter().find(|times| times.what == what));
            }
        }
        shown
    }

    fn wanted(&self) -> String {
        match self.enough {
            Enough::Everywhere { on, sizes: 1 } => format!("each, on {}", on.join(" and ")),
            Enough::Everywhere { on, sizes } => {
                format!("each, on {}, {sizes} sizes", on.join(" and "))
            }
            Enough::States { least, .. } => least.to_string(),
            Enough::Milliseconds { median, longest, .. } => {
                format!("median {median} ms, longest {longest} ms")
            }
        }
    }

    /// What is missing; none when all is there.
    fn missing(&self, shown: &Shown) -> Option<String> {
        match (self.enough, shown.times) {
            _ if shown.rows.is_empty() && shown.times.is_none() => Some("not run".to_owned()),
            (Enough::Everywhere { on, sizes }, _) => shown.missing_places(on, sizes),
            (Enough::States { least, .. }, _) => {
                let short = least.saturating_sub(shown.states());
                (short > 0).then(|| format!("{short} more"))
            }
            (Enough::Milliseconds { median, longest, .. }, Some(times)) => {
                let is_late = times.median_ms > median || times.longest_ms > longest;
                is_late.then(|| "it takes longer".to_owned())
            }
            (Enough::Milliseconds { .. }, None) => Some("not run".to_owned()),
        }
    }
}

impl Shown<'_> {
    /// Those that a fault has met.
    fn states(&self) -> u64 {
        let all: u64 = self.rows.iter().map(|(.., counts)| states(counts)).sum();
        let late = self.rows.iter().filter_map(|(.., counts)| counts.get(&Verdict::TooLate));
        all - late.sum::<u64>()
    }

    fn failed(&self) -> u64 {
        self.rows.iter().filter_map(|(.., counts)| counts.get(&Verdict::Failed)).sum()
    }

    fn missing_places(&self, on: &[&str], sizes: usize) -> Option<String> {
        let whole = self.rows.iter().filter(|(run, ..)| run.ended && !run.sample);
        let whole: BTreeSet<(&str, &str)> =
            whole.map(|(_, sort, _)| (&*sort.on, &*sort.size)).collect();
        let met = |place: &&&str| whole.iter().filter(|(on, _)| *on == **place).count() >= sizes;
        let short: Vec<&str> = on.iter().filter(|place| !met(place)).copied().collect();
        (!short.is_empty()).then(|| format!("not all of it on {}", short.join(", ")))
    }

    fn run(&self) -> String {
        match self.times {
            Some(Times { count, median_ms, longest_ms, .. }) => {
                format!("{count}: median {median_ms} ms, longest {longest_ms} ms")
            }
            None => self.states().to_string(),
        }
    }
}

const INTRODUCTION: &str = "# Faults: what was broken on purpose, and what came of it

Made of the result files in `docs/faults/` alone; `tests/long` makes those, and this page. Each file names the commit that was
tested and the command that does it again. A *state* is what one fault left behind, repaired by nothing but what a guest does
by itself at its next boot and an operator by the same call again, and then judged: every managed path, `current`, the
secrets, the firewall's rules and the units are all of the *old* generation, or all of the *new* one; nothing half-made is
left; and the same activation ends on the new generation. A state that is neither, or does not converge, has *failed*.
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
    write!(
        page,
        "\n## {what}\n\n[{name}](faults/{name}): {date}, {seconds} s, commit `{commit}`, seed {seed}.{sample}{end} Again:\n\
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
    let (path, page) = (docs().join("faults.md"), page(&summaries()));
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
    for files in ["1 file", "30 files", "120 files"] {
        crash.count(&sort("kill", "switch", "ext4", files), Verdict::Old);
        crash.count(&sort("power cut", "undo", "xfs", files), Verdict::New);
    }
    crash.add(&sort("kill", "switch", "xfs", "30 files"), Verdict::New, 17);
    crash.count(&sort("no block left", "gc", "ext4", "30 files"), Verdict::Failed);
    let mut other = Summary::new("another example", "cargo test --test it other", None);
    let (what, sample) = ("another".to_owned(), true);
    other.run = Run { what, sample, ended: false, seed: None, ..crash.run.clone() };
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
    let all = BTreeMap::from([("a.jsonl".to_owned(), crash), ("b.jsonl".to_owned(), other)]);
    insta::assert_snapshot!(page(&all).split_once("## What").expect("it is there").1);
}
