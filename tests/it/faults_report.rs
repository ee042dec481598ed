//! What trials on real guests have shown: each as it comes, then how many of each sort ended how.

use crate::{
    fault_results::Results,
    fault_summary::{Sort, Summary, Verdict},
    faults_trial::{Outcome, Record},
};
use stackc::lab::Debian;
use std::fs;

/// What is to be tried.
#[derive(Clone, Copy)]
pub struct Heading<'a> {
    /// Names the result file, and the test that makes it.
    pub name: &'a str,
    pub what: &'a str,
    /// As cargo takes it to run the same again.
    pub test: &'a str,
    pub debian: Debian,
    pub trials: usize,
    /// Not every place is taken.
    pub sample: bool,
    pub seed: Option<u64>,
}

/// The records of one sweep.
pub struct Report {
    pub results: Results,
    on: String,
    trials: usize,
    done: usize,
    missed: usize,
}

impl<'a> Heading<'a> {
    /// A sample of cuts or kills that a test takes, which names it.
    pub fn short(test: &'a str, what: &'a str, trials: usize) -> Self {
        let (debian, seed) = (Debian::Twelve, None);
        Self { name: test, what, test, debian, trials, sample: true, seed }
    }
}

impl Report {
    pub fn new(heading: &Heading) -> Self {
        let Heading { name, what, test, debian, trials, sample, seed } = *heading;
        let seeded = seed.map(|seed| format!("STACKC_SEED={seed} ")).unwrap_or_default();
        let again = format!("{seeded}cargo test --test it {test} -- --ignored");
        let mut summary = Summary::new(what, &again, seed);
        summary.run.sample = sample;
        let results = Results::new(name, summary);
        Self { results, on: format!("Debian {debian}"), trials, done: 0, missed: 0 }
    }

    /// Adds a record, with the evidence when it failed, and says so.
    pub fn add(&mut self, record: &Record, evidence: Option<&str>) {
        let verdict = verdict(record);
        self.done += 1;
        self.missed += usize::from(!record.hit);
        eprintln!("faults, {} of {}: {}", self.done, self.trials, one_line(record));
        if let Some(evidence) = evidence {
            self.keep(record, evidence);
        }
        self.results.add(&sort(record, &self.on), verdict, record.problem.as_deref(), record);
    }

    fn keep(&self, record: &Record, evidence: &str) {
        let problem = record.problem.as_deref().unwrap_or_default();
        let text = format!("{problem}\n\n{evidence}\n");
        match self.results.beside(&format!("{}.log", record.trial)) {
            Some(path) => fs::write(path, text).expect("the disk has room"),
            None => eprintln!("{text}"),
        }
    }

    /// # Panics
    /// When a trial has failed, or so many faults came too late that the sweep has shown little.
    pub fn finish(mut self) {
        let Self { done, missed, trials, .. } = self;
        assert!(self.results.stops() || done == trials, "trials were left out: {done} of {trials}");
        self.results.finish(0);
        assert!(missed * 4 <= done, "{missed} of {done} faults came too late");
    }
}

fn verdict(record: &Record) -> Verdict {
    match record.outcome {
        _ if record.problem.is_some() => Verdict::Failed,
        Outcome::Failed => Verdict::Failed,
        _ if !record.hit => Verdict::TooLate,
        Outcome::Old => Verdict::Old,
        Outcome::New => Verdict::New,
        Outcome::Refused => Verdict::Refused,
    }
}

/// Trials of one command, wire, direction and way.
fn sort(record: &Record, on: &str) -> Sort {
    let fault = format!("{}: {}", record.fault, record.way);
    let direction = record.direction.map(|d| format!(", {}", d.name())).unwrap_or_default();
    let verb = record.command.name().to_owned();
    Sort { fault, verb, on: format!("{on}{direction}"), size: String::new() }
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
fn report_of_a_sweep_tells_what_missed_from_what_was_met_and_what_failed() {
    use crate::{
        cut_traffic::Direction,
        faults_accident::Flaw,
        faults_cuts::{Part, Place, WAYS},
        faults_moment::Moment,
        faults_trial::{Fault, Trial, Verb, Wire},
    };
    let place =
        Place { connection: 1, direction: Direction::Down, after: 3_104, part: Part::Within };
    let cut = Fault::Cut { wire: Wire::Ssh, place, way: WAYS[0] };
    let kill = Fault::Kill(Moment { step: 3, delay: std::time::Duration::from_millis(40) });
    let record = |trial, verb, fault, outcome| {
        let blank = Trial { verb, fault }.record(trial);
        Record { hit: true, outcome, converged: true, seconds: 7, ..blank }
    };
    let undone = record(0, Verb::Change, cut, Outcome::Old);
    let late = Record { hit: false, ..record(1, Verb::Change, cut, Outcome::New) };
    let torn = Record {
        problem: Some("the guest is torn".to_owned()),
        ..record(2, Verb::FirstActivation, kill, Outcome::Old)
    };
    let flawed = record(3, Verb::Rollback, Fault::Flaw(Flaw::UnitFails), Outcome::Old);
    let told = [undone, late, torn, flawed].map(|record| {
        let Sort { fault, verb, on, .. } = sort(&record, "Debian 12");
        format!("{fault} | {verb} | {on} | {:?}\n{}\n", verdict(&record), one_line(&record))
    });
    insta::assert_snapshot!(told.concat());
}
