//! Addresses, read strictly: what two programs could read differently is refused.

use crate::{
    compile::{
        report::{Code, Mistake},
        view::{Located, View},
    },
    model::MacAddr,
};
use ipnet::{Ipv4Net, Ipv6Net};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

const NET4: &str = "write an address and its prefix length, such as 10.0.10.101/24";
const NET6: &str = "write an IPv6 address and its prefix length, such as 2001:db8::101/64";

/// A guest's IPv4 address with its network.
pub fn net4(view: &View<'_>, text: Located<String>) -> Option<Located<Ipv4Net>> {
    let Located { value: written, at } = text;
    let refuse = |title: String, help: &str| {
        view.report(Mistake::new(Code::BadAddress, at, title).help(help));
        None
    };
    if let Some(title) = odd_octet(&written) {
        return refuse(
            title,
            "write octets without leading zeros, which some programs read as octal",
        );
    }
    if written.parse::<Ipv6Net>().is_ok() {
        return refuse(
            format!("`{written}` is an IPv6 address"),
            "write it as `ip6`; `ip` is the IPv4 address, by which operators reach the guest",
        );
    }
    let Ok(value) = written.parse::<Ipv4Net>() else {
        return refuse(format!("`{written}` is no address with a prefix length"), NET4);
    };
    let address = value.addr();
    let no_host =
        value.prefix_len() <= 30 && (address == value.network() || address == value.broadcast());
    if no_host {
        let which = if address == value.network() { "network" } else { "broadcast address" };
        return refuse(format!("`{value}` is the {which} itself, and no guest's"), NET4);
    }
    if address.is_unspecified() || address.is_loopback() || address.is_multicast() {
        return refuse(format!("`{value}` is an address that no guest can have"), NET4);
    }
    Some(Located { value, at })
}

/// A guest's IPv6 address with its network.
pub fn net6(view: &View<'_>, text: Located<String>) -> Option<Located<Ipv6Net>> {
    let Located { value: written, at } = text;
    let refuse = |title: String| {
        view.report(Mistake::new(Code::BadAddress, at, title).help(NET6));
        None
    };
    let Ok(value) = written.parse::<Ipv6Net>() else {
        return refuse(format!("`{written}` is no IPv6 address with a prefix length"));
    };
    let address = value.addr();
    if value.prefix_len() < 127 && address == value.network() {
        return refuse(format!("`{value}` is the network itself, and no guest's"));
    }
    let is_global = !address.is_unspecified()
        && !address.is_loopback()
        && !address.is_multicast()
        && !address.is_unicast_link_local()
        && address.to_ipv4_mapped().is_none();
    if !is_global {
        return refuse(format!("`{value}` is an address that no guest can have"));
    }
    Some(Located { value, at })
}

/// The value of a key that is an IPv4 address alone.
pub fn ip4(view: &View<'_>, key: &str) -> Option<Located<Ipv4Addr>> {
    alone(view, view.text(key)?, key, "10.0.10.1")
}

/// The value of a key that is an IPv6 address alone.
pub fn ip6(view: &View<'_>, key: &str) -> Option<Located<Ipv6Addr>> {
    alone(view, view.text(key)?, key, "2001:db8::1")
}

/// The value of a key that is an address alone, of either family, and of what `whose` says.
pub fn ip(view: &View<'_>, key: &str, whose: &str) -> Option<Located<IpAddr>> {
    alone(view, view.text(key)?, whose, "127.0.0.1")
}

/// The addresses of a key, of either family, each once.
pub fn ips(view: &View<'_>, key: &str) -> Vec<IpAddr> {
    let mut list = Vec::new();
    for text in view.texts(key) {
        let Some(Located { value, at }) = alone(view, text, key, "10.0.10.1") else { continue };
        if list.contains(&value) {
            let title = format!("{value} is in this list twice");
            view.report(Mistake::new(Code::BadAddress, at, title).help("leave one of them out"));
        }
        list.push(value);
    }
    list
}

fn alone<T: std::str::FromStr>(
    view: &View<'_>,
    text: Located<String>,
    whose: &str,
    example: &str,
) -> Option<Located<T>> {
    let Located { value: written, at } = text;
    let refuse = |title: String, help: String| {
        view.report(Mistake::new(Code::BadAddress, at, title).help(help));
        None
    };
    match (odd_octet(&written), written.parse()) {
        (_, Ok(value)) => Some(Located { value, at }),
        (Some(title), _) => refuse(title, "write octets without leading zeros".to_owned()),
        (None, Err(_)) => refuse(
            format!("`{written}` is no address of a {whose}"),
            format!("write an address without a prefix length, such as {example}"),
        ),
    }
}

/// What is odd about an octet: `010` is ten to some programs and eight to others.
fn odd_octet(text: &str) -> Option<String> {
    let digits = |word: &&str| word.len() > 1 && word.bytes().all(|b| b.is_ascii_digit());
    let mut octets = text.split('/').next()?.split('.').filter(digits);
    let odd =
        octets.find(|octet| octet.starts_with('0')).filter(|_| text.matches('.').count() == 3);
    odd.map(|octet| format!("the octet `{octet}` of `{text}` begins with 0"))
}

/// The value of a key that is a hardware address.
pub fn mac(view: &View<'_>, key: &str) -> Option<Located<MacAddr>> {
    let text = view.text(key)?;
    match text.value.parse::<MacAddr>() {
        Ok(value) => Some(Located { value, at: text.at }),
        Err(error) => {
            let title = format!("`{}` is no hardware address of an interface", error.text);
            view.report(Mistake::new(Code::BadAddress, text.at, title).help(error.rule));
            None
        }
    }
}
