//! `proxmox.json`: the guest that Proxmox is asked for.

mod mac;
mod network;
mod notes;
mod parameters;
pub mod property;
mod startup;
mod volume;

pub use mac::MacAddr;
pub use network::Network;
pub use notes::{Notes, ParseNotesError};
pub use parameters::{Call, Parameters, container_creation, creation};
pub use startup::Startup;
pub use volume::{Disk, Mount, gib};

use super::{
    CpuType, DiskSlot, DomainName, GuestName, ImageVolume, InterfaceName, MountSlot, NodeName,
    Owner,
};
use ipnet::{Ipv4Net, Ipv6Net};
use serde::{Deserialize, Serialize};
use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
    num::NonZeroU32,
};

/// A Proxmox guest number, 100 to 999 999 999. Source: `pve-vmid` in pve-common, `PVE/JSONSchema.pm`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "u32", into = "u32")]
pub struct Vmid(NonZeroU32);

/// A number that is not a guest's.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("{number} is not a guest number: Proxmox has 100 to 999999999")]
pub struct ParseVmidError {
    pub number: u32,
}

impl Vmid {
    const MIN: u32 = 100;
    const MAX: u32 = 999_999_999;
}

impl TryFrom<u32> for Vmid {
    type Error = ParseVmidError;
    fn try_from(number: u32) -> Result<Self, Self::Error> {
        let in_range = |n: &NonZeroU32| (Self::MIN..=Self::MAX).contains(&n.get());
        NonZeroU32::new(number).filter(in_range).map(Self).ok_or(ParseVmidError { number })
    }
}

impl From<Vmid> for u32 {
    fn from(vmid: Vmid) -> Self {
        vmid.0.get()
    }
}

impl fmt::Display for Vmid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)
    }
}

/// `proxmox.json`: what the guest is to be, without uuid and node state.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ProxmoxDocument {
    /// Container or virtual machine, with what only one of them has.
    pub kind: GuestKind,
    pub vmid: Vmid,
    pub node: NodeName,
    pub hostname: GuestName,
    pub storage: String,
    pub disk_gib: u32,
    pub cores: u32,
    /// How many CPUs' time it may take; none: no limit.
    pub cpu_limit: Option<NonZeroU32>,
    pub cpu_units: Option<u32>,
    pub memory_mib: u32,
    pub bridge: String,
    pub vlan: Option<u16>,
    pub mtu: Option<u16>,
    /// None: Proxmox draws one, and it stays.
    pub mac: Option<MacAddr>,
    /// The address by which operators reach the guest.
    pub ip: Ipv4Net,
    pub ip6: Option<Ipv6Net>,
    pub gateway: Option<Ipv4Addr>,
    pub gateway6: Option<Ipv6Addr>,
    /// Networks besides the first.
    pub networks: BTreeMap<InterfaceName, Network>,
    /// Empty: the node's own.
    pub nameservers: Vec<IpAddr>,
    pub search_domain: Option<DomainName>,
    pub onboot: bool,
    pub startup: Option<Startup>,
    pub protection: bool,
    /// None: whatever people write there in Proxmox.
    pub description: Option<Notes>,
    pub pool: Option<String>,
    pub tags: BTreeSet<String>,
    /// Public keys, one line each, that the created guest admits as its first user.
    pub ssh_public_keys: Vec<String>,
}

/// Container or virtual machine.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum GuestKind {
    Lxc(ContainerOptions),
    Qemu(MachineOptions),
}

impl GuestKind {
    /// As definitions name it.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Lxc(_) => "lxc",
            Self::Qemu(_) => "qemu",
        }
    }
}

/// What only an unprivileged LXC container has.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ContainerOptions {
    /// Volume id of the template, such as `local:vztmpl/debian-12-standard_12.12-1_amd64.tar.zst`.
    pub template: String,
    pub swap_mib: u32,
    /// Whether the guest may nest namespaces; systemd needs it.
    pub nesting: bool,
    pub mounts: BTreeMap<MountSlot, Mount>,
}

/// What only a virtual machine has.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct MachineOptions {
    pub source: DiskSource,
    pub cpu_type: CpuType,
    /// The least memory; 0: no balloon. None: all of the memory.
    pub balloon_mib: Option<u32>,
    pub disks: BTreeMap<DiskSlot, Disk>,
    pub agent: bool,
    pub bios: Bios,
    pub machine: Chipset,
    /// Whom cloud-init lets in.
    pub user: Owner,
}

/// What a virtual machine's first disk is made from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum DiskSource {
    Image(ImageVolume),
    Clone(Vmid),
}

/// The firmware of a virtual machine.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Bios {
    Seabios,
    Ovmf,
}

/// The chipset of a virtual machine.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Chipset {
    I440fx,
    Q35,
}

impl ProxmoxDocument {
    /// The first network, `net0`. Proxmox's own firewall may always filter it.
    pub fn network(&self) -> Network {
        Network {
            bridge: self.bridge.clone(),
            vlan: self.vlan,
            mtu: self.mtu,
            mac: self.mac,
            ip: Some(self.ip),
            ip6: self.ip6,
            gateway: self.gateway,
            gateway6: self.gateway6,
            firewall: true,
            others: BTreeMap::new(),
        }
    }

    /// What it has as a container; none for a virtual machine.
    pub fn container(&self) -> Option<&ContainerOptions> {
        match &self.kind {
            GuestKind::Lxc(options) => Some(options),
            GuestKind::Qemu(_) => None,
        }
    }

    /// Every fixed address of it.
    pub fn addresses(&self) -> Vec<IpAddr> {
        let first = self.network();
        std::iter::once(&first).chain(self.networks.values()).flat_map(Network::addresses).collect()
    }
}
