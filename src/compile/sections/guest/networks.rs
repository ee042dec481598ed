//! Networks of a guest: the first, by which operators reach it, and others.

use super::Reading;
use crate::{
    compile::{
        report::{Code, Mistake},
        sections::{
            address,
            identity::{Claim, Claims, Identity, Own, Wire},
        },
        source::At,
        view::{Located, View},
    },
    model::{BridgeName, InterfaceName, MacAddr, Network},
};
use ipnet::{IpNet, Ipv6Net};
use std::{
    collections::BTreeMap,
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
};

/// What `guest` itself says of the first network, besides its bridge.
pub struct First {
    pub vlan: Option<u16>,
    pub mtu: Option<u16>,
    pub mac: Option<MacAddr>,
    pub gateway: Option<Ipv4Addr>,
    pub gateway6: Option<Ipv6Addr>,
}

pub fn first(
    guest: &View<'_>,
    reading: &Reading<'_>,
    bridge: Option<&BridgeName>,
    claims: &mut Claims,
) -> First {
    let (identity, vlan) = (reading.identity, small(guest, "vlan"));
    let wire = bridge.map(|bridge| Wire { bridge: bridge.clone(), vlan });
    for claim in claims.iter_mut() {
        claim.wire.clone_from(&wire);
    }
    let gateway = address::ip4(guest, "gateway");
    if let Some(Located { value, at }) = &gateway
        && (!identity.ip.contains(value)
            || identity.ip.addr() == *value
            || is_no_host(identity, *value))
    {
        not_a_neighbour(guest, (*value).into(), IpNet::V4(identity.ip), *at);
    }
    let gateway6 = address::ip6(guest, "gateway6");
    if let Some(gateway) = &gateway6 {
        check_gateway6(guest, reading, gateway);
    }
    First {
        vlan,
        mtu: mtu(guest, identity.ip6),
        mac: mac(guest, claims),
        gateway: gateway.map(|gateway| gateway.value),
        // A default of the site is for guests that have such an address.
        gateway6: gateway6.map(|gateway| gateway.value).filter(|_| identity.ip6.is_some()),
    }
}

/// Whether an address is the network of the guest, or its broadcast address.
fn is_no_host(identity: &Identity, address: Ipv4Addr) -> bool {
    let net = identity.ip;
    net.prefix_len() <= 30 && (address == net.network() || address == net.broadcast())
}

/// Routers of IPv6 may also be named by their link-local address.
fn check_gateway6(guest: &View<'_>, reading: &Reading<'_>, gateway: &Located<Ipv6Addr>) {
    let Some(ip6) = reading.identity.ip6 else {
        if gateway.at.file == reading.own_file {
            let title = "a gateway for IPv6, and the guest has no such address";
            let mistake = Mistake::new(Code::GatewayElsewhere, gateway.at, title)
                .help("add `ip6` to the env, or leave `gateway6` out");
            guest.report(mistake.in_guest(guest.lowering.target));
        }
        return;
    };
    let is_near = gateway.value.is_unicast_link_local() || ip6.contains(&gateway.value);
    if !is_near || ip6.addr() == gateway.value {
        not_a_neighbour(guest, gateway.value.into(), IpNet::V6(ip6), gateway.at);
    }
}

fn not_a_neighbour(guest: &View<'_>, gateway: IpAddr, of: IpNet, at: At) {
    let (title, help) = if of.addr() == gateway {
        let title = format!("the gateway {gateway} is the guest's own address");
        (title, "give the guest another address, or name the router as the gateway")
    } else {
        let title = format!("the gateway {gateway} is not a neighbour of {of}");
        (title, "give the guest an address of the gateway's network, or another gateway")
    };
    let mistake = Mistake::new(Code::GatewayElsewhere, at, title).help(help);
    guest.report(mistake.in_guest(guest.lowering.target));
}

/// The networks besides the first.
pub fn further(guest: &View<'_>, claims: &mut Claims) -> BTreeMap<InterfaceName, Network> {
    let mut networks = BTreeMap::new();
    for (name, view) in guest.tables("networks") {
        let name = view.lowering.parse::<InterfaceName>(name, view.at);
        let bridge = view.need::<BridgeName>("bridge");
        let ip = view.text("ip").and_then(|text| address::net4(&view, text));
        let ip6 = view.text("ip6").and_then(|text| address::net6(&view, text));
        let vlan = small(&view, "vlan");
        let wire = bridge.as_ref().map(|bridge| Wire { bridge: bridge.value.clone(), vlan });
        let addresses = ip.iter().map(|ip| (IpAddr::from(ip.value.addr()), ip.at));
        let addresses = addresses.chain(ip6.iter().map(|ip| (ip.value.addr().into(), ip.at)));
        let claim = |(address, at)| Claim { own: Own::Address(address), at, wire: wire.clone() };
        claims.extend(addresses.map(claim));
        let mac = mac(&view, claims);
        let (Some(name), Some(bridge)) = (name, bridge) else { continue };
        let network = Network {
            bridge: bridge.value.into(),
            vlan,
            mtu: mtu(&view, ip6.as_ref().map(|ip| ip.value)),
            mac,
            ip: ip.map(|ip| ip.value),
            ip6: ip6.map(|ip| ip.value),
            gateway: None,
            gateway6: None,
            firewall: view.boolean("firewall").unwrap_or(true),
            others: BTreeMap::new(),
        };
        networks.insert(name, network);
    }
    networks
}

/// IPv6 needs 1280 bytes (RFC 8200 §5); the kernel switches it off on a card that has fewer.
fn mtu(view: &View<'_>, ip6: Option<Ipv6Net>) -> Option<u16> {
    let mtu = small(view, "mtu")?;
    if let (Some(ip6), Some(node)) = (ip6, view.node("mtu").filter(|_| mtu < 1280)) {
        let title = format!("an MTU of {mtu} is too small for {ip6}: IPv6 needs 1280");
        let help = "write 1280 or more, or leave the IPv6 address out";
        let mistake = Mistake::new(Code::OutOfRange, node.at, title).help(help);
        view.report(mistake.in_guest(view.lowering.target));
    }
    Some(mtu)
}

fn mac(view: &View<'_>, claims: &mut Claims) -> Option<MacAddr> {
    let mac = address::mac(view, "mac")?;
    claims.push(Claim::new(Own::Mac(mac.value), mac.at));
    Some(mac.value)
}

fn small(view: &View<'_>, key: &str) -> Option<u16> {
    let number = view.number(key)?.value;
    Some(u16::try_from(number).expect("the language allows no larger one"))
}
