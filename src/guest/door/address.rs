//! The guest's own addresses, and which of them may be another guest's by now.

use super::network::{after, device};
use super::ways::Ways;
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;

#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Address {
    pub device: String,
    /// With its prefix length.
    pub cidr: String,
    pub broadcast: Option<String>,
}

impl Address {
    /// `2: eth0 inet 10.0.0.5/24 brd 10.0.0.255 scope global eth0\`. One that a protocol lends comes back by that.
    pub fn parse(line: &str) -> Option<Self> {
        let is_lent = line.split(' ').any(|word| matches!(word, "dynamic" | "temporary"));
        Some(Self {
            device: device(line)?,
            cidr: line.split(' ').nth(3).filter(|_| !is_lent)?.to_owned(),
            broadcast: after(line, "brd").map(str::to_owned),
        })
    }

    /// Whether it is of no network, and nobody was logged in by it.
    fn may_move(&self, ways: &Ways) -> bool {
        self.cidr.split_once('/').is_some_and(|(host, length)| {
            length == (if host.contains(':') { "128" } else { "32" }) && !ways.has_own(host)
        })
    }
}

/// Addresses that guests may share, of which one has each at a time, as keepalived leads it. The only one that a device has of
/// its family is its own.
pub fn shared(lines: &[String], ways: &Ways) -> BTreeSet<Address> {
    let family = |line: &String| (device(line), line.split(' ').nth(2).map(str::to_owned));
    let is_only =
        |line: &String| lines.iter().filter(|other| family(other) == family(line)).count() == 1;
    let beside_others = lines.iter().filter(|line| !is_only(line));
    let addresses = beside_others.filter_map(|line| Address::parse(line));
    addresses.filter(|address| address.may_move(ways)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_of_one_host_is_shared_unless_it_is_the_only_one_or_somebody_is_in_by_it() {
        let lines = [
            "2: eth0 inet 10.0.0.5/24 scope global eth0",
            "2: eth0 inet 10.0.0.7/32 scope global eth0",
            "2: eth0 inet 10.0.0.8/32 scope global eth0",
            "2: eth0 inet6 2001:db8::5/128 scope global",
            "3: eth1 inet 10.1.0.9/24 scope global dynamic eth1",
            "3: eth1 inet 10.1.0.7/32 scope global eth1",
            "4: eth2 inet6 2001:db8::6/64 scope global",
            "4: eth2 inet6 2001:db8::7/128 scope global",
        ];
        let mut ways = Ways::default();
        ways.own.insert("10.0.0.8".parse().expect("it is one"));
        let shared = shared(&lines.map(str::to_owned), &ways);
        let shared: Vec<_> = shared.iter().map(|address| address.cidr.as_str()).collect();
        assert_eq!(shared, ["10.0.0.7/32", "10.1.0.7/32", "2001:db8::7/128"]);
    }
}
