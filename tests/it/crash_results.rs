//! States and their verdicts, as they come: a line of JSON each, and the summary at the end.

use crate::{
    crash_scene::Scene,
    fault_summary::{Sort, Summary, Verdict},
};
use serde::Serialize;
use std::{
    fs::{self, File},
    io::Write as _,
    panic::{AssertUnwindSafe, catch_unwind},
    path::PathBuf,
};

/// One fault, and what came of it.
#[derive(Debug, Clone, Serialize)]
pub struct Record {
    pub fault: String,
    pub verb: String,
    pub on: String,
    pub size: String,
    /// At which system call, from 1; in a recovery, after a plus sign.
    pub point: String,
    pub outcome: Verdict,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub problem: Option<String>,
}

/// The records of a run. With `STACKC_CRASH_RESULTS=FOLDER` they are written there: `<name>.states.jsonl`, every state, and
/// `<name>.jsonl`, the summary that is checked in.
pub struct Results {
    summary: Summary,
    problems: Vec<String>,
    states: Option<File>,
    path: Option<PathBuf>,
}

impl Record {
    pub fn new(
        scene: &Scene,
        on: &str,
        (fault, point): (String, String),
        verdict: Result<Verdict, String>,
    ) -> Self {
        let (verb, on) = (scene.verb.word().to_owned(), on.to_owned());
        let files = scene.files;
        let size = format!("{files} file{}", if files == 1 { "" } else { "s" });
        let outcome = verdict.as_ref().copied().unwrap_or(Verdict::Failed);
        Self { fault, verb, on, size, point, outcome, problem: verdict.err() }
    }
}

/// What a judge says; why it panicked, when the state failed.
pub fn caught(judge: impl FnOnce() -> Verdict) -> Result<Verdict, String> {
    catch_unwind(AssertUnwindSafe(judge)).map_err(|panic| {
        let text = panic.downcast_ref::<String>().cloned();
        text.or_else(|| panic.downcast_ref::<&str>().map(|text| (*text).to_owned()))
            .unwrap_or_else(|| "it panicked".to_owned())
    })
}

impl Results {
    pub fn new(name: &str, summary: Summary) -> Self {
        let folder = std::env::var_os("STACKC_CRASH_RESULTS").map(PathBuf::from);
        let path = folder.map(|folder| folder.join(format!("{name}.jsonl")));
        let states = path.as_ref().map(|path| {
            fs::create_dir_all(path.parent().expect("it is in a folder")).expect("it can be made");
            let mut file =
                File::create(path.with_extension("states.jsonl")).expect("it can be made");
            writeln!(file, "{}", json(&summary.run)).expect("there is room");
            file
        });
        Self { summary, problems: Vec::new(), states, path }
    }

    pub fn add(&mut self, record: Record) {
        if let Some(file) = &mut self.states {
            writeln!(file, "{}", json(&record)).expect("there is room");
        }
        if let Some(problem) = &record.problem {
            self.problems.push(format!("{record:?}: {problem}"));
        }
        let Record { fault, verb, on, size, outcome, .. } = record;
        self.summary.count(&Sort { fault, verb, on, size }, outcome);
    }

    /// # Panics
    /// When a state has failed, or so few were made that nothing is shown.
    pub fn finish(mut self, few: u64) {
        if let Some(path) = &self.path {
            self.summary.write(path);
        }
        let states = self.summary.states();
        eprintln!("{}: {states} states", self.summary.run.what);
        let first: Vec<&String> = self.problems.iter().take(5).collect();
        assert!(first.is_empty(), "{} of {states} failed: {first:#?}", self.problems.len());
        assert!(states > few, "only {states} states");
    }
}

fn json(value: &impl Serialize) -> String {
    serde_json::to_string(value).expect("it is JSON")
}
