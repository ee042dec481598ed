//! The guest's settings in Proxmox: what differs, and when it takes effect.

use crate::model::{Container, Network, ProxmoxDocument, Setting};
use std::fmt;

/// A setting that differs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SettingChange {
    pub setting: Setting,
    pub from: String,
    pub to: String,
    pub when: When,
}

/// When a changed setting takes effect on a running container (pve-container `LXC/Config.pm`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum When {
    Now,
    /// It is pending until the guest starts again; stackc does not restart a guest for it.
    NextStart,
    /// At the very end, and put back when the guest does not answer at its new address.
    AfterConfirm,
}

impl SettingChange {
    /// The setting's name in Proxmox.
    pub fn name(&self) -> &'static str {
        setting_name(&self.setting)
    }
}

/// A setting's name in texts.
pub fn setting_name(setting: &Setting) -> &'static str {
    match setting {
        Setting::Hostname(_) => "hostname",
        Setting::Cores(_) => "cores",
        Setting::MemoryMib(_) => "memory",
        Setting::SwapMib(_) => "swap",
        Setting::OnBoot(_) => "onboot",
        Setting::Protection(_) => "protection",
        Setting::Nesting(_) => "nesting",
        Setting::Nameserver(_) => "nameserver",
        Setting::Tags(_) => "tags",
        Setting::Network(_) => "network",
        Setting::Unset(key) => key,
    }
}

/// The same setting with the value that a container has: what puts it back.
pub fn found_value(setting: &Setting, found: &Container) -> Setting {
    let unset = |key| Setting::Unset(key);
    match setting {
        Setting::Hostname(_) => {
            found.hostname.clone().map_or_else(|| unset("hostname"), Setting::Hostname)
        }
        Setting::Cores(_) => found.cores.map_or_else(|| unset("cores"), Setting::Cores),
        Setting::MemoryMib(_) => Setting::MemoryMib(found.memory_mib),
        Setting::SwapMib(_) => Setting::SwapMib(found.swap_mib),
        Setting::OnBoot(_) => Setting::OnBoot(found.onboot),
        Setting::Protection(_) => Setting::Protection(found.protection),
        Setting::Nesting(_) => Setting::Nesting(found.nesting),
        Setting::Nameserver(_) => Setting::Nameserver(found.nameserver),
        Setting::Tags(_) => Setting::Tags(found.tags.clone()),
        Setting::Network(_) => Setting::Network(found.network.clone()),
        Setting::Unset(key) => unset(key),
    }
}

/// Every setting that differs; a setting whose wanted value only waits for the next start does not.
pub fn setting_changes(wanted: &ProxmoxDocument, found: &Container) -> Vec<SettingChange> {
    let hostname = found.hostname.clone();
    let hostname_text = hostname.as_ref().map_or_else(|| "none".to_owned(), ToString::to_string);
    let mut list = Vec::new();
    let mut compare = |differs: bool, setting: Setting, from: String, to: String, when: When| {
        if differs {
            list.push(SettingChange { setting, from, to, when });
        }
    };
    compare(
        hostname.as_ref() != Some(&wanted.hostname),
        Setting::Hostname(wanted.hostname.clone()),
        hostname_text,
        wanted.hostname.to_string(),
        When::NextStart,
    );
    compare(
        found.cores != Some(wanted.cores),
        Setting::Cores(wanted.cores),
        found.cores.map_or_else(|| "all".to_owned(), |n| n.to_string()),
        wanted.cores.to_string(),
        When::Now,
    );
    for (from, to, setting) in [
        (found.memory_mib, wanted.memory_mib, Setting::MemoryMib(wanted.memory_mib)),
        (found.swap_mib, wanted.swap_mib, Setting::SwapMib(wanted.swap_mib)),
    ] {
        compare(from != to, setting, format!("{from} MiB"), format!("{to} MiB"), When::Now);
    }
    for (from, to, setting, when) in [
        (found.onboot, wanted.onboot, Setting::OnBoot(wanted.onboot), When::Now),
        (found.protection, wanted.protection, Setting::Protection(wanted.protection), When::Now),
        (found.nesting, wanted.nesting, Setting::Nesting(wanted.nesting), When::NextStart),
    ] {
        compare(from != to, setting, on_off(from), on_off(to), when);
    }
    compare(
        // Unset, the guest has the node's own: nothing that a definition says.
        wanted.nameserver != found.nameserver,
        Setting::Nameserver(wanted.nameserver),
        optional(found.nameserver),
        optional(wanted.nameserver),
        When::NextStart,
    );
    compare(
        wanted.tags != found.tags,
        Setting::Tags(wanted.tags.clone()),
        words(&found.tags),
        words(&wanted.tags),
        When::Now,
    );
    let network = network(wanted, found);
    compare(
        network != found.network,
        Setting::Network(network.clone()),
        address(&found.network),
        address(&network),
        When::AfterConfirm,
    );
    list
}

/// The wanted network on the card that is there: without its `hwaddr` Proxmox would draw another.
fn network(wanted: &ProxmoxDocument, found: &Container) -> Network {
    Network {
        bridge: wanted.bridge.clone(),
        hwaddr: found.network.hwaddr.clone(),
        ip: Some(wanted.ip),
        gateway: wanted.gateway,
        firewall: true,
    }
}

fn address(network: &Network) -> String {
    let firewall = if network.firewall { "" } else { " without firewall" };
    format!(
        "{} via {} on {}{firewall}",
        optional(network.ip),
        optional(network.gateway),
        network.bridge
    )
}

fn optional<T: fmt::Display>(value: Option<T>) -> String {
    value.map_or_else(|| "none".to_owned(), |value| value.to_string())
}

fn on_off(on: bool) -> String {
    if on { "on" } else { "off" }.to_owned()
}

fn words(tags: &std::collections::BTreeSet<String>) -> String {
    if tags.is_empty() {
        return "none".to_owned();
    }
    tags.iter().map(String::as_str).collect::<Vec<_>>().join(" ")
}
