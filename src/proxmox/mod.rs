//! A thin typed client of the Proxmox VE API: few calls, each safe to repeat.
#![expect(
    clippy::disallowed_methods,
    reason = "waiting for tasks needs the clock, and probing an address needs ping"
)]

mod api;
mod client;
mod error;
mod preflight;
mod read;
mod stop;
mod task;
mod tls;
mod write;

pub use client::ProxmoxClient;
pub use error::ProxmoxError;
pub use preflight::address_answers;

use crate::model::{Container, Mark, NodeName, ProxmoxDocument, Setting, Vmid};
use std::net::IpAddr;

/// What stackc asks of Proxmox. Each call can be made again after any failure, also after a lost reply.
pub trait Proxmox {
    /// The container at this number, whoever's it is; none when the number is free.
    ///
    /// # Errors
    /// `Taken` when the number is in use by a guest that this token may not see.
    fn container(&mut self, vmid: Vmid) -> Result<Option<Container>, ProxmoxError>;

    /// Every guest that the token may see, for what must be unique among them.
    fn neighbours(&mut self) -> Result<Vec<Neighbour>, ProxmoxError>;

    /// What stands in the way of creating this guest, as sentences: privileges, template, storage, bridge.
    fn obstacles(&mut self, wanted: &ProxmoxDocument) -> Result<Vec<String>, ProxmoxError>;

    /// Creates the guest, stopped, with its mark in the same call. A guest with this very mark is adopted.
    fn create(&mut self, wanted: &ProxmoxDocument, mark: &Mark) -> Result<(), ProxmoxError>;

    /// Writes the host key of a fresh guest, read from its create task's log, and the tags into its configuration.
    fn introduce(&mut self, wanted: &ProxmoxDocument) -> Result<Container, ProxmoxError>;

    /// Changes settings of a guest as it was read: refused when somebody else changed it since.
    fn set(&mut self, container: &Container, settings: &[Setting]) -> Result<(), ProxmoxError>;

    /// Grows the root disk to this size. Never shrinks.
    fn grow(&mut self, container: &Container, disk_gib: u32) -> Result<(), ProxmoxError>;

    /// Whether the guest does not run. Asked once and soon over, for who has something else to wait for.
    fn is_off(&mut self, node: &NodeName, vmid: Vmid) -> Result<bool, ProxmoxError>;

    /// Starts the guest, or finds it running.
    fn start(&mut self, node: &NodeName, vmid: Vmid) -> Result<(), ProxmoxError>;
}

/// Another guest, as far as two guests can be in each other's way.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Neighbour {
    pub vmid: Vmid,
    pub name: String,
    pub mark: Option<Mark>,
    pub addresses: Vec<IpAddr>,
}
