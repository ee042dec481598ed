//! The kernel's firewall: ufw's own files, loaded in one atomic commit per address family; never `ufw reload`,
//! which leaves a hole, and a locked door when it dies half-way (reliability.md §0).

use super::Guest;
use super::error::GuestError;
use super::system::{Load, Rules, SystemError};
use super::{found, store};
use crate::model::{Digest, FirewallAction, Switch, UfwDocument, document};
use std::collections::BTreeSet;

/// The line by which the kernel shows that ufw's frame is loaded. `ufw-user-input` alone proves nothing: a restore
/// without the frame makes that chain, too, and nothing jumps to it.
pub const UFW_HOOK: &str = "-A INPUT -j ufw-before-input";

/// The same line of IPv6.
const UFW6_HOOK: &str = "-A INPUT -j ufw6-before-input";

/// Whether ufw's frame is hooked into the kernel's INPUT of every address family that it is wanted in.
fn has_frame(rules: &Rules, ipv6: bool) -> bool {
    is_loaded(rules) && (!ipv6 || is_loaded_6(rules))
}

fn is_loaded_6(rules: &Rules) -> bool {
    rules.v6.lines().any(|line| line.trim() == UFW6_HOOK)
}

/// Whether ufw's frame is hooked into the kernel's INPUT.
pub fn is_loaded(rules: &Rules) -> bool {
    rules.v4.lines().any(|line| line.trim() == UFW_HOOK)
}

/// Whether this switch loads the firewall.
pub fn is_changed(switch: &Switch) -> bool {
    switch.firewall != FirewallAction::Keep
}

/// Brings the kernel to the rules that a switch asks for.
pub fn change(guest: &mut Guest, switch: &Switch) -> Result<(), GuestError> {
    match (switch.firewall, switch.generation.digest) {
        (FirewallAction::Apply, Some(digest)) => apply(guest, &digest),
        (FirewallAction::Found, _) => found::restore_rules(guest),
        (FirewallAction::Apply, None) | (FirewallAction::Keep, _) => Ok(()),
    }
}

/// The rules and policies of a bundle; none when it has no firewall.
fn wanted(guest: &mut Guest, digest: &Digest) -> Result<Option<(UfwDocument, Rules)>, GuestError> {
    let Some(ufw) = store::document::<UfwDocument>(guest.fs, digest, document::UFW)? else {
        return Ok(None);
    };
    let tree = store::tree_path(digest);
    let mut text = |name: &str| -> Result<String, GuestError> {
        let bytes = guest.fs.read(&format!("{tree}/{name}"))?;
        String::from_utf8(bytes).map_err(|_| GuestError::Unfit(format!("`{name}` is not UTF-8")))
    };
    let rules = Rules { v4: text(document::USER_RULES)?, v6: text(document::USER6_RULES)? };
    Ok(Some((ufw, rules)))
}

/// Judges a bundle's rules without loading them.
pub fn validate(guest: &mut Guest, digest: &Digest) -> Result<Vec<String>, GuestError> {
    let Some((ufw, rules)) = wanted(guest, digest)? else { return Ok(Vec::new()) };
    let mut faults = Vec::new();
    for (name, text) in [(document::USER_RULES, &rules.v4), (document::USER6_RULES, &rules.v6)] {
        faults.extend(fault_in_form(text).map(|fault| format!("`{name}`: {fault}")));
    }
    // Rules that nobody loads need no judge; a guest without a firewall may not even have one.
    if !faults.is_empty() || !ufw.enabled {
        return Ok(faults);
    }
    match guest.system.load_firewall(&with_policies(&rules, &ufw), Load::Test) {
        Ok(()) => Ok(Vec::new()),
        Err(SystemError::Failed { command, tail, .. }) => {
            Ok(vec![format!("{command}: {}", tail.join(" / "))])
        }
        Err(error) => Err(error.into()),
    }
}

/// What follows the one COMMIT would be applied in a second step, or fail after the first one was.
fn fault_in_form(text: &str) -> Option<String> {
    let lines: Vec<&str> = text.lines().map(str::trim).collect();
    let tables: Vec<_> = lines.iter().filter(|line| line.starts_with('*')).collect();
    if tables != [&"*filter"] {
        return Some(format!("it must have one `*filter` table, and has {tables:?}"));
    }
    let Some(commit) = lines.iter().position(|line| *line == "COMMIT") else {
        return Some("it has no `COMMIT`".to_owned());
    };
    let extra = lines[commit + 1..].iter().find(|line| !line.is_empty() && !line.starts_with('#'));
    extra.map(|line| format!("`{line}` stands after `COMMIT`"))
}

/// Brings the kernel to the bundle's firewall.
fn apply(guest: &mut Guest, digest: &Digest) -> Result<(), GuestError> {
    let Some((ufw, rules)) = wanted(guest, digest)? else { return Ok(()) };
    let kernel = guest.system.save_firewall()?;
    if !ufw.enabled {
        if is_loaded(&kernel) {
            guest.system.set_ufw(false)?;
        }
        return Ok(());
    }
    if let Some(fault) = fault_in_form(&rules.v4).or_else(|| fault_in_form(&rules.v6)) {
        return Err(GuestError::Unfit(format!("the firewall's rules: {fault}")));
    }
    let mut rules = with_policies(&rules, &ufw);
    if !ufw.ipv6 {
        rules.v6.clear();
    }
    // Where IPv6 is not filtered ufw shuts it as a whole, and only its own start does that.
    if is_loaded(&kernel) && is_loaded_6(&kernel) == ufw.ipv6 {
        guest.system.load_firewall(&rules, Load::Test)?;
        guest.system.load_firewall(&rules, Load::Chains)?;
    } else {
        guest.system.set_ufw(true)?;
    }
    verify(guest, &rules, ufw.ipv6)
}

/// One address family's rules, wanted and in the kernel, and the prefix of ufw's chains there.
struct Family<'r> {
    name: &'static str,
    prefix: &'static str,
    wanted: &'r str,
    kernel: &'r str,
}

fn families<'r>(wanted: &'r Rules, kernel: &'r Rules, ipv6: bool) -> Vec<Family<'r>> {
    let v4 = Family { name: "IPv4", prefix: "ufw", wanted: &wanted.v4, kernel: &kernel.v4 };
    let v6 = Family { name: "IPv6", prefix: "ufw6", wanted: &wanted.v6, kernel: &kernel.v6 };
    if ipv6 { vec![v4, v6] } else { vec![v4] }
}

impl Family<'_> {
    /// How many rules a chain of ufw's has, and how many it should have.
    fn counts(&self, chain: &str) -> (usize, usize) {
        let start = format!("-A {}-user-{chain} ", self.prefix);
        let count = |text: &str| text.lines().filter(|line| line.starts_with(&start)).count();
        (count(self.kernel), count(self.wanted))
    }

    /// The policy of one of the kernel's own chains.
    fn policy(&self, chain: &str) -> Option<&str> {
        let filter = self.kernel.lines().skip_while(|line| *line != "*filter");
        let mut filter = filter.take_while(|line| *line != "COMMIT");
        let line = filter.find_map(|line| line.strip_prefix(&format!(":{chain} ")[..]))?;
        line.split(' ').next()
    }
}

/// Reads the kernel back: exit codes of ufw prove nothing.
fn verify(guest: &mut Guest, wanted: &Rules, ipv6: bool) -> Result<(), GuestError> {
    let kernel = guest.system.save_firewall()?;
    let step = |step: String| GuestError::Step { step, tail: Vec::new() };
    if !has_frame(&kernel, ipv6) {
        return Err(step("load ufw's frame into the kernel".to_owned()));
    }
    for family in families(wanted, &kernel, ipv6) {
        let (has, wants) = family.counts("input");
        if has != wants {
            let family = family.name;
            return Err(step(format!("load {wants} {family} rules: the kernel has {has}")));
        }
    }
    Ok(())
}

/// What the kernel's rules differ in from a bundle's, in words. The kernel writes a rule in other words than ufw does, so
/// they are counted, chain by chain: what is told is certain, and a rule in the place of another is not told.
pub fn drift(
    guest: &mut Guest,
    digest: &Digest,
    kernel: &Rules,
) -> Result<Vec<String>, GuestError> {
    Ok(match wanted(guest, digest)? {
        Some((ufw, rules)) => differences(&ufw, &rules, kernel),
        None => Vec::new(),
    })
}

fn differences(ufw: &UfwDocument, rules: &Rules, kernel: &Rules) -> Vec<String> {
    match (ufw.enabled, has_frame(kernel, ufw.ipv6)) {
        (false, _) if is_loaded(kernel) => return vec!["the kernel has rules of ufw".to_owned()],
        (false, _) => return Vec::new(),
        (true, false) => return vec!["the kernel does not have the rules of ufw".to_owned()],
        (true, true) => {}
    }
    let mut found = Vec::new();
    for family in families(rules, kernel, ufw.ipv6) {
        for chain in ["input", "output", "forward"] {
            let (has, wants) = family.counts(chain);
            if has != wants {
                let name = family.name;
                found.push(format!("{name} has {has} rules for {chain}, and not {wants}"));
            }
        }
        // Of what passes through, programs such as Docker set the policy by themselves.
        for (chain, policy) in [("INPUT", &ufw.incoming), ("OUTPUT", &ufw.outgoing)] {
            let wants = builtin_policy(policy);
            if let Some(has) = family.policy(chain).filter(|has| *has != wants) {
                let name = family.name;
                found.push(format!("{name} has the policy {has} for {chain}, and not {wants}"));
            }
        }
    }
    found
}

/// The policy that a chain of the kernel's own has for one of ufw's: it knows no REJECT.
fn builtin_policy(policy: &str) -> &'static str {
    if policy == "accept" { "ACCEPT" } else { "DROP" }
}

/// The rules with the default policies in the same commit. ufw's frame sets them only when it is loaded: in the built-in
/// chain, where packets jump past it, and in a chain that refuses for REJECT or follows connections for ACCEPT.
/// Source: `ufw_start` of `ufw-init-functions`, Debian 12 and 13.
fn with_policies(rules: &Rules, ufw: &UfwDocument) -> Rules {
    Rules { v4: add_policies(&rules.v4, ufw, "ufw"), v6: add_policies(&rules.v6, ufw, "ufw6") }
}

fn add_policies(rules: &str, ufw: &UfwDocument, prefix: &str) -> String {
    let chains = [("INPUT", &ufw.incoming), ("OUTPUT", &ufw.outgoing), ("FORWARD", &ufw.routed)];
    let (mut chain_lines, mut rule_lines) = (Vec::new(), Vec::new());
    for (chain, policy) in chains {
        let (name, builtin) = (chain.to_lowercase(), builtin_policy(policy));
        chain_lines.push(format!(":{chain} {builtin} [0:0]\n"));
        let own = ["skip-to-policy", "reject", "track"];
        chain_lines.extend(own.map(|own| format!(":{prefix}-{own}-{name} - [0:0]\n")));
        let target = policy.to_uppercase();
        rule_lines.push(format!("-A {prefix}-skip-to-policy-{name} -j {target}\n"));
        rule_lines.extend(match policy.as_str() {
            "reject" => vec![format!("-A {prefix}-reject-{name} -j REJECT\n")],
            "accept" => ["tcp", "udp"].map(|p| follow(prefix, &name, p)).to_vec(),
            _ => Vec::new(),
        });
    }
    let (chain_lines, rule_lines) = (chain_lines.concat(), rule_lines.concat());
    let rules = rules.replacen("*filter\n", &format!("*filter\n{chain_lines}"), 1);
    match rules.rsplit_once("COMMIT") {
        Some((head, tail)) => format!("{head}{rule_lines}COMMIT{tail}"),
        None => rules,
    }
}

/// The rule by which ufw's frame follows the connections of a protocol that a policy lets through.
fn follow(prefix: &str, chain: &str, protocol: &str) -> String {
    format!("-A {prefix}-track-{chain} -p {protocol} -m conntrack --ctstate NEW -j ACCEPT\n")
}

/// Puts the kernel's tables back as they were saved; whether they were others.
pub fn restore(guest: &mut Guest, saved: &Rules) -> Result<bool, GuestError> {
    let kernel = guest.system.save_firewall()?;
    let saved = Rules { v4: or_open(&saved.v4, &kernel.v4), v6: or_open(&saved.v6, &kernel.v6) };
    if is_same(&saved.v4, &kernel.v4) && is_same(&saved.v6, &kernel.v6) {
        return Ok(false);
    }
    guest.system.load_firewall(&saved, Load::Tables)?;
    Ok(true)
}

/// A table that nobody had given rules is not saved; restoring nothing would leave in force what the kernel has in it since.
fn or_open(saved: &str, kernel: &str) -> String {
    let mut text = saved.to_owned();
    for table in kernel.split_inclusive("COMMIT\n") {
        let Some(name) = table.lines().find(|line| line.starts_with('*')) else { continue };
        if saved.lines().any(|line| line == name) {
            continue;
        }
        let chains = table.lines().filter_map(|line| line.strip_prefix(':'));
        // Chains of somebody's own have no policy, and go with their rules.
        let built_in = chains.filter(|chain| chain.split(' ').nth(1) != Some("-"));
        let open = built_in.map(|chain| chain.split(' ').next().unwrap_or_default());
        let lines = open.flat_map(|chain| [":", chain, " ACCEPT [0:0]\n"]);
        text.extend([name, "\n"].into_iter().chain(lines).chain(["COMMIT\n"]));
    }
    text
}

/// Whether two texts are the same rules: counters and the order of tables are no difference.
fn is_same(left: &str, right: &str) -> bool {
    let tables = |text: &str| {
        let tables = text.split_inclusive("COMMIT\n");
        let plain = |line: &str| line.split(" [").next().unwrap_or_default().to_owned();
        tables.map(|table| table.lines().map(plain).collect()).collect::<BTreeSet<Vec<String>>>()
    };
    tables(left) == tables(right)
}

#[cfg(test)]
mod tests {
    use super::*;

    const RULES: &str =
        "*filter\n:ufw-user-input - [0:0]\n-A ufw-user-input -p tcp --dport 22 -j ACCEPT\nCOMMIT\n";

    #[test]
    fn what_stands_after_commit_is_refused() {
        assert_eq!(fault_in_form(RULES), None);
        assert_eq!(fault_in_form(&format!("{RULES}# a comment\n\n")), None);
        assert_eq!(
            fault_in_form(&format!("{RULES}-A INPUT -j DROP\n")).as_deref(),
            Some("`-A INPUT -j DROP` stands after `COMMIT`")
        );
        assert!(fault_in_form(&format!("{RULES}{RULES}")).is_some());
        assert_eq!(fault_in_form("*filter\n").as_deref(), Some("it has no `COMMIT`"));
    }

    fn ufw() -> UfwDocument {
        UfwDocument {
            enabled: true,
            ipv6: false,
            logging: "low".to_owned(),
            incoming: "reject".to_owned(),
            outgoing: "accept".to_owned(),
            routed: "drop".to_owned(),
        }
    }

    /// The kernel with these lines in its filter table, behind a table of others.
    fn kernel(lines: &str) -> Rules {
        let nat = "*nat\n:INPUT ACCEPT [1:2]\nCOMMIT\n";
        let v4 = format!("{nat}*filter\n:INPUT DROP [7:8]\n:OUTPUT ACCEPT [0:0]\n{lines}COMMIT\n");
        Rules { v4, v6: String::new() }
    }

    #[test]
    fn rules_of_another_hand_are_told_and_their_other_spelling_is_not() {
        let wanted = Rules { v4: RULES.to_owned(), v6: String::new() };
        let found = |rules: &Rules| differences(&ufw(), &wanted, rules);
        let rule = "-A ufw-user-input -p tcp -m tcp --dport 22 -j ACCEPT\n";
        assert_eq!(found(&kernel(&format!("{UFW_HOOK}\n{rule}"))), [""; 0]);
        assert_eq!(found(&kernel(rule)), ["the kernel does not have the rules of ufw"]);
        let open = kernel(&format!("{UFW_HOOK}\n")).v4.replace(":INPUT DROP", ":INPUT ACCEPT");
        assert_eq!(
            found(&Rules { v4: open, v6: String::new() }),
            [
                "IPv4 has 0 rules for input, and not 1",
                "IPv4 has the policy ACCEPT for INPUT, and not DROP"
            ]
        );
        let off = UfwDocument { enabled: false, ..ufw() };
        let loaded = kernel(&format!("{UFW_HOOK}\n"));
        assert_eq!(differences(&off, &wanted, &loaded), ["the kernel has rules of ufw"]);
        assert_eq!(differences(&off, &wanted, &kernel("")), [""; 0]);
    }

    #[test]
    fn policies_are_set_in_the_same_commit_as_the_rules() {
        let text = add_policies(RULES, &ufw(), "ufw");
        assert_eq!(fault_in_form(&text), None);
        assert!(text.contains(":INPUT DROP [0:0]\n:ufw-skip-to-policy-input - [0:0]\n"), "{text}");
        assert!(text.contains("-A ufw-skip-to-policy-input -j REJECT\n"), "{text}");
        assert!(text.contains(":OUTPUT ACCEPT [0:0]\n"), "{text}");
        assert!(text.ends_with("-A ufw-skip-to-policy-forward -j DROP\nCOMMIT\n"), "{text}");
    }

    #[test]
    fn a_policy_that_refuses_or_accepts_does_so_without_a_reload_of_the_frame() {
        let text = add_policies(RULES, &ufw(), "ufw");
        for chain in ["reject-input", "track-input", "reject-output", "track-forward"] {
            let emptied = text.matches(&format!(":ufw-{chain} - [0:0]\n")).count();
            assert_eq!(emptied, 1, "{chain} keeps what another policy had in it: {text}");
        }
        assert!(text.contains("-A ufw-reject-input -j REJECT\n"), "{text}");
        assert!(!text.contains("-A ufw-track-input "), "{text}");
        let tracks = text.lines().filter(|line| line.starts_with("-A ufw-track-output -p "));
        assert_eq!(tracks.count(), 2, "{text}");
        assert!(!text.contains("-A ufw-reject-forward "), "{text}");
    }

    #[test]
    fn a_table_that_had_no_rules_is_restored_to_open() {
        let raw = "*raw\n:PREROUTING DROP [1:2]\n:own - [0:0]\n-A PREROUTING -j own\nCOMMIT\n";
        assert_eq!(or_open("", raw), "*raw\n:PREROUTING ACCEPT [0:0]\nCOMMIT\n");
        assert_eq!(or_open(RULES, RULES), RULES);
        assert_eq!(or_open(RULES, ""), RULES);
    }

    #[test]
    fn what_was_counted_is_no_difference_and_a_rule_is_one() {
        let chain = |count: &str, rule: &str| {
            format!("*filter\n:INPUT DROP [{count}]\n-A INPUT -s {rule} -j DROP\nCOMMIT\n")
        };
        assert!(is_same(&chain("0:0", "a"), &chain("7:420", "a")));
        assert!(!is_same(&chain("0:0", "a"), &chain("0:0", "b")));
        assert!(is_same(&format!("{RULES}*raw\nCOMMIT\n"), &format!("*raw\nCOMMIT\n{RULES}")));
    }
}
