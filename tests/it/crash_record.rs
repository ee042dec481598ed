//! One fault of a scene, and what came of it.

use crate::{
    crash_scene::Scene,
    fault_results::Results,
    fault_summary::{Sort, Verdict},
};
use serde::Serialize;
use std::sync::Mutex;

#[derive(Debug, Clone, Serialize)]
pub struct Record {
    #[serde(rename = "state")]
    sort: Sort,
    /// At which system call, from 1; in a recovery, after a plus sign. Else the level of what is scarce.
    point: String,
    outcome: Verdict,
    #[serde(skip_serializing_if = "Option::is_none")]
    problem: Option<String>,
}

impl Record {
    pub fn new(
        scene: &Scene,
        on: &str,
        (fault, point): (String, String),
        verdict: Result<Verdict, String>,
    ) -> Self {
        let (verb, on) = (scene.verb.word().to_owned(), on.to_owned());
        let sort = Sort { fault, verb, on, size: scene.size() };
        let outcome = verdict.as_ref().copied().unwrap_or(Verdict::Failed);
        Self { sort, point, outcome, problem: verdict.err() }
    }
}

/// Adds a record to the results that workers share.
pub fn put(results: &Mutex<Results>, record: &Record) {
    let Record { sort, outcome, problem, .. } = record;
    let mut results = results.lock().expect("no worker panics with it");
    results.add(sort, *outcome, problem.as_deref(), record);
}
