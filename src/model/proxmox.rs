//! `proxmox.json`: the guest that Proxmox is asked for.

use super::{GuestName, NodeName};
use ipnet::IpNet;
use serde::{Deserialize, Serialize};
use std::{collections::BTreeSet, fmt, net::IpAddr, num::NonZeroU32};

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
    pub kind: GuestKind,
    pub vmid: Vmid,
    pub node: NodeName,
    pub hostname: GuestName,
    /// Volume id of the template, such as `local:vztmpl/debian-12-standard_12.12-1_amd64.tar.zst`.
    pub template: String,
    pub storage: String,
    pub disk_gib: u32,
    pub cores: u32,
    pub memory_mib: u32,
    pub swap_mib: u32,
    pub bridge: String,
    /// The guest's address with its prefix length.
    pub ip: IpNet,
    pub gateway: Option<IpAddr>,
    pub nameserver: Option<IpAddr>,
    /// Whether the guest may nest namespaces; systemd needs it.
    pub nesting: bool,
    pub onboot: bool,
    pub protection: bool,
    pub pool: Option<String>,
    pub tags: BTreeSet<String>,
    /// Public keys, one line each, that the created guest admits as root.
    pub ssh_public_keys: Vec<String>,
}

/// Container or virtual machine.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum GuestKind {
    /// An unprivileged LXC container.
    Lxc,
}
