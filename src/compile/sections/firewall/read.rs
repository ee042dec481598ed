//! Rules as their author writes them.

use super::rule::{Action, Direction, Family, Ports, Protocol, Rule};
use crate::compile::{
    report::{Code, Mistake},
    source::{At, Value},
    view::View,
};
use ipnet::IpNet;
use std::{collections::BTreeMap, net::IpAddr};

/// The order of rules that say none.
const ORDER: u32 = 50;
/// The longest name of a network interface. Source: `IFNAMSIZ` in linux/if.h.
const INTERFACE_BYTES_MAX: usize = 15;

/// The rules by `order`, then by name; none when one has a mistake. Of no interfaces nobody knows their names.
pub fn rules(
    view: &View<'_>,
    management: &[IpNet],
    interfaces: &[&str],
) -> Option<Vec<(Rule, At)>> {
    let mut rules = Vec::new();
    let mut whole = true;
    for (name, view) in view.tables("rules") {
        let order = view.number_or("order", ORDER);
        check_interface(&view, interfaces);
        match (rule(&view, management), order) {
            (Some(found), Some(order)) => rules.push((order, name, found, view.at)),
            _ => whole = false,
        }
    }
    rules.sort_by(|(a, x, ..), (b, y, ..)| (a, x).cmp(&(b, y)));
    let placed = rules
        .into_iter()
        .flat_map(|(_, _, found, at)| found.into_iter().map(move |rule| (rule, at)));
    let placed: Vec<_> = placed.collect();
    check_twice(view, &placed);
    whole.then_some(placed)
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
    let (interface, comment) = (interface(view), comment(view));
    let (action, protocol, direction) = (action?, protocol?, direction?);
    let (ports, from, to) = (ports?, from?, to?);
    let (interface, comment) = (interface?, comment?);
    if ports.is_multi_or_none() && !ports.0.is_empty() && protocol == Protocol::Any {
        let title = "ranges and lists of ports need a protocol";
        view.report(
            Mistake::new(Code::PortsNeedProtocol, view.at, title)
                .help("add `protocol = \"tcp\"` or \"udp\""),
        );
        return None;
    }
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
    let rules: Vec<_> = from.into_iter().map(one).collect();
    if !rules.iter().any(|rule| rule.is_for(Family::V4) || rule.is_for(Family::V6)) {
        let title = "a rule from IPv4 to IPv6, or the other way round, does nothing";
        view.report(
            Mistake::new(Code::RuleFromNowhere, view.at, title)
                .help("write `from` and `to` of one family"),
        );
        return None;
    }
    Some(rules)
}

/// ufw itself takes no rule that is there already, so that its file would not be ours.
fn check_twice(view: &View<'_>, rules: &[(Rule, At)]) {
    let mut seen = BTreeMap::new();
    for (rule, at) in rules {
        if let Some(first) = seen.insert(rule.packets(), *at) {
            let title = "this rule is for the very packets of another";
            view.report(
                Mistake::new(Code::RuleTwice, *at, title)
                    .also(first, "the other one, which decides")
                    .help("take one of the two out"),
            );
        }
    }
}

fn ports(view: &View<'_>) -> Option<Ports> {
    let Some(node) = view.node("port") else {
        return (!view.table.contains_key("port")).then(Ports::default);
    };
    let text = crate::compile::sections::variables::plain(view.lowering, node)?;
    if let Value::Integer(number) = node.value
        && !matches!(u16::try_from(number), Ok(1..))
    {
        // The language has a range for it, and has told so.
        return None;
    }
    view.lowering.parse(&text, node.at)
}

/// The networks that a rule is from; one `None` for everywhere. `management` stands for the site's own.
fn sources(view: &View<'_>, management: &[IpNet]) -> Option<Vec<Option<IpNet>>> {
    if !view.table.contains_key("from") {
        return Some(vec![None]);
    }
    let written = match &view.node("from")?.value {
        Value::List(items) => items.len(),
        _ => 1,
    };
    if written == 0 {
        let title = "a rule from nowhere does nothing";
        view.report(
            Mistake::new(Code::RuleFromNowhere, view.at, title)
                .help("name a network, or leave `from` out"),
        );
    }
    let texts = view.texts("from");
    let networks = texts.iter().filter_map(|text| match text.value.as_str() {
        "management" => Some(management.to_vec()),
        network => parse_network(view, network, text.at, NETWORK).map(|network| vec![network]),
    });
    let networks: Vec<_> = networks.collect();
    let is_whole = networks.len() == written;
    let networks: Vec<_> = networks.into_iter().flatten().map(Some).collect();
    // Of no management networks at all the site is told.
    (is_whole && !networks.is_empty()).then_some(networks)
}

/// How a network of a rule is written.
const NETWORK: &str = "write it as 10.0.10.0/24, as one address, or as \"management\"";

#[expect(clippy::option_option, reason = "outside: a mistake; inside: not said")]
fn network(view: &View<'_>, key: &str) -> Option<Option<IpNet>> {
    match view.text(key) {
        Some(text) => parse_network(view, &text.value, text.at, ADDRESSES).map(Some),
        None => (!view.table.contains_key(key)).then_some(None),
    }
}

/// How a network is written where `management` means nothing.
pub const ADDRESSES: &str = "write it as 10.0.10.0/24, or as one address";

/// `10.0.10.0/24`, or one address.
pub fn parse_network(view: &View<'_>, text: &str, at: At, help: &str) -> Option<IpNet> {
    let network = text.parse::<IpNet>().or_else(|_| text.parse::<IpAddr>().map(IpNet::from)).ok();
    if network.is_none() {
        let title = format!("`{text}` is no network");
        view.report(Mistake::new(Code::BadNetwork, at, title).help(help));
    }
    network
}

/// Reports an interface that the guest would have if somebody had declared it. Programs on the guest make others, whose names
/// are theirs.
fn check_interface(view: &View<'_>, known: &[&str]) {
    let Some(name) = view.text("interface") else { return };
    let number = name.value.strip_prefix("eth").unwrap_or_default();
    let is_declared = known.is_empty() || known.contains(&name.value.as_str());
    if !is_declared && !number.is_empty() && number.bytes().all(|b| b.is_ascii_digit()) {
        let title = format!("the guest has no interface `{}`", name.value);
        let help = format!("it has {}; `guest.networks` declares more", known.join(", "));
        view.report(Mistake::new(Code::BadInterface, name.at, title).help(help));
    }
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
        view.report(Mistake::new(Code::BadComment, text.at, title).help("leave them out"));
    }
    valid.then_some(Some(text.value).filter(|text| !text.is_empty()))
}
