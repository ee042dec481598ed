//! Probes of ports that a socket of the definition has on another address than they ask.

use super::{Unit, socket_address::SocketAddress};
use crate::compile::{
    report::{Code, Mistake},
    sections::{
        overlay::{Item, Overlay},
        ports::Taken,
    },
    source::At,
    view::View,
};
use std::{
    collections::{BTreeMap, BTreeSet},
    net::{IpAddr, Ipv4Addr, SocketAddr},
};

/// Reports probes that say no address, where only sockets on other addresses than 127.0.0.1 have the port. A program that
/// listens there beside them is told its port: where anything else of the definition names it, or an app, a hook or a database
/// is not seen through, nothing is certain.
pub fn check(stack: &View<'_>, overlay: &Overlay, units: &[Unit], databases: &[Taken]) {
    if ["release", "hooks"].iter().any(|key| stack.node(key).is_some()) {
        return;
    }
    let Some(sockets) = elsewhere(units).filter(|sockets| !sockets.is_empty()) else { return };
    let Some(named) = named(overlay, units) else { return };
    for (name, probe) in stack.tables("probes") {
        for asked in ["http", "tcp"].map(|kind| probe.table(kind)) {
            let Some(port) = asked.number("port") else { continue };
            let number = port.value;
            let is_taken = databases.iter().any(|taken| u32::from(taken.port) == number);
            if asked.table.contains_key("address") || is_taken || named.contains(&number) {
                continue;
            }
            if let Some(Some((address, at))) = sockets.get(&number) {
                let title =
                    format!("the probe `{name}` asks 127.0.0.1:{number}, where nobody listens");
                let help = format!("add `address = \"{}\"` to the probe", address.ip());
                let mistake = Mistake::new(Code::ProbeElsewhere, port.at, title);
                stack.report(mistake.also(*at, format!("this takes {address}")).help(help));
            }
        }
    }
}

/// Each port that sockets take, with one of them when none of them takes it at 127.0.0.1; nothing is known where a specifier
/// may stand for any port.
fn elsewhere(units: &[Unit]) -> Option<BTreeMap<u32, Option<(SocketAddr, At)>>> {
    let sockets = units.iter().filter(|unit| unit.is_a(".socket")).flat_map(Unit::directives);
    let mut found = BTreeMap::new();
    for directive in sockets.filter(|d| d.key == "ListenStream") {
        match directive.value.parse::<SocketAddress>().ok()? {
            SocketAddress::Port(port) => {
                found.insert(u32::from(port), None);
            }
            SocketAddress::Address(address)
                if address.ip().is_unspecified() || address.ip() == LOCALHOST =>
            {
                found.insert(u32::from(address.port()), None);
            }
            SocketAddress::Address(address) => {
                found.entry(u32::from(address.port())).or_insert(Some((address, directive.at)));
            }
            SocketAddress::Path(_) => {}
        }
    }
    Some(found)
}

const LOCALHOST: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);

/// The numbers that anything but the sockets names; nothing is known where a secret may be one.
fn named(overlay: &Overlay, units: &[Unit]) -> Option<BTreeSet<u32>> {
    let sockets: BTreeSet<_> =
        units.iter().filter(|unit| unit.is_a(".socket")).map(|unit| &unit.path).collect();
    let mut found = BTreeSet::new();
    for (path, (item, _)) in &overlay.items {
        match item {
            Item::File { bytes, .. } if !sockets.contains(path) => {
                let text = String::from_utf8_lossy(bytes);
                let words = text.split(|c: char| !c.is_ascii_digit());
                found.extend(words.filter_map(|word| word.parse::<u32>().ok()));
            }
            Item::Secret { .. } => return None,
            Item::File { .. } | Item::Link { .. } | Item::Directory { .. } => {}
        }
    }
    Some(found)
}
