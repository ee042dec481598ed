//! `guest`: what Proxmox is asked for.

use super::{identity::Identity, site::SiteFacts};
use crate::{
    compile::{
        report::{Code, Mistake},
        source::At,
        view::{Located, View},
    },
    model::{
        BridgeName, GuestKind, NodeName, PoolName, ProxmoxDocument, StorageName, TemplateVolume,
    },
};
use std::{collections::BTreeSet, net::IpAddr};

/// Reads the guest; none when something is missing or wrong.
pub fn read(stack: &View<'_>, identity: &Identity, site: &SiteFacts) -> Option<ProxmoxDocument> {
    let guest = stack.table("guest");
    check_kind(&guest);
    let node = match guest.parsed::<NodeName>("node") {
        Some(node) => Some(node.value),
        None => site.node.clone(),
    };
    let template = guest.need::<TemplateVolume>("template");
    let storage = guest.need::<StorageName>("storage");
    let bridge = guest.need::<BridgeName>("bridge");
    let pool = guest.parsed::<PoolName>("pool");
    let disk = guest.need_number("disk_gib");
    let cores = guest.need_number("cores");
    let memory = guest.need_number("memory_mib");
    let swap = guest.number_or("swap_mib", 0);
    let gateway = address(&guest, "gateway");
    if let Some(gateway) = &gateway {
        check_gateway(&guest, identity, gateway.value, gateway.at);
    }
    let nameserver = address(&guest, "nameserver");
    Some(ProxmoxDocument {
        kind: GuestKind::Lxc,
        vmid: identity.vmid,
        node: node?,
        hostname: identity.name.clone(),
        template: template?.value.into(),
        storage: storage?.value.into(),
        disk_gib: disk?.value,
        cores: cores?.value,
        memory_mib: memory?.value,
        swap_mib: swap?,
        bridge: bridge?.value.into(),
        ip: identity.ip,
        gateway: gateway.map(|gateway| gateway.value),
        nameserver: nameserver.map(|nameserver| nameserver.value),
        nesting: guest.boolean("nesting").unwrap_or(true),
        onboot: guest.boolean("onboot").unwrap_or(true),
        protection: guest.boolean("protection").unwrap_or(false),
        pool: pool.map(|pool| pool.value.into()),
        tags: tags(&guest),
        ssh_public_keys: site.admin_keys.clone(),
    })
}

fn address(guest: &View<'_>, key: &str) -> Option<Located<IpAddr>> {
    let text = guest.text(key)?;
    let Ok(value) = text.value.parse() else {
        let title = format!("`{}` is no address of a {key}", text.value);
        guest.report(
            Mistake::new(Code::BadAddress, text.at, title)
                .help("write it without a prefix length, such as 10.0.10.1"),
        );
        return None;
    };
    Some(Located { value, at: text.at })
}

fn check_kind(guest: &View<'_>) {
    let Some(kind) = guest.text("kind").filter(|kind| kind.value != "lxc") else { return };
    let (title, help) = if kind.value == "qemu" {
        ("this version of stackc makes containers only".to_owned(), "write `kind = \"lxc\"`")
    } else {
        (format!("`{}` is no kind of guest", kind.value), "write \"lxc\"")
    };
    guest.report(Mistake::new(Code::UnknownWord, kind.at, title).help(help));
}

fn check_gateway(guest: &View<'_>, identity: &Identity, gateway: IpAddr, at: At) {
    if !identity.ip.contains(&gateway) || identity.ip.addr() == gateway {
        let title = format!("the gateway {gateway} is not a neighbour of {}", identity.ip);
        let help = "give the guest an address of the gateway's network, or another gateway";
        guest.report(
            Mistake::new(Code::GatewayElsewhere, at, title)
                .help(help)
                .in_guest(guest.lowering.target),
        );
    }
}

/// Proxmox keeps tags in lower case. Source: `pve-tag` in pve-common, `PVE/JSONSchema.pm`.
fn tags(guest: &View<'_>) -> BTreeSet<String> {
    let plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || "_+.-".contains(c);
    let mut tags = BTreeSet::new();
    for tag in guest.texts("tags") {
        if tag.value.is_empty() || !tag.value.chars().all(plain) {
            let title = format!("`{}` is no tag of Proxmox", tag.value);
            let help = "use lower-case letters, digits, `_`, `+`, `.` and `-`";
            guest.report(Mistake::new(Code::BadTag, tag.at, title).help(help));
        } else {
            tags.insert(tag.value);
        }
    }
    tags
}
