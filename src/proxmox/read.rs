//! Proxmox's answers as types. Numbers may be strings, flags 1, "1" or absent: Perl does not tell them apart.

use crate::model::{Container, HostKey, Mark, Network, NodeName, Vmid};
use serde_json::Value;
use std::{collections::BTreeMap, net::IpAddr};

pub(super) fn number(value: &Value) -> Option<u64> {
    value.as_u64().or_else(|| value.as_str()?.trim().parse().ok())
}

pub(super) fn flag(value: &Value) -> bool {
    value.as_bool().unwrap_or(false) || number(value) == Some(1)
}

fn small(value: &Value) -> Option<u32> {
    number(value).and_then(|n| u32::try_from(n).ok())
}

/// `a=b,c=d`: a property string. A first part without a key, such as a volume id, has the empty key.
pub(super) fn properties(text: &str) -> BTreeMap<&str, &str> {
    text.split(',').map(|part| part.split_once('=').unwrap_or(("", part))).collect()
}

/// A container's configuration (`GET …/config`) and state (`GET …/status/current`).
pub(super) fn container(vmid: Vmid, node: &NodeName, config: &Value, status: &Value) -> Container {
    let text = |key: &str| config[key].as_str().unwrap_or_default();
    let description = text("description");
    let rootfs = properties(text("rootfs"));
    let storage = rootfs.get("").and_then(|volume| volume.split(':').next()).unwrap_or_default();
    Container {
        vmid,
        node: node.clone(),
        running: status["status"] == "running",
        mark: Mark::in_description(description),
        host_key: HostKey::in_description(description),
        notes: notes(description),
        config_digest: text("digest").to_owned(),
        hostname: text("hostname").parse().ok(),
        cores: small(&config["cores"]),
        memory_mib: small(&config["memory"]).unwrap_or(DEFAULT_MEMORY_MIB),
        swap_mib: small(&config["swap"]).unwrap_or(DEFAULT_MEMORY_MIB),
        disk_gib: rootfs.get("size").and_then(|size| gib(size)).unwrap_or_default(),
        storage: storage.to_owned(),
        network: network(text("net0")),
        nameserver: text("nameserver").split_whitespace().next().and_then(|ns| ns.parse().ok()),
        nesting: properties(text("features")).get("nesting").is_some_and(|v| *v == "1"),
        onboot: flag(&config["onboot"]),
        protection: flag(&config["protection"]),
        tags: tags(text("tags")),
        pending: std::collections::BTreeSet::new(),
        lock: config["lock"].as_str().map(str::to_owned),
    }
}

/// What Proxmox gives a container that asks for nothing. Source: pve-container `LXC/Config.pm`.
const DEFAULT_MEMORY_MIB: u32 = 512;

/// The description without stackc's own lines.
fn notes(description: &str) -> String {
    let own = |line: &&str| !line.starts_with("stackc-hostkey ") && !line.starts_with("stackc ");
    description.lines().filter(own).collect::<Vec<_>>().join("\n").trim().to_owned()
}

pub(super) fn network(net0: &str) -> Network {
    let parts = properties(net0);
    let part = |key: &str| parts.get(key).copied();
    Network {
        bridge: part("bridge").unwrap_or_default().to_owned(),
        hwaddr: part("hwaddr").map(str::to_owned),
        ip: part("ip").and_then(|ip| ip.parse().ok()),
        gateway: part("gw").and_then(|gw| gw.parse().ok()),
        firewall: part("firewall") == Some("1"),
    }
}

pub(super) fn tags(text: &str) -> std::collections::BTreeSet<String> {
    text.split([';', ',', ' ']).filter(|tag| !tag.is_empty()).map(str::to_lowercase).collect()
}

/// Sizes are written with a unit: `8G`, `3584M`, `1T`. Rounded up to whole GiB.
fn gib(size: &str) -> Option<u32> {
    let digits = size.trim_end_matches(|c: char| c.is_ascii_alphabetic());
    let number: u64 = digits.parse().ok()?;
    let gib = match &size[digits.len()..] {
        "T" => number * 1024,
        "G" => number,
        "M" => number.div_ceil(1024),
        "K" => number.div_ceil(1 << 20),
        "" => number.div_ceil(1 << 30),
        _ => return None,
    };
    u32::try_from(gib).ok()
}

/// Every fixed address of a container's or a machine's configuration.
pub(super) fn addresses(config: &Value) -> Vec<IpAddr> {
    let fields = config.as_object().into_iter().flatten();
    fields
        .filter(|(key, _)| key.starts_with("net") || key.starts_with("ipconfig"))
        .filter_map(|(_, value)| value.as_str())
        .flat_map(|text| {
            let parts = properties(text);
            let host = |key| parts.get(key)?.split('/').next()?.parse().ok();
            [host("ip"), host("ip6")]
        })
        .flatten()
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_config_with_numbers_as_strings_reads_like_one_with_numbers() {
        let config = serde_json::json!({
            "hostname": "shop-dev", "memory": "2048", "swap": 512, "cores": "2", "onboot": "1",
            "rootfs": "local-lvm:vm-101-disk-0,size=3584M", "features": "nesting=1",
            "net0": "name=eth0,bridge=vmbr0,firewall=1,gw=10.0.10.1,hwaddr=BC:24:11:00:00:01,ip=10.0.10.101/24,type=veth",
            "tags": "Zeta;alpha", "digest": "ab", "nameserver": "10.0.10.2 10.0.10.3",
        });
        let vmid = Vmid::try_from(101).expect("in range");
        let node = "pve".parse().expect("a name");
        let found = container(vmid, &node, &config, &serde_json::json!({"status": "running"}));
        assert_eq!((found.memory_mib, found.cores, found.disk_gib), (2048, Some(2), 4));
        assert_eq!(found.network.hwaddr.as_deref(), Some("BC:24:11:00:00:01"));
        assert_eq!(found.tags.iter().map(String::as_str).collect::<Vec<_>>(), ["alpha", "zeta"]);
        assert!(found.running && found.nesting && found.onboot && !found.protection);
        assert_eq!(addresses(&config), ["10.0.10.101".parse::<IpAddr>().expect("an address")]);
    }
}
