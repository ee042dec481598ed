//! What trials have shown: a line each for machines, a table for people.

use crate::{
    cut_traffic::Direction,
    fault_summary,
    faults_trial::{Outcome, Record, Verb, Wire},
};
use serde::Serialize;
use std::{
    collections::BTreeMap,
    fmt::{Display, Write as _},
    fs::{self, File},
    io::Write,
    path::PathBuf,
    time::Instant,
};

/// The records of one sweep.
pub struct Report {
    heading: Heading,
    started: Instant,
    records: Vec<Record>,
    file: Option<ResultFile>,
}

/// What a reader has to know of a sweep.
#[derive(Debug, Clone, Serialize)]
pub struct Heading {
    pub what: String,
    /// The commit of the tree that was tested; `-dirty` when it had other changes.
    pub commit: String,
    /// When it began: RFC 3339, UTC.
    pub date: String,
    /// How many were disturbed side by side.
    pub guests: u32,
    pub trials: usize,
}

/// JSON lines: a record each, written as they come, and the summary last. Beside it the evidence of failed trials.
struct ResultFile {
    path: PathBuf,
    file: File,
}

/// How often trials of one sort ended how.
#[derive(Debug, Clone, Copy, Default, Serialize)]
struct Counts {
    trials: usize,
    /// The command was over before the fault.
    missed: usize,
    old: usize,
    new: usize,
    refused: usize,
    failed: usize,
    converged: usize,
}

#[derive(Serialize)]
struct Line<'a> {
    summary: Summary<'a>,
}

#[derive(Serialize)]
struct Summary<'a> {
    #[serde(rename = "of")]
    heading: &'a Heading,
    seconds: u64,
    total: Counts,
    groups: Vec<Group>,
}

/// Trials of one command, wire, direction and way.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
struct Sort {
    command: Verb,
    wire: Option<Wire>,
    direction: Option<Direction>,
    way: &'static str,
}

#[derive(Serialize)]
struct Group {
    sort: Sort,
    counts: Counts,
}

impl Heading {
    pub fn new(what: &str, guests: u32, trials: usize) -> Self {
        let (commit, date) = (fault_summary::commit(), fault_summary::now());
        Self { what: what.to_owned(), commit, date, guests, trials }
    }
}

impl Report {
    pub fn new(heading: Heading) -> Self {
        Self { heading, started: Instant::now(), records: Vec::new(), file: None }
    }

    /// Writes the records to a new file, too.
    pub fn write_to(&mut self, path: PathBuf) {
        if let Some(folder) = path.parent() {
            fs::create_dir_all(folder).expect("the result's folder can be made");
        }
        let file = File::create(&path);
        let file = file.unwrap_or_else(|error| panic!("cannot write {}: {error}", path.display()));
        eprintln!(
            "faults, {}: {} trials, written to {}",
            self.heading.what,
            self.heading.trials,
            path.display()
        );
        self.file = Some(ResultFile { path, file });
    }

    /// Adds a record, with the evidence when it failed, and says so.
    pub fn add(&mut self, record: Record, evidence: Option<&str>) {
        if let Some(file) = &mut self.file {
            file.add(&record, evidence);
        }
        let (done, all) = (self.records.len() + 1, self.heading.trials);
        eprintln!("faults, {}, {done} of {all}: {}", self.heading.what, one_line(&record));
        self.records.push(record);
    }

    /// Writes and prints the summary.
    ///
    /// # Panics
    /// When a trial has failed, or so many faults came too late that the sweep has shown little.
    pub fn finish(mut self) {
        let seconds = self.started.elapsed().as_secs();
        if let Some(file) = &mut self.file {
            let (total, groups) = (Counts::of(&self.records), groups(&self.records));
            let summary = Summary { heading: &self.heading, seconds, total, groups };
            file.write(&Line { summary });
        }
        let text = text(&self.heading, seconds, &self.records);
        eprintln!("{text}");
        let Counts { trials, missed, failed, .. } = Counts::of(&self.records);
        assert_eq!(failed, 0, "trials have failed:\n{text}");
        assert!(missed * 4 <= trials, "too many faults came too late:\n{text}");
        assert_eq!(trials, self.heading.trials, "trials were left out");
    }
}

impl ResultFile {
    fn write(&mut self, line: &impl Serialize) {
        let text = serde_json::to_string(line).expect("records are JSON");
        writeln!(self.file, "{text}").expect("the disk has room");
    }

    fn add(&mut self, record: &Record, evidence: Option<&str>) {
        self.write(record);
        if let Some(evidence) = evidence {
            let path = self.path.with_extension(format!("{}.log", record.trial));
            let problem = record.problem.as_deref().unwrap_or_default();
            fs::write(path, format!("{problem}\n\n{evidence}\n")).expect("the disk has room");
        }
    }
}

impl Counts {
    fn of<'a>(records: impl IntoIterator<Item = &'a Record>) -> Self {
        let mut counts = Self::default();
        for record in records {
            counts.trials += 1;
            counts.missed += usize::from(!record.hit);
            counts.converged += usize::from(record.converged);
            match record.outcome {
                _ if record.problem.is_some() => counts.failed += 1,
                Outcome::Failed => counts.failed += 1,
                Outcome::Old => counts.old += 1,
                Outcome::New => counts.new += 1,
                Outcome::Refused => counts.refused += 1,
            }
        }
        counts
    }

    fn columns(self) -> [usize; 7] {
        let Self { trials, missed, old, new, refused, failed, converged } = self;
        [trials, missed, old, new, refused, failed, converged]
    }
}

fn groups(records: &[Record]) -> Vec<Group> {
    let sort = |record: &Record| Sort {
        command: record.command,
        wire: record.wire,
        direction: record.direction,
        way: record.way,
    };
    let groups = counted_by(records, sort).into_iter();
    groups.map(|(sort, counts)| Group { sort, counts }).collect()
}

fn counted_by<K: Ord>(records: &[Record], key: impl Fn(&Record) -> K) -> BTreeMap<K, Counts> {
    let mut sorts: BTreeMap<K, Vec<&Record>> = BTreeMap::new();
    for record in records {
        sorts.entry(key(record)).or_default().push(record);
    }
    sorts.into_iter().map(|(key, records)| (key, Counts::of(records))).collect()
}

/// The summary as a person reads it.
pub fn text(heading: &Heading, seconds: u64, records: &[Record]) -> String {
    let Heading { what, commit, date, guests, .. } = heading;
    let (minutes, rest) = (seconds / 60, seconds % 60);
    let mut text = format!(
        "faults, {what}: {} trials in {minutes} min {rest} s on {guests} guests, {date}, {commit}\n",
        records.len()
    );
    let by_place = |r: &Record| (r.command, r.wire, r.direction);
    let by_place = counted_by(records, by_place).into_iter().map(|(place, counts)| {
        let (command, wire, direction) = place;
        let wire = wire.map_or("operator", Wire::name);
        let direction = direction.map_or("", Direction::name);
        ([command.name(), wire, direction].join(" ").trim_end().to_owned(), counts)
    });
    table(&mut text, "where", by_place);
    let by_way = counted_by(records, |record| record.way).into_iter();
    table(&mut text, "way", by_way.map(|(way, counts)| (way.to_owned(), counts)));
    table(&mut text, "", [("all".to_owned(), Counts::of(records))].into_iter());
    for record in records.iter().filter(|record| record.problem.is_some()) {
        writeln!(text, "{}", one_line(record)).expect("a text takes it");
    }
    text
}

fn table(text: &mut String, title: &str, rows: impl Iterator<Item = (String, Counts)>) {
    let titles = ["trials", "missed", "old", "new", "refused", "failed", "converged"];
    writeln!(text, "\n{title:<26}{}", cells(titles)).expect("a text takes it");
    for (name, counts) in rows {
        writeln!(text, "{name:<26}{}", cells(counts.columns())).expect("a text takes it");
    }
}

fn cells(columns: [impl Display; 7]) -> String {
    columns.map(|column| format!("{column:>10}")).concat()
}

fn one_line(record: &Record) -> String {
    let hit = if record.hit { "" } else { " (missed)" };
    let code = record.exit_code.map_or("killed".to_owned(), |code| format!("exit code {code}"));
    let converged = if record.converged { "converged" } else { "not converged" };
    let problem = record.problem.as_deref().map(|text| format!(": {text}")).unwrap_or_default();
    format!(
        "trial {}, {}, {}{hit}: {code}, {:?}, {converged} in {} s{problem}",
        record.trial,
        record.command.name(),
        record.place(),
        record.outcome,
        record.seconds
    )
}

#[test]
fn report_of_a_sweep_counts_what_missed_and_what_failed() {
    use crate::{
        cut_traffic::Direction,
        faults_cuts::{Part, Place, WAYS},
        faults_moment::Moment,
        faults_trial::{Fault, Trial},
    };
    let place =
        Place { connection: 1, direction: Direction::Down, after: 3_104, part: Part::Within };
    let cut = |way| Fault::Cut { wire: Wire::Ssh, place, way };
    let kill = Fault::Kill(Moment { step: 3, delay: std::time::Duration::from_millis(40) });
    let record = |trial, verb, fault, outcome| {
        let blank = Trial { verb, fault }.record(trial);
        Record { hit: true, outcome, converged: true, seconds: 7, ..blank }
    };
    let undone = record(0, Verb::Change, cut(WAYS[0]), Outcome::Old);
    let kept = record(1, Verb::Rollback, cut(WAYS[1]), Outcome::New);
    let late = Record { hit: false, ..record(2, Verb::Change, cut(WAYS[0]), Outcome::New) };
    let torn = Record {
        outcome: Outcome::Failed,
        converged: false,
        problem: Some("the guest is torn".to_owned()),
        ..record(3, Verb::FirstActivation, kill, Outcome::Failed)
    };
    let heading = Heading {
        what: "an example".to_owned(),
        commit: "0123456789".to_owned(),
        date: "2026-01-01T00:00:00Z".to_owned(),
        guests: 2,
        trials: 4,
    };
    insta::assert_snapshot!(text(&heading, 75, &[undone, kept, late, torn]));
}
