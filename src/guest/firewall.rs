//! The kernel's firewall: ufw's own files, loaded in one atomic commit per address family; never `ufw reload`,
//! which leaves a hole, and a locked door when it dies half-way (reliability.md §0).

mod back;
mod frame;
mod kernel;
mod load;
mod rule;
mod spelled;
mod tables;

use super::Guest;
use super::error::GuestError;
use super::system::{Load, Rules, SystemError};
use super::{found, store};
use crate::model::{Digest, FirewallAction, Switch, UfwDocument, document};
use kernel::Wanted;

pub use back::{Restored, restore};

/// The line by which the kernel shows that ufw's frame is loaded. `ufw-user-input` alone proves nothing: a restore
/// without the frame makes that chain, too, and nothing jumps to it.
pub const UFW_HOOK: &str = "-A INPUT -j ufw-before-input";

/// The same line of IPv6.
const UFW6_HOOK: &str = "-A INPUT -j ufw6-before-input";

/// Whether ufw's frame is hooked into the kernel's INPUT of every address family that it is wanted in, and the other is shut.
fn has_frame(rules: &Rules, ipv6: bool) -> bool {
    is_loaded(rules) && has_ipv6(rules, ipv6)
}

/// Whether IPv6 is as ufw has it when it filters it, or when it does not: shut then, where the kernel knows it.
fn has_ipv6(rules: &Rules, ipv6: bool) -> bool {
    let is_shut = |chain| kernel::policy(&rules.v6, chain).is_none_or(|policy| policy == "DROP");
    let is_hooked = is_loaded_6(rules);
    if ipv6 { is_hooked } else { !is_hooked && ["INPUT", "OUTPUT"].into_iter().all(is_shut) }
}

/// Whether ufw's frame is hooked into the kernel's INPUT.
pub fn is_loaded(rules: &Rules) -> bool {
    rules.v4.lines().any(|line| line.trim() == UFW_HOOK) && !is_empty(&rules.v4, "ufw")
}

fn is_loaded_6(rules: &Rules) -> bool {
    rules.v6.lines().any(|line| line.trim() == UFW6_HOOK) && !is_empty(&rules.v6, "ufw6")
}

/// Whether a stop of ufw, or somebody's `ufw disable`, has emptied the frame: its chains stay, hooked in, and none leads to
/// the rules.
fn is_empty(rules: &str, prefix: &str) -> bool {
    let (chain, rule) = (format!(":{prefix}-before-input "), format!("-A {prefix}-before-input "));
    let some = |start: &str| rules.lines().any(|line| line.starts_with(start));
    some(&chain) && !some(&rule)
}

/// Whether this switch loads the firewall.
pub fn is_changed(switch: &Switch) -> bool {
    switch.firewall != FirewallAction::Keep
}

/// Brings the kernel to the rules that a switch asks for.
pub fn change(guest: &mut Guest, switch: &Switch) -> Result<(), GuestError> {
    match (switch.firewall, switch.generation.digest) {
        (FirewallAction::Apply, Some(digest)) => apply(guest, &digest),
        (FirewallAction::Found, _) => found::restore_rules(guest, &switch.tx),
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
            if has_ipv6(&kernel, false) {
                frame::forget_ipv6(guest)?;
            }
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
    if is_loaded(&kernel) {
        guest.system.load_firewall(&rules, Load::Test)?;
        if !has_ipv6(&kernel, ufw.ipv6) {
            frame::change_ipv6(guest, &kernel)?;
        }
        guest.system.load_firewall(&rules, Load::Chains)?;
    } else {
        guest.system.set_ufw(true)?;
        frame::keep_others(guest, &kernel)?;
    }
    verify(guest, digest)
}

/// Reads the kernel back: exit codes of ufw prove nothing.
fn verify(guest: &mut Guest, digest: &Digest) -> Result<(), GuestError> {
    let kernel = guest.system.save_firewall()?;
    let wrong = drift(guest, digest, &kernel)?;
    if wrong.is_empty() {
        return Ok(());
    }
    let step = format!("load the rules of ufw: {}", wrong.join("; "));
    Err(GuestError::Step { step, tail: Vec::new() })
}

/// What the kernel's rules differ in from a bundle's, in words.
pub fn drift(
    guest: &mut Guest,
    digest: &Digest,
    kernel: &Rules,
) -> Result<Vec<String>, GuestError> {
    let Some((ufw, rules)) = wanted(guest, digest)? else { return Ok(Vec::new()) };
    match (ufw.enabled, has_frame(kernel, ufw.ipv6)) {
        (false, _) if is_loaded(kernel) => Ok(vec!["the kernel has rules of ufw".to_owned()]),
        (false, _) => Ok(Vec::new()),
        (true, false) => Ok(vec!["the kernel does not have the rules of ufw".to_owned()]),
        (true, true) => {
            let whole = with_policies(&rules, &ufw);
            let mut found = Vec::new();
            if !kernel::are_spelled_same(&whole, kernel, ufw.ipv6) {
                let kept = kernel::as_kept(guest.system, &whole, ufw.ipv6);
                let wanted = kept.map_or(Wanted::Counted(rules), Wanted::Kept);
                found = kernel::differences(&wanted, kernel, ufw.ipv6);
            }
            found.extend(policies(&ufw, kernel));
            Ok(found)
        }
    }
}

/// Default policies that are not the bundle's. Of what passes through, programs such as Docker set the policy by themselves.
fn policies(ufw: &UfwDocument, kernel: &Rules) -> Vec<String> {
    let mut found = Vec::new();
    for (name, text) in kernel::families(kernel, ufw.ipv6) {
        for (chain, policy) in [("INPUT", &ufw.incoming), ("OUTPUT", &ufw.outgoing)] {
            let wants = builtin_policy(policy);
            if let Some(has) = kernel::policy(text, chain).filter(|has| *has != wants) {
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

    #[test]
    fn a_frame_that_ufw_disable_has_emptied_is_none() {
        let emptied = format!(":ufw-before-input - [0:0]\n{UFW_HOOK}\n");
        let whole = format!("{emptied}-A ufw-before-input -j ufw-user-input\n");
        let v4_only = |text: &str| Rules { v4: text.to_owned(), v6: String::new() };
        assert!(has_frame(&v4_only(&whole), false));
        assert!(!has_frame(&v4_only(&emptied), false));
        assert!(!is_loaded(&v4_only(&emptied)), "it counts as off");
        let (v4, v6) = (whole, emptied.replace("ufw-", "ufw6-"));
        assert!(!has_frame(&Rules { v4, v6 }, true));
    }

    #[test]
    fn ipv6_that_is_not_filtered_is_shut() {
        let v6 = |text: &str| Rules { v4: String::new(), v6: text.to_owned() };
        let shut = "*filter\n:INPUT DROP [0:0]\n:OUTPUT DROP [0:0]\nCOMMIT\n";
        assert!(has_ipv6(&v6(shut), false) && !has_ipv6(&v6(shut), true));
        assert!(has_ipv6(&v6(""), false), "the kernel does not know it");
        assert!(!has_ipv6(&v6(&shut.replace("INPUT DROP", "INPUT ACCEPT")), false));
        let hooked = v6(&shut.replace("COMMIT", &format!("{UFW6_HOOK}\nCOMMIT")));
        assert!(has_ipv6(&hooked, true) && !has_ipv6(&hooked, false));
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
}
