//! The lab's subnet: one that this machine has no other use for.

use super::{LabError, program::run};
use ipnet::Ipv4Net;
use std::net::Ipv4Addr;

/// Labs take the first free /24 of this range (RFC 1918), unless told otherwise.
const RANGE: &str = "10.213.0.0/16";

/// The operator's address in a lab's subnet: the first.
pub(super) fn gateway(subnet: Ipv4Net) -> Ipv4Addr {
    Ipv4Addr::from(u32::from(subnet.network()) + 1)
}

/// The wanted subnet if it is free, or a free one of the lab range.
pub(super) fn choose_subnet(wanted: Option<Ipv4Net>) -> Result<Ipv4Net, LabError> {
    let taken = taken()?;
    let overlap = |subnet: Ipv4Net| taken.iter().find(|(net, _)| overlaps(*net, subnet));
    let Some(wanted) = wanted else {
        let range: Ipv4Net = RANGE.parse().expect("the range is a network");
        let mut subnets = range.subnets(24).expect("24 is longer than the range's prefix");
        return subnets
            .find(|subnet| overlap(*subnet).is_none())
            .ok_or(LabError::NoSubnet { range });
    };
    if wanted.prefix_len() != 24 {
        return Err(LabError::SubnetSize { wanted });
    }
    match overlap(wanted) {
        Some((taken, by)) => Err(LabError::SubnetTaken { wanted, taken: *taken, by: by.clone() }),
        None => Ok(wanted.trunc()),
    }
}

fn overlaps(a: Ipv4Net, b: Ipv4Net) -> bool {
    a.contains(&b.network()) || b.contains(&a.network())
}

/// Every IPv4 network that this machine has a route to, with its device; the default route takes nothing.
fn taken() -> Result<Vec<(Ipv4Net, String)>, LabError> {
    let routes = run("list routes", 10, &["ip", "-4", "-o", "route", "show", "table", "all"])?;
    Ok(routes.lines().filter_map(parse_route).collect())
}

/// `[TYPE] DESTINATION [via A] dev D …`, as ip-route(8) prints it.
fn parse_route(line: &str) -> Option<(Ipv4Net, String)> {
    let words: Vec<&str> = line.split_whitespace().collect();
    let destination = words.iter().take(2).find_map(|word| parse_network(word))?;
    let device = words.iter().skip_while(|word| **word != "dev").nth(1);
    Some((destination, device.map_or_else(|| "no device".to_owned(), |d| (*d).to_owned())))
}

fn parse_network(word: &str) -> Option<Ipv4Net> {
    word.parse().ok().or_else(|| word.parse::<Ipv4Addr>().ok().map(Ipv4Net::from))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn routes_of_every_form_are_read() {
        let of = |line| parse_route(line).map(|(net, device)| format!("{net} {device}"));
        assert_eq!(of("default via 192.0.2.1 dev eth0 "), None);
        assert_eq!(
            of("10.0.8.0/24 dev lab-a proto kernel scope link src 10.0.8.1 ").unwrap_or_default(),
            "10.0.8.0/24 lab-a"
        );
        assert_eq!(
            of("local 10.0.8.1 dev lab-a table local proto kernel").unwrap_or_default(),
            "10.0.8.1/32 lab-a"
        );
        assert_eq!(
            of("unreachable 10.9.0.0/16 metric 5").unwrap_or_default(),
            "10.9.0.0/16 no device"
        );
    }

    #[test]
    fn networks_overlap_when_either_holds_the_other() {
        let net = |text: &str| text.parse::<Ipv4Net>().expect("a network");
        assert!(overlaps(net("10.0.0.0/8"), net("10.213.7.0/24")));
        assert!(overlaps(net("10.213.7.9/32"), net("10.213.7.0/24")));
        assert!(!overlaps(net("10.213.6.0/24"), net("10.213.7.0/24")));
    }
}
