//! Hooks as the one who approves them reads them.

use crate::model::Hook;
use std::collections::BTreeMap;

/// A line for each hook, in the order in which they run.
pub(super) fn lines(hooks: &BTreeMap<String, Hook>) -> Vec<String> {
    let line = |(name, hook): (&String, &Hook)| {
        let words: Vec<String> = hook.argv.iter().map(|word| quoted(word)).collect();
        let seconds = hook.timeout_seconds;
        format!("{name}: {} as {}, {seconds} s at most", words.join(" "), hook.user)
    };
    hooks.iter().map(line).collect()
}

/// A word that blanks or quotes would make look like others.
fn quoted(word: &str) -> String {
    let is_plain = |c: char| c.is_alphanumeric() || "/.,:;@%+=_-".contains(c);
    if !word.is_empty() && word.chars().all(is_plain) {
        word.to_owned()
    } else {
        format!("{word:?}")
    }
}
