//! `apt`, `packages`, `health` and `probes`.

use super::command;
use crate::{
    compile::{
        report::{Code, Mistake},
        source::Value,
        view::View,
    },
    model::{AptDocument, HealthDocument, PackageName, Probe, UnitName},
};
use std::collections::BTreeMap;

/// How long each probe must hold (design.md §8, step 6).
const WINDOW_SECONDS: u32 = 5;
/// How long a unit may take to pass its probes.
const START_SECONDS: u32 = 30;
/// How long the guest waits for the confirm (design.md §8, step 7).
const CONFIRM_SECONDS: u32 = 60;
/// How long one probe may take.
const PROBE_SECONDS: u32 = 5;

pub fn apt(stack: &View<'_>) -> AptDocument {
    let apt = stack.table("apt");
    let mut sources = BTreeMap::new();
    for (name, at, node) in apt.entries("sources") {
        let plain = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_';
        let text = node.text().and_then(|text| apt.lowering.text(text, node.at));
        if !name.chars().all(plain) {
            let title = format!("`{name}` is no name of a source: apt would skip its file");
            apt.report(
                Mistake::new(Code::BadName, at, title).help("use letters, digits, `-` and `_`"),
            );
        } else if let Some(text) = text.filter(|text| is_deb822(&apt, text, node.at)) {
            sources.insert(name.to_owned(), text);
        }
    }
    let may_start = apt.texts("may_start").into_iter().map(|text| text.value).collect();
    AptDocument { packages: packages(stack), sources, may_start }
}

fn is_deb822(view: &View<'_>, text: &str, at: crate::compile::source::At) -> bool {
    let has = |field: &str| text.lines().any(|line| line.starts_with(field));
    let valid = ["Types:", "URIs:", "Suites:"].iter().all(|field| has(field));
    if !valid {
        let title = "a source of packages needs Types, URIs and Suites";
        view.report(
            Mistake::new(Code::BadAptSource, at, title)
                .help("write it in the form of sources.list(5), deb822"),
        );
    }
    valid
}

fn packages(stack: &View<'_>) -> BTreeMap<PackageName, String> {
    let mut packages = BTreeMap::new();
    for (name, at, node) in stack.entries("packages") {
        let Some(package) = stack.lowering.parse::<PackageName>(name, at) else { continue };
        let version = match &node.value {
            Value::Text(text) => stack.lowering.text(text, node.at),
            _ => Some(String::new()),
        };
        let plain = |c: char| c.is_ascii_alphanumeric() || ".+-~:*".contains(c);
        match version {
            Some(version) if version.chars().all(plain) => {
                packages.insert(package, version);
            }
            Some(version) => {
                let title = format!("`{version}` is no version of a package");
                let help = "write it as `apt-cache policy` shows it, or `true` for the newest";
                stack.report(Mistake::new(Code::BadVersion, node.at, title).help(help));
            }
            None => {}
        }
    }
    packages
}

/// How the new generation is judged; none when a limit has a mistake.
pub fn health(stack: &View<'_>) -> Option<HealthDocument> {
    let view = stack.table("health");
    let window = view.number_or("window_seconds", WINDOW_SECONDS);
    let start = view.number_or("start_seconds", START_SECONDS);
    let confirm = view.number_or("confirm_seconds", CONFIRM_SECONDS);
    let probes = stack.tables("probes");
    let probes = probes.filter_map(|(name, view)| Some((name.to_owned(), probe(&view)?)));
    Some(HealthDocument {
        probes: probes.collect(),
        window_seconds: window?,
        start_seconds: start?,
        confirm_seconds: confirm?,
    })
}

const KINDS: [&str; 4] = ["http", "tcp", "command", "unit"];

fn probe(view: &View<'_>) -> Option<Probe> {
    let named: Vec<_> = KINDS.iter().filter(|kind| view.table.contains_key(**kind)).collect();
    let [kind] = named.as_slice() else {
        let title = "a probe has exactly one of `http`, `tcp`, `command` and `unit`";
        view.report(
            Mistake::new(Code::ProbeOfOneKind, view.at, title)
                .help("add one, or split it into two probes"),
        );
        return None;
    };
    let timeout_seconds = view.number_or("timeout_seconds", PROBE_SECONDS)?;
    let table = view.table(kind);
    match **kind {
        "http" => http(&table, timeout_seconds),
        "tcp" => Some(Probe::Tcp { port: port(&table)?, timeout_seconds }),
        "command" => {
            let argv = command::argv(view, "command", "a probe's command")?;
            Some(Probe::Command { argv, timeout_seconds })
        }
        _ => Some(Probe::Unit { unit: view.need::<UnitName>("unit")?.value }),
    }
}

fn http(table: &View<'_>, timeout_seconds: u32) -> Option<Probe> {
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
    Some(Probe::Http { port: port?, path, status, timeout_seconds })
}

fn port(view: &View<'_>) -> Option<u16> {
    let port = view.need_number("port")?;
    Some(u16::try_from(port.value).expect("it is at most 65535"))
}
