//! What did not work on some guests, while the others are told.

use super::output;
use crate::{activate::Failed, model::Target, plan::difference::visible};
use serde_json::{Value, json};

/// The failures of one verb.
#[derive(Default)]
pub struct Failures {
    /// The highest exit code.
    pub code: u8,
    documents: Vec<Value>,
}

impl Failures {
    /// Prints one, and keeps it for programs.
    pub fn add(&mut self, target: &Target, failed: &Failed) {
        self.code = self.code.max(show_failure(target, failed));
        self.documents.push(document(target, failed));
    }

    /// What did work, in its order; what did not is added.
    pub fn sift<T>(&mut self, results: Vec<Result<T, (Target, Failed)>>) -> Vec<T> {
        let good = |result: Result<T, (Target, Failed)>| {
            result.map_err(|(target, failed)| self.add(&target, &failed)).ok()
        };
        results.into_iter().filter_map(good).collect()
    }

    /// The one document of a verb: what there is of each guest, under this key, and the failures.
    pub fn print_json(&self, key: &str, guests: impl Iterator<Item = Value>) {
        let guests: Vec<Value> = guests.collect();
        output::print_json(&json!({ key: guests, "failures": self.documents }));
    }
}

/// Prints a failed activation: what, evidence, state, and the command to go on with. Returns its exit code.
pub fn show_failure(target: &Target, failed: &Failed) -> u8 {
    output::tell(&failure_text(target, failed));
    failed.exit_code()
}

/// What guests and their programs say must not move the cursor, nor set a clipboard.
fn failure_text(target: &Target, failed: &Failed) -> String {
    let evidence = failed.error.evidence().into_iter().map(|line| format!("    │ {line}\n"));
    let evidence = evidence.collect::<Vec<_>>().concat();
    let next = failed.error.next().map(|next| format!("  next:  {next}\n")).unwrap_or_default();
    let what = named(target, &failed.error.to_string());
    let (because, state) = (output::because(&failed.error), failed.state());
    visible(&format!("error: {what}\n{because}{evidence}  state: {state}\n{next}")).into_owned()
}

/// A message with its guest's name, once: among several guests a reader has to know which one is meant.
fn named(target: &Target, message: &str) -> String {
    let name = target.to_string();
    let mut words = message.split(|c: char| c.is_whitespace() || ",;:`".contains(c));
    if words.any(|word| word == name) {
        return message.to_owned();
    }
    format!("{name}: {message}")
}

/// The same for programs.
fn document(target: &Target, failed: &Failed) -> Value {
    json!({
        "target": target.to_string(),
        "message": failed.error.to_string(),
        "because": output::causes(&failed.error),
        "evidence": failed.error.evidence(),
        "state": failed.state(),
        "next": failed.error.next(),
        "exit_code": failed.exit_code(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::activate::{ActivateError, Stage};
    use crate::model::{Failure, GenerationId, Phase, TxState};
    use std::collections::BTreeMap;

    #[test]
    fn a_log_that_is_shown_cannot_steer_the_terminal() {
        let what = "it crashed".to_owned();
        let evidence = vec!["app: \u{1b}]52;c;cm0=\u{7}\u{1b}[2J\ttext".to_owned()];
        let failure = Some(Failure::new(what.clone(), evidence));
        let tx = "00000000000000a1".parse().expect("it is a transaction's name");
        let (phase, downtime_ms) = (Phase::Undone, BTreeMap::new());
        let state = Box::new(TxState {
            tx,
            phase,
            failure,
            downtime_ms,
            down_since_ms: BTreeMap::new(),
            switch_ms: 0,
            drift_copies: Vec::new(),
        });
        let (project, env) = ("shop".parse().expect("a name"), "dev".parse().expect("a name"));
        let target = Target { project, env };
        let from = GenerationId(1);
        let error = ActivateError::Undone { target: target.clone(), from, what, state };
        let text = failure_text(&target, &Failed { stage: Stage::Undone, error });
        assert!(
            text.contains("    │ app: <U+001B>]52;c;cm0=<U+0007><U+001B>[2J\ttext\n"),
            "{text}"
        );
    }

    #[test]
    fn a_failure_names_its_guest_once() {
        let target = Target {
            project: "shop".parse().expect("a project"),
            env: "dev".parse().expect("an env"),
        };
        let named = |message| named(&target, message);
        assert_eq!(named("shop/dev went back"), "shop/dev went back");
        assert_eq!(named("files of shop/dev: two"), "files of shop/dev: two");
        assert_eq!(named("shop/dev2 is busy"), "shop/dev: shop/dev2 is busy");
        assert_eq!(named("no route"), "shop/dev: no route");
    }
}
