//! `health` and `probes`: what a new generation is judged by.

use super::{address, command};
use crate::{
    compile::{
        report::{Code, Mistake},
        view::{Located, View},
    },
    model::{HealthDocument, Probe, ProxmoxDocument, UnitName},
};
use std::{
    collections::BTreeSet,
    net::{IpAddr, Ipv4Addr},
};

/// How long each probe must hold (design.md §8, step 6).
const WINDOW_SECONDS: u32 = 5;
/// How long a unit may take to pass its probes.
const START_SECONDS: u32 = 30;
/// How long the guest waits for the confirm (design.md §8, step 7).
const CONFIRM_SECONDS: u32 = 60;
/// How long one probe may take.
const PROBE_SECONDS: u32 = 5;

/// How the new generation is judged; none when a limit has a mistake. Probes' addresses are judged where the guest's own
/// are known.
pub fn read(stack: &View<'_>, guest: Option<&ProxmoxDocument>) -> Option<HealthDocument> {
    let view = stack.table("health");
    let window = view.number_or("window_seconds", WINDOW_SECONDS);
    let start = view.number_or("start_seconds", START_SECONDS);
    let confirm = view.number_or("confirm_seconds", CONFIRM_SECONDS);
    let own = guest.map(own_addresses);
    let probe =
        |(name, view): (&str, View<'_>)| Some((name.to_owned(), probe(&view, name, own.as_ref())?));
    let probes = stack.tables("probes").filter_map(probe);
    Some(HealthDocument {
        probes: probes.collect(),
        window_seconds: window?,
        start_seconds: start?,
        confirm_seconds: confirm?,
    })
}

const KINDS: [&str; 4] = ["http", "tcp", "command", "unit"];

fn probe(view: &View<'_>, name: &str, own: Option<&BTreeSet<IpAddr>>) -> Option<Probe> {
    let named: Vec<_> = KINDS.iter().filter(|kind| view.table.contains_key(**kind)).collect();
    let [kind] = named.as_slice() else {
        let title = "a probe has exactly one of `http`, `tcp`, `command` and `unit`";
        view.report(
            Mistake::new(Code::ProbeOfOneKind, view.at, title)
                .help("add one, or split it into two probes"),
        );
        return None;
    };
    let timeout_seconds = view.number_or("timeout_seconds", PROBE_SECONDS);
    let table = view.table(kind);
    let address = || address(&table, name, own);
    match **kind {
        "http" => http(&table, address(), timeout_seconds),
        "tcp" => {
            let (address, port) = (address(), port(&table));
            Some(Probe::Tcp { address: address?, port: port?, timeout_seconds: timeout_seconds? })
        }
        "command" => {
            let argv = command::argv(view, "command", "a probe's command")?;
            Some(Probe::Command { argv, timeout_seconds: timeout_seconds? })
        }
        _ => {
            if let Some(timeout) = view.table.get("timeout_seconds") {
                let title = "`timeout_seconds` has no effect on a probe of a unit, which systemd answers at once";
                let help =
                    "leave it out; how long the unit's start may take is `health.start_seconds`";
                view.report(Mistake::new(Code::NoEffect, timeout.key, title).help(help));
            }
            Some(Probe::Unit { unit: view.need::<UnitName>("unit")?.value })
        }
    }
}

fn http(table: &View<'_>, address: Option<IpAddr>, timeout_seconds: Option<u32>) -> Option<Probe> {
    let port = port(table);
    let path = match table.text("path") {
        Some(path) if !path.value.starts_with('/') || path.value.contains([' ', '\r', '\n']) => {
            let title = format!("`{}` is no path of a URL", path.value);
            table.report(Mistake::new(Code::BadUrlPath, path.at, title).help("begin it with `/`"));
            return None;
        }
        Some(path) => path.value,
        None => "/".to_owned(),
    };
    let status = table.number_or("status", 200)?;
    let status = u16::try_from(status).expect("it is at most 599");
    let (port, timeout_seconds) = (port?, timeout_seconds?);
    Some(Probe::Http { address: address?, port, path, status, timeout_seconds })
}

/// The addresses by which a guest itself is reached, besides those of its loopback.
fn own_addresses(guest: &ProxmoxDocument) -> BTreeSet<IpAddr> {
    let networks = guest.networks.values();
    let own4 = networks.clone().filter_map(|network| network.ip).chain([guest.ip]);
    let own6 = networks.filter_map(|network| network.ip6).chain(guest.ip6);
    own4.map(|ip| ip.addr().into()).chain(own6.map(|ip| ip.addr().into())).collect()
}

/// The address that a probe asks; none when what is said is none. Another machine's is reported: what that does must not
/// undo a switch here.
fn address(view: &View<'_>, name: &str, own: Option<&BTreeSet<IpAddr>>) -> Option<IpAddr> {
    if !view.table.contains_key("address") {
        return Some(Ipv4Addr::LOCALHOST.into());
    }
    let Located { value, at } = address::ip(view, "address", "probe")?;
    if !value.is_loopback() && own.is_some_and(|own| !own.contains(&value)) {
        let title = format!("the probe `{name}` asks {value}, which is not this guest");
        let help = "leave `address` out for 127.0.0.1, or write an address of the guest; other machines are asked by a `command`";
        view.report(Mistake::new(Code::ProbeElsewhere, at, title).help(help));
    }
    Some(value)
}

fn port(view: &View<'_>) -> Option<u16> {
    let port = view.need_number("port")?;
    Some(u16::try_from(port.value).expect("it is at most 65535"))
}
