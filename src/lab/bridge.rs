//! The lab's bridge, told apart from others of the same name.

use super::{LabError, LabName, error::AtPath as _, program::run};
use crate::model::Digest;
use camino::Utf8Path;
use ipnet::Ipv4Net;
use std::{fs, io, net::Ipv4Addr};

/// A bridge's name, and the hardware address that says whose it is: it is made from the path of the lab's state. An address is set as
/// the bridge is made, so that no kill leaves a bridge without its mark.
pub(super) struct Bridge {
    name: String,
    address: String,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Owner {
    /// There is no device of this name.
    Nobody,
    Us,
    /// Another lab of the same name with its state elsewhere, or somebody's own bridge.
    Foreign,
}

impl Bridge {
    pub(super) fn of(name: &LabName, state: &Utf8Path) -> Self {
        let digest = Digest::of(state.as_str().as_bytes()).to_string();
        let bytes: Vec<&str> = (0..10).step_by(2).map(|i| &digest[i..i + 2]).collect();
        // 02: a local address of one device. Source: IEEE 802, 8.4.
        Self { name: name.bridge(), address: format!("02:{}", bytes.join(":")) }
    }

    fn owner(&self) -> Result<Owner, LabError> {
        let file = format!("/sys/class/net/{}/address", self.name);
        match fs::read_to_string(&file) {
            Err(cause) if cause.kind() == io::ErrorKind::NotFound => Ok(Owner::Nobody),
            text => {
                let ours = text.at("read", &file)?.trim() == self.address;
                Ok(if ours { Owner::Us } else { Owner::Foreign })
            }
        }
    }

    pub(super) fn exists(&self) -> Result<bool, LabError> {
        self.owner().map(|owner| owner == Owner::Us)
    }

    /// Refuses when something else has a device of this name.
    pub(super) fn refuse_foreign(&self) -> Result<(), LabError> {
        match self.owner()? {
            Owner::Foreign => Err(LabError::ForeignBridge { bridge: self.name.clone() }),
            Owner::Nobody | Owner::Us => Ok(()),
        }
    }

    /// Makes it, unless it is there, and gives it the operator's address in the subnet.
    pub(super) fn make(&self, operator: Ipv4Addr, subnet: Ipv4Net) -> Result<(), LabError> {
        let ip = format!("{operator}/{}", subnet.prefix_len());
        self.refuse_foreign()?;
        if !self.exists()? {
            let add = ["ip", "link", "add", &self.name, "address", &self.address, "type", "bridge"];
            run("make the lab's bridge", 10, &add)?;
        }
        run("set the bridge's address", 10, &["ip", "addr", "replace", &ip, "dev", &self.name])?;
        run("bring the bridge up", 10, &["ip", "link", "set", &self.name, "up"]).map(drop)
    }

    /// Removes it if it is there and ours.
    pub(super) fn remove(&self) -> Result<(), LabError> {
        if !self.exists()? {
            return Ok(());
        }
        run("remove the lab's bridge", 10, &["ip", "link", "delete", &self.name]).map(drop)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn labs_of_one_name_in_two_places_have_bridges_that_differ() {
        let name: LabName = "demo".parse().expect("a name");
        let [a, b] = ["/var/lib/a", "/var/lib/b"].map(|state| Bridge::of(&name, state.into()));
        assert_eq!(a.name, b.name);
        assert_ne!(a.address, b.address);
        assert!(a.address.starts_with("02:") && a.address.len() == 17, "{}", a.address);
    }
}
