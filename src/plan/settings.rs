//! The guest's settings in Proxmox: what differs, and when it takes effect.

use crate::model::{Container, ContainerOptions, Network, ProxmoxDocument, Setting};
use std::{collections::BTreeSet, fmt};

/// A setting that differs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SettingChange {
    pub setting: Setting,
    /// What puts it back.
    pub before: Setting,
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
    pub fn name(&self) -> &str {
        setting_name(&self.setting)
    }
}

/// A setting's name in texts.
pub fn setting_name(setting: &Setting) -> &str {
    match setting {
        Setting::Hostname(_) => "hostname",
        Setting::Cores(_) => "cores",
        Setting::CpuLimit(_) => "cpulimit",
        Setting::CpuUnits(_) => "cpuunits",
        Setting::MemoryMib(_) => "memory",
        Setting::SwapMib(_) => "swap",
        Setting::OnBoot(_) => "onboot",
        Setting::Startup(_) => "startup",
        Setting::Protection(_) => "protection",
        Setting::Nesting(_) => "nesting",
        Setting::Nameservers(_) => "nameserver",
        Setting::SearchDomain(_) => "searchdomain",
        Setting::Tags(_) => "tags",
        Setting::Description(_) => "description",
        Setting::Network(_) => "network",
        Setting::Interface(name, _) => name.as_str(),
        Setting::Unset(key) => key,
    }
}

/// Every setting that differs; a setting whose wanted value only waits for the next start does not.
pub fn setting_changes(
    wanted: &ProxmoxDocument,
    options: &ContainerOptions,
    found: &Container,
) -> Vec<SettingChange> {
    let mut list = Changes(Vec::new());
    resources(&mut list, wanted, options, found);
    conduct(&mut list, wanted, options, found);
    networks(&mut list, wanted, found);
    list.0
}

fn resources(
    list: &mut Changes,
    wanted: &ProxmoxDocument,
    options: &ContainerOptions,
    found: &Container,
) {
    let hostname = (found.hostname.clone(), Some(wanted.hostname.clone()));
    list.option(When::NextStart, "hostname", hostname, Setting::Hostname);
    list.option(When::Now, "cores", (found.cores, Some(wanted.cores)), Setting::Cores);
    let limit = (found.cpu_limit.clone(), wanted.cpu_limit.map(|limit| limit.to_string()));
    list.option(When::Now, "cpulimit", limit, Setting::CpuLimit);
    list.option(When::Now, "cpuunits", (found.cpu_units, wanted.cpu_units), Setting::CpuUnits);
    list.value(When::Now, found.memory_mib, wanted.memory_mib, Setting::MemoryMib, mib);
    list.value(When::Now, found.swap_mib, options.swap_mib, Setting::SwapMib, mib);
}

fn conduct(
    list: &mut Changes,
    wanted: &ProxmoxDocument,
    options: &ContainerOptions,
    found: &Container,
) {
    list.value(When::Now, found.onboot, wanted.onboot, Setting::OnBoot, on_off);
    list.option(When::Now, "startup", (found.startup, wanted.startup), Setting::Startup);
    list.value(When::Now, found.protection, wanted.protection, Setting::Protection, on_off);
    list.value(When::NextStart, found.nesting, options.nesting, Setting::Nesting, on_off);
    // Unset, the guest has the node's own: nothing that a definition says.
    let nameservers = (found.nameservers.clone(), wanted.nameservers.clone());
    list.value(When::NextStart, nameservers.0, nameservers.1, Setting::Nameservers, |list| {
        words(list.iter().map(ToString::to_string))
    });
    let domain = wanted.search_domain.as_ref().map(ToString::to_string);
    let domain = (found.search_domain.clone(), domain);
    list.option(When::NextStart, "searchdomain", domain, Setting::SearchDomain);
    let tags = |tags: BTreeSet<String>| words(tags.into_iter());
    list.value(When::Now, found.tags.clone(), wanted.tags.clone(), Setting::Tags, tags);
    if let Some(notes) = &wanted.description {
        let notes = notes.to_string();
        list.value(When::Now, found.notes.clone(), notes, Setting::Description, |text| {
            first_line(&text)
        });
    }
}

fn networks(list: &mut Changes, wanted: &ProxmoxDocument, found: &Container) {
    for name in wanted.networks.keys().chain(found.networks.keys()).collect::<BTreeSet<_>>() {
        let before = found.networks.get(name).cloned();
        let after = wanted.networks.get(name).map(|network| on_card(network, before.as_ref()));
        let texts = network_texts(before.as_ref(), after.as_ref());
        let setting = |network| Setting::Interface(name.clone(), network);
        list.add(When::Now, before != after, (setting(before), setting(after)), texts);
    }
    let (before, after) = (&found.network, on_card(&wanted.network(), Some(&found.network)));
    let texts = network_texts(Some(before), Some(&after));
    let settings = (Setting::Network(before.clone()), Setting::Network(after.clone()));
    list.add(When::AfterConfirm, *before != after, settings, texts);
}

/// The wanted network on the card that is there: without its `hwaddr` Proxmox would draw another. What no definition can say
/// stays as somebody set it, but for an address by DHCP, in whose place there is a fixed one or none.
fn on_card(wanted: &Network, found: Option<&Network>) -> Network {
    let Some(found) = found else { return wanted.clone() };
    let mut others = found.others.clone();
    others.retain(|key, _| !["ip", "ip6"].contains(&key.as_str()));
    Network { mac: wanted.mac.or(found.mac), others, ..wanted.clone() }
}

struct Changes(Vec<SettingChange>);

impl Changes {
    fn add(
        &mut self,
        when: When,
        differs: bool,
        (before, setting): (Setting, Setting),
        (from, to): (String, String),
    ) {
        if differs {
            self.0.push(SettingChange { setting, before, from, to, when });
        }
    }

    /// A setting that always has a value.
    fn value<T: Clone + PartialEq>(
        &mut self,
        when: When,
        found: T,
        wanted: T,
        setting: fn(T) -> Setting,
        text: impl Fn(T) -> String,
    ) {
        let texts = (text(found.clone()), text(wanted.clone()));
        self.add(when, found != wanted, (setting(found), setting(wanted)), texts);
    }

    /// A setting that may be left to Proxmox.
    fn option<T: Clone + PartialEq + fmt::Display>(
        &mut self,
        when: When,
        key: &'static str,
        (found, wanted): (Option<T>, Option<T>),
        setting: fn(T) -> Setting,
    ) {
        let text = |value: &Option<T>| value.as_ref().map_or("none".to_owned(), T::to_string);
        let texts = (text(&found), text(&wanted));
        let value = |value: Option<T>| value.map_or(Setting::Unset(key), setting);
        self.add(when, found != wanted, (value(found), value(wanted)), texts);
    }
}

/// Two networks in a line each; hardware addresses only where they differ.
fn network_texts(before: Option<&Network>, after: Option<&Network>) -> (String, String) {
    let text = |network: Option<&Network>, other: Option<&Network>| {
        let mac =
            network.and_then(|n| n.mac).filter(|mac| other.is_some_and(|o| o.mac != Some(*mac)));
        let mac = mac.map_or_else(String::new, |mac| format!(" ({mac})"));
        network.map_or_else(|| "none".to_owned(), |network| network_text(network) + &mac)
    };
    (text(before, after), text(after, before))
}

/// A network in one line; what most do not have only where there is one.
fn network_text(network: &Network) -> String {
    let both = |four: Option<String>, six: Option<String>| {
        let list: Vec<_> = four.into_iter().chain(six).collect();
        Some(list.join(" and ")).filter(|text| !text.is_empty())
    };
    let addresses = both(network.ip.map(|ip| ip.to_string()), network.ip6.map(|ip| ip.to_string()));
    let (four, six) = (network.gateway, network.gateway6);
    let gateways = both(four.map(|ip| ip.to_string()), six.map(|ip| ip.to_string()));
    let mut line = addresses.unwrap_or_else(|| "no address".to_owned());
    line.extend(gateways.map(|gateways| format!(" via {gateways}")));
    line.extend([format!(" on {}", network.bridge)]);
    for (word, value) in [("vlan", network.vlan), ("mtu", network.mtu)] {
        line.extend(value.map(|value| format!(" {word} {value}")));
    }
    line.push_str(if network.firewall { "" } else { " without firewall" });
    line.extend(network.others.iter().map(|(key, value)| format!(" {key}={value}")));
    line
}

fn mib(mib: u32) -> String {
    format!("{mib} MiB")
}

fn on_off(on: bool) -> String {
    if on { "on" } else { "off" }.to_owned()
}

fn first_line(text: &str) -> String {
    words(text.lines().take(1).map(str::to_owned))
}

fn words(words: impl Iterator<Item = String>) -> String {
    let words: Vec<_> = words.collect();
    if words.is_empty() { "none".to_owned() } else { words.join(" ") }
}
