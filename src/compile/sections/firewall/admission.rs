//! Who gets in: the verdict of the rules on every address of a network.

use super::rule::{Action, Direction, Family, Protocol, Rule};
use crate::model::UfwDocument;
use ipnet::{IpNet, Ipv4Net, Ipv6Net};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// sshd's port, by which operators come.
pub const SSH_PORT: u16 = 22;
/// The interface that the guest's own address is on.
pub const OWN_INTERFACE: &str = "eth0";

/// A firewall, as packets meet it that are for the guest's own addresses.
#[derive(Clone, Copy)]
pub struct Guard<'a> {
    pub settings: &'a UfwDocument,
    pub rules: &'a [Rule],
    pub own: &'a [IpAddr],
}

/// What decides about a new connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum By {
    /// The rule of this number.
    Rule(usize),
    /// No rule: the policy for what comes in.
    Policy,
    /// A firewall without IPv6 drops all of it. Source: `ufw-init-functions`.
    Ipv6Off,
}

impl Guard<'_> {
    /// The parts of a network, each with what decides about its new TCP connections to a port.
    pub fn pieces(&self, network: IpNet, port: u16) -> Vec<(IpNet, By)> {
        let family = match network {
            IpNet::V4(_) => Family::V4,
            IpNet::V6(_) => Family::V6,
        };
        if self.settings.enabled && family == Family::V6 && !self.settings.ipv6 {
            return vec![(network, By::Ipv6Off)];
        }
        let mut open = vec![network];
        let mut decided = Vec::new();
        for (n, rule) in self.rules.iter().enumerate() {
            if self.concerns(rule, family, port) {
                let hit = |net: &IpNet| common(*net, rule.from.unwrap_or(*net));
                decided.extend(open.iter().filter_map(hit).map(|net| (net, By::Rule(n))));
                open = open.into_iter().flat_map(|net| without(net, rule.from)).collect();
            }
        }
        decided.extend(open.into_iter().map(|net| (net, By::Policy)));
        decided
    }

    /// Whether a decision lets in whoever it is about, as often as they like.
    pub fn lets_in(&self, by: By) -> bool {
        !self.settings.enabled
            || match by {
                By::Rule(n) => self.rules[n].action == Action::Allow,
                By::Policy => self.settings.incoming == "accept",
                By::Ipv6Off => false,
            }
    }

    /// Whether anybody gets in to a port, at whichever address and interface of the guest.
    pub fn opens(&self, port: u16) -> bool {
        let everywhere = [
            IpNet::V4(Ipv4Net::new_assert(Ipv4Addr::UNSPECIFIED, 0)),
            IpNet::V6(Ipv6Net::new_assert(Ipv6Addr::UNSPECIFIED, 0)),
        ];
        let is_limited = |by| matches!(by, By::Rule(n) if self.rules[n].action == Action::Limit);
        let mut pieces = everywhere.into_iter().flat_map(|network| self.pieces(network, port));
        self.rules.iter().any(|rule| self.opens_elsewhere(rule, port))
            || pieces.any(|(_, by)| self.lets_in(by) || is_limited(by))
    }

    /// Whether a rule lets in to a port by another network than the guest's first.
    fn opens_elsewhere(&self, rule: &Rule, port: u16) -> bool {
        is_about(rule, port)
            && matches!(rule.action, Action::Allow | Action::Limit)
            && !self.is_for_own(rule)
    }

    /// Whether a rule is about new TCP connections to a port of the guest's own addresses.
    fn concerns(&self, rule: &Rule, family: Family, port: u16) -> bool {
        rule.is_for(family) && is_about(rule, port) && self.is_for_own(rule)
    }

    fn is_for_own(&self, rule: &Rule) -> bool {
        rule.interface.as_deref().is_none_or(|name| name == OWN_INTERFACE)
            && rule.to.is_none_or(|to| self.own.iter().any(|address| to.contains(address)))
    }
}

fn is_about(rule: &Rule, port: u16) -> bool {
    rule.direction == Direction::In && rule.protocol != Protocol::Udp && rule.ports.contain(port)
}

/// What two networks have in common: the smaller one, or nothing.
fn common(one: IpNet, other: IpNet) -> Option<IpNet> {
    if one.contains(&other) { Some(other) } else { other.contains(&one).then_some(one) }
}

/// The parts of a network outside another one.
fn without(network: IpNet, other: Option<IpNet>) -> Vec<IpNet> {
    let Some(other) = other else { return Vec::new() };
    if other.contains(&network) {
        return Vec::new();
    }
    if !network.contains(&other) {
        return vec![network];
    }
    let halves = network.subnets(network.prefix_len() + 1).expect("it is bigger than the other");
    halves.flat_map(|half| without(half, Some(other))).collect()
}

#[cfg(test)]
mod tests {
    use super::{
        super::fixture::{rule, settings},
        *,
    };

    fn let_in(rules: &[Rule]) -> bool {
        let settings = settings();
        let guard = Guard { settings: &settings, rules, own: &[] };
        let pieces = guard.pieces("10.0.10.0/24".parse().expect("a network"), SSH_PORT);
        pieces.iter().all(|(_, by)| guard.lets_in(*by))
    }

    #[test]
    fn every_address_of_a_network_must_get_in() {
        let all = rule(Action::Allow, "22", Some("10.0.0.0/8"));
        let half = |net| rule(Action::Allow, "22", Some(net));
        let deny = rule(Action::Deny, "1:1024", Some("10.0.10.128/25"));
        assert!(!let_in(&[]));
        assert!(let_in(&[rule(Action::Allow, "22", None)]));
        assert!(let_in(std::slice::from_ref(&all)));
        assert!(!let_in(&[half("10.0.10.0/25")]));
        assert!(let_in(&[half("10.0.10.0/25"), half("10.0.10.128/25")]));
        assert!(!let_in(&[deny.clone(), all.clone()]));
        assert!(let_in(&[all, deny]));
        assert!(!let_in(&[rule(Action::Limit, "22", None)]));
        assert!(!let_in(&[rule(Action::Allow, "2222", None)]));
    }

    #[test]
    fn the_parts_of_a_network_without_another_are_the_rest_of_it() {
        let net = |text: &str| text.parse::<IpNet>().expect("a network");
        let rest = without(net("10.0.0.0/30"), Some(net("10.0.0.1/32")));
        assert_eq!(rest, [net("10.0.0.0/32"), net("10.0.0.2/31")]);
        assert_eq!(without(net("10.0.0.0/30"), Some(net("10.1.0.0/16"))), [net("10.0.0.0/30")]);
        assert_eq!(without(net("::/0"), None), []);
    }

    #[test]
    fn a_port_is_open_when_somebody_gets_in() {
        let settings = settings();
        let opens = |rules: &[Rule]| Guard { settings: &settings, rules, own: &[] }.opens(80);
        assert!(!opens(&[]));
        assert!(opens(&[rule(Action::Limit, "80", Some("192.0.2.1/32"))]));
        assert!(!opens(&[rule(Action::Deny, "", None), rule(Action::Allow, "80", None)]));
        let inside =
            |action| Rule { interface: Some("eth2".to_owned()), ..rule(action, "80", None) };
        assert!(opens(&[inside(Action::Allow)]) && !opens(&[inside(Action::Deny)]));
    }
}
