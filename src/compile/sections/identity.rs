//! What makes a guest this guest: name, number and address. No two envs share one.

use crate::{
    compile::{
        report::{Code, Mistake},
        source::At,
        view::View,
    },
    model::{GuestName, Target, Vmid},
};
use ipnet::IpNet;
use std::{collections::BTreeMap, net::IpAddr};

/// Who a guest is.
#[derive(Debug, Clone)]
pub struct Identity {
    pub name: GuestName,
    pub vmid: Vmid,
    pub ip: IpNet,
}

/// The same, as far as it was written well, with the places.
#[derive(Debug, Clone)]
pub struct Written {
    name: Option<(GuestName, At)>,
    vmid: Option<(Vmid, At)>,
    ip: Option<(IpNet, At)>,
}

impl Written {
    pub fn identity(&self) -> Option<Identity> {
        let (name, vmid, ip) = (self.name.clone()?.0, self.vmid?.0, self.ip?.0);
        Some(Identity { name, vmid, ip })
    }
}

/// Reads who a guest is from its env.
pub fn read(env: &View<'_>) -> Written {
    let name = env.need::<GuestName>("name").map(|name| (name.value, name.at));
    Written { name, vmid: vmid(env), ip: ip(env) }
}

fn vmid(env: &View<'_>) -> Option<(Vmid, At)> {
    let number = env.need_number("vmid")?;
    let vmid = Vmid::try_from(number.value).expect("the language has Proxmox's range");
    Some((vmid, number.at))
}

fn ip(env: &View<'_>) -> Option<(IpNet, At)> {
    let text = env.need_text("ip")?;
    let refuse = |title: String| {
        let help = "write an address and its prefix length, such as 10.0.10.101/24";
        env.report(Mistake::new(Code::BadAddress, text.at, title).help(help));
        None
    };
    let Ok(ip) = text.value.parse::<IpNet>() else {
        return refuse(format!("`{}` is no address with a prefix length", text.value));
    };
    let usable = match ip {
        IpNet::V4(net) if net.prefix_len() <= 30 => {
            net.addr() != net.network() && net.addr() != net.broadcast()
        }
        _ => !ip.addr().is_unspecified(),
    };
    if usable && !ip.addr().is_loopback() && !ip.addr().is_multicast() {
        return Some((ip, text.at));
    }
    refuse(format!("`{ip}` is an address that no guest can have"))
}

/// Reports names, numbers and addresses that two envs have.
pub fn check_unique(guests: &BTreeMap<Target, Written>, mistakes: &mut Vec<Mistake>) {
    let mut names: BTreeMap<String, (&Target, At)> = BTreeMap::new();
    let mut vmids: BTreeMap<Vmid, (&Target, At)> = BTreeMap::new();
    let mut addresses: BTreeMap<IpAddr, (&Target, At)> = BTreeMap::new();
    for (target, written) in guests {
        if let Some((name, at)) = &written.name {
            let first = note(&mut names, name.as_str().to_lowercase(), target, *at);
            mistakes.extend(first.map(|f| twice(&format!("name `{name}`"), target, *at, f)));
        }
        if let Some((vmid, at)) = written.vmid {
            let first = note(&mut vmids, vmid, target, at);
            mistakes.extend(first.map(|f| twice(&format!("number {vmid}"), target, at, f)));
        }
        if let Some((ip, at)) = written.ip {
            let first = note(&mut addresses, ip.addr(), target, at);
            mistakes.extend(first.map(|f| twice(&format!("address {}", ip.addr()), target, at, f)));
        }
    }
}

fn note<'a, K: Ord>(
    seen: &mut BTreeMap<K, (&'a Target, At)>,
    key: K,
    target: &'a Target,
    at: At,
) -> Option<(&'a Target, At)> {
    let first = seen.get(&key).copied();
    if first.is_none() {
        seen.insert(key, (target, at));
    }
    first
}

fn twice(what: &str, target: &Target, at: At, (other, first): (&Target, At)) -> Mistake {
    Mistake::new(Code::SameIdentity, at, format!("`{target}` and `{other}` have the same {what}"))
        .label("again here")
        .also(first, "first here")
        .help("each env is a guest of its own: give it another one")
}
