//! What a rule of the kernel is about, and whose it is.

use super::tables::{Chain, Table, after, target, words};
use std::collections::BTreeSet;

/// What goes on to others than this guest passes there, and nothing else.
pub fn is_passed(table: &str, chain: &str) -> bool {
    chain == "FORWARD" || table == "nat" && chain == "POSTROUTING"
}

/// Chains that the way in leads through, now or before.
pub fn reached<'m>(table: &str, was: &Table, now: &'m Table) -> BTreeSet<&'m str> {
    let is_way =
        |(name, chain): &(&String, &Chain)| chain.policy.is_some() && !is_passed(table, name);
    let first = now.iter().filter(is_way).map(|(name, _)| name.as_str());
    let (mut reached, mut left) = (BTreeSet::new(), first.collect::<Vec<_>>());
    while let Some(name) = left.pop() {
        if reached.insert(name) {
            let both = [was.get(name), now.get(name)];
            let rules = both.into_iter().flatten().flat_map(|chain| &chain.rules);
            let targets = rules.filter_map(|rule| target(&words(rule)).map(str::to_owned));
            left.extend(targets.filter_map(|name| Some(now.get_key_value(&name)?.0.as_str())));
        }
    }
    reached
}

/// Whether a chain is one of ufw's.
pub fn is_ufw(chain: &str) -> bool {
    chain.starts_with("ufw")
}

pub fn leads_to_ufw(rule: &str) -> bool {
    target(&words(rule)).is_some_and(is_ufw)
}

/// The one host that a rule is about.
pub fn single_source(words: &[String]) -> Option<&str> {
    let source = after(words, &["-s"])?;
    match source.split_once('/') {
        None | Some((_, "32" | "128")) => source.split('/').next().filter(|host| !host.is_empty()),
        Some(_) => None,
    }
}
