//! `user.rules` and `user6.rules`, byte for byte as ufw 0.36.2 writes them.
//!
//! Source: `ufw/backend_iptables.py` (`_write_rules`, `_get_rules_from_formatted`, `_get_logging_rules`) and `ufw/common.py`
//! (`format_rule`) of ufw 0.36.2; compared with the files of a Debian 12 guest.

use super::rule::{Action, Direction, Family, Protocol, Rule};
use crate::model::UfwDocument;
use ipnet::IpNet;
use std::{fmt::Write as _, net::IpAddr};

const CHAINS: [&str; 16] = [
    "user-input",
    "user-output",
    "user-forward",
    "before-logging-input",
    "before-logging-output",
    "before-logging-forward",
    "user-logging-input",
    "user-logging-output",
    "user-logging-forward",
    "after-logging-input",
    "after-logging-output",
    "after-logging-forward",
    "logging-deny",
    "logging-allow",
    "user-limit",
    "user-limit-accept",
];

/// The file of a family.
pub fn rules_file(family: Family, settings: &UfwDocument, rules: &[Rule]) -> String {
    let prefix = family.prefix();
    let mut lines = vec!["*filter".to_owned()];
    lines.extend(CHAINS.iter().map(|chain| format!(":{prefix}-{chain} - [0:0]")));
    lines.push("### RULES ###".to_owned());
    // IPv6 that is off has no rules, but its file is read all the same when it is switched on by hand.
    for rule in rules.iter().filter(|rule| rule.is_for(family)) {
        lines.push(String::new());
        lines.push(tuple(family, rule));
        lines.extend(commands(family, rule));
    }
    lines.extend([String::new(), "### END RULES ###".to_owned(), String::new()]);
    lines.push("### LOGGING ###".to_owned());
    lines.extend(logging(prefix, settings));
    lines.extend(["### END LOGGING ###".to_owned(), String::new()]);
    lines.push("### RATE LIMITING ###".to_owned());
    if settings.logging != "off" {
        lines.push(format!(
            "-A {prefix}-user-limit -m limit --limit 3/minute -j LOG --log-prefix \"[UFW LIMIT BLOCK] \""
        ));
    }
    lines.push(format!("-A {prefix}-user-limit -j REJECT"));
    lines.push(format!("-A {prefix}-user-limit-accept -j ACCEPT"));
    lines.extend(["### END RATE LIMITING ###".to_owned(), "COMMIT".to_owned(), String::new()]);
    lines.join("\n")
}

fn action_word(action: Action) -> &'static str {
    match action {
        Action::Allow => "allow",
        Action::Deny => "deny",
        Action::Reject => "reject",
        Action::Limit => "limit",
    }
}

fn protocol_word(protocol: Protocol) -> &'static str {
    match protocol {
        Protocol::Any => "any",
        Protocol::Tcp => "tcp",
        Protocol::Udp => "udp",
    }
}

/// The comment line from which ufw itself reads the rule back.
fn tuple(family: Family, rule: &Rule) -> String {
    let ports = if rule.ports.0.is_empty() { "any".to_owned() } else { rule.ports.text() };
    let network = |network: &Option<IpNet>| {
        network.as_ref().map_or_else(|| family.everywhere().to_owned(), address)
    };
    let direction = match rule.direction {
        Direction::In => "in",
        Direction::Out => "out",
    };
    let mut text = format!(
        "### tuple ### {} {} {ports} {} any {} {direction}",
        action_word(rule.action),
        protocol_word(rule.protocol),
        network(&rule.to),
        network(&rule.from),
    );
    if let Some(interface) = &rule.interface {
        write!(text, "_{interface}").expect("text takes all");
    }
    if let Some(comment) = &rule.comment {
        text.push_str(" comment=");
        for byte in comment.bytes() {
            write!(text, "{byte:02x}").expect("text takes all");
        }
    }
    text
}

/// A network as ufw writes it, which takes host bits away only for IPv4; a single address without its prefix length.
fn address(network: &IpNet) -> String {
    let network = if network.addr().is_ipv4() { network.trunc() } else { *network };
    let (address, length) = (host(network.addr()), network.prefix_len());
    if length == network.max_prefix_len() { address } else { format!("{address}/{length}") }
}

/// As `inet_ntop(3)` of glibc writes it, and with it ufw: `::192.0.2.1`, where Rust writes `::c000:201`.
fn host(address: IpAddr) -> String {
    let IpAddr::V6(v6) = address else { return address.to_string() };
    match v6.segments() {
        [0, 0, 0, 0, 0, 0, high, low] if high > 0 => {
            let [a, b] = high.to_be_bytes();
            let [c, d] = low.to_be_bytes();
            format!("::{a}.{b}.{c}.{d}")
        }
        _ => v6.to_string(),
    }
}

/// The commands of a rule, in iptables-restore's form.
fn commands(family: Family, rule: &Rule) -> Vec<String> {
    let protocols = match rule.protocol {
        Protocol::Any if rule.ports.0.is_empty() => vec![Protocol::Any],
        Protocol::Any => vec![Protocol::Tcp, Protocol::Udp],
        one => vec![one],
    };
    protocols
        .into_iter()
        .flat_map(|protocol| {
            let matched = matches(family, rule, protocol);
            targets(family, rule.action, protocol)
                .into_iter()
                .map(move |target| format!("{matched}{target}"))
        })
        .collect()
}

fn matches(family: Family, rule: &Rule, protocol: Protocol) -> String {
    let (chain, interface) = match rule.direction {
        Direction::In => ("input", "-i"),
        Direction::Out => ("output", "-o"),
    };
    let mut text = format!("-A {}-user-{chain}", family.prefix());
    let mut add = |flag: &str, value: &str| {
        write!(text, " {flag} {value}").expect("text takes all");
    };
    if let Some(name) = &rule.interface {
        add(interface, name);
    }
    if protocol != Protocol::Any {
        add("-p", protocol_word(protocol));
    }
    if rule.ports.is_multi() {
        add("-m multiport --dports", &rule.ports.text());
    }
    // A rule for all addresses of one family is told apart by its file alone.
    let narrow = |network: &Option<IpNet>| {
        network.as_ref().map(address).filter(|address| address != family.everywhere())
    };
    if let Some(address) = narrow(&rule.to) {
        add("-d", &address);
    }
    if !rule.ports.is_multi_or_none() {
        add("--dport", &rule.ports.text());
    }
    if let Some(address) = narrow(&rule.from) {
        add("-s", &address);
    }
    text
}

fn targets(family: Family, action: Action, protocol: Protocol) -> Vec<String> {
    match action {
        Action::Allow => vec![" -j ACCEPT".to_owned()],
        Action::Deny => vec![" -j DROP".to_owned()],
        Action::Reject if protocol == Protocol::Tcp => {
            vec![" -j REJECT --reject-with tcp-reset".to_owned()]
        }
        Action::Reject => vec![" -j REJECT".to_owned()],
        Action::Limit => {
            let new = " -m conntrack --ctstate NEW -m recent";
            let limit = format!("{}-user-limit", family.prefix());
            vec![
                format!("{new} --set"),
                format!("{new} --update --seconds 30 --hitcount 6 -j {limit}"),
                format!(" -j {limit}-accept"),
            ]
        }
    }
}

const LIMIT: &str = " -m limit --limit 3/min --limit-burst 10";

fn logging(prefix: &str, settings: &UfwDocument) -> Vec<String> {
    let log = |flag: &str, chain: &str, prefix_text: &str, rest: &str| {
        format!("{flag} {prefix}-{chain} -j LOG --log-prefix \"[UFW {prefix_text}] \"{rest}")
    };
    let chains = ["input", "output", "forward"];
    let level = ["off", "low", "medium", "high", "full"]
        .iter()
        .position(|level| *level == settings.logging)
        .expect("the level was checked when it was read");
    if level == 0 {
        let line = |chain: &&str| format!("-I {prefix}-user-logging-{chain} -j RETURN");
        return chains.iter().map(line).collect();
    }
    let limit = if level < 3 { LIMIT } else { "" };
    let policies = [&settings.incoming, &settings.outgoing, &settings.routed];
    let mut lines = Vec::new();
    for (chain, policy) in chains.iter().zip(policies) {
        let chain = format!("after-logging-{chain}");
        match policy.as_str() {
            "accept" if level >= 2 => lines.push(log("-A", &chain, "ALLOW", limit)),
            "accept" => {}
            _ => lines.push(log("-A", &chain, "BLOCK", limit)),
        }
    }
    let invalid = "-m conntrack --ctstate INVALID";
    lines.push(if level < 2 {
        format!("-I {prefix}-logging-deny {invalid} -j RETURN{limit}")
    } else {
        format!(
            "-A {prefix}-logging-deny {invalid} -j LOG --log-prefix \"[UFW AUDIT INVALID] \"{limit}"
        )
    });
    lines.push(log("-A", "logging-deny", "BLOCK", limit));
    lines.push(log("-A", "logging-allow", "ALLOW", limit));
    let audit = match level {
        0 | 1 => return lines,
        2 => format!(" -m conntrack --ctstate NEW{LIMIT}"),
        3 => LIMIT.to_owned(),
        _ => String::new(),
    };
    let audited = chains.iter().map(|chain| format!("before-logging-{chain}"));
    lines.extend(audited.map(|chain| log("-I", &chain, "AUDIT", &audit)));
    lines
}

#[cfg(test)]
mod tests {
    use super::{
        super::fixture::{rule, settings},
        *,
    };

    /// The rules of the `ufw` commands that made the files in `tests/cases/ufw` on a Debian 12 guest.
    fn as_on_the_guest() -> Vec<Rule> {
        let mut operators = rule(Action::Allow, "22", Some("10.0.10.0/24"));
        operators.comment = Some("operators".to_owned());
        let any = |rule: Rule| Rule { protocol: Protocol::Any, ..rule };
        let udp = |rule: Rule| Rule { protocol: Protocol::Udp, ..rule };
        let neighbour = any(rule(Action::Deny, "", Some("192.0.2.7/32")));
        let mut on_eth0 = rule(Action::Allow, "8080", None);
        on_eth0.interface = Some("eth0".to_owned());
        let mut time = udp(rule(Action::Allow, "123", None));
        time.direction = Direction::Out;
        let mut database = rule(Action::Allow, "5432", None);
        database.to = Some("10.0.10.5/32".parse().expect("an address"));
        vec![
            operators,
            rule(Action::Allow, "3001", None),
            any(rule(Action::Allow, "53", None)),
            rule(Action::Limit, "2222", None),
            rule(Action::Deny, "25", None),
            rule(Action::Reject, "113", None),
            udp(rule(Action::Reject, "113", None)),
            rule(Action::Allow, "6000:6007", None),
            rule(Action::Allow, "80,443", None),
            neighbour,
            rule(Action::Allow, "22", Some("2001:db8::/32")),
            on_eth0,
            time,
            database,
        ]
    }

    #[test]
    fn the_files_are_those_that_ufw_writes_itself() {
        let rules = as_on_the_guest();
        let v4 = rules_file(Family::V4, &settings(), &rules);
        assert_eq!(v4, include_str!("../../../../tests/cases/ufw/user.rules"));
        let v6 = rules_file(Family::V6, &settings(), &rules);
        assert_eq!(v6, include_str!("../../../../tests/cases/ufw/user6.rules"));
    }

    /// Lines of files that ufw wrote on a Debian 12 guest.
    #[test]
    fn ports_and_networks_are_spelled_as_ufw_spells_them() {
        let written = |ports, from| {
            let rule = rule(Action::Allow, ports, Some(from));
            let family = if rule.is_for(Family::V4) { Family::V4 } else { Family::V6 };
            [vec![tuple(family, &rule)], commands(family, &rule)].concat()
        };
        for (ports, from, lines) in [
            (
                "9000,80,6000:6007",
                "0.0.0.0/0",
                [
                    "### tuple ### allow tcp 80,6000:6007,9000 0.0.0.0/0 any 0.0.0.0/0 in",
                    "-A ufw-user-input -p tcp -m multiport --dports 80,6000:6007,9000 -j ACCEPT",
                ],
            ),
            (
                "5434",
                "::/0",
                [
                    "### tuple ### allow tcp 5434 ::/0 any ::/0 in",
                    "-A ufw6-user-input -p tcp --dport 5434 -j ACCEPT",
                ],
            ),
            (
                "22",
                "862d:db08::d2d0/51",
                [
                    "### tuple ### allow tcp 22 ::/0 any 862d:db08::d2d0/51 in",
                    "-A ufw6-user-input -p tcp --dport 22 -s 862d:db08::d2d0/51 -j ACCEPT",
                ],
            ),
            (
                "22",
                "::192.0.2.1/128",
                [
                    "### tuple ### allow tcp 22 ::/0 any ::192.0.2.1 in",
                    "-A ufw6-user-input -p tcp --dport 22 -s ::192.0.2.1 -j ACCEPT",
                ],
            ),
        ] {
            assert_eq!(written(ports, from), lines);
        }
    }

    #[test]
    fn log_levels_and_policies_are_written_as_ufw_does() {
        let expected = include_str!("../../../../tests/cases/ufw/logging-medium.rules");
        let settings = UfwDocument {
            logging: "medium".to_owned(),
            incoming: "reject".to_owned(),
            routed: "accept".to_owned(),
            ..settings()
        };
        let file = rules_file(Family::V4, &settings, &[]);
        let from_logging = file.find("### LOGGING").expect("the section is there");
        assert_eq!(&file[from_logging..], expected);
    }
}
