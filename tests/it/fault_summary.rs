//! What long runs of faults have shown, in the one form in which all of them are checked in: `docs/faults/*.jsonl`, a line
//! for the run, a line for each sort of fault, and lines for what was measured and what was found to make no difference.
//! `docs/faults.md` is made of them.

use serde::{Deserialize, Serialize};
use std::{collections::BTreeMap, fs, path::Path, process::Command, time::Instant};

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
    /// Not every place was taken that it could be done at.
    pub sample: bool,
    /// False when it was stopped before it had done all that it was to do.
    pub ended: bool,
}

/// Faults of one sort, in the words of the page.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Sort {
    /// `kill`, `power cut`, `no block left`, …; more words after a colon.
    pub fault: String,
    /// What was disturbed: a verb of the guest's binary, or of the operator's.
    pub verb: String,
    /// Where: a file system, a model, a release of Debian.
    pub on: String,
    /// Of what size, when there are several: `30 files`.
    pub size: String,
}

impl Sort {
    /// Whether it is of this fault, whatever comes after a colon.
    pub fn is_of(&self, fault: &str) -> bool {
        self.fault.split(':').next() == Some(fault)
    }
}

/// How one state that a fault left was judged, after its repair.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    Old,
    New,
    /// Old, and the operator was told so before anything began.
    Refused,
    /// One of two who wanted the same guest won, and the other was told who.
    OneWon,
    /// In time: a login, a connection.
    LetIn,
    /// A tester has found what was broken in the tested code.
    Found,
    /// What was broken in the tested code makes no difference, and it is known why.
    Equivalent,
    /// All was over before the fault.
    TooLate,
    /// Neither, or it did not converge.
    Failed,
}

impl Verdict {
    pub fn word(self) -> &'static str {
        match self {
            Self::Old => "old",
            Self::New => "new",
            Self::Refused => "refused",
            Self::OneWon => "one won",
            Self::LetIn => "let in",
            Self::Found => "found",
            Self::Equivalent => "no difference",
            Self::TooLate => "too late",
            Self::Failed => "failed",
        }
    }
}

/// How many states had each verdict.
pub type Counts = BTreeMap<Verdict, u64>;

/// What was measured in one sort of place, and how often.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Times {
    pub what: String,
    pub on: String,
    pub count: usize,
    pub median_ms: u64,
    pub longest_ms: u64,
}

/// A line of the file.
#[derive(Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
enum Line {
    Run(Run),
    Row {
        sort: Sort,
        counts: Counts,
    },
    Times(Times),
    /// An effect that may be left out, and why nobody can find out.
    Equivalent {
        effect: String,
        why: String,
    },
}

/// A run and what it has shown.
pub struct Summary {
    pub run: Run,
    pub started: Instant,
    pub counts: BTreeMap<Sort, Counts>,
    pub times: Vec<Times>,
    /// Reasons by effect.
    pub equivalents: BTreeMap<String, String>,
    /// What it has tested is not what is here.
    pub is_of_other_code: bool,
    measured: BTreeMap<(String, String), Vec<u64>>,
}

impl Summary {
    /// Of a run that begins now.
    pub fn new(what: &str, again: &str, seed: Option<u64>) -> Self {
        let (what, again) = (what.to_owned(), again.to_owned());
        // Its name says which code it is of.
        let (commit, date) = (String::new(), now());
        let run = Run { what, again, commit, date, seed, seconds: 0, sample: false, ended: false };
        Self::of(run)
    }

    fn of(run: Run) -> Self {
        Self {
            run,
            started: Instant::now(),
            counts: BTreeMap::new(),
            times: Vec::new(),
            equivalents: BTreeMap::new(),
            is_of_other_code: false,
            measured: BTreeMap::new(),
        }
    }

    pub fn count(&mut self, sort: &Sort, verdict: Verdict) {
        self.add(sort, verdict, 1);
    }

    pub fn add(&mut self, sort: &Sort, verdict: Verdict, states: u64) {
        if states > 0 {
            *self.counts.entry(sort.clone()).or_default().entry(verdict).or_default() += states;
        }
    }

    pub fn measure(&mut self, what: &str, on: &str, milliseconds: u64) {
        self.measured.entry((what.to_owned(), on.to_owned())).or_default().push(milliseconds);
    }

    pub fn states(&self) -> u64 {
        self.counts.values().map(states).sum()
    }

    pub fn failed(&self) -> u64 {
        self.counts.values().filter_map(|counts| counts.get(&Verdict::Failed)).sum()
    }

    /// Writes what is to be checked in as `docs/faults/<name>.jsonl`, whole or not at all.
    pub fn write(&mut self, path: &Path) {
        self.run.seconds = self.started.elapsed().as_secs();
        self.times = self.measured.iter().map(|(place, times)| Times::of(place, times)).collect();
        let rows = self.counts.iter();
        let rows = rows.map(|(s, c)| Line::Row { sort: s.clone(), counts: c.clone() });
        let reasons = self.equivalents.iter();
        let reasons =
            reasons.map(|(e, why)| Line::Equivalent { effect: e.clone(), why: why.clone() });
        let lines = std::iter::once(Line::Run(self.run.clone()))
            .chain(rows)
            .chain(self.times.iter().cloned().map(Line::Times))
            .chain(reasons);
        let text: String = lines.map(|line| json(&line) + "\n").collect();
        let fresh = path.with_extension("fresh");
        fs::write(&fresh, text)
            .and_then(|()| fs::rename(&fresh, path))
            .unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    }

    pub fn read(text: &str) -> Self {
        let mut lines = text.lines().map(|line| {
            serde_json::from_str(line).unwrap_or_else(|error| panic!("{line}: {error}"))
        });
        let Some(Line::Run(run)) = lines.next() else { panic!("the first line is the run") };
        let mut summary = Self::of(run);
        for line in lines {
            match line {
                Line::Run(run) => panic!("one file has one run, and this is another: {run:?}"),
                Line::Row { sort, counts } => {
                    let before = summary.counts.insert(sort, counts);
                    assert!(before.is_none(), "a row is there twice");
                }
                Line::Times(times) => summary.times.push(times),
                Line::Equivalent { effect, why } => {
                    summary.equivalents.insert(effect, why);
                }
            }
        }
        summary
    }
}

impl Times {
    fn of((what, on): &(String, String), times: &[u64]) -> Self {
        let mut times = times.to_vec();
        times.sort_unstable();
        Self {
            what: what.clone(),
            on: on.clone(),
            count: times.len(),
            median_ms: times[times.len() / 2],
            longest_ms: times[times.len() - 1],
        }
    }
}

pub fn states(counts: &Counts) -> u64 {
    counts.values().sum()
}

pub fn json(value: &impl Serialize) -> String {
    serde_json::to_string(value).expect("it is JSON")
}

/// This moment: RFC 3339, UTC.
fn now() -> String {
    said(&["date", "-u", "+%FT%TZ"])
}

/// What a command prints in the tree that is tested.
fn said(argv: &[&str]) -> String {
    let mut command = Command::new(argv[0]);
    command.args(&argv[1..]).current_dir(env!("CARGO_MANIFEST_DIR"));
    let output = command.output().unwrap_or_else(|error| panic!("cannot run {argv:?}: {error}"));
    String::from_utf8_lossy(&output.stdout).trim().to_owned()
}

#[test]
fn a_summary_that_is_written_is_read_as_it_was() {
    let sort = |fault: &str| Sort {
        fault: fault.to_owned(),
        verb: "switch".to_owned(),
        on: "ext4".to_owned(),
        size: "30 files".to_owned(),
    };
    let mut summary = Summary::new("an example", "cargo test", Some(7));
    for verdict in [Verdict::Old, Verdict::New, Verdict::New] {
        summary.count(&sort("kill"), verdict);
    }
    summary.count(&sort("power cut"), Verdict::Failed);
    for milliseconds in [900, 100, 500] {
        summary.measure("a login", "Debian 12", milliseconds);
    }
    summary.equivalents.insert("begin: fsync x".to_owned(), "nobody reads it".to_owned());
    let folder = tempfile::tempdir().expect("there is room");
    let path = folder.path().join("example.jsonl");
    summary.write(&path);
    let read = Summary::read(&fs::read_to_string(&path).expect("it was written"));
    assert_eq!((read.states(), read.failed()), (4, 1));
    assert_eq!((&read.counts, &read.equivalents), (&summary.counts, &summary.equivalents));
    let Times { count, median_ms, longest_ms, .. } = &read.times[0];
    assert_eq!((*count, *median_ms, *longest_ms), (3, 500, 900));
    assert!(!read.run.ended && read.run.commit == summary.run.commit);
}
