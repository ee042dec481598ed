//! What makes a guest this guest: name, number and addresses. No two envs share one.

use super::address;
use crate::{
    compile::{
        report::{Code, Mistake},
        source::At,
        view::{Located, View, missing},
    },
    model::{BridgeName, GuestName, MacAddr, Target, Vmid},
};
use ipnet::{Ipv4Net, Ipv6Net};
use std::{collections::BTreeMap, net::IpAddr};

/// Who a guest is.
#[derive(Debug, Clone)]
pub struct Identity {
    pub name: GuestName,
    pub vmid: Vmid,
    pub ip: Ipv4Net,
    pub ip6: Option<Ipv6Net>,
}

impl Identity {
    pub fn addresses(&self) -> Vec<IpAddr> {
        let ip6 = self.ip6.map(|ip| IpAddr::from(ip.addr()));
        std::iter::once(IpAddr::from(self.ip.addr())).chain(ip6).collect()
    }
}

/// The same, as far as it was written well, with the places.
#[derive(Debug, Clone)]
pub struct Written {
    name: Option<(GuestName, At)>,
    vmid: Option<(Vmid, At)>,
    ip: Option<Located<Ipv4Net>>,
    ip6: Option<Located<Ipv6Net>>,
    /// An address that is there and wrong is not the same as none.
    is_ip6_wrong: bool,
}

/// What only one guest of a site may have.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Own {
    /// In lower case.
    Name(String),
    Number(Vmid),
    Address(IpAddr),
    Mac(MacAddr),
}

/// The network that an interface is on: a bridge, and its VLAN.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Wire {
    pub bridge: BridgeName,
    pub vlan: Option<u16>,
}

/// What a guest has for its own.
#[derive(Debug, Clone)]
pub struct Claim {
    pub own: Own,
    pub at: At,
    /// Where an address is; none where that is not known.
    pub wire: Option<Wire>,
}

pub type Claims = Vec<Claim>;

impl Claim {
    pub fn new(own: Own, at: At) -> Self {
        Self { own, at, wire: None }
    }

    /// Whether two guests cannot both have it. An address of a private network may be on each of two that are apart.
    fn clashes(&self, other: &Self) -> bool {
        match self.own {
            Own::Address(address) if is_private(address) => {
                self.wire.is_some() && self.wire == other.wire
            }
            _ => true,
        }
    }
}

/// Source: RFC 1918, RFC 3927, RFC 6598 and RFC 4193.
fn is_private(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(ip) => {
            let [first, second, ..] = ip.octets();
            let is_shared = first == 100 && second & 0xc0 == 64;
            ip.is_private() || ip.is_link_local() || is_shared
        }
        IpAddr::V6(ip) => ip.is_unique_local() || ip.is_unicast_link_local(),
    }
}

impl Written {
    pub fn identity(&self) -> Option<Identity> {
        let (name, vmid) = (self.name.clone()?.0, self.vmid?.0);
        let (ip, ip6) = (self.ip.as_ref()?.value, self.ip6.as_ref().map(|ip| ip.value));
        (!self.is_ip6_wrong).then_some(Identity { name, vmid, ip, ip6 })
    }

    pub fn claims(&self) -> Claims {
        let name =
            self.name.iter().map(|(name, at)| (Own::Name(name.as_str().to_lowercase()), *at));
        let vmid = self.vmid.iter().map(|(vmid, at)| (Own::Number(*vmid), *at));
        let ip = self.ip.iter().map(|ip| (Own::Address(ip.value.addr().into()), ip.at));
        let ip6 = self.ip6.iter().map(|ip| (Own::Address(ip.value.addr().into()), ip.at));
        let all = name.chain(vmid).chain(ip).chain(ip6);
        all.map(|(own, at)| Claim::new(own, at)).collect()
    }
}

/// Reads who a guest is from its env.
pub fn read(env: &View<'_>) -> Written {
    let name = env.need::<GuestName>("name").map(|name| (name.value, name.at));
    let vmid = env.need_number("vmid").map(|number| {
        (Vmid::try_from(number.value).expect("the language has Proxmox's range"), number.at)
    });
    let ip6 = env.text("ip6").and_then(|text| address::net6(env, text));
    let is_ip6_wrong = ip6.is_none() && env.table.contains_key("ip6");
    Written { name, vmid, ip: ip(env), ip6, is_ip6_wrong }
}

fn ip(env: &View<'_>) -> Option<Located<Ipv4Net>> {
    if !env.table.contains_key("ip") && env.table.contains_key("ip6") {
        let help =
            "add `ip = …`: operators reach the guest by its IPv4 address, `ip6` comes besides";
        env.report(missing(env.at, "ip").help(help));
        return None;
    }
    address::net4(env, env.need_text("ip")?)
}

/// Reports what two guests have, or one guest twice.
pub fn check_unique<'a>(
    guests: impl Iterator<Item = (&'a Target, &'a Claims)>,
    mistakes: &mut Vec<Mistake>,
) {
    let mut seen: BTreeMap<&Own, Vec<(&Target, &Claim)>> = BTreeMap::new();
    for (target, claims) in guests {
        for claim in claims {
            let others = seen.entry(&claim.own).or_default();
            match others.iter().find(|(other, first)| *other == target || claim.clashes(first)) {
                Some((other, first)) => mistakes.push(twice(target, claim, (other, first.at))),
                None => others.push((target, claim)),
            }
        }
    }
}

fn twice(target: &Target, claim: &Claim, (other, first): (&Target, At)) -> Mistake {
    let at = claim.at;
    let what = match &claim.own {
        Own::Name(name) => format!("name `{name}`"),
        Own::Number(vmid) => format!("number {vmid}"),
        Own::Address(address) => format!("address {address}"),
        Own::Mac(mac) => format!("hardware address {mac}"),
    };
    let (title, help) = if target == other {
        (format!("`{target}` has the {what} twice"), "give each of its networks another one")
    } else {
        let title = format!("`{target}` and `{other}` have the same {what}");
        (title, "each env is a guest of its own: give it another one")
    };
    let mistake = Mistake::new(Code::SameIdentity, at, title).help(help);
    if at == first {
        mistake.label("both take it from here")
    } else {
        mistake.label("again here").also(first, "first here")
    }
}
