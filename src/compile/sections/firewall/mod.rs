//! `firewall`: ufw's settings and rules, and the promise that operators can still log in.

pub mod admission;
pub mod file;
#[cfg(test)]
mod fixture;
mod read;
pub mod rule;

pub use read::parse_network;

use super::apt;
use crate::{
    compile::{
        report::{Code, Mistake},
        source::At,
        view::View,
    },
    model::UfwDocument,
};
use admission::{By, Guard, OWN_INTERFACE, SSH_PORT};
use ipnet::IpNet;
use rule::{Action, Rule};
use std::{iter, net::IpAddr};

/// The firewall of a guest.
pub struct Firewall {
    pub settings: UfwDocument,
    pub rules: Vec<Rule>,
    /// Where each rule was written.
    pub places: Vec<At>,
}

/// Reads the firewall, and checks that operators still get in; none when it has mistakes.
pub fn read(stack: &View<'_>, management: &[IpNet], own: &[IpAddr]) -> Option<Firewall> {
    let view = stack.table("firewall");
    let policy = |key, default| {
        view.word_or(key, &[("allow", "accept"), ("deny", "drop"), ("reject", "reject")], default)
    };
    let levels = ["off", "low", "medium", "high", "full"].map(|level| (level, level));
    let logging = view.word_or("logging", &levels, "low");
    let (incoming, outgoing) = (policy("incoming", "drop"), policy("outgoing", "accept"));
    let (routed, rules) =
        (policy("routed", "drop"), read::rules(&view, management, &interfaces(stack)));
    let settings = UfwDocument {
        enabled: view.boolean("enabled").unwrap_or(true),
        ipv6: view.boolean("ipv6").unwrap_or(true),
        logging: logging?.to_owned(),
        incoming: incoming?.to_owned(),
        outgoing: outgoing?.to_owned(),
        routed: routed?.to_owned(),
    };
    let (rules, places) = rules?.into_iter().unzip();
    let firewall = Firewall { settings, rules, places };
    let guard = Guard { settings: &firewall.settings, rules: &firewall.rules, own };
    check_management(&view, &firewall, guard, management);
    check_probes(stack, guard);
    if firewall.settings.enabled {
        apt::need_package(stack, view.at, "the firewall", &["ufw"]);
    }
    Some(firewall)
}

/// The interfaces of a container; none of a virtual machine, whose own system names them.
fn interfaces<'a>(stack: &View<'a>) -> Vec<&'a str> {
    let guest = stack.table("guest");
    let is_container = guest.text("kind").is_none_or(|kind| kind.value == "lxc");
    let networks = guest.entries("networks").map(|(name, ..)| name);
    if is_container { iter::once(OWN_INTERFACE).chain(networks).collect() } else { Vec::new() }
}

/// A firewall that shuts operators out does not compile.
fn check_management(view: &View<'_>, firewall: &Firewall, guard: Guard<'_>, management: &[IpNet]) {
    let refused = management.iter().flat_map(|network| guard.pieces(*network, SSH_PORT));
    for (network, by) in refused.filter(|(_, by)| !guard.lets_in(*by)) {
        view.report(shut_out(view, firewall, network, by).in_guest(view.lowering.target));
    }
}

/// A probe is of what others use: a firewall that shuts its port makes the guest look well while nobody reaches it.
fn check_probes(stack: &View<'_>, guard: Guard<'_>) {
    for (name, probe) in stack.tables("probes") {
        for kind in ["http", "tcp"].into_iter().filter(|kind| probe.table.contains_key(*kind)) {
            let table = probe.table(kind);
            let Some(port) = table.number("port") else { continue };
            let number = u16::try_from(port.value).expect("the language has no other ports");
            if table.boolean("local") != Some(true) && !guard.opens(number) {
                let title =
                    format!("the firewall shuts port {number}, which the probe `{name}` asks");
                let help =
                    "open it by a rule in `firewall.rules`, or say `local = true` of the probe";
                stack.report(Mistake::new(Code::ProbeShut, port.at, title).help(help));
            }
        }
    }
}

fn shut_out(view: &View<'_>, firewall: &Firewall, network: IpNet, by: By) -> Mistake {
    let out = |what: &str| format!("{what} shuts operators of {network} out of port {SSH_PORT}");
    let (at, title, help) = match by {
        By::Rule(n) if firewall.rules[n].action == Action::Limit => (
            firewall.places[n],
            format!(
                "this rule lets operators of {network} in only 6 times in 30 seconds, too few for a switch"
            ),
            "let \"management\" in by a rule with a lower `order`, and limit the others",
        ),
        By::Rule(n) => (
            firewall.places[n],
            out("this rule"),
            "give it a higher `order` than the rule that lets \"management\" in, or a narrower `from`",
        ),
        By::Policy => {
            let written = view.table.get("incoming").map(|member| member.node.at);
            let help = "add a rule: `[firewall.rules.ssh]` with `port = 22`, `protocol = \"tcp\"`, `from = \"management\"`";
            (written.unwrap_or(view.at), out("the policy for what no rule lets in"), help)
        }
        By::Ipv6Off => {
            let written = view.table.get("ipv6").map(|member| member.node.at);
            let help = "leave `ipv6` out: a firewall without it drops all of IPv6";
            (written.unwrap_or(view.at), out("`ipv6 = false`"), help)
        }
    };
    Mistake::new(Code::OperatorsShutOut, at, title).help(help)
}
