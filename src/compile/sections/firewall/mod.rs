//! `firewall`: ufw's settings and rules, and the promise that operators can still log in.

pub mod admission;
pub mod file;
#[cfg(test)]
mod fixture;
mod operators;
mod read;
pub mod rule;

pub use read::{ADDRESSES, parse_network};

use super::apt;
use crate::{
    compile::{
        report::{Code, Mistake},
        source::At,
        view::View,
    },
    model::UfwDocument,
};
use admission::{Guard, OWN_INTERFACE};
use ipnet::IpNet;
use rule::Rule;
use std::{iter, net::IpAddr};

/// The firewall of a guest.
pub struct Firewall {
    pub settings: UfwDocument,
    pub rules: Vec<Rule>,
    /// Where each rule was written.
    pub places: Vec<At>,
}

impl Firewall {
    /// Itself, but for one that is off on a guest without ufw: there is nothing then that could be set.
    pub fn where_there_is_one(self, stack: &View<'_>) -> Option<Self> {
        (self.settings.enabled || apt::declares(stack, &["ufw"])).then_some(self)
    }
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
    operators::check(&view, &firewall, guard, management);
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
