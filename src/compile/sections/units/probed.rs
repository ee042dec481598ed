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
use std::net::{IpAddr, Ipv4Addr, SocketAddr};

/// Reports probes that say no address, where only sockets on other addresses than 127.0.0.1 have the port. A program that
/// listens there beside them is told its port: where anything else of the definition names it, or an app, a hook or a database
/// is not seen through, nothing is certain.
pub fn check(stack: &View<'_>, overlay: &Overlay, units: &[Unit], databases: &[Taken]) {
    if ["release", "hooks"].iter().any(|key| stack.node(key).is_some()) {
        return;
    }
    for (name, probe) in stack.tables("probes") {
        for asked in ["http", "tcp"].map(|kind| probe.table(kind)) {
            let Some(port) = asked.number("port") else { continue };
            let number = port.value;
            let is_named = || is_named(overlay, units, &number.to_string());
            let is_taken = databases.iter().any(|taken| u32::from(taken.port) == number);
            if asked.table.contains_key("address") || is_taken {
                continue;
            }
            if let Some((address, at)) = elsewhere(units, number).filter(|_| !is_named()) {
                let title =
                    format!("the probe `{name}` asks 127.0.0.1:{number}, where nobody listens");
                let help = format!("add `address = \"{}\"` to the probe", address.ip());
                let mistake = Mistake::new(Code::ProbeElsewhere, port.at, title);
                stack.report(mistake.also(at, format!("this takes {address}")).help(help));
            }
        }
    }
}

/// A socket that takes a port, when all that do so are on addresses of which none is 127.0.0.1.
fn elsewhere(units: &[Unit], port: u32) -> Option<(SocketAddr, At)> {
    let sockets = units.iter().filter(|unit| unit.is_a(".socket")).flat_map(Unit::directives);
    let streams = sockets.filter(|d| d.key == "ListenStream");
    let mut found = None;
    for (value, at) in streams.map(|d| (d.value.parse::<SocketAddress>(), d.at)) {
        // A specifier may stand for any.
        let address = value.ok()?;
        match address {
            SocketAddress::Address(address) if u32::from(address.port()) == port => {
                let answers = address.ip().is_unspecified() || address.ip() == LOCALHOST;
                found = Some((address, at)).filter(|_| !answers);
                found?;
            }
            SocketAddress::Port(other) if u32::from(other) == port => return None,
            _ => {}
        }
    }
    found
}

const LOCALHOST: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);

/// Whether anything but the sockets names a port.
fn is_named(overlay: &Overlay, units: &[Unit], port: &str) -> bool {
    let is_socket = |path: &str| units.iter().any(|u| u.is_a(".socket") && u.path.as_str() == path);
    overlay.items.iter().any(|(path, (item, _))| match item {
        Item::File { bytes, .. } if !is_socket(path.as_str()) => {
            String::from_utf8_lossy(bytes).split(|c: char| !c.is_ascii_digit()).any(|n| n == port)
        }
        // What a secret is cannot be seen.
        Item::Secret { .. } => true,
        Item::File { .. } | Item::Link { .. } | Item::Directory { .. } => false,
    })
}
