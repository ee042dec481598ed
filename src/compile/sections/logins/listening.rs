//! Where sshd listens. Source: `sshd_config(5)`, `ListenAddress`: it has every port of `Port` unless it names its own, and an
//! address of IPv6 does not take IPv4 as well.

use super::{Login, config::Line, sshd::Found};
use crate::compile::sections::firewall::admission::SSH_PORT;
use std::net::IpAddr;

/// What keeps sshd from listening where stackc comes to.
pub fn elsewhere<'a>(lines: &'a [Line<'a>], login: &Login<'_>) -> Found<'a> {
    let of = |keyword: &'static str| {
        lines.iter().filter(move |line| line.keyword == keyword && line.block.is_none())
    };
    let is_ours =
        |line: &Line<'_>| line.values.first().is_some_and(|port| port.parse() == Ok(SSH_PORT));
    let by_port = of("port").next_back().filter(|_| !of("port").any(is_ours));
    let add_port = by_port.map(|line| (line, "add `Port 22`, by which stackc comes"));
    let (Some(last), Some(own)) = (of("listenaddress").next_back(), login.own.first()) else {
        return add_port;
    };
    let listens: Vec<_> =
        of("listenaddress").filter_map(|l| Some(listen(l.values.first()?))).collect();
    let is_there = |(address, _): &&(Option<IpAddr>, Option<u16>)| {
        address.is_none_or(|ip| ip == *own || ip.is_unspecified() && ip.is_ipv4() == own.is_ipv4())
    };
    let mut there = listens.iter().filter(is_there).peekable();
    if there.peek().is_none() {
        return Some((last, "add the guest's own address, or leave `ListenAddress` out"));
    }
    let is_reached = there.any(|(_, port)| match port {
        Some(port) => *port == SSH_PORT,
        None => by_port.is_none(),
    });
    let other_port = add_port.unwrap_or((last, "let it listen on port 22, by which stackc comes"));
    (!is_reached).then_some(other_port)
}

/// The address and the port of a `ListenAddress`; the name of a host is known on the guest only.
fn listen(value: &str) -> (Option<IpAddr>, Option<u16>) {
    let bare = |text: &str| text.trim_matches(['[', ']']).parse().ok();
    match value.rsplit_once(':') {
        Some((host, port)) if !host.contains(':') || host.ends_with(']') => {
            (bare(host), port.parse().ok())
        }
        _ => (bare(value), None),
    }
}
