//! The kernel's rules on the way back. Its own chains and ufw's become as they were; chains of others, such as fail2ban's and
//! Docker's, keep what came into them meanwhile, but for what could keep a person out.

use super::super::Guest;
use super::super::door::Ways;
use super::super::error::GuestError;
use super::super::system::{Load, Rules};
use super::load::load_most;
use super::rule::{is_passed, is_ufw, leads_to_ufw, reached, single_source};
use super::tables::{Chain, Table, Tables, after, opened, parse, target, text, words};
use std::collections::BTreeSet;

/// Verdicts by which nothing is turned away.
const GENTLE: [&str; 9] =
    ["RETURN", "ACCEPT", "LOG", "NFLOG", "MARK", "CONNMARK", "SET", "MASQUERADE", "SNAT"];

/// What putting the kernel's tables back has come to.
#[derive(Debug, Default)]
pub struct Restored {
    /// Whether they were others.
    pub changed: bool,
    /// Rules that could not stay, or come back, in words.
    pub lost: Vec<String>,
    /// The kernel's rules before.
    pub instead: Rules,
}

/// Puts the kernel's tables back as they were saved, and how that went: one family does not keep the other. `own` says whether
/// the switch that is taken back loaded rules itself.
pub fn restore(
    guest: &mut Guest,
    saved: &Rules,
    ways: &Ways,
    own: bool,
) -> (Restored, Result<(), GuestError>) {
    let mut restored = Restored::default();
    match guest.system.save_firewall() {
        Ok(now) => restored.instead = now,
        Err(error) if *saved == Rules::default() => return (restored, Err(error.into())),
        // What cannot be listed cannot be kept either, and the way back is known all the same.
        Err(error) => {
            let why = GuestError::from(error).refusal("").message;
            restored.lost.push(format!("what came meanwhile: {why}"));
        }
    }
    let mut first = Ok(());
    let families = [
        ("IPv4", &saved.v4, restored.instead.v4.as_str()),
        ("IPv6", &saved.v6, restored.instead.v6.as_str()),
    ];
    for (name, saved, kernel) in families {
        let now = parse(kernel);
        let (back, gone) = merge(&parse(saved), &now, ways, own);
        restored.lost.extend(gone.into_iter().map(|rule| format!("{name} {rule}")));
        if back != now {
            restored.changed = true;
            let load = |text: &str| {
                let text = text.to_owned();
                let rules = match name {
                    "IPv4" => Rules { v4: text, v6: String::new() },
                    _ => Rules { v4: String::new(), v6: text },
                };
                guest.system.load_firewall(&rules, Load::Tables)
            };
            let (refused, loaded) = load_most(&text(&back), load);
            restored.lost.extend(refused.into_iter().map(|rule| format!("{name} {rule}")));
            first = first.and(loaded.map_err(GuestError::from));
        }
    }
    (restored, first)
}

/// What the kernel is to have, and the rules of others that are not in it any more.
fn merge(saved: &Tables, now: &Tables, ways: &Ways, own: bool) -> (Tables, Vec<String>) {
    let (mut back, mut lost) = (saved.clone(), Vec::new());
    for (name, now) in now {
        // A table that nobody had given rules is not saved; restoring nothing would leave what is in it since.
        let table = back.entry(name.clone()).or_insert_with(|| opened(now));
        let before = table.clone();
        let reached = reached(name, &before, now);
        let merge = Merge { name, was: &before, now, ways, own, reached };
        let spoiled = merge.spoiled();
        for chain in now.keys() {
            merge.chain(chain, &spoiled, table, &mut lost);
        }
    }
    (back, lost)
}

/// What becomes of a rule that has come since.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fate {
    Stays,
    /// It keeps somebody out who was in, or leads to what goes.
    Goes,
    /// It may keep anybody out: so may the chain that it came with.
    Spoils,
}

/// One table on its way back.
struct Merge<'m> {
    name: &'m str,
    was: &'m Table,
    now: &'m Table,
    ways: &'m Ways,
    own: bool,
    /// Chains that the way in, or the way of an answer, leads through.
    reached: BTreeSet<&'m str>,
}

impl Merge<'_> {
    fn chain(
        &self,
        name: &str,
        spoiled: &BTreeSet<&str>,
        back: &mut Table,
        lost: &mut Vec<String>,
    ) {
        let none = Chain::default();
        let (was, now) = (self.was.get(name), &self.now[name]);
        let was_rules = &was.unwrap_or(&none).rules;
        let is_new = |rule: &&String| !was_rules.contains(*rule);
        let mut take_out = |rule: &String| lost.push(format!("{}: -A {name} {rule}", self.name));
        if is_ufw(name) {
            // As it was, or gone: the switch's own.
        } else if now.policy.is_some() {
            let stays = |rule: &&String| self.stays_in_own(name, rule, spoiled);
            // What leads to ufw is the switch's own.
            let others = now.rules.iter().filter(is_new).filter(|rule| !leads_to_ufw(rule));
            others.filter(|rule| !stays(rule)).for_each(&mut take_out);
            let rules = self.own_chain(name, was_rules, now, spoiled);
            let passes = self.is_passed(name) && !self.own;
            let policy = was.filter(|_| !passes).unwrap_or(now).policy.clone();
            if was.is_some() || !rules.is_empty() {
                back.insert(name.to_owned(), Chain { policy, rules });
            }
        } else if spoiled.contains(name) {
            now.rules.iter().for_each(take_out);
        } else if was.is_none() || !now.rules.is_empty() {
            let stays =
                |rule: &&String| !is_new(rule) || self.fate(name, rule, spoiled) == Fate::Stays;
            now.rules.iter().filter(|rule| !stays(rule)).for_each(take_out);
            let rules = now.rules.iter().filter(stays).cloned().collect();
            back.insert(name.to_owned(), Chain { policy: None, rules });
        }
    }

    /// One of the kernel's own chains as it was, with what leads to chains of others in its place: before all, or after.
    fn own_chain(
        &self,
        name: &str,
        was: &[String],
        now: &Chain,
        spoiled: &BTreeSet<&str>,
    ) -> Vec<String> {
        let first = now.rules.iter().position(|rule| was.contains(rule)).unwrap_or(0);
        let fresh = now.rules.iter().enumerate().filter(|(_, rule)| !was.contains(rule));
        let fresh = fresh.filter(|(_, rule)| self.stays_in_own(name, rule, spoiled));
        let (before, behind): (Vec<_>, Vec<_>) = fresh.partition(|(at, _)| *at < first);
        // What passes through is no way in: what others took away of that stays away. A chain without a rule was emptied.
        let is_free = self.is_passed(name) && !now.rules.is_empty();
        let is_kept = |rule: &&String| !is_free || leads_to_ufw(rule) || now.rules.contains(rule);
        let of = |(_, rule): (usize, &String)| rule.clone();
        let was = was.iter().filter(is_kept).cloned();
        before.into_iter().map(of).chain(was).chain(behind.into_iter().map(of)).collect()
    }

    /// Whether what has come into one of the kernel's own chains stays there.
    fn stays_in_own(&self, name: &str, rule: &str, spoiled: &BTreeSet<&str>) -> bool {
        let words = words(rule);
        let Some(target) = target(&words) else { return self.is_passed(name) };
        if is_ufw(target) || spoiled.contains(target) {
            return false;
        }
        self.is_passed(name) || self.is_of_others(target)
    }

    /// New chains of others, on the way in, that hold what may keep anybody out.
    fn spoiled(&self) -> BTreeSet<&str> {
        let mut spoiled = BTreeSet::new();
        loop {
            let known = spoiled.len();
            for name in self.reached.iter().copied().filter(|name| !self.was.contains_key(*name)) {
                let spoils = |rule: &String| self.fate(name, rule, &spoiled) == Fate::Spoils;
                if self.is_of_others(name) && self.now[name].rules.iter().any(spoils) {
                    spoiled.insert(name);
                }
            }
            if spoiled.len() == known {
                return spoiled;
            }
        }
    }

    /// What becomes of a rule that has come into a chain of others.
    fn fate(&self, chain: &str, rule: &str, spoiled: &BTreeSet<&str>) -> Fate {
        let words = words(rule);
        let target = target(&words).unwrap_or("RETURN");
        let is_gentle = GENTLE.contains(&target) || self.is_of_others(target);
        match (target, single_source(&words)) {
            // It goes by itself, and nothing can lead to it then.
            (target, _) if is_ufw(target) && !self.was.contains_key(target) => Fate::Goes,
            (target, _) if spoiled.contains(target) => Fate::Spoils,
            _ if is_gentle || !self.reached.contains(chain) => Fate::Stays,
            ("DNAT" | "REDIRECT", _) => {
                let port = after(&words, &["--dport"]).and_then(|port| port.parse().ok());
                let is_ours = port.is_none_or(|port| self.ways.has_port(port));
                if is_ours { Fate::Spoils } else { Fate::Stays }
            }
            (target, Some(_)) if is_ufw(target) => Fate::Spoils,
            (_, Some(host)) if self.ways.has_peer(host) => Fate::Goes,
            (_, Some(_)) => Fate::Stays,
            (_, None) => Fate::Spoils,
        }
    }

    fn is_of_others(&self, chain: &str) -> bool {
        !is_ufw(chain) && self.now.get(chain).is_some_and(|chain| chain.policy.is_none())
    }

    fn is_passed(&self, chain: &str) -> bool {
        is_passed(self.name, chain)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const WAS: &str = "*filter
:INPUT DROP [1:2]
:FORWARD DROP [0:0]
:OUTPUT ACCEPT [3:4]
:f2b-sshd - [0:0]
:ufw-user-input - [0:0]
-A INPUT -p tcp -m multiport --dports 22 -j f2b-sshd
-A INPUT -j ufw-user-input
-A FORWARD -j ufw-user-forward
-A f2b-sshd -s 203.0.113.9/32 -j REJECT
-A f2b-sshd -j RETURN
-A ufw-user-input -p tcp -m tcp --dport 22 -j ACCEPT
COMMIT
";

    fn back(now: &str) -> (String, Vec<String>) {
        let ways = Ways::of(&[22], &["192.0.2.7"]);
        let (tables, lost) = merge(&parse(WAS), &parse(now), &ways, false);
        (text(&tables), lost)
    }

    /// The same with more lines in the filter table, and what comes of it.
    fn with(more: &str) -> (Vec<String>, Vec<String>) {
        let now = WAS.replace("-A INPUT -j ufw", &format!("{more}-A INPUT -j ufw"));
        let (text, lost) = back(&now);
        let lines = |text: &str| text.lines().map(str::to_owned).collect::<Vec<_>>();
        let was = lines(&self::text(&parse(WAS)));
        (lines(&text).into_iter().filter(|line| !was.contains(line)).collect(), lost)
    }

    #[test]
    fn bans_that_came_and_went_meanwhile_stay_as_they_are_and_those_of_who_was_in_go() {
        let now = WAS.replace("203.0.113.9", "203.0.113.77");
        let (text, lost) = back(&now);
        assert!(text.contains("203.0.113.77") && !text.contains("203.0.113.9/"), "{text}");
        assert_eq!(lost, [""; 0]);
        let (kept, lost) = with("-A f2b-sshd -s 192.0.2.7/32 -j REJECT\n");
        assert_eq!(kept, [""; 0]);
        assert_eq!(lost, ["filter: -A f2b-sshd -s 192.0.2.7/32 -j REJECT"]);
    }

    #[test]
    fn what_keeps_whole_networks_out_goes_wherever_it_was_put() {
        for rule in [
            "-A INPUT -p tcp --dport 22 -j DROP",
            "-A INPUT -s 203.0.113.4/32 -j DROP",
            "-A f2b-sshd -j DROP",
            "-A f2b-sshd -s 0.0.0.0/0 -j DROP",
            "-A f2b-sshd ! -s 203.0.113.4/32 -j DROP",
            "-A f2b-sshd -m comment --comment \"-s 203.0.113.4/32\" -j DROP",
            "-A f2b-sshd -j NFQUEUE",
            "-A f2b-sshd -s 203.0.113.4/32 -j ufw-user-input",
        ] {
            let (kept, lost) = with(&format!("{rule}\n"));
            assert_eq!((kept, lost), (vec![], vec![format!("filter: {rule}")]), "{rule}");
        }
    }

    #[test]
    fn a_chain_that_came_with_a_lock_out_goes_with_all_that_leads_to_it() {
        let (kept, lost) = with(
            ":out - [0:0]\n:way - [0:0]\n-A INPUT -j way\n-A way -j out\n-A out -p tcp -j DROP\n",
        );
        assert_eq!(kept, [""; 0]);
        let gone = ["INPUT -j way", "out -p tcp -j DROP", "way -j out"];
        assert_eq!(lost, gone.map(|rule| format!("filter: -A {rule}")));
    }

    #[test]
    fn chains_that_programs_made_meanwhile_stay_with_what_leads_to_them() {
        let docker = [
            ":DOCKER - [0:0]",
            ":f2b-web - [0:0]",
            "-A FORWARD -o docker0 -j DOCKER",
            "-A FORWARD -i docker0 -j ACCEPT",
            "-A DOCKER -i eth0 -j DROP",
            "-A INPUT -p tcp --dport 80 -j f2b-web",
            "-A f2b-web -s 203.0.113.4/32 -j DROP",
        ];
        let (kept, lost) = with(&(docker.join("\n") + "\n"));
        assert_eq!(lost, [""; 0]);
        let (kept, docker) = (BTreeSet::from_iter(kept), BTreeSet::from(docker.map(str::to_owned)));
        assert_eq!(kept, docker);
        let nat = |port: &str| {
            let rule = format!("-A DOCKER -p tcp --dport {port} -j DNAT --to-destination 10.1.0.2");
            let chains = ":PREROUTING ACCEPT [0:0]\n:DOCKER - [0:0]\n-A PREROUTING -j DOCKER\n";
            back(&format!("{WAS}*nat\n{chains}{rule}\nCOMMIT\n"))
        };
        assert!(nat("80").1.is_empty() && nat("80").0.contains("-A PREROUTING -j DOCKER"));
        assert!(nat("22").1.len() == 2 && !nat("22").0.contains("DOCKER"), "{:?}", nat("22"));
    }

    #[test]
    fn rules_that_were_flushed_come_back_with_those_of_others() {
        let now = WAS.lines().filter(|line| !line.starts_with("-A")).collect::<Vec<_>>();
        assert_eq!(back(&now.join("\n")).0, text(&parse(WAS)));
        assert_eq!(back("*filter\n:INPUT DROP [0:0]\nCOMMIT\n").0, text(&parse(WAS)));
    }

    #[test]
    fn a_table_that_had_no_rules_is_restored_to_open() {
        let raw = "*raw\n:PREROUTING DROP [1:2]\n:own - [0:0]\n-A PREROUTING -j own\n-A own -j DROP\nCOMMIT\n";
        let (text, lost) = back(raw);
        assert!(text.contains("*raw\n:PREROUTING ACCEPT [0:0]\nCOMMIT\n"), "{text}");
        assert_eq!(lost.len(), 2);
        assert!(text.contains("-A f2b-sshd -s 203.0.113.9/32 -j REJECT"), "{text}");
    }

    #[test]
    fn what_leads_to_a_chain_of_ufws_that_goes_goes_with_it_wherever_it_is() {
        let (kept, lost) = with(
            ":ufw-user-forward - [0:0]\n:DOCKER-USER - [0:0]\n-A FORWARD -j DOCKER-USER\n-A DOCKER-USER -j ufw-user-forward\n-A DOCKER-USER -j RETURN\n",
        );
        assert_eq!(lost, ["filter: -A DOCKER-USER -j ufw-user-forward"]);
        let docker =
            [":DOCKER-USER - [0:0]", "-A DOCKER-USER -j RETURN", "-A FORWARD -j DOCKER-USER"];
        assert_eq!(kept, docker);
    }

    #[test]
    fn what_was_counted_is_no_difference_and_a_rule_is_one() {
        let chain = |count: &str, rule: &str| {
            parse(&format!("*filter\n:INPUT DROP [{count}]\n-A INPUT -s {rule} -j DROP\nCOMMIT\n"))
        };
        assert_eq!(chain("0:0", "a"), chain("7:420", "a"));
        assert_ne!(chain("0:0", "a"), chain("0:0", "b"));
        assert_eq!(parse(&format!("{WAS}*raw\nCOMMIT\n")), parse(&format!("*raw\nCOMMIT\n{WAS}")));
    }
}
