//! The states of a run as they come, and its summary: kept also when the run is stopped or dies.

use crate::{
    fault_summary::{Sort, Summary, Verdict, json},
    fault_tested::commit,
};
use serde::Serialize;
use std::{
    any::Any,
    env,
    fs::{self, File},
    io::Write as _,
    panic::{AssertUnwindSafe, catch_unwind},
    path::PathBuf,
    sync::Mutex,
    time::{Duration, Instant},
};

/// How often a long run says how far it is, and writes down what it has.
const OFTEN: Duration = Duration::from_secs(20);

/// The states of a run. With `STACKC_RESULTS=FOLDER` they are written there: `<name>.states.jsonl`, every state, and
/// `<name>.jsonl`, the summary that is checked in.
pub struct Results {
    pub summary: Summary,
    name: String,
    problems: Vec<String>,
    states: Option<File>,
    path: Option<PathBuf>,
    written: Instant,
    limit: Option<Duration>,
    is_stopped: bool,
}

impl Results {
    pub fn new(name: &str, mut summary: Summary) -> Self {
        summary.run.commit = commit(name);
        let folder = env::var_os("STACKC_RESULTS").map(PathBuf::from);
        let path = folder.map(|folder| folder.join(format!("{name}.jsonl")));
        let states = path.as_ref().map(|path| {
            fs::create_dir_all(path.parent().expect("it is in a folder")).expect("it can be made");
            let mut file =
                File::create(path.with_extension("states.jsonl")).expect("it can be made");
            writeln!(file, "{}", json(&summary.run)).expect("there is room");
            file
        });
        Self {
            summary,
            name: name.to_owned(),
            problems: Vec::new(),
            states,
            path,
            written: Instant::now(),
            limit: asked("STACKC_MINUTES").map(|minutes| Duration::from_secs(60 * minutes)),
            is_stopped: false,
        }
    }

    /// Whether the run is to end here though there is more to do: its time is up (`STACKC_MINUTES`).
    pub fn stops(&mut self) -> bool {
        self.is_stopped |= self.limit.is_some_and(|limit| self.summary.started.elapsed() > limit);
        self.is_stopped
    }

    /// A file beside the results, if they are written.
    pub fn beside(&self, extension: &str) -> Option<PathBuf> {
        self.path.as_ref().map(|path| path.with_extension(extension))
    }

    /// Counts a state, and writes down what there is to know of it.
    pub fn add(
        &mut self,
        sort: &Sort,
        verdict: Verdict,
        problem: Option<&str>,
        state: &impl Serialize,
    ) {
        let state = json(state);
        if let Some(file) = &mut self.states {
            writeln!(file, "{state}").expect("there is room");
        }
        let problem = problem.or((verdict == Verdict::Failed).then_some("it failed"));
        if let Some(problem) = problem {
            self.problems.push(format!("{state}: {problem}"));
        }
        self.summary.count(sort, if problem.is_some() { Verdict::Failed } else { verdict });
        self.keep();
    }

    /// Writes down what there is, from time to time.
    pub fn keep(&mut self) {
        if let Some(path) = &self.path
            && self.written.elapsed() > OFTEN
        {
            self.summary.write(path);
            self.written = Instant::now();
            eprintln!("== {}", self.so_far());
        }
    }

    fn so_far(&self) -> String {
        let Self { summary, name, .. } = self;
        let seconds = summary.started.elapsed().as_secs();
        format!("{name}: {} states, {} failed, {seconds} s", summary.states(), summary.failed())
    }

    /// # Panics
    /// When a state has failed, or a run that was not stopped made so few that nothing is shown.
    pub fn finish(mut self, few: u64) {
        self.summary.run.ended = !self.is_stopped;
        if let Some(path) = &self.path {
            self.summary.write(path);
        }
        let end = if self.is_stopped { ", stopped: its time is up" } else { "" };
        eprintln!("== {}{end}", self.so_far());
        let states = self.summary.states();
        let first: Vec<&String> = self.problems.iter().take(5).collect();
        assert_eq!(self.summary.failed(), 0, "of {states} failed: {first:#?}");
        assert!(self.is_stopped || states > few, "only {states} states");
    }
}

/// `Results::stops`, of results that workers share.
pub fn stops(results: &Mutex<Results>) -> bool {
    results.lock().expect("no worker panics with it").stops()
}

/// No run came to one of the places that it was to be disturbed at: what there is shows a sample.
pub fn missed(results: &Mutex<Results>, place: &str) {
    let mut results = results.lock().expect("no worker panics with it");
    if !results.stops() {
        eprintln!("== {}: no run comes to {place}", results.name);
        results.summary.run.sample = true;
    }
}

/// A number that the environment asks for.
pub fn asked(name: &str) -> Option<u64> {
    let text = env::var(name).ok()?;
    Some(text.parse().unwrap_or_else(|error| panic!("{name}=\"{text}\": {error}")))
}

/// What a judge says; why it panicked, when the state failed.
pub fn caught(judge: impl FnOnce() -> Verdict) -> Result<Verdict, String> {
    catch_unwind(AssertUnwindSafe(judge)).map_err(|panic| text_of(&*panic))
}

pub fn text_of(panic: &(dyn Any + Send)) -> String {
    let text = panic.downcast_ref::<String>().map(String::as_str);
    text.or(panic.downcast_ref::<&str>().copied()).unwrap_or("a panic without text").to_owned()
}
