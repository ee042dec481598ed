//! `firewall`: ufw's settings and rules, and the promise that operators can still log in.

use super::ufw::{self, Action, Direction, Ports, Protocol, Rule};
use crate::{
    compile::{
        report::{Code, Mistake},
        source::At,
        view::View,
    },
    model::UfwDocument,
};
use ipnet::IpNet;
use std::net::IpAddr;

/// sshd's port, by which operators come.
const SSH_PORT: u16 = 22;
/// The order of rules that say none.
const ORDER: u32 = 50;
/// The longest name of a network interface. Source: `IFNAMSIZ` in linux/if.h.
const INTERFACE_BYTES_MAX: usize = 15;

/// The firewall of a guest.
pub struct Firewall {
    pub settings: UfwDocument,
    pub rules: Vec<Rule>,
}

/// Reads the firewall, and checks that operators still get in; none when it has mistakes.
pub fn read(stack: &View<'_>, management: &[IpNet]) -> Option<Firewall> {
    let view = stack.table("firewall");
    let policy = |key, default| {
        view.word_or(key, &[("allow", "accept"), ("deny", "drop"), ("reject", "reject")], default)
    };
    let levels = ["off", "low", "medium", "high", "full"].map(|level| (level, level));
    let logging = view.word_or("logging", &levels, "low");
    let (incoming, outgoing) = (policy("incoming", "drop"), policy("outgoing", "accept"));
    let (routed, rules) = (policy("routed", "drop"), rules(&view, management));
    let settings = UfwDocument {
        enabled: view.boolean("enabled").unwrap_or(true),
        ipv6: view.boolean("ipv6").unwrap_or(true),
        logging: logging?.to_owned(),
        incoming: incoming?.to_owned(),
        outgoing: outgoing?.to_owned(),
        routed: routed?.to_owned(),
    };
    let firewall = Firewall { settings, rules: rules? };
    check_management(&view, &firewall, management);
    Some(firewall)
}

/// The rules by `order`, then by name; none when one has a mistake.
fn rules(view: &View<'_>, management: &[IpNet]) -> Option<Vec<Rule>> {
    let mut rules = Vec::new();
    let mut whole = true;
    for (name, view) in view.tables("rules") {
        let order = view.number_or("order", ORDER);
        match (rule(&view, management), order) {
            (Some(found), Some(order)) => rules.push((order, name, found)),
            _ => whole = false,
        }
    }
    rules.sort_by(|(a, x, _), (b, y, _)| (a, x).cmp(&(b, y)));
    whole.then(|| rules.into_iter().flat_map(|(_, _, found)| found).collect())
}

/// A rule of the author: one of ufw's for each network that it is from.
fn rule(view: &View<'_>, management: &[IpNet]) -> Option<Vec<Rule>> {
    let actions = [
        ("allow", Action::Allow),
        ("deny", Action::Deny),
        ("reject", Action::Reject),
        ("limit", Action::Limit),
    ];
    let action = view.word_or("action", &actions, Action::Allow);
    let protocols = [("any", Protocol::Any), ("tcp", Protocol::Tcp), ("udp", Protocol::Udp)];
    let protocol = view.word_or("protocol", &protocols, Protocol::Any);
    let directions = [("in", Direction::In), ("out", Direction::Out)];
    let direction = view.word_or("direction", &directions, Direction::In);
    let (ports, from, to) = (ports(view), sources(view, management), network(view, "to"));
    let (action, protocol, direction) = (action?, protocol?, direction?);
    let (ports, from, to) = (ports?, from?, to?);
    if ports.is_multi_or_none() && !ports.0.is_empty() && protocol == Protocol::Any {
        let title = "ranges and lists of ports need a protocol";
        view.report(
            Mistake::new(Code::PortsNeedProtocol, view.at, title)
                .help("add `protocol = \"tcp\"` or \"udp\""),
        );
        return None;
    }
    let interface = interface(view)?;
    let comment = comment(view)?;
    let one = |from: Option<IpNet>| Rule {
        action,
        direction,
        protocol,
        from,
        to,
        ports: ports.clone(),
        interface: interface.clone(),
        comment: comment.clone(),
    };
    Some(from.into_iter().map(one).collect())
}

fn ports(view: &View<'_>) -> Option<Ports> {
    let Some(node) = view.node("port") else {
        return (!view.table.contains_key("port")).then(Ports::default);
    };
    let text = super::files::plain(view.lowering, node)?;
    view.lowering.parse(&text, node.at)
}

/// The networks that a rule is from; one `None` for everywhere. `management` stands for the site's own.
fn sources(view: &View<'_>, management: &[IpNet]) -> Option<Vec<Option<IpNet>>> {
    let mut networks = Vec::new();
    for text in view.texts("from") {
        if text.value == "management" {
            networks.extend(management.iter().map(|network| Some(*network)));
        } else {
            networks.push(Some(parse_network(view, &text.value, text.at)?));
        }
    }
    if !view.table.contains_key("from") {
        networks.push(None);
    } else if networks.is_empty() {
        let title = "a rule from nowhere does nothing";
        view.report(
            Mistake::new(Code::RuleFromNowhere, view.at, title)
                .help("name a network, or leave `from` out"),
        );
        return None;
    }
    Some(networks)
}

#[expect(clippy::option_option, reason = "outside: a mistake; inside: not said")]
fn network(view: &View<'_>, key: &str) -> Option<Option<IpNet>> {
    match view.text(key) {
        Some(text) => parse_network(view, &text.value, text.at).map(Some),
        None => (!view.table.contains_key(key)).then_some(None),
    }
}

/// `10.0.10.0/24`, or one address.
pub fn parse_network(view: &View<'_>, text: &str, at: At) -> Option<IpNet> {
    let network = text.parse::<IpNet>().or_else(|_| text.parse::<IpAddr>().map(IpNet::from)).ok();
    if network.is_none() {
        let title = format!("`{text}` is no network");
        let help = "write it as 10.0.10.0/24, as one address, or as \"management\"";
        view.report(Mistake::new(Code::BadNetwork, at, title).help(help));
    }
    network.map(|network| network.trunc())
}

#[expect(clippy::option_option, reason = "outside: a mistake; inside: not said")]
fn interface(view: &View<'_>) -> Option<Option<String>> {
    let Some(text) = view.text("interface") else { return Some(None) };
    let plain = |c: char| c.is_ascii_alphanumeric() || ".-_".contains(c);
    let valid = !text.value.is_empty()
        && text.value.len() <= INTERFACE_BYTES_MAX
        && text.value.chars().all(plain);
    if !valid {
        let title = format!("`{}` is no network interface", text.value);
        view.report(
            Mistake::new(Code::BadInterface, text.at, title)
                .help("write its name, such as \"eth0\""),
        );
    }
    valid.then_some(Some(text.value))
}

#[expect(clippy::option_option, reason = "outside: a mistake; inside: not said")]
fn comment(view: &View<'_>) -> Option<Option<String>> {
    let Some(text) = view.text("comment") else { return Some(None) };
    let valid = !text.value.chars().any(|c| c.is_control() || c == '\'');
    if !valid {
        let title = "a rule's comment cannot have single quotes or control characters";
        view.report(Mistake::new(Code::BadComment, text.at, title));
    }
    valid.then_some(Some(text.value).filter(|text| !text.is_empty()))
}

/// A firewall that shuts operators out does not compile.
fn check_management(view: &View<'_>, firewall: &Firewall, management: &[IpNet]) {
    for network in management {
        if !ufw::admits(&firewall.settings, &firewall.rules, *network, SSH_PORT) {
            let title =
                format!("this firewall shuts operators of {network} out of port {SSH_PORT}");
            let help = "add a rule: `[firewall.rules.ssh]` with `port = 22`, `protocol = \"tcp\"`, `from = \"management\"`";
            view.report(
                Mistake::new(Code::OperatorsShutOut, view.at, title)
                    .help(help)
                    .in_guest(view.lowering.target),
            );
        }
    }
}
