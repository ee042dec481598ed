//! What a bundle changes of the firewall, for people: who may come in after the switch is what a reviewer looks for.

use super::{documents, live::Live};
use crate::model::{Bundle, document};
use serde_json::Value;
use std::collections::BTreeSet;

/// ufw writes each rule twice: for iptables, and as this comment for itself. Source: ufw 0.36.2, `backend_iptables.py`.
const TUPLE: &str = "### tuple ### ";

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

/// The rules of a rules file, or the settings of `ufw.json`.
fn lines(document: &str) -> Vec<String> {
    match serde_json::from_str::<Value>(document) {
        Ok(Value::Object(settings)) => {
            settings.iter().map(|(key, value)| format!("{key} = {value}")).collect()
        }
        _ => document.lines().filter_map(|line| line.strip_prefix(TUPLE).map(rule)).collect(),
    }
}

/// `allow tcp 22 0.0.0.0/0 any 10.0.0.0/8 in` as `allow in tcp to port 22 from 10.0.0.0/8`; the comment is left out.
fn rule(tuple: &str) -> String {
    let words: Vec<&str> = tuple.split(' ').filter(|word| !word.starts_with("comment=")).collect();
    let [action, protocol, port, to, from_port, from, direction] = words[..] else {
        return words.join(" ");
    };
    let told = [
        ("", protocol),
        ("to ", to),
        ("to port ", port),
        ("from ", from),
        ("from port ", from_port),
    ];
    let told = told.iter().filter(|(_, value)| !["any", "0.0.0.0/0"].contains(value));
    let told = told.map(|(word, value)| format!("{word}{value}"));
    [action.to_owned(), direction.to_owned()].into_iter().chain(told).collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::lines;

    #[test]
    fn rules_and_settings_are_told_in_words() {
        let rules = "*filter\n### tuple ### limit tcp 22 0.0.0.0/0 any 10.0.0.0/8 in comment=6f70\n\
                     -A ufw-user-input -p tcp --dport 22 -j x\n### tuple ### allow any 8000 ::/0 any ::/0 in\n";
        assert_eq!(
            lines(rules),
            ["limit in tcp to port 22 from 10.0.0.0/8", "allow in to ::/0 to port 8000 from ::/0"]
        );
        assert_eq!(lines("{\"enabled\":true}\n"), ["enabled = true"]);
    }
}
