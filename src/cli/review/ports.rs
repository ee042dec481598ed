//! The map of the fleet: which port of which address is whose, and who may reach it.

use super::Reviewed;
use crate::{
    model::{HealthDocument, Probe, UfwDocument},
    plan::{
        Documents,
        firewall::{self, Rule},
    },
};
use ipnet::IpNet;
use serde::Serialize;
use std::{
    collections::{BTreeMap, BTreeSet},
    net::IpAddr,
};

/// Guests that share a bridge and a network.
#[derive(Serialize)]
pub struct Network {
    pub addresses: String,
    pub bridge: String,
    pub guests: Vec<Host>,
}

/// An address with its ports.
#[derive(Serialize)]
pub struct Host {
    pub address: IpAddr,
    pub target: String,
    pub ports: Vec<Port>,
    /// What happens to what no rule is for.
    pub otherwise: String,
}

/// A port, or several that one rule names.
#[derive(Serialize)]
pub struct Port {
    /// With its protocol.
    pub number: String,
    pub names: BTreeSet<String>,
    pub probes: Vec<String>,
    pub reach: Vec<Reach>,
}

/// Whom a rule is for; the first that fits counts.
#[derive(Serialize, PartialEq)]
pub struct Reach {
    pub action: String,
    pub who: String,
}

/// Every network, and in it every address in order.
pub fn networks(reviewed: &[Reviewed<'_>]) -> Vec<Network> {
    let mut found: BTreeMap<(IpNet, String), BTreeMap<(IpAddr, String), Host>> = BTreeMap::new();
    for guest in reviewed {
        let documents =
            Documents::of(guest.bundle).expect("a bundle that was just compiled has them");
        let (ip, bridge) = (IpNet::from(documents.proxmox.ip), documents.proxmox.bridge);
        let rules: Vec<Rule> = firewall::rules(guest.bundle);
        let rules: Vec<&Rule> = rules.iter().filter(|rule| rule.is_inbound()).collect();
        let target = guest.bundle.manifest.target.to_string();
        let host = Host {
            address: ip.addr(),
            target: target.clone(),
            ports: ports(&rules, &documents.health, documents.ufw.as_ref()),
            otherwise: otherwise(documents.ufw.as_ref()),
        };
        found.entry((ip.trunc(), bridge)).or_default().insert((ip.addr(), target), host);
    }
    let network = |((network, bridge), guests): ((IpNet, String), BTreeMap<_, Host>)| Network {
        addresses: network.to_string(),
        bridge,
        guests: guests.into_values().collect(),
    };
    found.into_iter().map(network).collect()
}

/// Ports in order: a first number, how rules write them, a protocol.
type Key = (u16, String, String);

fn ports(rules: &[&Rule], health: &HealthDocument, ufw: Option<&UfwDocument>) -> Vec<Port> {
    let mut keys: BTreeMap<Key, Vec<String>> = BTreeMap::new();
    for rule in rules {
        let key = (first_number(&rule.port), rule.port.clone(), rule.protocol.clone());
        keys.entry(key).or_default();
    }
    for (name, probe) in &health.probes {
        if let Probe::Http { port, .. } | Probe::Tcp { port, .. } = probe {
            let is_there =
                |key: &&Key| key.1 == port.to_string() && ["tcp", "any"].contains(&key.2.as_str());
            let key = keys.keys().find(is_there).cloned();
            let key = key.unwrap_or_else(|| (*port, port.to_string(), "tcp".to_owned()));
            keys.entry(key).or_default().push(name.clone());
        }
    }
    keys.into_iter().map(|(key, probes)| port(&key, probes, rules, ufw)).collect()
}

fn port(
    (number, text, protocol): &Key,
    probes: Vec<String>,
    rules: &[&Rule],
    ufw: Option<&UfwDocument>,
) -> Port {
    let fits = |rule: &&&Rule| {
        ["any", protocol].contains(&rule.protocol.as_str())
            && (rule.port == *text || rule.port == "any" || is_among(*number, text, &rule.port))
    };
    let fitting: Vec<&Rule> = rules.iter().filter(fits).copied().collect();
    let own = fitting.iter().filter(|rule| rule.port == *text);
    let port = if text == "any" { "every port".to_owned() } else { text.replace(':', "–") };
    let protocol = if protocol == "any" { String::new() } else { format!("/{protocol}") };
    Port {
        number: port + &protocol,
        names: own.filter_map(|rule| rule.comment.clone()).collect(),
        probes,
        reach: if ufw.is_some_and(|ufw| ufw.enabled) { reach(&fitting) } else { Vec::new() },
    }
}

fn first_number(ports: &str) -> u16 {
    ports.split([',', ':']).next().and_then(|port| port.parse().ok()).unwrap_or(0)
}

/// Whether one port is within a list or range of others.
fn is_among(number: u16, text: &str, ports: &str) -> bool {
    text == number.to_string()
        && ports.split(',').any(|part| match part.split_once(':') {
            Some((first, last)) => {
                let range = first.parse::<u16>().ok().zip(last.parse::<u16>().ok());
                range.is_some_and(|(first, last)| (first..=last).contains(&number))
            }
            None => part == text,
        })
}

/// Rules in their order; one that both families have is told once.
fn reach(rules: &[&Rule]) -> Vec<Reach> {
    let mut told: Vec<Reach> = Vec::new();
    for rule in rules {
        let twin = rules.iter().any(|other| {
            other.is_v6() != rule.is_v6()
                && rule.source().is_none()
                && other.source().is_none()
                && other.action == rule.action
                && other.direction == rule.direction
                && other.conditions() == rule.conditions()
        });
        let who = match (rule.source(), twin, rule.is_v6()) {
            (Some(source), ..) => source.to_owned(),
            (None, true, _) => "anyone".to_owned(),
            (None, false, false) => "anyone, IPv4".to_owned(),
            (None, false, true) => "anyone, IPv6".to_owned(),
        };
        let on = rule.card().map(|card| format!(" on {card}")).unwrap_or_default();
        let who = who + &rule.conditions() + &on;
        let reach = Reach { action: rule.action.clone(), who };
        if !told.contains(&reach) {
            told.push(reach);
        }
    }
    told
}

fn otherwise(ufw: Option<&UfwDocument>) -> String {
    match ufw {
        Some(ufw) if ufw.enabled => match ufw.incoming.as_str() {
            "accept" => "anyone else gets in".to_owned(),
            policy => format!("anyone else: {policy}"),
        },
        _ => "no firewall: anyone gets in".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::Ipv4Addr;

    fn rule(action: &str, protocol: &str, port: &str, from: &str, direction: &str) -> Rule {
        Rule {
            action: action.to_owned(),
            direction: direction.to_owned(),
            protocol: protocol.to_owned(),
            to: if from.contains(':') { "::/0" } else { "0.0.0.0/0" }.to_owned(),
            port: port.to_owned(),
            from: from.to_owned(),
            from_port: "any".to_owned(),
            comment: Some(format!("rule {port}")),
        }
    }

    fn firewall(enabled: bool, incoming: &str) -> UfwDocument {
        UfwDocument {
            enabled,
            ipv6: true,
            logging: "low".to_owned(),
            incoming: incoming.to_owned(),
            outgoing: "accept".to_owned(),
            routed: "drop".to_owned(),
        }
    }

    fn probes(ports: &[u16]) -> HealthDocument {
        let probe = |port: &u16| {
            (
                format!("p{port}"),
                Probe::Tcp { address: Ipv4Addr::LOCALHOST.into(), port: *port, timeout_seconds: 1 },
            )
        };
        let probes = ports.iter().map(probe).collect();
        HealthDocument { probes, window_seconds: 1, start_seconds: 1, confirm_seconds: 1 }
    }

    /// `22/tcp: deny 10.0.0.66, allow anyone`, a line for each port.
    fn told(rules: &[Rule], probed: &[u16], ufw: Option<&UfwDocument>) -> Vec<String> {
        let rules: Vec<&Rule> = rules.iter().collect();
        let told = ports(&rules, &probes(probed), ufw).into_iter().map(|port| {
            let reach = port.reach.iter().map(|reach| format!("{} {}", reach.action, reach.who));
            let reach = reach.collect::<Vec<_>>().join(", ");
            format!("{} ({}): {reach}", port.number, port.probes.join(" "))
        });
        told.collect()
    }

    #[test]
    fn a_port_is_told_with_every_rule_that_fits_it_in_their_order() {
        let rules = [
            rule("deny", "any", "any", "10.0.0.66", "in"),
            rule("allow", "tcp", "22", "0.0.0.0/0", "in"),
            rule("limit", "tcp", "22", "10.0.0.0/8", "in_eth1"),
            rule("allow", "tcp", "80,8000:8100", "0.0.0.0/0", "in"),
            rule("allow", "tcp", "22", "::/0", "in"),
        ];
        assert_eq!(
            told(&rules, &[22, 8050, 9000], Some(&firewall(true, "drop"))),
            [
                "every port (): deny 10.0.0.66",
                "22/tcp (p22): deny 10.0.0.66, allow anyone, limit 10.0.0.0/8 on eth1",
                "80,8000–8100/tcp (): deny 10.0.0.66, allow anyone, IPv4",
                "8050/tcp (p8050): deny 10.0.0.66, allow anyone, IPv4",
                "9000/tcp (p9000): deny 10.0.0.66",
            ]
        );
    }

    #[test]
    fn a_rule_for_part_of_the_packets_is_not_told_as_one_for_anyone() {
        let narrow = Rule {
            to: "10.0.0.5".to_owned(),
            from_port: "53".to_owned(),
            ..rule("allow", "udp", "53", "0.0.0.0/0", "in_eth1")
        };
        let rules = [narrow, rule("allow", "udp", "53", "::/0", "in_eth1")];
        assert_eq!(
            told(&rules, &[], Some(&firewall(true, "drop"))),
            [
                "53/udp (): allow anyone, IPv4 from port 53 to 10.0.0.5 on eth1, allow anyone, IPv6 on eth1"
            ]
        );
    }

    #[test]
    fn a_firewall_that_is_off_keeps_nobody_out_whatever_its_rules_say() {
        let rules = [rule("deny", "tcp", "22", "0.0.0.0/0", "in")];
        let off = firewall(false, "drop");
        assert_eq!(told(&rules, &[], Some(&off)), ["22/tcp (): "]);
        assert_eq!(otherwise(Some(&off)), "no firewall: anyone gets in");
        assert_eq!(otherwise(None), "no firewall: anyone gets in");
        assert_eq!(otherwise(Some(&firewall(true, "accept"))), "anyone else gets in");
        assert_eq!(otherwise(Some(&firewall(true, "reject"))), "anyone else: reject");
    }
}
