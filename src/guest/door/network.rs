//! The guest's own addresses and routes: whoever takes them away, the undo of a switch puts them back.

use super::super::error::GuestError;
use super::super::system::{Command, System, SystemError, run};
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;
use std::io::ErrorKind::NotFound;
use std::time::Duration;

/// Questions to the kernel and orders to it, which it answers at once.
const LIMIT: Duration = Duration::from_secs(10);
/// Words of ip(8) that say how things are now, and are no part of an address or a route.
const PASSING: [&str; 3] = ["linkdown", "dead", "tentative"];
/// Words that are followed by a number which changes by itself.
const COUNTING: [&str; 4] = ["error", "expires", "valid_lft", "preferred_lft"];

/// What leads to a guest and from it, each as the words by which ip(8) makes it. A guest without ip(8) has none of it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Network {
    /// Links that are up.
    links: BTreeSet<String>,
    addresses: BTreeSet<Address>,
    routes: BTreeSet<(Family, String)>,
    rules: BTreeSet<(Family, String)>,
}

#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Address {
    device: String,
    /// With its prefix length.
    address: String,
    broadcast: Option<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Family {
    V4,
    V6,
}

impl Family {
    fn option(self) -> &'static str {
        match self {
            Self::V4 => "-4",
            Self::V6 => "-6",
        }
    }
}

impl Network {
    /// Takes down what there is.
    pub fn look(system: &mut dyn System) -> Result<Self, GuestError> {
        let links = ask(system, "-o link show up")?;
        let addresses = ask(system, "-o address show scope global")?;
        let mut network = Self {
            links: links.iter().filter_map(|line| device(line)).collect(),
            addresses: addresses.iter().filter_map(|line| address(line)).collect(),
            ..Self::default()
        };
        for family in [Family::V4, Family::V6] {
            let of = |lines: Vec<String>| lines.into_iter().map(move |line| (family, line));
            let option = family.option();
            network.routes.extend(of(ask(system, &format!("{option} route show table main"))?));
            network.rules.extend(of(ask(system, &format!("{option} rule show"))?));
        }
        Ok(network)
    }

    /// Puts back what is missing, and takes away what only a person or a program like one adds: rules of routing, routes that no
    /// protocol has brought, and addresses of the loopback device. What was done, as words for ip(8).
    ///
    /// # Errors
    /// The first order that the kernel refuses; the others are carried out all the same.
    pub fn restore(&self, system: &mut dyn System) -> Result<Vec<String>, GuestError> {
        let (mut done, mut first) = (Vec::new(), Ok(()));
        // An address brings routes, and a link that was down has lost both: what is still missing is only known afterwards.
        for orders in [first_orders, last_orders] {
            for order in orders(self, &Self::look(system)?) {
                let argv: Vec<&str> = ["ip"].into_iter().chain(order.split(' ')).collect();
                match run(system, &Command::new(&argv, LIMIT)) {
                    Ok(_) => done.push(order),
                    Err(error) => first = first.and(Err(error.into())),
                }
            }
        }
        first.map(|()| done)
    }
}

fn first_orders(saved: &Network, now: &Network) -> Vec<String> {
    let up = saved.links.difference(&now.links).map(|link| format!("link set {link} up"));
    let missing = saved.addresses.difference(&now.addresses).map(|a| {
        let broadcast = a.broadcast.as_ref().map(|b| format!(" broadcast {b}")).unwrap_or_default();
        format!("address replace {}{broadcast} dev {}", a.address, a.device)
    });
    let own = now.addresses.difference(&saved.addresses).filter(|address| address.device == "lo");
    let own = own.map(|a| format!("address del {} dev lo", a.address));
    up.chain(own).chain(missing).collect()
}

fn last_orders(saved: &Network, now: &Network) -> Vec<String> {
    let by_hand = |(_, route): &&(Family, String)| !route.split(' ').any(|word| word == "proto");
    let extra = now.routes.difference(&saved.routes).filter(by_hand);
    let extra = extra.map(|(family, route)| format!("{} route del {route}", family.option()));
    let mut missing: Vec<_> = saved.routes.difference(&now.routes).collect();
    // A gateway is reached by a route of its own, which comes first.
    missing.sort_by_key(|(_, route)| route.contains(" via "));
    let missing = missing.into_iter();
    let missing =
        missing.map(|(family, route)| format!("{} route replace {route}", family.option()));
    let rules = |from: &BTreeSet<_>, other: &BTreeSet<_>, verb: &str| -> Vec<String> {
        let found = from.difference(other).filter_map(|(family, rule): &(Family, String)| {
            let (priority, words) = rule.split_once(':')?;
            let (option, words) = (family.option(), words.trim());
            Some(format!("{option} rule {verb} priority {priority} {words}"))
        });
        found.collect()
    };
    let gone = rules(&now.rules, &saved.rules, "del");
    let back = rules(&saved.rules, &now.rules, "add");
    gone.into_iter().chain(back).chain(extra).chain(missing).collect()
}

/// The lines of an answer, without what changes by itself. What the kernel does not have, such as IPv6, has none.
fn ask(system: &mut dyn System, question: &str) -> Result<Vec<String>, GuestError> {
    let argv: Vec<&str> = ["ip"].into_iter().chain(question.split(' ')).collect();
    match run(system, &Command::new(&argv, LIMIT)) {
        Ok(output) => Ok(output.text.lines().map(lasting).collect()),
        Err(SystemError::Spawn { cause, .. }) if cause.kind() == NotFound => Ok(Vec::new()),
        Err(SystemError::NoSystem { .. } | SystemError::Failed { .. }) => Ok(Vec::new()),
        Err(error) => Err(error.into()),
    }
}

fn lasting(line: &str) -> String {
    let mut words = Vec::new();
    let mut all = line.split_whitespace();
    while let Some(word) = all.next() {
        if COUNTING.contains(&word) {
            all.next();
        } else if !PASSING.contains(&word) {
            words.push(word);
        }
    }
    words.join(" ")
}

/// The device of a line of `ip -o`: `2: eth0@if7: <…> …`.
fn device(line: &str) -> Option<String> {
    let name = line.split(' ').nth(1)?;
    Some(name.trim_end_matches(':').split('@').next().unwrap_or(name).to_owned())
}

/// `2: eth0 inet 10.0.0.5/24 brd 10.0.0.255 scope global eth0\`. One that a protocol lends comes back by that.
fn address(line: &str) -> Option<Address> {
    let words: Vec<&str> = line.split(' ').collect();
    let is_lent = words.iter().any(|word| matches!(*word, "dynamic" | "temporary"));
    let after = |key: &str| words.iter().skip_while(|word| **word != key).nth(1);
    Some(Address {
        device: device(line)?,
        address: words.get(3).filter(|_| !is_lent)?.to_string(),
        broadcast: after("brd").map(ToString::to_string),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn network(addresses: &[&str], routes: &[&str], rules: &[&str]) -> Network {
        let of = |lines: &[&str]| lines.iter().map(|line| (Family::V4, lasting(line))).collect();
        Network {
            links: BTreeSet::from(["eth0".to_owned()]),
            addresses: addresses.iter().filter_map(|line| address(&lasting(line))).collect(),
            routes: of(routes),
            rules: of(rules),
        }
    }

    const ADDRESS: &str = r"2: eth0    inet 10.0.0.5/24 brd 10.0.0.255 scope global eth0\       valid_lft forever preferred_lft forever";
    const LENT: &str = r"2: eth0    inet 10.0.0.9/24 scope global dynamic eth0\       valid_lft 86sec preferred_lft 86sec";
    const OWN: &str = "10.0.0.0/24 dev eth0 proto kernel scope link src 10.0.0.5";
    const DEFAULT: &str = "default via 10.0.0.1 dev eth0";
    const MAIN: &str = "32766:\tfrom all lookup main";

    #[test]
    fn what_is_missing_comes_back_addresses_before_routes_and_gateways_last() {
        let saved = network(&[ADDRESS, LENT], &[DEFAULT, OWN], &[MAIN]);
        let now = Network { links: BTreeSet::new(), ..network(&[], &[], &[MAIN]) };
        assert_eq!(
            first_orders(&saved, &now),
            ["link set eth0 up", "address replace 10.0.0.5/24 broadcast 10.0.0.255 dev eth0"]
        );
        assert_eq!(
            last_orders(&saved, &now),
            [format!("-4 route replace {OWN}"), format!("-4 route replace {DEFAULT}")]
        );
    }

    #[test]
    fn what_leads_nowhere_is_taken_away_and_what_a_protocol_brought_stays() {
        let saved = network(&[ADDRESS], &[OWN], &[MAIN]);
        let lo = r"1: lo    inet 10.0.0.1/32 scope global lo\       valid_lft forever";
        let shared = r"2: eth0    inet 10.0.0.7/32 scope global eth0\       valid_lft forever";
        let bird = "10.9.0.0/16 via 10.0.0.1 dev eth0 proto bird";
        let rules = [MAIN, "10:\tfrom all blackhole"];
        let now = network(&[ADDRESS, lo, shared], &[OWN, "blackhole 10.0.0.1", bird], &rules);
        assert_eq!(first_orders(&saved, &now), ["address del 10.0.0.1/32 dev lo"]);
        let gone =
            ["-4 rule del priority 10 from all blackhole", "-4 route del blackhole 10.0.0.1"];
        assert_eq!(last_orders(&saved, &now), gone);
    }

    #[test]
    fn time_that_passes_is_no_difference() {
        let route = |time: &str| {
            network(
                &[],
                &[&format!("default via 10.0.0.1 dev eth0 proto ra expires {time} linkdown")],
                &[],
            )
        };
        let (early, late) = (route("1799sec"), route("12sec"));
        assert!(last_orders(&early, &late).is_empty());
    }
}
