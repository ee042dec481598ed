//! `/etc/hosts.allow` and `/etc/hosts.deny`, which Debian's sshd asks before anything else.
//!
//! Source: `hosts_access(5)`, `hosts_options(5)`. The first rule of the two files that fits counts; without one all may come in.

use super::{
    Login,
    criteria::{self, Fit},
    text_of,
};
use crate::compile::{sections::overlay::Overlay, source::At, view::View};
use ipnet::{IpNet, Ipv4Net};

/// A rule: who is asked for, who comes, and what is said of it besides.
struct Rule<'a> {
    text: &'a str,
    fields: Vec<&'a str>,
    at: At,
}

/// Reports the rule that keeps operators out.
pub fn check(stack: &View<'_>, overlay: &Overlay, login: &Login<'_>) {
    let allow = rules(stack, overlay, "/etc/hosts.allow");
    let deny = rules(stack, overlay, "/etc/hosts.deny");
    let all = allow.iter().map(|rule| (rule, true)).chain(deny.iter().map(|rule| (rule, false)));
    for from in login.management {
        let mut met = all.clone().map(|(rule, allows)| (rule, allows, rule.fit(from)));
        let first = met.find(|(.., fit)| *fit != Fit::No);
        if let Some((rule, allows, Fit::Yes)) = first
            && !rule.lets_in(allows)
        {
            let help = "let them in by a rule of /etc/hosts.allow, or leave it to `firewall.rules`";
            super::report(stack, rule.at, &format!("`{}`", rule.text.trim()), help);
        }
    }
}

/// The rules of a file of the bundle; of one that goes on after the end of a line, only what is whole is judged.
fn rules<'a>(stack: &View<'_>, overlay: &'a Overlay, path: &str) -> Vec<Rule<'a>> {
    let Some(text) = text_of(overlay, path) else { return Vec::new() };
    let is_rule = |line: &&str| !line.trim().is_empty() && !line.starts_with('#');
    let rule =
        |line: &'a str| Rule { text: line, fields: fields(line), at: text.place(stack, line) };
    text.lines().filter(is_rule).map(rule).collect()
}

/// What colons part; those of IPv6 stand in brackets.
fn fields(text: &str) -> Vec<&str> {
    let mut is_inside = false;
    text.split(|c| {
        is_inside = c == '[' || is_inside && c != ']';
        c == ':' && !is_inside
    })
    .map(str::trim)
    .collect()
}

impl Rule<'_> {
    /// Whether it is about operators of a network who ask for sshd.
    fn fit(&self, from: &IpNet) -> Fit {
        match self.fields.as_slice() {
            _ if self.text.ends_with('\\') => Fit::Maybe,
            [daemons, clients, ..] => {
                of_list(daemons, of_daemon).min(of_list(clients, |client| of_client(client, from)))
            }
            _ => Fit::No,
        }
    }

    /// Whether it lets in whom it is about; of commands that it runs nobody knows.
    fn lets_in(&self, allows: bool) -> bool {
        match self.fields[2..].last().map(|option| option.to_lowercase()) {
            None => allows,
            Some(option) => option != "deny",
        }
    }
}

fn of_list(list: &str, of: impl Fn(&str) -> Fit) -> Fit {
    let words = || list.split([' ', '\t', ',']).filter(|word| !word.is_empty());
    if words().any(|word| word.eq_ignore_ascii_case("except")) {
        return Fit::Maybe;
    }
    words().map(of).max().unwrap_or(Fit::No)
}

fn of_daemon(name: &str) -> Fit {
    match name {
        "ALL" | "sshd" => Fit::Yes,
        _ if name.contains('@') => Fit::Maybe,
        _ => Fit::No,
    }
}

fn of_client(pattern: &str, from: &IpNet) -> Fit {
    match network(pattern) {
        _ if pattern == "ALL" => Fit::Yes,
        Some(network) => criteria::of_network(&network, from),
        None => Fit::Maybe,
    }
}

/// `10.0.10.`, `10.0.10.0/255.255.255.0`, `10.0.10.0/24`, `[2001:db8::]/64`, or an address; names are known on the guest only.
fn network(pattern: &str) -> Option<IpNet> {
    if let Some(octets) = pattern.strip_suffix('.') {
        let count = octets.split('.').count();
        let address = format!("{octets}{}", ".0".repeat(4_usize.checked_sub(count)?));
        let bits = u8::try_from(8 * count).ok()?;
        return Ipv4Net::new(address.parse().ok()?, bits).ok().map(IpNet::from);
    }
    let with_mask = || {
        let (address, mask) = pattern.split_once('/')?;
        let net = Ipv4Net::with_netmask(address.parse().ok()?, mask.parse().ok()?);
        net.ok().map(IpNet::from)
    };
    criteria::network(&pattern.replace(['[', ']'], "")).or_else(with_mask)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn clients_are_networks_in_many_forms_or_nobody_knows() {
        let from = "10.0.10.0/24".parse().expect("a network");
        let fit = |list: &str| of_list(list, |client| of_client(client, &from));
        for list in ["ALL", "10.0.10.", "10.", "x 10.0.0.0/255.0.0.0", "10.0.10.0/24,192.0.2.1"] {
            assert_eq!(fit(list), Fit::Yes, "{list}");
        }
        for list in [".example.org", "10.0.10.7", "LOCAL", "ALL EXCEPT 10.0.10.7", "PARANOID"] {
            assert_eq!(fit(list), Fit::Maybe, "{list}");
        }
        for list in ["192.0.2.", "[2001:db8::]/64", ""] {
            assert_eq!(fit(list), Fit::No, "{list}");
        }
        assert_eq!(fields("sshd: [2001:db8::]/64 : DENY"), ["sshd", "[2001:db8::]/64", "DENY"]);
    }
}
