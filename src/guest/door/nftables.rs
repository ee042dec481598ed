//! Tables of nftables' own, which `iptables-save` does not show.

use super::super::Guest;
use super::super::error::GuestError;
use super::super::system::{Command, System, SystemError, run};
use std::collections::BTreeMap;
use std::io::ErrorKind::NotFound;
use std::time::Duration;

const LIMIT: Duration = Duration::from_secs(10);
/// Tables that iptables has made there, of IPv4 and of IPv6.
const IPTABLES: [&str; 5] = ["filter", "mangle", "nat", "raw", "security"];
/// Where what is for this guest passes, or what it answers. Source: nft(8).
const HOOKS: [&str; 6] = [
    "hook egress",
    "hook ingress",
    "hook input",
    "hook output",
    "hook postrouting",
    "hook prerouting",
];
/// What turns somebody away, or leads them elsewhere.
const VERDICTS: [&str; 7] = ["dnat", "drop", "dup", "queue", "redirect", "reject", "tproxy"];

/// Text of each table by its family and name: `inet f2b-table`.
pub type Tables = BTreeMap<String, String>;

/// Takes them down; none when they cannot be listed as a whole. A guest without nft(8) has no tables.
pub fn look(system: &mut dyn System) -> Result<Option<Tables>, GuestError> {
    let list = Command::asking(&["nft", "--stateless", "list", "ruleset"], LIMIT);
    match run(system, &list) {
        Ok(output) => Ok(Some(parse(&output.text))),
        Err(SystemError::Spawn { cause, .. }) if cause.kind() == NotFound => {
            Ok(Some(Tables::new()))
        }
        Err(SystemError::NoSystem { .. }) => Ok(Some(Tables::new())),
        Err(SystemError::Failed { .. }) => Ok(None),
        Err(error) => Err(error.into()),
    }
}

/// Puts tables back in one step: those that are others or gone, and away with those that came and may shut somebody out.
/// Their names, and the text of what stood there; none where they could not be listed, then or now.
pub fn restore(
    guest: &mut Guest,
    saved: Option<&Tables>,
) -> Result<Option<(Vec<String>, String)>, GuestError> {
    let (Some(saved), Some(now)) = (saved, look(guest.system)?) else { return Ok(None) };
    let (names, script) = way_back(saved, &now);
    if !names.is_empty() {
        let load = Command::new(&["nft", "--file", "-"], LIMIT);
        run(guest.system, &Command { input: script.into_bytes(), ..load })?;
    }
    Ok(Some((names, now.into_values().collect())))
}

fn parse(text: &str) -> Tables {
    let mut tables = Tables::new();
    let mut name = None;
    for line in text.lines() {
        if let Some(rest) = line.strip_prefix("table ") {
            name = Some(rest.trim_end_matches(['{', ' ']).to_owned())
                .filter(|name| !is_iptables(name));
        }
        if let Some(name) = &name {
            let table = tables.entry(name.clone()).or_default();
            table.push_str(line);
            table.push('\n');
        }
        if line == "}" {
            name = None;
        }
    }
    tables
}

fn is_iptables(name: &str) -> bool {
    let (family, name) = name.split_once(' ').unwrap_or_default();
    matches!(family, "ip" | "ip6") && IPTABLES.contains(&name)
}

fn way_back(saved: &Tables, now: &Tables) -> (Vec<String>, String) {
    let (mut names, mut script) = (Vec::new(), String::new());
    for (name, was) in saved {
        if now.get(name).is_none_or(|now| without_elements(now) != without_elements(was)) {
            names.push(name.clone());
            // What is declared exists, so that it can be deleted whether it was there or not.
            for part in ["table ", name, "\ndelete table ", name, "\n", was] {
                script.push_str(part);
            }
        }
    }
    for (name, _) in now.iter().filter(|(name, now)| !saved.contains_key(*name) && shuts_out(now)) {
        names.push(name.clone());
        for part in ["delete table ", name, "\n"] {
            script.push_str(part);
        }
    }
    (names, script)
}

/// A table without the elements of its sets, which come and go, as bans do.
fn without_elements(table: &str) -> Vec<&str> {
    let mut is_inside = false;
    let mut kept = Vec::new();
    for line in table.lines() {
        is_inside |= line.trim_start().starts_with("elements = {");
        if !is_inside {
            kept.push(line);
        }
        is_inside &= !line.contains('}');
    }
    kept
}

/// Whether a table may shut somebody out of this guest: what only passes through does not.
fn shuts_out(table: &str) -> bool {
    let words = || table.split(|c: char| !c.is_ascii_alphanumeric());
    HOOKS.iter().any(|hook| table.contains(hook)) && words().any(|word| VERDICTS.contains(&word))
}

#[cfg(test)]
mod tests {
    use super::*;

    const BANS: &str = "table inet f2b-table {\n\tset addr-set-sshd {\n\t\ttype ipv4_addr\n\t\telements = { 203.0.113.9,\n\t\t\t     203.0.113.10 }\n\t}\n\n\tchain f2b-chain {\n\t\ttype filter hook input priority filter - 1; policy accept;\n\t\tip saddr @addr-set-sshd reject\n\t}\n}\n";
    const OUT: &str = "table inet out {\n\tchain in {\n\t\ttype filter hook input priority filter; policy drop;\n\t}\n}\n";
    const COMPAT: &str = "# Warning: table ip filter is managed by iptables-nft, do not touch!\ntable ip filter {\n\tchain INPUT {\n\t\ttype filter hook input priority filter; policy drop;\n\t}\n}\n";

    fn back(saved: &str, now: &str) -> (Vec<String>, String) {
        way_back(&parse(saved), &parse(now))
    }

    #[test]
    fn a_table_that_came_and_shuts_out_goes_and_one_that_only_passes_on_stays() {
        let (names, script) = back(BANS, &[COMPAT, BANS, OUT].concat());
        assert_eq!(
            (names, script.as_str()),
            (vec!["inet out".to_owned()], "delete table inet out\n")
        );
        let passes = OUT.replace("hook input", "hook forward");
        assert!(back("", &passes).0.is_empty());
        assert!(back("", &OUT.replace("drop", "accept")).0.is_empty());
        for hook in ["ingress device \"eth0\"", "prerouting", "output"] {
            assert_eq!(back("", &OUT.replace("input", hook)).0, ["inet out"], "{hook}");
        }
    }

    #[test]
    fn a_table_that_was_changed_or_flushed_is_made_anew_and_bans_in_it_are_no_change() {
        let banned = BANS.replace("203.0.113.10 }", "203.0.113.77,\n\t\t\t     203.0.113.78 }");
        assert!(back(BANS, &banned).0.is_empty());
        let made = format!("table inet f2b-table\ndelete table inet f2b-table\n{BANS}");
        let dropped = BANS.replace("@addr-set-sshd reject", "@addr-set-sshd reject\n\t\tdrop");
        for now in ["", COMPAT, &dropped] {
            assert_eq!(back(BANS, now), (vec!["inet f2b-table".to_owned()], made.clone()), "{now}");
        }
    }
}
