//! What sockets listen on: two of them, or a socket and a service, cannot share an address.

use super::{Directive, Unit, socket_address::SocketAddress, spelled};
use crate::compile::{
    report::{Code, Mistake},
    sections::{firewall::admission::SSH_PORT, ports::Taken},
    source::{At, Value},
    view::View,
};
use std::net::Ipv4Addr;

/// An address that a socket takes.
struct Listen<'u> {
    unit: &'u str,
    is_stream: bool,
    address: SocketAddress,
    at: At,
}

/// Reports what would keep a socket, or whatever else is on its address, from starting.
pub fn check(stack: &View<'_>, units: &[Unit], databases: &[Taken]) {
    let mut seen: Vec<Listen<'_>> = Vec::new();
    for listen in units.iter().filter(|unit| is_alone(unit)).flat_map(listens) {
        let same = seen.iter().find(|other| {
            other.is_stream == listen.is_stream && other.address.excludes(&listen.address)
        });
        match same {
            Some(other) => stack.report(twice(&listen, other)),
            None if check_database(stack, &listen, databases) => {}
            None => check_services(stack, &listen),
        }
        seen.push(listen);
    }
}

/// Whether a unit is a socket that takes its addresses for itself alone.
fn is_alone(unit: &Unit) -> bool {
    let shares = unit.last("Socket", "ReusePort").and_then(|d| spelled::boolean(d.value));
    let is_narrow =
        ["BindIPv6Only", "BindToDevice"].iter().any(|key| unit.last("Socket", key).is_some());
    unit.is_a(".socket") && !unit.is_drop_in && shares != Some(true) && !is_narrow
}

fn listens(unit: &Unit) -> impl Iterator<Item = Listen<'_>> {
    unit.directives().filter_map(|Directive { at, key, value, .. }| {
        let is_stream = match key {
            "ListenStream" => true,
            "ListenDatagram" => false,
            _ => return None,
        };
        let address = value.parse().ok()?;
        Some(Listen { unit: unit.name.as_str(), is_stream, address, at })
    })
}

/// A definition may be read before the one that its own layer comes from: the later place is told.
fn twice(one: &Listen<'_>, two: &Listen<'_>) -> Mistake {
    let (first, again) = if one.at < two.at { (one, two) } else { (two, one) };
    let title = if first.unit == again.unit {
        format!("`{}` listens twice on `{}`", again.unit, again.address)
    } else {
        format!("`{}` and `{}` listen on the same address", again.unit, first.unit)
    };
    Mistake::new(Code::SamePort, again.at, title)
        .label(format!("`{}`", again.address))
        .also(first.at, format!("`{}` is the same", first.address))
        .help("one of the two would not start: give it another port or path")
}

/// Databases listen on the loopback addresses; reported when one is in the way.
fn check_database(stack: &View<'_>, listen: &Listen<'_>, databases: &[Taken]) -> bool {
    let is_same = |other: &&Taken| {
        let local = SocketAddress::Address((Ipv4Addr::LOCALHOST, other.port).into());
        listen.is_stream && local.excludes(&listen.address)
    };
    let Some(other) = databases.iter().find(is_same) else { return false };
    let title = format!("`{}` listens on {}, the port of {}", listen.unit, other.port, other.by);
    let mistake = Mistake::new(Code::SamePort, listen.at, title);
    let mistake = other.at.into_iter().fold(mistake, |mistake, at| mistake.also(at, "taken here"));
    stack.report(mistake.help("take another port, or an address of the guest other than loopback"));
    true
}

/// Services have the ports of `ports`, and sshd its own.
fn check_services(stack: &View<'_>, listen: &Listen<'_>) {
    let Some(port) = listen.address.port().filter(|_| listen.is_stream) else { return };
    if port == SSH_PORT && listen.unit != "ssh.socket" {
        let title = format!("`{}` listens on {port}, the port of sshd", listen.unit);
        let help = "take another port: after a boot nobody could log in any more";
        stack.report(Mistake::new(Code::SamePort, listen.at, title).help(help));
    }
    if stack.lowering.files.slice(listen.at).contains("{{") {
        // Its own definition says whose port it is.
        return;
    }
    let is_same = |value: &Value| matches!(value, Value::Integer(n) if *n == i64::from(port));
    if let Some((name, _, node)) = stack.entries("ports").find(|(.., node)| is_same(&node.value)) {
        let title = format!("`{}` listens on {port}, the port of `{name}`", listen.unit);
        let help =
            format!("write `{{{{ ports.{name} }}}}` if that is its port; or take another one");
        let mistake = Mistake::new(Code::SamePort, listen.at, title);
        stack.report(mistake.also(node.at, format!("the port of `{name}`")).help(help));
    }
}
