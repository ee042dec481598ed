//! What a bundle changes of the firewall, for people: who may come in after the switch is what a reviewer looks for.

use super::{difference::ValueChange, documents, live::Live};
use crate::model::{Bundle, document};
use serde_json::Value;
use similar::{Algorithm, DiffOp, capture_diff_slices};
use std::{borrow::Cow, collections::BTreeSet, fmt};

/// ufw writes each rule twice: for iptables, and as this comment for itself. Source: ufw 0.36.2, `backend_iptables.py`.
const TUPLE: &str = "### tuple ### ";

/// A rule as ufw reads it back.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rule {
    /// `allow`, `deny`, `reject` or `limit`.
    pub action: String,
    /// `in` or `out`, and behind `_` an interface.
    pub direction: String,
    /// `tcp`, `udp`, or `any`.
    pub protocol: String,
    pub to: String,
    /// A port, a list or a range, as ufw writes them; `any`.
    pub port: String,
    pub from: String,
    pub from_port: String,
    pub comment: Option<String>,
}

/// Rules and settings that come (`+`), go (`-`), and differ in their comment only (`~`), in words.
pub(super) fn changes(bundle: &Bundle, live: &Live) -> Vec<String> {
    let old_document = |name: &str| live.documents.get(name).map(String::as_bytes);
    let (mut gone, mut come) = (BTreeSet::new(), BTreeSet::new());
    let ufw = [old_document(document::UFW), documents::bytes(bundle, document::UFW)];
    let [old, new] = ufw.map(settings);
    gone.extend(old.difference(&new).cloned());
    come.extend(new.difference(&old).cloned());
    let mut commented = Vec::new();
    for name in [document::USER_RULES, document::USER6_RULES] {
        let (before, after) = (old_document(name), documents::bytes(bundle, name));
        for change in rule_changes(before, after) {
            gone.extend(change.from);
            come.extend(change.to);
        }
        commented.extend(other_comments(before, after));
    }
    let signed = |sign: char| move |words: String| format!("{sign} firewall {words}");
    let gone = gone.into_iter().map(signed('-'));
    gone.chain(come.into_iter().map(signed('+')))
        .chain(commented.into_iter().map(signed('~')))
        .collect()
}

/// Rules that stay and get another comment.
fn other_comments(before: Option<&[u8]>, after: Option<&[u8]>) -> Vec<String> {
    let [before, after] = [before, after].map(|bytes| text(bytes).into_owned());
    let old: BTreeSet<&str> = tuples(&before).collect();
    let words: BTreeSet<String> = old.iter().map(|tuple| words_of(tuple)).collect();
    let is_other = |tuple: &&str| !old.contains(tuple) && words.contains(&words_of(tuple));
    tuples(&after).filter(is_other).map(|tuple| words_of(tuple) + ": another comment").collect()
}

/// Rules that come and go between two rules files. The first rule that fits counts, so one that moves goes and comes.
pub(super) fn rule_changes(before: Option<&[u8]>, after: Option<&[u8]>) -> Vec<ValueChange> {
    let words = |bytes| tuples(&text(bytes)).map(words_of).collect::<Vec<String>>();
    let (old, new) = (words(before), words(after));
    let mut found = Vec::new();
    for op in capture_diff_slices(Algorithm::Myers, &old, &new) {
        if !matches!(op, DiffOp::Equal { .. }) {
            found.extend(old[op.old_range()].iter().map(|rule| ValueChange::removed("rule", rule)));
            found.extend(new[op.new_range()].iter().map(|rule| ValueChange::added("rule", rule)));
        }
    }
    found
}

/// The rules of a bundle's two files, in the order in which they count.
pub fn rules(bundle: &Bundle) -> Vec<Rule> {
    let names = [document::USER_RULES, document::USER6_RULES];
    let files = names.iter().filter_map(|name| documents::bytes(bundle, name));
    let texts: Vec<_> = files.map(String::from_utf8_lossy).collect();
    texts.iter().flat_map(|text| tuples(text).filter_map(Rule::read)).collect()
}

/// The settings of `ufw.json`.
fn settings(document: Option<&[u8]>) -> BTreeSet<String> {
    match serde_json::from_slice(document.unwrap_or_default()) {
        Ok(Value::Object(settings)) => {
            settings.iter().map(|(key, value)| format!("{key} = {value}")).collect()
        }
        _ => BTreeSet::new(),
    }
}

fn text(document: Option<&[u8]>) -> Cow<'_, str> {
    String::from_utf8_lossy(document.unwrap_or_default())
}

fn tuples(rules: &str) -> impl Iterator<Item = &str> {
    rules.lines().filter_map(|line| line.strip_prefix(TUPLE))
}

/// A rule in words; one of another form as it stands.
fn words_of(tuple: &str) -> String {
    Rule::read(tuple).map_or_else(|| tuple.to_owned(), |rule| rule.to_string())
}

impl Rule {
    /// `allow tcp 22 0.0.0.0/0 any 10.0.0.0/8 in`, and perhaps a comment in hex.
    fn read(tuple: &str) -> Option<Self> {
        let (tuple, comment) = match tuple.split_once(" comment=") {
            Some((tuple, hex)) => (tuple, Some(unhex(hex)?)),
            None => (tuple, None),
        };
        let words: Vec<String> = tuple.split(' ').map(str::to_owned).collect();
        let [action, protocol, port, to, from_port, from, direction] = words.try_into().ok()?;
        Some(Self { action, direction, protocol, to, port, from, from_port, comment })
    }

    /// Whether the rule is for what comes in.
    pub fn is_inbound(&self) -> bool {
        self.direction == "in" || self.direction.starts_with("in_")
    }

    /// Whether the rule is for IPv6.
    pub fn is_v6(&self) -> bool {
        self.to.contains(':') || self.from.contains(':')
    }

    /// The source of what it is for; none when that is anyone.
    pub fn source(&self) -> Option<&str> {
        Some(self.from.as_str()).filter(|from| !EVERYWHERE.contains(from))
    }

    /// The card that it is for, if one.
    pub fn card(&self) -> Option<&str> {
        self.direction.split_once('_').map(|(_, card)| card)
    }

    /// What else it asks of a packet: where from on its host, and where to on this one.
    pub fn conditions(&self) -> String {
        let told = [(" from port ", &self.from_port), (" to ", &self.to)];
        let told = told.iter().filter(|(_, value)| !EVERYWHERE.contains(&value.as_str()));
        told.map(|(word, value)| format!("{word}{value}")).collect::<Vec<_>>().concat()
    }
}

/// How ufw writes an address or port that may be any.
const EVERYWHERE: [&str; 3] = ["any", "0.0.0.0/0", "::/0"];

/// `allow in on eth0 tcp to port 22 from 10.0.0.0/8`; the comment is left out.
impl fmt::Display for Rule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.action, self.direction.replacen('_', " on ", 1))?;
        let told = [
            ("", &self.protocol),
            ("to ", &self.to),
            ("to port ", &self.port),
            ("from ", &self.from),
            ("from port ", &self.from_port),
        ];
        for (word, value) in told {
            if !EVERYWHERE.contains(&value.as_str()) {
                write!(f, " {word}{value}")?;
            }
        }
        f.write_str(if self.is_v6() { " (v6)" } else { "" })
    }
}

fn unhex(hex: &str) -> Option<String> {
    let pair = |pair: &[u8]| u8::from_str_radix(str::from_utf8(pair).ok()?, 16).ok();
    let bytes: Option<Vec<u8>> = hex.as_bytes().chunks(2).map(pair).collect();
    String::from_utf8(bytes?).ok()
}

#[cfg(test)]
mod tests {
    use super::{other_comments, rule_changes, settings, tuples, words_of};

    #[test]
    fn rules_and_settings_are_told_in_words() {
        let rules = "*filter\n### tuple ### limit tcp 22 0.0.0.0/0 any 10.0.0.0/8 in comment=6f70\n\
                     -A ufw-user-input -p tcp --dport 22 -j x\n### tuple ### allow any 8000 ::/0 any ::/0 in\n\
                     ### tuple ### deny udp 53 10.0.0.2 any 0.0.0.0/0 in_eth0_1\n";
        assert_eq!(
            tuples(rules).map(words_of).collect::<Vec<_>>(),
            [
                "limit in tcp to port 22 from 10.0.0.0/8",
                "allow in to port 8000 (v6)",
                "deny in on eth0_1 udp to 10.0.0.2 to port 53"
            ]
        );
        assert!(settings(Some(b"{\"enabled\":true}\n")).iter().eq(["enabled = true"]));
        assert!(settings(None).is_empty());
    }

    #[test]
    fn a_rule_that_moves_or_gets_another_comment_is_told() {
        let rule = |port: u16| format!("### tuple ### allow tcp {port} 0.0.0.0/0 any 0.0.0.0/0 in");
        let (one, two) = (rule(1), rule(2));
        let (old, new) = (format!("{one}\n{two}\n"), format!("{two}\n{one} comment=6f70\n"));
        let changes = rule_changes(Some(old.as_bytes()), Some(new.as_bytes()));
        let gone: Vec<_> = changes.iter().filter_map(|change| change.from.clone()).collect();
        let come: Vec<_> = changes.iter().filter_map(|change| change.to.clone()).collect();
        assert_eq!((gone.len(), &gone), (1, &come));
        let told = other_comments(Some(old.as_bytes()), Some(new.as_bytes()));
        assert_eq!(told, ["allow in tcp to port 1: another comment"]);
    }
}
