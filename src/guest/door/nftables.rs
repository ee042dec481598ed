//! Tables of nftables' own, which `iptables-save` does not show.

use super::super::Guest;
use super::super::error::GuestError;
use super::super::system::{Command, System, SystemError};
use super::answers::{LIMIT, answer};
use std::collections::BTreeMap;

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
    Ok(match answer(system, &list)? {
        Ok(output) => Some(parse(&output.text)),
        Err(SystemError::Failed { .. }) => None,
        Err(_) => Some(Tables::new()),
    })
}

/// What putting tables back has come to.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Restored {
    /// The names of those that were others.
    pub names: Vec<String>,
    /// Those of which the kernel did not take what was saved, and why.
    pub refused: Vec<String>,
    /// The text of what stood there.
    pub instead: String,
}

/// Puts tables back, each in one step and for itself: those that are others or gone, and before them away with those that came
/// and may shut somebody out. None where they could not be listed, then or now. Of those that were back once already others
/// are left: what is another since is what units have made of it that came back.
pub fn restore(
    guest: &mut Guest,
    saved: Option<&Tables>,
    is_again: bool,
) -> (Option<Restored>, Result<(), GuestError>) {
    let Some(saved) = saved else { return (None, Ok(())) };
    let now = match look(guest.system) {
        Ok(Some(now)) => now,
        Ok(None) => return (None, Ok(())),
        Err(error) => return (None, Err(error)),
    };
    let (mut restored, mut first) = (Restored::default(), Ok(()));
    for step in way_back(saved, &now, is_again) {
        let done = step.run(guest.system, &mut restored);
        first = first.and(done);
    }
    restored.instead = now.into_values().collect();
    (Some(restored), first)
}

/// What is to be done about one table.
#[derive(Debug, PartialEq, Eq)]
struct Step {
    name: String,
    script: String,
    /// Whether it only takes away what may shut somebody out.
    takes_away: bool,
}

impl Step {
    /// What the kernel does not take again, such as rules for a device that is gone, is told; what does not go keeps shut.
    fn run(self, system: &mut dyn System, restored: &mut Restored) -> Result<(), GuestError> {
        let input = self.script.into_bytes();
        let load = Command { input, ..Command::new(&["nft", "--file", "-"], LIMIT) };
        match answer(system, &load)? {
            Err(error) if self.takes_away => return Err(error.into()),
            Err(error) => {
                let why = GuestError::from(error).refusal("").message;
                restored.refused.push(format!("{}: {why}", self.name));
            }
            Ok(_) => restored.names.push(self.name),
        }
        Ok(())
    }
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

fn way_back(saved: &Tables, now: &Tables, is_again: bool) -> Vec<Step> {
    let came = now.iter().filter(|(name, now)| !saved.contains_key(*name) && shuts_out(now));
    let away = came.map(|(name, _)| Step {
        name: name.clone(),
        script: format!("delete table {name}\n"),
        takes_away: true,
    });
    let is_other = |(name, was): &(&String, &String)| match now.get(*name) {
        None => true,
        Some(now) => !is_again && without_elements(now) != without_elements(was),
    };
    let back = saved.iter().filter(is_other).map(|(name, was)| Step {
        name: name.clone(),
        // What is declared exists, so that it can be deleted whether it was there or not.
        script: format!("table {name}\ndelete table {name}\n{was}"),
        takes_away: false,
    });
    away.chain(back).collect()
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

    fn back(saved: &str, now: &str) -> Vec<(String, String)> {
        let steps = way_back(&parse(saved), &parse(now), false);
        steps.into_iter().map(|step| (step.name, step.script)).collect()
    }

    fn step(name: &str, script: &str) -> (String, String) {
        (name.to_owned(), script.to_owned())
    }

    #[test]
    fn a_table_that_came_and_shuts_out_goes_and_one_that_only_passes_on_stays() {
        let now = [COMPAT, BANS, OUT].concat();
        assert_eq!(back(BANS, &now), [step("inet out", "delete table inet out\n")]);
        let passes = OUT.replace("hook input", "hook forward");
        assert!(back("", &passes).is_empty());
        assert!(back("", &OUT.replace("drop", "accept")).is_empty());
        for hook in ["ingress device \"eth0\"", "prerouting", "output"] {
            assert_eq!(back("", &OUT.replace("input", hook))[0].0, "inet out", "{hook}");
        }
    }

    #[test]
    fn a_table_that_was_changed_or_flushed_is_made_anew_and_bans_in_it_are_no_change() {
        let banned = BANS.replace("203.0.113.10 }", "203.0.113.77,\n\t\t\t     203.0.113.78 }");
        assert!(back(BANS, &banned).is_empty());
        let made = format!("table inet f2b-table\ndelete table inet f2b-table\n{BANS}");
        let dropped = BANS.replace("@addr-set-sshd reject", "@addr-set-sshd reject\n\t\tdrop");
        for now in ["", COMPAT, &dropped] {
            assert_eq!(back(BANS, now), [step("inet f2b-table", &made)], "{now}");
        }
    }

    #[test]
    fn what_shuts_out_goes_before_anything_comes_back_that_may_be_refused() {
        let names: Vec<_> = back(BANS, OUT).into_iter().map(|(name, _)| name).collect();
        assert_eq!(names, ["inet out", "inet f2b-table"]);
    }
}
