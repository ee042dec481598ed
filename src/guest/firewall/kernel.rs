//! The kernel's rules beside a bundle's, chain by chain.
//!
//! The kernel writes a rule in other words than ufw does. Unless those are known (`spelled`), what it would write for the
//! bundle's is asked of itself: they are loaded into a network namespace of their own, where no packet is, and read back. An
//! unprivileged container may do that, and it takes some 7 ms for each address family.

use super::spelled;
use crate::guest::system::{Command, Rules, System, run};
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

const LIMIT: Duration = Duration::from_secs(20);
/// Lines of one chain that are told at most.
const LINES_MAX: usize = 3;

/// The bundle's rules, in the kernel's words or in ufw's.
pub enum Wanted {
    Kept(Rules),
    /// Where the guest may make no namespace. Rules can only be counted then: what is told is certain, and a rule in the
    /// place of another is not told.
    Counted(Rules),
}

/// The rules as the kernel would keep them; none where the guest cannot ask it.
pub fn as_kept(system: &mut dyn System, rules: &Rules, ipv6: bool) -> Option<Rules> {
    let v4 = kept(system, "iptables", &rules.v4)?;
    let v6 = if ipv6 { kept(system, "ip6tables", &rules.v6)? } else { String::new() };
    Some(Rules { v4, v6 })
}

fn kept(system: &mut dyn System, program: &str, text: &str) -> Option<String> {
    let script = format!("{program}-restore && {program}-save");
    let command = Command::asking(&["unshare", "--net", "--", "sh", "-c", &script], LIMIT);
    let command = Command { input: text.as_bytes().to_vec(), ..command };
    run(system, &command).ok().map(|output| output.text)
}

/// The texts of the address families that count.
pub fn families(rules: &Rules, ipv6: bool) -> Vec<(&'static str, &str)> {
    let (v4, v6) = (("IPv4", rules.v4.as_str()), ("IPv6", rules.v6.as_str()));
    if ipv6 { vec![v4, v6] } else { vec![v4] }
}

/// The policy of one of the kernel's own chains.
pub fn policy<'t>(kernel: &'t str, chain: &str) -> Option<&'t str> {
    let filter = kernel.lines().skip_while(|line| *line != "*filter");
    let mut filter = filter.take_while(|line| *line != "COMMIT");
    let line = filter.find_map(|line| line.strip_prefix(&format!(":{chain} ")[..]))?;
    line.split(' ').next()
}

/// Whether both families have the wanted rules, told from their words alone: there is a namespace less to make.
pub fn are_spelled_same(wanted: &Rules, kernel: &Rules, ipv6: bool) -> bool {
    spelled::are_same(&wanted.v4, &kernel.v4)
        && (!ipv6 || spelled::are_same(&wanted.v6, &kernel.v6))
}

/// What differs in the chains that the wanted rules declare; those of others, Docker's or fail2ban's, are not looked at.
pub fn differences(wanted: &Wanted, kernel: &Rules, ipv6: bool) -> Vec<String> {
    let (Wanted::Kept(rules) | Wanted::Counted(rules)) = wanted;
    let compare = match wanted {
        Wanted::Kept(_) => between_lines,
        Wanted::Counted(_) => between_counts,
    };
    let mut found = Vec::new();
    for ((name, wanted), (_, kernel)) in families(rules, ipv6).iter().zip(families(kernel, ipv6)) {
        let has = by_chain(kernel);
        let wants = by_chain(wanted);
        for chain in declared(wanted) {
            let lines = |of: &BTreeMap<_, Vec<_>>| of.get(chain).cloned().unwrap_or_default();
            let told = compare(chain, &lines(&has), &lines(&wants));
            found.extend(told.iter().map(|words| format!("{name} {words}")));
        }
    }
    found
}

/// Chains of somebody's own have no policy.
pub fn declared(rules: &str) -> BTreeSet<&str> {
    let chains = rules.lines().filter_map(|line| line.strip_prefix(':'));
    chains.filter_map(|chain| chain.split_once(" -").map(|(name, _)| name)).collect()
}

fn by_chain(rules: &str) -> BTreeMap<&str, Vec<&str>> {
    let mut chains: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    for line in rules.lines().map(str::trim) {
        let rule = line.strip_prefix("-A ").or_else(|| line.strip_prefix("-I "));
        if let Some((chain, _)) = rule.and_then(|rule| rule.split_once(' ')) {
            chains.entry(chain).or_default().push(line);
        }
    }
    chains
}

fn between_counts(chain: &str, has: &[&str], wants: &[&str]) -> Vec<String> {
    let differ = has.len() != wants.len();
    let told = || format!("has {} rules in `{chain}`, and not {}", has.len(), wants.len());
    differ.then(told).into_iter().collect()
}

fn between_lines(chain: &str, has: &[&str], wants: &[&str]) -> Vec<String> {
    if has == wants {
        return Vec::new();
    }
    let (lacking, more) = (without(wants, has), without(has, wants));
    if lacking.is_empty() && more.is_empty() {
        return vec![format!("has the rules of `{chain}` in another order")];
    }
    let lacking = some_of("lacks", &lacking, "");
    let more = some_of("has", &more, ", which is not the bundle's");
    lacking.into_iter().chain(more).collect()
}

/// What the left has more often than the right.
fn without<'t>(left: &[&'t str], right: &[&str]) -> Vec<&'t str> {
    let mut right = right.to_vec();
    let mut left = left.to_vec();
    left.retain(|line| match right.iter().position(|other| other == line) {
        Some(at) => {
            right.swap_remove(at);
            false
        }
        None => true,
    });
    left
}

fn some_of(verb: &str, lines: &[&str], words: &str) -> Vec<String> {
    let told = lines.iter().take(LINES_MAX).map(|line| format!("{verb} `{line}`{words}"));
    let more = lines.len().saturating_sub(LINES_MAX);
    told.chain((more > 0).then(|| format!("{verb} {more} more{words}"))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const WANTED: &str = "*filter\n:INPUT DROP [0:0]\n:ufw-user-input - [0:0]\n-A ufw-user-input -s 10.0.0.0/8 -p tcp -m tcp --dport 22 -j ACCEPT\n-A ufw-user-input -p tcp -m tcp --dport 80 -j ACCEPT\nCOMMIT\n";

    fn rules(v4: &str) -> Rules {
        Rules { v4: v4.to_owned(), v6: String::new() }
    }

    fn found(kernel: &str) -> Vec<String> {
        differences(&Wanted::Kept(rules(WANTED)), &rules(kernel), false)
    }

    #[test]
    fn a_rule_in_the_place_of_another_is_told_and_chains_of_others_are_not() {
        let others =
            WANTED.replace("COMMIT", "-A f2b-sshd -j RETURN\n-A INPUT -j f2b-sshd\nCOMMIT");
        assert_eq!(found(&others), [""; 0]);
        assert_eq!(
            found(&WANTED.replace("10.0.0.0/8", "0.0.0.0/1")),
            [
                "IPv4 lacks `-A ufw-user-input -s 10.0.0.0/8 -p tcp -m tcp --dport 22 -j ACCEPT`",
                "IPv4 has `-A ufw-user-input -s 0.0.0.0/1 -p tcp -m tcp --dport 22 -j ACCEPT`, which is not the bundle's"
            ]
        );
    }

    #[test]
    fn the_order_of_rules_counts_and_many_of_them_are_told_in_few_lines() {
        let mut lines: Vec<&str> = WANTED.lines().collect();
        lines.swap(3, 4);
        assert_eq!(
            found(&(lines.join("\n") + "\n")),
            ["IPv4 has the rules of `ufw-user-input` in another order"]
        );
        let twice = WANTED.replace("COMMIT", &"-A ufw-user-input -j DROP\n".repeat(5)) + "COMMIT\n";
        let told = found(&twice);
        assert_eq!(told.len(), 4, "{told:?}");
        assert_eq!(told[3], "IPv4 has 2 more, which is not the bundle's");
    }

    #[test]
    fn where_rules_can_only_be_counted_their_other_spelling_is_no_difference() {
        let wanted = WANTED.replace(" -m tcp", "");
        let counted =
            |kernel: &str| differences(&Wanted::Counted(rules(&wanted)), &rules(kernel), false);
        assert_eq!(counted(WANTED), [""; 0]);
        assert_eq!(
            counted("*filter\nCOMMIT\n"),
            ["IPv4 has 0 rules in `ufw-user-input`, and not 2"]
        );
    }

    #[test]
    fn a_policy_is_that_of_the_filter_table() {
        let nat = "*nat\n:INPUT ACCEPT [1:2]\nCOMMIT\n";
        assert_eq!(policy(&format!("{nat}{WANTED}"), "INPUT"), Some("DROP"));
        assert_eq!(policy(nat, "INPUT"), None);
    }
}
