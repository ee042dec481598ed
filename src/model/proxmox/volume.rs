//! Volumes besides the first disk. A call that allocates one names its storage and its size in GiB.

use super::property::{self, Property, digit};
use crate::model::{GuestPath, StorageName};
use serde::{Deserialize, Serialize};

/// A volume that a container mounts.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Mount {
    pub path: GuestPath,
    pub storage: StorageName,
    pub size_gib: u32,
    /// Whether backups include it.
    pub backup: bool,
}

/// A further disk of a virtual machine.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Disk {
    pub storage: StorageName,
    pub size_gib: u32,
    /// Whether backups include it.
    pub backup: bool,
    /// Whether it looks like an SSD.
    pub ssd: bool,
}

impl Mount {
    /// The option that allocates it, `mpN`. Backups leave a mount out unless it says otherwise.
    pub fn allocation(&self) -> String {
        Property::new(format!("{}:{}", self.storage, self.size_gib))
            .set("backup", digit(self.backup))
            .set("mp", &self.path)
            .text()
    }

    /// Reads the option of a volume that is there; none for a folder or device of the node.
    pub fn read(text: &str) -> Option<Self> {
        let parts = property::parse(text);
        let (storage, _) = parts.get("")?.split_once(':')?;
        Some(Self {
            path: parts.get("mp")?.parse().ok()?,
            storage: storage.parse().ok()?,
            size_gib: gib(parts.get("size")?)?,
            backup: parts.get("backup") == Some(&"1"),
        })
    }
}

impl Disk {
    /// The option that allocates it, `scsiN`.
    pub fn allocation(&self) -> String {
        Property::new(format!("{}:{}", self.storage, self.size_gib))
            .maybe("backup", (!self.backup).then_some(0))
            .set("discard", "on")
            .maybe("ssd", self.ssd.then_some(1))
            .text()
    }
}

/// Sizes are written with a unit: `8G`, `3584M`, `1T`. Rounded up to whole GiB.
pub fn gib(size: &str) -> Option<u32> {
    let digits = size.trim_end_matches(|c: char| c.is_ascii_alphabetic());
    let number: u64 = digits.parse().ok()?;
    let gib = match &size[digits.len()..] {
        "T" => number.checked_mul(1024)?,
        "G" => number,
        "M" => number.div_ceil(1024),
        "K" => number.div_ceil(1 << 20),
        "" => number.div_ceil(1 << 30),
        _ => return None,
    };
    u32::try_from(gib).ok()
}
