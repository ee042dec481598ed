//! The kernel's rules after a transition, against what a plan says and what ufw's files have.

use crate::{
    exact_eye::without_counters,
    exact_paths::Wanted,
    exact_picture::{KEPT, Picture},
};
use serde_json::Value;
use stackc::model::layout;
use std::collections::BTreeSet;

/// How ufw marks each rule for itself.
const TUPLE: &str = "### tuple ### ";
/// What a plan says of the kernel's rules on the way to the guest as it was found.
const AS_FOUND: &str = "the kernel's rules as they were found";
/// Settings as a plan names them, where ufw has them.
const SETTINGS: [(&str, &str, &str); 6] = [
    ("enabled", layout::UFW_CONF, "ENABLED"),
    ("logging", layout::UFW_CONF, "LOGLEVEL"),
    ("ipv6", layout::UFW_DEFAULTS, "IPV6"),
    ("incoming", layout::UFW_DEFAULTS, "DEFAULT_INPUT_POLICY"),
    ("outgoing", layout::UFW_DEFAULTS, "DEFAULT_OUTPUT_POLICY"),
    ("routed", layout::UFW_DEFAULTS, "DEFAULT_FORWARD_POLICY"),
];

pub fn faults(wanted: &Wanted<'_>, before: &Picture, after: &Picture) -> Vec<String> {
    let mut faults = Vec::new();
    let changed = before.rules.kernel != after.rules.kernel;
    let said = &wanted.said.firewall;
    if changed && said.is_empty() {
        faults.push("the kernel has other rules, and the plan says nothing of it".to_owned());
        faults.extend(other_lines(&before.rules.kernel, &after.rules.kernel));
    }
    let is_stopped = after.rules.files.is_empty() && is_emptied(&after.rules.kernel);
    if wanted.bundle.is_some() && after.rules.kernel != after.rules.files && !is_stopped {
        faults.push("the kernel's rules are not what ufw's files say".to_owned());
        faults.extend(other_lines(&after.rules.files, &after.rules.kernel));
    }
    if wanted.bundle.is_none() && !said.is_empty() {
        let found = found(before);
        if after.rules.kernel != found {
            faults.push("the kernel's rules are not what was found".to_owned());
            faults.extend(other_lines(&found, &after.rules.kernel));
        }
    }
    let has = |line: &&String| told(line, before, after);
    faults.extend(said.iter().filter(|line| !has(line)).map(|l| format!("it did not happen: {l}")));
    if wanted.bundle.is_some() {
        faults.extend(settings_faults(said, before, after));
        for path in [layout::USER_RULES, layout::USER6_RULES] {
            // What was found is nobody's: the plan says all that comes.
            let old = if before.is_as_found() { "" } else { before.text(path) };
            faults.extend(rules_faults(said, old, after.text(path)));
        }
    }
    faults
}

/// The kernel's rules as they were written down before a switch first changed any.
fn found(before: &Picture) -> Vec<String> {
    let text = before.text(&format!("{KEPT}/generations/0/found.json"));
    let found: Value = serde_json::from_str(text).expect("what was found is written down");
    let rules = &found["kept"]["rules"];
    let families = ["v4", "v6"].map(|family| rules[family].as_str().expect("rules were loaded"));
    families.iter().flat_map(|saved| without_counters(saved)).collect()
}

/// A file of ufw's with the settings of a bundle's document, each where it stands already.
pub fn with_settings(path: &str, text: &str, document: &Value) -> String {
    let mut text = text.to_owned();
    for (name, _, key) in SETTINGS.iter().filter(|(_, at, _)| *at == path) {
        let value = match &document[name] {
            Value::Bool(on) => if *on { "yes" } else { "no" }.to_owned(),
            Value::String(word) if *key == "LOGLEVEL" => word.clone(),
            Value::String(word) => format!("\"{}\"", word.to_uppercase()),
            other => panic!("{name} is {other}"),
        };
        let start = format!("{key}=");
        let old = text.lines().find(|line| line.starts_with(&start));
        let old = old.unwrap_or_else(|| panic!("{path} has no {key}")).to_owned();
        text = text.replacen(&format!("{old}\n"), &format!("{start}{value}\n"), 1);
    }
    text
}

/// Whether this is what a stop of ufw leaves until the next boot: its chains, hooked in, with nothing in them, and policies
/// that let everything through.
fn is_emptied(kernel: &[String]) -> bool {
    let lets_through = |chain: &str| chain.starts_with("ufw") || chain.ends_with(" ACCEPT");
    kernel.iter().all(|line| {
        let hook = line.split_once(" -j ").filter(|(chain, _)| chain.matches(' ').count() == 1);
        line.strip_prefix(':').is_some_and(lets_through)
            || hook.is_some_and(|(chain, to)| !chain.contains("ufw") && to.starts_with("ufw"))
            || ["*filter", "COMMIT"].contains(&line.as_str())
    })
}

/// Whether what a line is about was or is there.
fn told(line: &str, before: &Picture, after: &Picture) -> bool {
    let (sign, words) = line.split_once(" firewall ").expect("it is a line of the firewall");
    match sign {
        "-" => words_of(before).contains(words),
        "+" if words == AS_FOUND => after.rules.kernel == found(before),
        "+" => words_of(after).contains(words),
        _ => words.ends_with(": another comment"),
    }
}

fn words_of(picture: &Picture) -> BTreeSet<String> {
    let rules = [layout::USER_RULES, layout::USER6_RULES].map(|path| picture.text(path));
    let rules = rules.iter().flat_map(|text| tuples(text)).map(|(words, _)| words);
    rules.chain(settings(picture)).collect()
}

/// Keys that differ and that no line tells.
fn settings_faults(said: &BTreeSet<String>, before: &Picture, after: &Picture) -> Vec<String> {
    let (old, new) = (settings(before), settings(after));
    let untold = |sign: char, words: &String| {
        let line = format!("{sign} firewall {words}");
        (!said.contains(&line)).then(|| format!("nobody planned: {line}"))
    };
    let gone = old.difference(&new).filter(|_| !before.is_as_found());
    let gone = gone.filter_map(|words| untold('-', words));
    gone.chain(new.difference(&old).filter_map(|words| untold('+', words))).collect()
}

/// Where the rules that no line tells are not the same ones, in the same order, with the same comments.
fn rules_faults(said: &BTreeSet<String>, before: &str, after: &str) -> Option<String> {
    let is_told = |sign: char, words: &str| said.contains(&format!("{sign} firewall {words}"));
    let commented = |words: &str| said.contains(&format!("~ firewall {words}: another comment"));
    let kept = |text: &str, sign: char| {
        let rules = tuples(text).filter(|(words, _)| !is_told(sign, words));
        let rules = rules.map(|(words, comment)| {
            let comment = if commented(&words) { String::new() } else { comment };
            (words, comment)
        });
        rules.collect::<Vec<_>>()
    };
    let (old, new) = (kept(before, '-'), kept(after, '+'));
    (old != new).then(|| {
        format!("the plan says of the rules {said:?}, and they were {old:?} and are {new:?}")
    })
}

/// Each rule in a plan's words, with its comment.
fn tuples(text: &str) -> impl Iterator<Item = (String, String)> {
    let tuples = text.lines().filter_map(|line| line.strip_prefix(TUPLE));
    tuples.map(|tuple| {
        let (tuple, comment) = tuple.split_once(" comment=").unwrap_or((tuple, ""));
        (rule(tuple), comment.to_owned())
    })
}

fn other_lines(wanted: &[String], found: &[String]) -> Vec<String> {
    let (wanted, found): (BTreeSet<_>, BTreeSet<_>) =
        (wanted.iter().collect(), found.iter().collect());
    let gone = wanted.difference(&found).map(|line| format!("  - {line}"));
    gone.chain(found.difference(&wanted).map(|line| format!("  + {line}"))).collect()
}

/// The keys that stackc sets, as a plan names them.
fn settings(picture: &Picture) -> BTreeSet<String> {
    let setting = |(name, path, key): &(&str, &str, &str)| {
        let start = format!("{key}=");
        let value = picture.text(path).lines().find_map(|line| line.strip_prefix(&start))?;
        Some(format!("{name} = {}", as_in_documents(value)))
    };
    SETTINGS.iter().filter_map(setting).collect()
}

/// A setting's value as the bundle's document has it.
fn as_in_documents(value: &str) -> String {
    match value.trim_matches('"') {
        "yes" => "true".to_owned(),
        "no" => "false".to_owned(),
        text => format!("\"{}\"", text.to_lowercase()),
    }
}

/// `allow tcp 22 0.0.0.0/0 any 10.0.0.0/8 in comment=…` in a plan's words.
fn rule(tuple: &str) -> String {
    let words: Vec<&str> = tuple.split(' ').collect();
    let [action, protocol, port, to, _, from, direction, ..] = words[..] else {
        panic!("no rule of ufw's: {tuple}")
    };
    let is_six = to.contains(':') || from.contains(':');
    let mut text = format!("{action} {direction}");
    for (word, value) in [("", protocol), ("to ", to), ("to port ", port), ("from ", from)] {
        if !["any", "0.0.0.0/0", "::/0"].contains(&value) {
            text.extend([" ", word, value]);
        }
    }
    text + if is_six { " (v6)" } else { "" }
}

#[test]
fn what_a_stop_of_ufw_leaves_is_told_from_rules_that_refuse() {
    let left = "*filter\n:INPUT ACCEPT\n:ufw-before-input -\n:ufw-user-input -\n-A INPUT -j ufw-before-input\nCOMMIT";
    let is_emptied =
        |text: &str| is_emptied(&text.lines().map(str::to_owned).collect::<Vec<String>>());
    assert!(is_emptied(left));
    for (before, after) in [
        (":INPUT ACCEPT", ":INPUT DROP"),
        ("COMMIT", "-A ufw-before-input -j DROP\nCOMMIT"),
        ("COMMIT", "-A ufw-before-input -j ufw-user-input\nCOMMIT"),
        ("COMMIT", "-A INPUT -p tcp -j DROP\nCOMMIT"),
        ("COMMIT", ":theirs -\nCOMMIT"),
    ] {
        assert!(!is_emptied(&left.replace(before, after)), "{after}");
    }
}
