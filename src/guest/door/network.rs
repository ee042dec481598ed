//! The guest's own links, addresses and routes: whoever takes them away, the undo of a switch puts them back.

use super::super::error::GuestError;
use super::super::system::{Command, System};
use super::address::{Address, shared};
use super::answers::{LIMIT, answer, ask, ask_always, lines_of};
use super::ways::Ways;
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};

/// Who has brought a route that stays until somebody takes it away. What routers tell, and programs that speak to them, they
/// tell again, and what they took back is true no more.
const LASTING: [&str; 4] = ["boot", "dhcp", "kernel", "static"];

/// What leads to a guest and from it, each as the words by which ip(8) makes it. A guest without ip(8) has none of it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Network {
    /// Links, and whether each is up.
    links: BTreeMap<String, bool>,
    /// Those among them that do not ask for their neighbours' addresses.
    silent: BTreeSet<String>,
    /// Neighbours that somebody has named for good.
    neighbours: BTreeSet<String>,
    /// Who decides which packets pass a link, and when.
    queues: BTreeSet<String>,
    addresses: BTreeSet<Address>,
    /// Those among them that another guest may have by now.
    #[serde(default)]
    shared: BTreeSet<Address>,
    routes: BTreeSet<(Family, String)>,
    rules: BTreeSet<(Family, String)>,
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
    /// Takes down what there is, where somebody was in by these ways.
    pub fn look(system: &mut dyn System, ways: &Ways) -> Result<Self, GuestError> {
        let links = ask_always(system, "-o link show")?;
        let of_flag = |flag: &'static str| {
            let with = links.iter().filter(move |line| has_flag(line, flag));
            with.filter_map(|line| device(line))
        };
        let addresses = ask_always(system, "-o address show scope global")?;
        let mut network = Self {
            links: links
                .iter()
                .filter_map(|line| Some((device(line)?, has_flag(line, "UP"))))
                .collect(),
            silent: of_flag("NOARP").collect(),
            neighbours: ask(system, "neighbour show nud permanent")?.into_iter().collect(),
            queues: lines_of(system, &Command::asking(&["tc", "qdisc", "show"], LIMIT))?
                .into_iter()
                .collect(),
            addresses: addresses.iter().filter_map(|line| Address::parse(line)).collect(),
            shared: shared(&addresses, ways),
            ..Self::default()
        };
        for family in [Family::V4, Family::V6] {
            let of = |lines: Vec<String>| lines.into_iter().map(move |line| (family, line));
            let option = family.option();
            network.routes.extend(of(ask(system, &format!("-o {option} route show table main"))?));
            network.rules.extend(of(ask(system, &format!("{option} rule show"))?));
        }
        Ok(network)
    }

    /// Puts back what is missing, and takes away what only a person or a program like one adds: rules of routing, routes that no
    /// protocol has brought, and addresses of the loopback device. An error is what did not come to an answer, and may when it
    /// is tried again.
    pub fn restore(&self, system: &mut dyn System) -> (Restored, Result<(), GuestError>) {
        let (mut restored, mut first) = (Restored::default(), Ok(()));
        // An address brings routes, and a link that was down has lost both: what is still missing is only known afterwards.
        for orders in [first_orders, last_orders] {
            let orders = match Self::look(system, &Ways::default()) {
                Ok(now) => orders(self, &now),
                Err(error) => {
                    first = first.and(Err(error));
                    continue;
                }
            };
            for order in orders {
                let ordered = restored.order(system, order);
                first = first.and(ordered);
            }
        }
        (restored, first)
    }
}

/// What putting the network back has come to.
#[derive(Debug, Default)]
pub struct Restored {
    /// What was done, as commands.
    pub done: Vec<String>,
    /// What the kernel refused.
    pub refused: Vec<String>,
}

impl Restored {
    fn order(&mut self, system: &mut dyn System, order: String) -> Result<(), GuestError> {
        let argv: Vec<&str> = order.split(' ').collect();
        match answer(system, &Command::new(&argv, LIMIT))? {
            Ok(_) => self.done.push(order),
            Err(error) => self.refused.push(GuestError::from(error).refusal("").message),
        }
        Ok(())
    }
}

/// Links and addresses. A device that is gone was somebody's who made it, and makes it again.
fn first_orders(saved: &Network, now: &Network) -> Vec<String> {
    // Where nothing was known, as without ip(8), all that there is now would pass for what came since.
    if saved.links.is_empty() {
        return Vec::new();
    }
    let is_down = |link: &&String| saved.links[*link] && now.links.get(*link) == Some(&false);
    let up = saved.links.keys().filter(is_down).map(|link| format!("ip link set {link} up"));
    let heard = now.silent.difference(&saved.silent).filter(|link| saved.links.contains_key(*link));
    let heard = heard.map(|link| format!("ip link set {link} arp on"));
    // `10.0.0.1 dev eth0 lladdr 00:00:5e:00:53:01 PERMANENT`.
    let named = now.neighbours.difference(&saved.neighbours);
    let named = named.filter_map(|line| Some((line.split(' ').next()?, after(line, "dev")?)));
    let named = named.map(|(host, device)| format!("ip neighbour del {host} dev {device}"));
    let queued = now.queues.difference(&saved.queues).filter_map(|line| unqueue(saved, line));
    let missing = saved.addresses.difference(&now.addresses).filter(|a| !saved.shared.contains(a));
    let missing = missing.filter(|address| now.links.contains_key(&address.device)).map(|a| {
        let broadcast = a.broadcast.as_ref().map(|b| format!(" broadcast {b}")).unwrap_or_default();
        format!("ip address replace {}{broadcast} dev {}", a.cidr, a.device)
    });
    let own = now.addresses.difference(&saved.addresses).filter(|address| address.device == "lo");
    let own = own.map(|a| format!("ip address del {} dev lo", a.cidr));
    up.chain(heard).chain(named).chain(queued).chain(own).chain(missing).collect()
}

/// Takes away a queue that has come since, so that the link has the kernel's own again, whose number is 0:
/// `qdisc netem 8001: dev eth0 root loss 100%`.
fn unqueue(saved: &Network, line: &str) -> Option<String> {
    let (kind, device) = (after(line, "qdisc")?, after(line, "dev")?);
    let is_of_device = |was: &&String| after(was, "dev") == Some(device);
    let mut was = saved.queues.iter().filter(is_of_device);
    let place = match kind {
        "ingress" | "clsact" => kind,
        _ if !line.split(' ').any(|word| word == "root") => return None,
        _ if was.all(|was| was.split(' ').nth(2) == Some("0:")) => "root",
        _ => return None,
    };
    Some(format!("tc qdisc del dev {device} {place}"))
}

/// Rules and routes.
fn last_orders(saved: &Network, now: &Network) -> Vec<String> {
    // A family without a single rule of routing was not there, or could not be asked: the kernel has some of its own.
    let is_known = |family: Family| saved.rules.iter().any(|(of, _)| *of == family);
    let known = |of: &BTreeSet<(Family, String)>| {
        of.iter().filter(|(family, _)| is_known(*family)).cloned().collect::<BTreeSet<_>>()
    };
    let (now_rules, now_routes) = (known(&now.rules), known(&now.routes));
    let gone = rules(&now_rules, &saved.rules, "del");
    let back = rules(&saved.rules, &now.rules, "add");
    let by_hand = |(_, route): &&(Family, String)| after(route, "proto").is_none();
    let extra = now_routes.difference(&saved.routes).filter(by_hand);
    let extra = extra.map(|(family, route)| format!("ip {} route del {route}", family.option()));
    let is_lasting = |(_, route): &&(Family, String)| {
        after(route, "proto").is_none_or(|protocol| LASTING.contains(&protocol))
            && after(route, "dev").is_none_or(|device| now.links.contains_key(device))
    };
    let mut missing: Vec<_> = saved.routes.difference(&now.routes).filter(is_lasting).collect();
    // A gateway is reached by a route of its own, which comes first.
    missing.sort_by_key(|(_, route)| after(route, "via").is_some());
    let missing = missing.into_iter();
    let missing =
        missing.map(|(family, route)| format!("ip {} route replace {route}", family.option()));
    gone.into_iter().chain(back).chain(extra).chain(missing).collect()
}

/// Rules of routing that one side has and the other has not: `32766: from all lookup main`.
fn rules(
    from: &BTreeSet<(Family, String)>,
    other: &BTreeSet<(Family, String)>,
    verb: &str,
) -> Vec<String> {
    let order = |(family, rule): &(Family, String)| {
        let (priority, words) = rule.split_once(':')?;
        let (option, words) = (family.option(), words.trim());
        Some(format!("ip {option} rule {verb} priority {priority} {words}"))
    };
    from.difference(other).filter_map(order).collect()
}

/// The word after this one.
pub fn after<'l>(line: &'l str, key: &str) -> Option<&'l str> {
    line.split(' ').skip_while(|word| *word != key).nth(1)
}

/// The device of a line of `ip -o`: `2: eth0@if7: <…> …`.
pub fn device(line: &str) -> Option<String> {
    let name = line.split(' ').nth(1)?;
    Some(name.trim_end_matches(':').split('@').next().unwrap_or(name).to_owned())
}

/// The flags of a link are in its third word: `<BROADCAST,UP,LOWER_UP>`.
fn has_flag(line: &str, flag: &str) -> bool {
    let flags = line.split(' ').nth(2).unwrap_or_default();
    flags.trim_matches(['<', '>']).split(',').any(|has| has == flag)
}

#[cfg(test)]
mod tests {
    use super::super::answers::lasting;
    use super::*;

    fn network(addresses: &[&str], routes: &[&str], rules: &[&str]) -> Network {
        let of = |lines: &[&str]| lines.iter().map(|line| (Family::V4, lasting(line))).collect();
        Network {
            links: ["eth0", "lo"].map(|link| (link.to_owned(), true)).into(),
            addresses: addresses.iter().filter_map(|line| Address::parse(&lasting(line))).collect(),
            routes: of(routes),
            rules: of(rules),
            ..Network::default()
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
        let links = BTreeMap::from([("eth0".to_owned(), false)]);
        let now = Network { links, ..network(&[], &[], &[MAIN]) };
        assert_eq!(
            first_orders(&saved, &now),
            ["ip link set eth0 up", "ip address replace 10.0.0.5/24 broadcast 10.0.0.255 dev eth0"]
        );
        assert_eq!(
            last_orders(&saved, &now),
            [format!("ip -4 route replace {OWN}"), format!("ip -4 route replace {DEFAULT}")]
        );
    }

    #[test]
    fn a_route_by_several_gateways_is_one_which_comes_back_whole() {
        let several = "default proto static \\\tnexthop via 10.0.0.1 dev eth0 weight 1 \\\tnexthop via 10.0.0.3 dev eth0 weight 1 dead linkdown ";
        let saved = network(&[ADDRESS], &[several], &[MAIN]);
        let now = network(&[ADDRESS], &[], &[MAIN]);
        let back = "ip -4 route replace default proto static nexthop via 10.0.0.1 dev eth0 weight 1 nexthop via 10.0.0.3 dev eth0 weight 1";
        assert_eq!(last_orders(&saved, &now), [back]);
    }

    #[test]
    fn what_leads_nowhere_is_taken_away_and_what_a_protocol_brought_stays() {
        let saved = network(&[ADDRESS], &[OWN], &[MAIN]);
        let lo = r"1: lo    inet 10.0.0.1/32 scope global lo\       valid_lft forever";
        let shared = r"2: eth0    inet 10.0.0.7/32 scope global eth0\       valid_lft forever";
        let bird = "10.9.0.0/16 via 10.0.0.1 dev eth0 proto bird";
        let rules = [MAIN, "10:\tfrom all blackhole"];
        let now = network(&[ADDRESS, lo, shared], &[OWN, "blackhole 10.0.0.1", bird], &rules);
        assert_eq!(first_orders(&saved, &now), ["ip address del 10.0.0.1/32 dev lo"]);
        let gone =
            ["ip -4 rule del priority 10 from all blackhole", "ip -4 route del blackhole 10.0.0.1"];
        assert_eq!(last_orders(&saved, &now), gone);
    }

    #[test]
    fn what_went_with_its_device_is_left_to_who_made_that() {
        let veth = "7: veth3@if6: <BROADCAST,UP,LOWER_UP> mtu 1500";
        assert_eq!((device(veth).as_deref(), has_flag(veth, "UP")), (Some("veth3"), true));
        let address = ADDRESS.replace("eth0", "veth3");
        let mut saved = network(&[&address], &["10.7.0.0/24 dev veth3 proto kernel"], &[]);
        saved.links.insert("veth3".to_owned(), true);
        let now = network(&[], &[], &[]);
        assert_eq!([first_orders(&saved, &now), last_orders(&saved, &now)], [[""; 0]; 2]);
    }

    #[test]
    fn a_link_that_no_longer_asks_or_drops_all_is_as_it_was_and_own_queues_stay() {
        let with = |queues: &[&str], neighbours: &[&str], silent: &[&str]| Network {
            queues: queues.iter().map(|line| lasting(line)).collect(),
            neighbours: neighbours.iter().map(|line| lasting(line)).collect(),
            silent: silent.iter().map(|&link| link.to_owned()).collect(),
            ..network(&[], &[], &[])
        };
        let default = "qdisc noqueue 0: dev eth0 root refcnt 2";
        let own = "qdisc htb 1: dev lo root refcnt 2 r2q 10";
        let saved = with(&[default, own], &[], &["lo"]);
        let now = with(
            &[
                "qdisc netem 8001: dev eth0 root refcnt 9 limit 1000 loss 100%",
                "qdisc clsact ffff: dev eth0 parent ffff:fff1",
                "qdisc htb 2: dev lo root refcnt 2 r2q 10",
            ],
            &["10.0.0.1 dev eth0 lladdr 00:00:5e:00:53:01 PERMANENT"],
            &["eth0", "lo"],
        );
        assert_eq!(
            first_orders(&saved, &now),
            [
                "ip link set eth0 arp on",
                "ip neighbour del 10.0.0.1 dev eth0",
                "tc qdisc del dev eth0 clsact",
                "tc qdisc del dev eth0 root",
            ]
        );
        let counted = with(&[&default.replace('2', "3"), own], &[], &["lo"]);
        assert_eq!(first_orders(&saved, &counted), [""; 0]);
    }

    #[test]
    fn a_family_that_was_not_known_loses_no_rule_and_no_route() {
        let saved = network(&[ADDRESS], &[], &[]);
        let now = network(&[ADDRESS], &[DEFAULT], &["0:\tfrom all lookup local", MAIN]);
        assert_eq!(last_orders(&saved, &now), [""; 0]);
        let neighbours = BTreeSet::from(["10.0.0.1 dev eth0 lladdr 00:00:5e:00:53:01".to_owned()]);
        let now = Network { neighbours, ..now };
        assert_eq!(first_orders(&Network::default(), &now), [""; 0]);
        assert_eq!(last_orders(&Network::default(), &now), [""; 0]);
    }

    #[test]
    fn time_that_passes_is_no_difference() {
        let route = |time: &str| {
            network(
                &[],
                &[&format!("default via 10.0.0.1 dev eth0 proto static expires {time} linkdown")],
                &[],
            )
        };
        let (early, late) = (route("1799sec"), route("12sec"));
        assert!(last_orders(&early, &late).is_empty());
    }
}
