//! A network interface of a guest.

use super::{MacAddr, property};
use ipnet::{Ipv4Net, Ipv6Net};
use serde::{Deserialize, Serialize};
use std::{
    collections::BTreeMap,
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
};

/// What a definition says of an interface, and what Proxmox has of it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Network {
    pub bridge: String,
    pub vlan: Option<u16>,
    pub mtu: Option<u16>,
    pub mac: Option<MacAddr>,
    pub ip: Option<Ipv4Net>,
    pub ip6: Option<Ipv6Net>,
    pub gateway: Option<Ipv4Addr>,
    pub gateway6: Option<Ipv6Addr>,
    /// Whether Proxmox's own firewall filters it.
    pub firewall: bool,
    /// Parts that no definition can say, as somebody set them in Proxmox: a rate limit, an address by DHCP.
    #[serde(skip)]
    pub others: BTreeMap<String, String>,
}

impl Network {
    /// The interface as a container's `netN` has it: the name first, then by key. Without `hwaddr` Proxmox draws one, so a
    /// change has to carry the one that is there.
    pub fn of_container(&self, name: &str) -> String {
        let mut text = property::Property::new(format!("name={name}"))
            .set("bridge", &self.bridge)
            .maybe("firewall", self.firewall.then_some(1))
            .maybe("gw", self.gateway)
            .maybe("gw6", self.gateway6)
            .maybe("hwaddr", self.mac)
            .maybe("ip", self.ip)
            .maybe("ip6", self.ip6)
            .maybe("mtu", self.mtu)
            .maybe("tag", self.vlan);
        for (key, value) in &self.others {
            text = text.set(key, value);
        }
        text.text()
    }

    /// Reads a container's `netN`.
    pub fn read_of_container(text: &str) -> Self {
        let mut network = Self::default();
        for (key, value) in property::parse(text) {
            let known = match key {
                "name" | "type" => true,
                "bridge" => {
                    value.clone_into(&mut network.bridge);
                    true
                }
                "firewall" => {
                    network.firewall = value == "1";
                    true
                }
                // Neither has an address there.
                "ip" | "ip6" if value == "manual" => true,
                "gw" => read(value, &mut network.gateway),
                "gw6" => read(value, &mut network.gateway6),
                "hwaddr" => read(value, &mut network.mac),
                "ip" => read(value, &mut network.ip),
                "ip6" => read(value, &mut network.ip6),
                "mtu" => read(value, &mut network.mtu),
                "tag" => read(value, &mut network.vlan),
                _ => false,
            };
            if !known {
                network.others.insert(key.to_owned(), value.to_owned());
            }
        }
        network
    }

    /// The interface as a virtual machine's `netN` has it.
    pub fn of_machine(&self) -> String {
        let model = self.mac.map_or_else(|| "virtio".to_owned(), |mac| format!("virtio={mac}"));
        property::Property::new(model)
            .set("bridge", &self.bridge)
            .maybe("firewall", self.firewall.then_some(1))
            .maybe("mtu", self.mtu)
            .maybe("tag", self.vlan)
            .text()
    }

    /// What cloud-init gives the interface, `ipconfigN`; none when it has no address.
    pub fn cloud_init(&self) -> Option<String> {
        let parts = [
            self.gateway.map(|gateway| format!("gw={gateway}")),
            self.gateway6.map(|gateway| format!("gw6={gateway}")),
            self.ip.map(|ip| format!("ip={ip}")),
            self.ip6.map(|ip| format!("ip6={ip}")),
        ];
        let parts: Vec<_> = parts.into_iter().flatten().collect();
        (!parts.is_empty()).then(|| parts.join(","))
    }

    pub fn addresses(&self) -> Vec<IpAddr> {
        let ip = self.ip.map(|ip| IpAddr::from(ip.addr()));
        ip.into_iter().chain(self.ip6.map(|ip| IpAddr::from(ip.addr()))).collect()
    }
}

fn read<T: std::str::FromStr>(value: &str, into: &mut Option<T>) -> bool {
    *into = value.parse().ok();
    into.is_some()
}
