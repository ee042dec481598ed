//! Rules files: what ufw itself writes on a real guest, and what is compiled from a definition of the same rules.

use crate::{
    compile::{compiled, with_project},
    dice::Dice,
    fixture_lab::RealLab,
    guest_fixture::feed,
    guest_real::RealGuest,
};
use ipnet::IpNet;
use serde::Deserialize;
use serde_json::{Value, json};
use std::{
    collections::BTreeSet,
    fmt::Write as _,
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
};

/// A rule as an author thinks of it.
#[derive(Debug, Clone, Default)]
struct Rule {
    action: &'static str,
    direction: &'static str,
    protocol: &'static str,
    ports: String,
    /// Several are several rules of ufw.
    from: Vec<String>,
    to: String,
    interface: &'static str,
    comment: String,
}

/// A firewall as an author thinks of it.
#[derive(Debug)]
struct Firewall {
    /// Of what comes in, goes out, passes through: `allow`, `deny` or `reject`.
    policies: [&'static str; 3],
    logging: &'static str,
    ipv6: bool,
    rules: Vec<Rule>,
}

const DIRECTIONS: [&str; 3] = ["incoming", "outgoing", "routed"];

impl Rule {
    /// The words after `ufw`: a command for each network that the rule is from.
    fn commands(&self) -> Vec<Vec<String>> {
        let anywhere = [String::new()];
        let from = if self.from.is_empty() { &anywhere[..] } else { &self.from };
        from.iter().map(|from| self.command(from)).collect()
    }

    fn command(&self, from: &str) -> Vec<String> {
        let or_any = |text: &str| if text.is_empty() { "any" } else { text }.to_owned();
        let mut words = vec![self.action.to_owned(), self.direction.to_owned()];
        let mut add = |key: &str, value: &str| {
            if !value.is_empty() {
                words.extend([key.to_owned(), value.to_owned()]);
            }
        };
        add("on", self.interface);
        add("proto", if self.protocol == "any" { "" } else { self.protocol });
        add("from", &or_any(from));
        add("to", &or_any(&self.to));
        add("port", &self.ports);
        add("comment", &self.comment);
        words
    }

    fn definition(&self, name: &str) -> String {
        let texts = [
            ("action", self.action),
            ("direction", self.direction),
            ("protocol", self.protocol),
            ("port", &self.ports),
            ("to", &self.to),
            ("interface", self.interface),
            ("comment", &self.comment),
        ];
        let mut text = format!("[project.firewall.rules.{name}]\n");
        for (key, value) in texts.iter().filter(|(_, value)| !value.is_empty()) {
            writeln!(text, "{key} = {}", toml::Value::from(*value)).expect("text takes all");
        }
        if !self.from.is_empty() {
            writeln!(text, "from = {}", toml::Value::from(self.from.clone())).expect("the same");
        }
        text
    }

    /// What ufw takes for the same rule, whatever it does and says.
    fn key(&self) -> String {
        let plain = |text: &String| network(text).map_or_else(String::new, |net| net.to_string());
        let mut ports: Vec<_> = self.ports.split(',').collect();
        ports.sort_unstable();
        let from: Vec<_> = self.from.iter().map(plain).filter(|text| !text.is_empty()).collect();
        let to = plain(&self.to);
        format!("{} {} {} {ports:?} {from:?} {to:?}", self.direction, self.protocol, self.interface)
    }
}

/// None for everywhere.
fn network(text: &str) -> Option<IpNet> {
    let parsed = text.parse::<IpNet>().or_else(|_| text.parse::<IpAddr>().map(IpNet::from)).ok();
    parsed.map(|net| net.trunc()).filter(|net| net.prefix_len() > 0)
}

impl Firewall {
    /// The rule of the kind `base` comes first.
    fn commands(&self) -> Vec<Vec<String>> {
        let of_kind = Rule {
            action: "allow",
            direction: "in",
            protocol: "tcp",
            ports: "22".to_owned(),
            from: vec!["10.0.10.0/24".to_owned()],
            comment: "operators".to_owned(),
            ..Rule::default()
        };
        let policies = DIRECTIONS.iter().zip(self.policies);
        let policies = policies.map(|(direction, policy)| vec!["default", policy, direction]);
        let settings = policies.chain([vec!["logging", self.logging]]);
        let settings = settings.map(|words| words.into_iter().map(str::to_owned).collect());
        let rules = [&of_kind].into_iter().chain(&self.rules).flat_map(Rule::commands);
        settings.chain(rules).collect()
    }

    fn definition(&self) -> String {
        let mut text = "[project]\nkind = \"base\"\n[project.firewall]\n".to_owned();
        for (direction, policy) in DIRECTIONS.iter().zip(self.policies) {
            writeln!(text, "{direction} = \"{policy}\"").expect("text takes all");
        }
        writeln!(text, "logging = \"{}\"\nipv6 = {}", self.logging, self.ipv6).expect("the same");
        for (n, rule) in self.rules.iter().enumerate() {
            text += &rule.definition(&format!("r{n:03}"));
        }
        text + "[envs.dev]\nname = \"x\"\nvmid = 101\nip = \"10.0.10.101/24\"\n"
    }

    fn compiled(&self) -> [String; 2] {
        let compiled = compiled(&with_project(self.definition().as_bytes()));
        let bundle = compiled.guests.into_values().next().expect("one guest");
        ["firewall/user.rules", "firewall/user6.rules"].map(|path| {
            let bytes = &bundle.files[&path.parse().expect("a path")];
            String::from_utf8(bytes.clone()).expect("ufw's files are UTF-8")
        })
    }
}

/// A rule of every sort, each once at least.
fn of_every_sort() -> Vec<Rule> {
    let rule = |action, direction, protocol, ports: &str, from: &[&str], to: &str| Rule {
        action,
        direction,
        protocol,
        ports: ports.to_owned(),
        from: from.iter().map(|text| (*text).to_owned()).collect(),
        to: to.to_owned(),
        ..Rule::default()
    };
    let with = |interface, comment: &str, rule: Rule| Rule {
        interface,
        comment: comment.to_owned(),
        ..rule
    };
    let mut rules = vec![
        rule("allow", "in", "tcp", "22", &["2001:db8::/32"], ""),
        rule("allow", "in", "any", "53", &[], ""),
        rule("deny", "in", "any", "", &["192.0.2.7"], ""),
        rule("reject", "in", "any", "", &["2001:db8::7"], ""),
        rule("limit", "in", "any", "", &["198.51.100.0/24"], ""),
        rule("allow", "in", "any", "", &["203.0.113.77/24"], "10.0.10.5"),
        rule("allow", "in", "tcp", "5432", &[], "10.0.10.5"),
        rule("allow", "in", "tcp", "5432", &[], "2001:db8:0:0:1:0:0:1"),
        rule("allow", "in", "tcp", "5433", &["0.0.0.0/0"], ""),
        rule("allow", "in", "tcp", "5434", &["::/0"], ""),
        rule("allow", "in", "tcp", "5435", &["::192.0.2.1", "::ffff:192.0.2.1"], ""),
        rule("allow", "in", "udp", "5436", &["10.0.0.0/8", "2001:db8::/64", "192.0.2.1"], ""),
        rule("allow", "out", "udp", "123", &[], ""),
        rule("deny", "out", "any", "25", &[], "198.51.100.1"),
        rule("reject", "out", "tcp", "25", &[], ""),
        rule("allow", "in", "tcp", "80,443", &[], ""),
        rule("allow", "in", "tcp", "9000,80", &[], ""),
        rule("allow", "in", "udp", "6000:6007,53", &[], ""),
        rule("deny", "in", "tcp", "1:1024", &[], ""),
        rule("allow", "in", "tcp", "1,2,3,4,5,6,7,8,9,10,11,12,13,14,15", &[], ""),
        with("eth0", "", rule("allow", "in", "tcp", "8080", &[], "")),
        with("eth0", "", rule("allow", "out", "any", "", &[], "")),
        with("wg0.5", "", rule("deny", "in", "any", "", &["fe80::/10"], "")),
        with("lo", "all of it", rule("allow", "in", "any", "", &[], "")),
        with("br-a_1", "é \"日本\" \\ 😀", rule("reject", "in", "udp", "1000:2000", &[], "")),
    ];
    for (n, action) in ["allow", "deny", "reject", "limit"].into_iter().enumerate() {
        for (m, protocol) in ["any", "tcp", "udp"].into_iter().enumerate() {
            let port = (7000 + 10 * n + m).to_string();
            let comment = format!("{action} {protocol} # = 'x'").replace('\'', "");
            rules.push(with("", &comment, rule(action, "in", protocol, &port, &[], "")));
            rules.push(rule(action, "out", protocol, &port, &["2001:db8::5"], ""));
        }
    }
    rules
}

fn random_rules(dice: &mut Dice, ipv6: bool, count: usize) -> Vec<Rule> {
    let mut keys = BTreeSet::new();
    let mut rules = Vec::new();
    while rules.len() < count {
        let rule = random_rule(dice, ipv6);
        // To the same rule again ufw says that it is there; or it puts the later one in the earlier one's place.
        if keys.insert(rule.key()) {
            rules.push(rule);
        }
    }
    rules
}

fn random_rule(dice: &mut Dice, ipv6: bool) -> Rule {
    let protocol = dice.pick(&["any", "tcp", "udp"]);
    let v6 = ipv6 && dice.one_in(2);
    let address = |dice: &mut Dice| match dice.roll(3) {
        0 => random_network(dice, v6),
        _ => String::new(),
    };
    let (from, to) = (address(dice), address(dice));
    let comments = ["", "", "web", "two words", "ünï日😀", "# = \"x\" \\", " blanks "];
    Rule {
        action: dice.pick(&["allow", "deny", "reject", "limit"]),
        direction: dice.pick(&["in", "in", "out"]),
        protocol,
        ports: random_ports(dice, protocol == "any"),
        from: Some(from).filter(|text| !text.is_empty()).into_iter().collect(),
        to,
        interface: dice.pick(&["", "", "", "eth0", "lo", "wg0.5", "br-a_1"]),
        comment: dice.pick(&comments).to_owned(),
    }
}

fn random_ports(dice: &mut Dice, single: bool) -> String {
    let port = |dice: &mut Dice| 1 + dice.roll(65_535);
    let range = |dice: &mut Dice| {
        let low = 1 + dice.roll(65_000);
        format!("{low}:{}", low + 1 + dice.roll(500))
    };
    match dice.roll(4) {
        0 => String::new(),
        2 if !single => range(dice),
        3 if !single => {
            let mut parts = Vec::new();
            for _ in 0..2 + dice.roll(6) {
                parts.push(if dice.one_in(3) { range(dice) } else { port(dice).to_string() });
            }
            parts.join(",")
        }
        _ => port(dice).to_string(),
    }
}

/// Host bits and all; runs of zeros are likely.
fn random_network(dice: &mut Dice, v6: bool) -> String {
    let group = |dice: &mut Dice| {
        u16::try_from(if dice.one_in(2) { 0 } else { dice.roll(65_536) }).expect("16 bits")
    };
    let address: IpAddr = if v6 {
        Ipv6Addr::from([(); 8].map(|()| group(dice))).into()
    } else {
        let [a, b] = [group(dice), group(dice)].map(u16::to_be_bytes);
        Ipv4Addr::new(a[0], a[1], b[0], b[1]).into()
    };
    let longest = if v6 { 128 } else { 32 };
    match dice.roll(3) {
        0 => address.to_string(),
        _ => format!("{address}/{}", dice.roll(longest + 1)),
    }
}

#[derive(Deserialize)]
struct Written {
    v4: String,
    v6: String,
    said: Vec<String>,
}

/// Has ufw write the files of all these firewalls on a guest.
fn written_by_ufw(guest: &RealGuest, firewalls: &[Firewall]) -> Vec<Written> {
    let script = include_bytes!("../cases/ufw/write_rules.py");
    feed(guest.command("cat >/root/write_rules.py"), script);
    let requests = firewalls.iter().map(|firewall| {
        let ipv6 = if firewall.ipv6 { "yes" } else { "no" };
        json!({ "ipv6": ipv6, "commands": firewall.commands() })
    });
    let requests: Value = requests.collect();
    let command = guest.command("python3 /root/write_rules.py 2>/root/errors");
    let output = feed(command, requests.to_string().as_bytes());
    serde_json::from_slice(&output).unwrap_or_else(|error| {
        panic!("{error}: {}", guest.says("cat /root/errors"));
    })
}

/// Where two files differ first.
fn difference(name: &str, by_ufw: &str, compiled: &str) -> Option<String> {
    if by_ufw == compiled {
        return None;
    }
    let lines = by_ufw.lines().zip(compiled.lines());
    let first = lines.into_iter().find(|(a, b)| a != b);
    Some(format!("{name}, by ufw and compiled: {first:#?}"))
}

#[test]
fn rules_written_by_ufw_on_a_guest_and_rules_compiled_are_the_same_bytes() {
    let Some(lab) = RealLab::start("ufw") else { return };
    let mut dice = Dice::seeded();
    let policies = ["allow", "deny", "reject"];
    let mut firewalls = vec![Firewall {
        policies: ["deny", "allow", "deny"],
        logging: "low",
        ipv6: true,
        rules: of_every_sort(),
    }];
    for (n, logging) in ["off", "low", "medium", "high", "full"].repeat(3).into_iter().enumerate() {
        let policies = [(); 3].map(|()| dice.pick(&policies));
        let ipv6 = n % 3 > 0;
        let rules = random_rules(&mut dice, ipv6, 25);
        firewalls.push(Firewall { policies, logging, ipv6, rules });
    }
    lab.boot(101, "ufw1");
    let mut guest = RealGuest::new(&lab, "ufw1");
    guest.install_ufw();
    let written = written_by_ufw(&guest, &firewalls);
    assert_eq!(written.len(), firewalls.len());
    let mut wrong = Vec::new();
    for (firewall, by_ufw) in firewalls.iter().zip(written) {
        for (words, said) in firewall.commands().iter().zip(&by_ufw.said) {
            let taken = ["Rule", "Default", "Logging"].iter().any(|start| said.starts_with(start));
            assert!(taken, "{words:?}: {said}");
        }
        let [v4, v6] = firewall.compiled();
        wrong.extend(difference("user.rules", &by_ufw.v4, &v4));
        // While IPv6 is off ufw leaves the other file as its package brought it.
        if firewall.ipv6 {
            wrong.extend(difference("user6.rules", &by_ufw.v6, &v6));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}
