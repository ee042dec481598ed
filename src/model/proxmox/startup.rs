//! When a guest starts and stops with its node.

use super::property;
use serde::{Deserialize, Serialize};
use std::fmt;

/// Order and pauses; what is none is Proxmox's own.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Startup {
    pub order: Option<u32>,
    pub up_seconds: Option<u32>,
    pub down_seconds: Option<u32>,
}

impl Startup {
    /// Reads the option; none when it says nothing. An order may stand without its key. Source: `pve-startup-order` in
    /// pve-common, `PVE/JSONSchema.pm`.
    pub fn read(text: &str) -> Option<Self> {
        let parts = property::parse(text);
        let number = |key| parts.get(key).and_then(|value| value.parse().ok());
        let order = number("order").or_else(|| number(""));
        let read = Self { order, up_seconds: number("up"), down_seconds: number("down") };
        (read != Self::default()).then_some(read)
    }
}

impl fmt::Display for Startup {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let parts = [("order", self.order), ("up", self.up_seconds), ("down", self.down_seconds)];
        let parts = parts.into_iter().filter_map(|(key, value)| Some(format!("{key}={}", value?)));
        f.write_str(&parts.collect::<Vec<_>>().join(","))
    }
}
