//! What long runs of faults have shown, in the form in which it is checked in: `docs/faults/*.jsonl`, a line for the run
//! and then a line for each sort of fault. `docs/faults.md` is made of them.

use serde::{Deserialize, Serialize};
use std::{
    collections::BTreeMap,
    fmt::Write as _,
    fs,
    path::{Path, PathBuf},
    process::Command,
    time::Instant,
};

/// One run: what was done, to which tree, and how it is done again.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Run {
    /// What was tested, as the title of its table.
    pub what: String,
    /// The command that repeats it.
    pub again: String,
    /// The commit of the tree that was tested; `-dirty` when it had other changes.
    pub commit: String,
    /// When it began: RFC 3339, UTC.
    pub date: String,
    /// None when nothing was drawn by lot.
    pub seed: Option<u64>,
    pub seconds: u64,
}

/// Faults of one sort, in the words of the page.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Sort {
    /// `kill`, `power cut`, `no block left`, …
    pub fault: String,
    /// What was disturbed: a verb of the guest's binary, or of the operator's.
    pub verb: String,
    /// Where: a file system, a model, a release of Debian.
    pub on: String,
    /// Of what size, when there are several: `30 files`.
    pub size: String,
}

/// How one state that a fault left was judged, after its repair.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Verdict {
    Old,
    New,
    /// Neither, or it did not converge.
    Failed,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
struct Counts {
    old: u64,
    new: u64,
    failed: u64,
}

/// A sort and its counts, as a line of the file.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Row {
    fault: String,
    verb: String,
    on: String,
    size: String,
    states: u64,
    old: u64,
    new: u64,
    failed: u64,
}

/// A run and its counts.
pub struct Summary {
    pub run: Run,
    started: Instant,
    counts: BTreeMap<Sort, Counts>,
}

impl Summary {
    /// Of a run that begins now.
    pub fn new(what: &str, again: &str, seed: Option<u64>) -> Self {
        let (what, again) = (what.to_owned(), again.to_owned());
        let run = Run { what, again, commit: commit(), date: now(), seed, seconds: 0 };
        Self { run, started: Instant::now(), counts: BTreeMap::new() }
    }

    pub fn count(&mut self, sort: &Sort, verdict: Verdict) {
        let counts = self.counts.entry(sort.clone()).or_default();
        match verdict {
            Verdict::Old => counts.old += 1,
            Verdict::New => counts.new += 1,
            Verdict::Failed => counts.failed += 1,
        }
    }

    pub fn states(&self) -> u64 {
        self.counts.values().map(|counts| counts.states()).sum()
    }

    pub fn failed(&self) -> u64 {
        self.counts.values().map(|counts| counts.failed).sum()
    }

    /// Writes what is to be checked in as `docs/faults/<name>.jsonl`.
    pub fn write(&mut self, path: &Path) {
        self.run.seconds = self.started.elapsed().as_secs();
        let mut text = line(&self.run);
        for (sort, counts) in &self.counts {
            text += &line(&Row::new(sort.clone(), *counts));
        }
        fs::write(path, text).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    }

    fn read(text: &str) -> Self {
        let mut lines = text.lines();
        let run = lines.next().expect("the first line is the run");
        let run = serde_json::from_str(run).expect("the first line is the run");
        let mut counts = BTreeMap::new();
        for text in lines {
            let row: Row = serde_json::from_str(text).expect("each other line is a row");
            let (sort, read) = row.parts();
            assert!(counts.insert(sort, read).is_none(), "this row is there twice: {text}");
        }
        Self { run, started: Instant::now(), counts }
    }
}

impl Counts {
    fn states(self) -> u64 {
        self.old + self.new + self.failed
    }

    fn add(&mut self, other: Self) {
        self.old += other.old;
        self.new += other.new;
        self.failed += other.failed;
    }

    fn cells(self) -> String {
        let Self { old, new, failed } = self;
        format!("{} | {old} | {new} | {failed}", self.states())
    }
}

impl Row {
    fn new(sort: Sort, counts: Counts) -> Self {
        let Sort { fault, verb, on, size } = sort;
        let Counts { old, new, failed } = counts;
        Self { fault, verb, on, size, states: counts.states(), old, new, failed }
    }

    fn parts(self) -> (Sort, Counts) {
        let Self { fault, verb, on, size, states, old, new, failed } = self;
        let counts = Counts { old, new, failed };
        assert_eq!(states, counts.states(), "a row's states are old, new or failed");
        (Sort { fault, verb, on, size }, counts)
    }
}

fn line(value: &impl Serialize) -> String {
    serde_json::to_string(value).expect("it is JSON") + "\n"
}

/// The commit of the tree that is tested.
pub fn commit() -> String {
    said(&["git", "describe", "--always", "--abbrev=40", "--exclude=*", "--dirty"])
}

/// This moment: RFC 3339, UTC.
pub fn now() -> String {
    said(&["date", "-u", "+%FT%TZ"])
}

/// What a command prints in the tree that is tested.
fn said(argv: &[&str]) -> String {
    let mut command = Command::new(argv[0]);
    command.args(&argv[1..]).current_dir(env!("CARGO_MANIFEST_DIR"));
    let output = command.output().unwrap_or_else(|error| panic!("cannot run {argv:?}: {error}"));
    String::from_utf8_lossy(&output.stdout).trim().to_owned()
}

const INTRODUCTION: &str = "# Faults: what was broken on purpose, and what came of it

Made of the result files in `docs/faults/` by `STACKC_WRITE=1 cargo test --test it the_page_of_faults`; each file names the
commit that was tested and the command that does it again. A *state* is what one fault left behind, repaired by nothing but
what a guest does by itself at its next boot and an operator by the same call again, and then judged: every managed path,
`current`, the secrets, the firewall's rules and the units are all of the *old* generation, or all of the *new* one; nothing
half-made is left; and the same activation ends on the new generation. A state that is neither, or does not converge, has
*failed*. Where the fault is *none*, the whole guest was compared with what the plan said (`docs/volatile.md`): *new* is one
that differs from before in that and in nothing else.
";

/// The page of all result files.
fn page(summaries: &BTreeMap<String, Summary>) -> String {
    let mut page = format!("{INTRODUCTION}\n## All\n\n");
    page += "| fault | states | old | new | failed | result files |\n|---|--:|--:|--:|--:|---|\n";
    for (fault, (counts, files)) in by_fault(summaries) {
        let files: Vec<String> =
            files.iter().map(|name| format!("[{name}](faults/{name})")).collect();
        row(&mut page, &[&fault, &counts.cells(), &files.join(", ")]);
    }
    for (name, Summary { run, counts, .. }) in summaries {
        let Run { what, again, commit, date, seconds, .. } = run;
        let seed = run.seed.map_or("none".to_owned(), |seed| seed.to_string());
        write!(
            page,
            "\n## {what}\n\n[{name}](faults/{name}): {date}, {seconds} s, commit `{commit}`, seed {seed}. Again: `{again}`\n\n"
        )
        .expect("a text takes it");
        page += "| fault | verb | on | size | states | old | new | failed |\n";
        page += "|---|---|---|---|--:|--:|--:|--:|\n";
        for (Sort { fault, verb, on, size }, counts) in counts {
            row(&mut page, &[fault, verb, on, size, &counts.cells()]);
        }
    }
    page
}

fn row(page: &mut String, cells: &[&str]) {
    writeln!(page, "| {} |", cells.join(" | ")).expect("a text takes it");
}

fn by_fault(summaries: &BTreeMap<String, Summary>) -> BTreeMap<String, (Counts, Vec<String>)> {
    let mut faults: BTreeMap<String, (Counts, Vec<String>)> = BTreeMap::new();
    for (name, summary) in summaries {
        for (sort, counts) in &summary.counts {
            let (all, files) = faults.entry(sort.fault.clone()).or_default();
            all.add(*counts);
            if !files.contains(name) {
                files.push(name.clone());
            }
        }
    }
    faults
}

/// The result files that are checked in, by name.
fn summaries() -> BTreeMap<String, Summary> {
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
fn a_summary_that_is_written_is_read_as_it_was_and_its_page_names_every_number() {
    let sort = |fault: &str, verb: &str| Sort {
        fault: fault.to_owned(),
        verb: verb.to_owned(),
        on: "ext4".to_owned(),
        size: "30 files".to_owned(),
    };
    let mut summary = Summary::new("an example", "cargo test", Some(7));
    summary.run.commit = "0123456789".to_owned();
    summary.run.date = "2026-01-01T00:00:00Z".to_owned();
    for verdict in [Verdict::Old, Verdict::New, Verdict::New] {
        summary.count(&sort("kill", "switch"), verdict);
    }
    summary.count(&sort("power cut", "undo"), Verdict::Failed);
    let folder = tempfile::tempdir().expect("there is room");
    let path = folder.path().join("example.jsonl");
    summary.write(&path);
    let read = Summary::read(&fs::read_to_string(&path).expect("it was written"));
    assert_eq!((read.states(), read.failed()), (4, 1));
    let all = BTreeMap::from([("example.jsonl".to_owned(), read)]);
    insta::assert_snapshot!(page(&all).split_once("## All").expect("it is there").1);
}
