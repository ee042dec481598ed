//! Definitions in Proxmox's own words.

use super::api::Parameters;
use crate::model::{Container, HostKey, Mark, Network, ProxmoxDocument, Setting};
use std::collections::BTreeSet;

/// Settings as parameters of `PUT …/config`; whatever is taken away stands in one `delete`, separated by commas.
pub(super) fn parameters(settings: &[Setting]) -> Parameters {
    let all = settings.iter().map(parameter);
    let (gone, mut set): (Parameters, Parameters) = all.partition(|(key, _)| key == "delete");
    if !gone.is_empty() {
        let keys: Vec<String> = gone.into_iter().map(|(_, key)| key).collect();
        set.push(("delete".to_owned(), keys.join(",")));
    }
    set
}

fn parameter(setting: &Setting) -> (String, String) {
    let pair = |key: &str, value: String| (key.to_owned(), value);
    match setting {
        Setting::Hostname(name) => pair("hostname", name.to_string()),
        Setting::Cores(n) => pair("cores", n.to_string()),
        Setting::MemoryMib(n) => pair("memory", n.to_string()),
        Setting::SwapMib(n) => pair("swap", n.to_string()),
        Setting::OnBoot(on) => pair("onboot", digit(*on)),
        Setting::Protection(on) => pair("protection", digit(*on)),
        Setting::Nesting(on) => pair("features", format!("nesting={}", digit(*on))),
        Setting::Nameserver(Some(address)) => pair("nameserver", address.to_string()),
        Setting::Nameserver(None) => pair("delete", "nameserver".to_owned()),
        Setting::Tags(tags) => pair("tags", join(tags)),
        Setting::Unset(key) => pair("delete", (*key).to_owned()),
        Setting::Network(network) => pair("net0", net0(network)),
    }
}

/// The create call: everything but tags, which need the guest to exist (pool ACLs), and without `start=1`.
pub(super) fn create(wanted: &ProxmoxDocument, mark: &Mark) -> Parameters {
    let mut parameters: Parameters = [
        ("vmid", wanted.vmid.to_string()),
        ("hostname", wanted.hostname.to_string()),
        ("ostemplate", wanted.template.clone()),
        ("rootfs", format!("{}:{}", wanted.storage, wanted.disk_gib)),
        ("cores", wanted.cores.to_string()),
        ("memory", wanted.memory_mib.to_string()),
        ("swap", wanted.swap_mib.to_string()),
        ("net0", net0(&network(wanted))),
        // Its default differs between Proxmox 8 and 9.
        ("unprivileged", "1".to_owned()),
        ("onboot", digit(wanted.onboot)),
        ("protection", digit(wanted.protection)),
        ("description", mark.to_string()),
    ]
    .map(|(key, value)| (key.to_owned(), value))
    .to_vec();
    let mut also = |key: &str, value: String| parameters.push((key.to_owned(), value));
    if wanted.nesting {
        // An empty `features` is refused to tokens; so it is sent only with something in it.
        also("features", "nesting=1".to_owned());
    }
    if let Some(address) = wanted.nameserver {
        also("nameserver", address.to_string());
    }
    if let Some(pool) = &wanted.pool {
        also("pool", pool.clone());
    }
    if !wanted.ssh_public_keys.is_empty() {
        also("ssh-public-keys", wanted.ssh_public_keys.join("\n"));
    }
    parameters
}

fn network(wanted: &ProxmoxDocument) -> Network {
    Network {
        bridge: wanted.bridge.clone(),
        hwaddr: None,
        ip: Some(wanted.ip),
        gateway: wanted.gateway,
        firewall: true,
    }
}

/// `hwaddr` is left out only at creation: a PUT without it would draw a new MAC address.
fn net0(network: &Network) -> String {
    let mut text = format!("name=eth0,bridge={}", network.bridge);
    text.push_str(if network.firewall { ",firewall=1" } else { "" });
    for (key, value) in [
        ("gw", network.gateway.map(|gateway| gateway.to_string())),
        ("hwaddr", network.hwaddr.clone()),
        ("ip", network.ip.map(|ip| ip.to_string())),
    ] {
        if let Some(value) = value {
            text = format!("{text},{key}={value}");
        }
    }
    text
}

/// A description: the operators' notes, then the host key's line, then the mark.
pub(super) fn description(container: &Container, host_key: &HostKey, mark: &Mark) -> String {
    let notes =
        if container.notes.is_empty() { String::new() } else { format!("{}\n\n", container.notes) };
    format!("{notes}{}\n{mark}", host_key.line())
}

pub(super) fn join(tags: &BTreeSet<String>) -> String {
    tags.iter().map(String::as_str).collect::<Vec<_>>().join(";")
}

fn digit(on: bool) -> String {
    u8::from(on).to_string()
}
