//! Proxmox's answers as types. Numbers may be strings, flags 1, "1" or absent: Perl does not tell them apart.

use crate::model::{
    Container, HostKey, InterfaceName, Mark, Network, NodeName, Notes, Startup, Vmid, gib, property,
};
use serde_json::Value;
use std::net::IpAddr;

pub(super) fn number(value: &Value) -> Option<u64> {
    value.as_u64().or_else(|| value.as_str()?.trim().parse().ok())
}

pub(super) fn flag(value: &Value) -> bool {
    value.as_bool().unwrap_or(false) || number(value) == Some(1)
}

fn small(value: &Value) -> Option<u32> {
    number(value).and_then(|n| u32::try_from(n).ok())
}

/// A container's configuration (`GET …/config`) and state (`GET …/status/current`).
pub(super) fn container(vmid: Vmid, node: &NodeName, config: &Value, status: &Value) -> Container {
    let text = |key: &str| config[key].as_str().unwrap_or_default();
    let description = text("description");
    let rootfs = property::parse(text("rootfs"));
    let limit =
        config["cpulimit"].as_str().map_or_else(|| config["cpulimit"].to_string(), str::to_owned);
    let storage = rootfs.get("").and_then(|volume| volume.split(':').next()).unwrap_or_default();
    Container {
        vmid,
        node: node.clone(),
        running: status["status"] == "running",
        mark: Mark::in_description(description),
        host_key: HostKey::in_description(description),
        notes: Notes::in_description(description),
        config_digest: text("digest").to_owned(),
        hostname: text("hostname").parse().ok(),
        cores: small(&config["cores"]),
        cpu_limit: Some(limit).filter(|limit| !["null", "0"].contains(&limit.as_str())),
        cpu_units: small(&config["cpuunits"]),
        memory_mib: small(&config["memory"]).unwrap_or(DEFAULT_MEMORY_MIB),
        swap_mib: small(&config["swap"]).unwrap_or(DEFAULT_MEMORY_MIB),
        disk_gib: rootfs.get("size").and_then(|size| gib(size)).unwrap_or_default(),
        storage: storage.to_owned(),
        mounts: options(config)
            .filter_map(|(k, v)| Some((k.parse().ok()?, v.to_owned())))
            .collect(),
        network: Network::read_of_container(text("net0")),
        networks: options(config)
            .filter_map(|(key, value)| {
                Some((InterfaceName::of_slot(key)?, Network::read_of_container(value)))
            })
            .collect(),
        nameservers: list(text("nameserver")).filter_map(|ns| ns.parse().ok()).collect(),
        search_domain: config["searchdomain"].as_str().map(str::to_owned),
        nesting: property::parse(text("features")).get("nesting").is_some_and(|v| *v == "1"),
        onboot: flag(&config["onboot"]),
        startup: Startup::read(text("startup")),
        protection: flag(&config["protection"]),
        pool: None,
        tags: list(text("tags")).map(str::to_lowercase).collect(),
        pending: std::collections::BTreeSet::new(),
        lock: config["lock"].as_str().map(str::to_owned),
    }
}

/// What Proxmox gives a container that asks for nothing. Source: pve-container `LXC/Config.pm`.
const DEFAULT_MEMORY_MIB: u32 = 512;

fn options(config: &Value) -> impl Iterator<Item = (&str, &str)> {
    let fields = config.as_object().into_iter().flatten();
    fields.filter_map(|(key, value)| Some((key.as_str(), value.as_str()?)))
}

/// A Proxmox list. Source: `PVE::Tools::split_list`.
fn list(text: &str) -> impl Iterator<Item = &str> {
    text.split([';', ',', ' ']).filter(|word| !word.is_empty())
}

/// Every fixed address of a container's or a machine's configuration.
pub(super) fn addresses(config: &Value) -> Vec<IpAddr> {
    options(config)
        .filter(|(key, _)| key.starts_with("net") || key.starts_with("ipconfig"))
        .flat_map(|(_, text)| {
            let parts = property::parse(text);
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
            "cpulimit": "0", "mp0": "local-lvm:vm-101-disk-1,mp=/srv/files,size=10G",
            "net1": "name=eth1,bridge=vmbr1,ip=dhcp,rate=5,type=veth",
        });
        let vmid = Vmid::try_from(101).expect("in range");
        let node = "pve".parse().expect("a name");
        let found = container(vmid, &node, &config, &serde_json::json!({"status": "running"}));
        assert_eq!((found.memory_mib, found.cores, found.disk_gib), (2048, Some(2), 4));
        let mac = found.network.mac.map(|mac| mac.to_string());
        assert_eq!(mac.as_deref(), Some("BC:24:11:00:00:01"));
        assert_eq!((found.cpu_limit, found.nameservers.len(), found.mounts.len()), (None, 2, 1));
        let others: Vec<_> = found.networks.values().flat_map(|net| &net.others).collect();
        assert_eq!(format!("{others:?}"), r#"[("ip", "dhcp"), ("rate", "5")]"#);
        assert_eq!(found.tags.iter().map(String::as_str).collect::<Vec<_>>(), ["alpha", "zeta"]);
        assert!(found.running && found.nesting && found.onboot && !found.protection);
        assert_eq!(addresses(&config), ["10.0.10.101".parse::<IpAddr>().expect("an address")]);
    }
}
