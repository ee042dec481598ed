//! What a bundle changes of the firewall, for people: who may come in after the switch is what a reviewer looks for.

use super::{difference::ValueChange, documents, live::Live};
use crate::model::{Bundle, document};
use serde_json::Value;
use similar::{Algorithm, DiffOp, capture_diff_slices};
use std::{collections::BTreeSet, fmt};

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

/// Rules and settings that come (`+`) and go (`-`), in words.
pub(super) fn changes(bundle: &Bundle, live: &Live) -> Vec<String> {
    let names = [document::UFW, document::USER_RULES, document::USER6_RULES];
    let old: BTreeSet<String> =
        names.iter().filter_map(|name| live.documents.get(*name)).flat_map(|d| lines(d)).collect();
    let wanted = names.iter().filter_map(|name| documents::bytes(bundle, name));
    let new: BTreeSet<String> =
        wanted.flat_map(|bytes| lines(&String::from_utf8_lossy(bytes))).collect();
    let gone = old.difference(&new).map(|line| format!("- firewall {line}"));
    let come = new.difference(&old).map(|line| format!("+ firewall {line}"));
    gone.chain(come).collect()
}

/// Rules that come and go between two rules files. The first rule that fits counts, so one that moves goes and comes.
pub(super) fn rule_changes(before: Option<&[u8]>, after: Option<&[u8]>) -> Vec<ValueChange> {
    let words = |bytes: Option<&[u8]>| -> Vec<String> {
        let text = String::from_utf8_lossy(bytes.unwrap_or_default());
        tuples(&text).map(words_of).collect()
    };
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

/// The rules of a rules file, or the settings of `ufw.json`.
fn lines(document: &str) -> Vec<String> {
    match serde_json::from_str::<Value>(document) {
        Ok(Value::Object(settings)) => {
            settings.iter().map(|(key, value)| format!("{key} = {value}")).collect()
        }
        _ => tuples(document).map(words_of).collect(),
    }
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
    use super::lines;

    #[test]
    fn rules_and_settings_are_told_in_words() {
        let rules = "*filter\n### tuple ### limit tcp 22 0.0.0.0/0 any 10.0.0.0/8 in comment=6f70\n\
                     -A ufw-user-input -p tcp --dport 22 -j x\n### tuple ### allow any 8000 ::/0 any ::/0 in\n\
                     ### tuple ### deny udp 53 10.0.0.2 any 0.0.0.0/0 in_eth0_1\n";
        assert_eq!(
            lines(rules),
            [
                "limit in tcp to port 22 from 10.0.0.0/8",
                "allow in to port 8000 (v6)",
                "deny in on eth0_1 udp to 10.0.0.2 to port 53"
            ]
        );
        assert_eq!(lines("{\"enabled\":true}\n"), ["enabled = true"]);
    }
}
