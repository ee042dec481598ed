//! `observe`: all that a plan needs to know of the guest, in one round trip that changes nothing.

use super::drift::Tree;
use super::error::GuestError;
use super::fs::{GuestFs, text};
use super::packages::{Installed, services};
use super::system::{UnitReport, Units};
use super::{
    Guest, by_hand, copies, drift, firewall, found, generation, journal, lease, pin, release,
    secrets, store,
};
use crate::model::layout::{self, STATE};
use crate::model::protocol::{
    FoundSystem, HistoryReply, ObserveRequest, ObservedGuest, PendingTx, Recorded, UnitState,
};
use crate::model::{
    Digest, Entry, EntryPath, Generation, GuestPath, Ledger, Manifest, RuntimeDrift,
    SecretsVersion, UnitName, document,
};
use std::collections::{BTreeMap, BTreeSet};

/// Documents of the live tree that a plan compares.
const DOCUMENTS: [&str; 8] = [
    document::PROXMOX,
    document::APT,
    document::RELEASE,
    document::HEALTH,
    document::DATABASES,
    document::UFW,
    document::USER_RULES,
    document::USER6_RULES,
];

pub fn observe(guest: &mut Guest, request: &ObserveRequest) -> Result<ObservedGuest, GuestError> {
    lease::check_identity(guest.fs, &request.identity)?;
    let (live, ledger) = live(guest.fs)?;
    let wanted = request.digest;
    let is_live = wanted.is_some() && live.as_ref().is_some_and(|live| live.digest == wanted);
    let tree = Tree::live(guest.fs, live.as_ref());
    let drift = drift::paths(guest.fs, &ledger, tree.as_ref())?;
    let recorded = match &live {
        Some(generation) if wanted.is_some() && (!is_live || !drift.is_empty()) => {
            Some(recorded(guest.fs, generation, &ledger)?)
        }
        _ => None,
    };
    let started = Tree::started(tree.as_ref(), &ledger);
    let services = wanted
        .map_or_else(|| Ok(BTreeMap::new()), |_| services::observe(guest.fs, &request.packages))?;
    let watched = request.units.iter().chain(services.keys()).cloned().collect();
    let names = watched_names(&watched, &started, &ledger, recorded.as_ref());
    let (rules, reports) = guest.system.look(&names)?;
    let runtime_drift = match &live {
        Some(live) => drift::runtime(guest, live, (&ledger, &started), &reports, &rules)?,
        None => RuntimeDrift::default(),
    };
    let foreign = if is_live {
        BTreeMap::new()
    } else {
        by_hand::foreign(guest.fs, &request.paths, &ledger)?
    };
    Ok(ObservedGuest {
        identity: lease::identity(guest.fs)?,
        boot_id: guest.system.boot_id()?,
        debian: debian_version(guest.fs)?,
        last_number: generation::last_number(guest.fs)?,
        pending: pending(guest.fs)?,
        lease: lease::lease(guest)?,
        has_tree: has_tree(guest.fs, wanted, is_live && drift.is_empty()),
        releases: release::built(guest.fs)?.into_iter().collect(),
        secrets: whole_secrets(guest.fs)?,
        drift,
        runtime_drift,
        foreign,
        units: states(reports),
        services,
        missing_packages: missing(guest.fs, &request.packages)?,
        firewall_active: firewall::is_loaded(&rules),
        recorded,
        live,
    })
}

/// The live generation, and what it owns.
fn live(fs: &mut dyn GuestFs) -> Result<(Option<Generation>, Ledger), GuestError> {
    let Some(number) = generation::live(fs)? else { return Ok((None, Ledger::default())) };
    Ok((Some(generation::read(fs, number)?), generation::ledger(fs, number)?))
}

/// Whether the wanted tree is there, whole; that of a live one without drift has just been read.
fn has_tree(fs: &mut dyn GuestFs, wanted: Option<Digest>, is_whole: bool) -> bool {
    is_whole || wanted.is_some_and(|digest| store::verify(fs, &digest).is_ok())
}

fn missing(
    fs: &mut dyn GuestFs,
    wanted: &BTreeSet<String>,
) -> Result<BTreeSet<String>, GuestError> {
    if wanted.is_empty() {
        return Ok(BTreeSet::new());
    }
    let installed = Installed::read(fs)?;
    Ok(wanted.iter().filter(|name| !installed.has(name)).cloned().collect())
}

/// `VERSION_ID` of os-release(5); empty on a system that says none.
fn debian_version(fs: &mut dyn GuestFs) -> Result<String, GuestError> {
    let text = text(fs, "/usr/lib/os-release")?;
    let value = text.lines().find_map(|line| line.strip_prefix("VERSION_ID="));
    Ok(value.unwrap_or_default().trim_matches('"').to_owned())
}

/// Versions that are there, and that nobody has written into.
fn whole_secrets(fs: &mut dyn GuestFs) -> Result<BTreeSet<SecretsVersion>, GuestError> {
    let mut versions = BTreeSet::new();
    for name in fs.list(&format!("{STATE}/secrets"))? {
        let Ok(version) = name.parse().map(SecretsVersion) else { continue };
        if secrets::fault(fs, version)?.is_none() {
            versions.insert(version);
        }
    }
    Ok(versions)
}

fn pending(fs: &mut dyn GuestFs) -> Result<Option<PendingTx>, GuestError> {
    let Some(tx) = journal::pending(fs)?.into_iter().next() else { return Ok(None) };
    let switch = journal::switch(fs, &tx)?;
    let phase = journal::phase(fs, &tx)?;
    let generation = switch.generation;
    Ok(Some(PendingTx {
        tx,
        phase,
        by: generation.by,
        from: switch.from,
        to: generation.number,
        digest: generation.digest,
    }))
}

fn found_system(fs: &mut dyn GuestFs) -> Result<FoundSystem, GuestError> {
    let found = found::read(fs)?;
    let firewall = found.rules.is_some();
    Ok(FoundSystem { units: found.units, firewall, sysctls: found.sysctls })
}

fn recorded(
    fs: &mut dyn GuestFs,
    live: &Generation,
    ledger: &Ledger,
) -> Result<Recorded, GuestError> {
    let mut recorded = Recorded {
        manifest: None,
        ledger: ledger.clone(),
        unit_texts: BTreeMap::new(),
        documents: BTreeMap::new(),
        found: found_system(fs)?,
    };
    let Some(digest) = live.digest else { return Ok(recorded) };
    let tree = store::tree_path(&digest);
    let manifest = store::manifest(fs, &digest)?;
    for path in told_files(&manifest) {
        let bytes = fs.read(&format!("{tree}/{}", EntryPath::of_overlay(&path)))?;
        recorded.unit_texts.insert(path, String::from_utf8_lossy(&bytes).into_owned());
    }
    for name in DOCUMENTS {
        let path = format!("{tree}/{name}");
        if fs.stat(&path)?.is_some() {
            let text = String::from_utf8_lossy(&fs.read(&path)?).into_owned();
            recorded.documents.insert(name.to_owned(), text);
        }
    }
    recorded.manifest = Some(manifest);
    Ok(recorded)
}

/// Files of a bundle whose text a plan needs.
fn told_files(manifest: &Manifest) -> Vec<GuestPath> {
    let is_file = |entry: &Entry| matches!(entry, Entry::File { .. });
    let overlay = manifest.overlay().filter(|(_, entry)| is_file(entry));
    overlay
        .map(|(path, _)| path)
        .filter(|path| layout::TOLD.iter().any(|folder| path.as_str().starts_with(folder)))
        .collect()
}

/// Units asked for, those that the live generation starts, those whose files it placed, and for a plan those that some
/// generation has touched.
fn watched_names(
    wanted: &BTreeSet<UnitName>,
    started: &BTreeSet<UnitName>,
    ledger: &Ledger,
    recorded: Option<&Recorded>,
) -> Vec<UnitName> {
    let placed = ledger.paths.keys().filter_map(|path| {
        let name = path.as_str().strip_prefix("/etc/systemd/system/")?;
        name.parse::<UnitName>().ok()
    });
    let mut names: BTreeSet<UnitName> = wanted.union(started).cloned().collect();
    names.extend(recorded.iter().flat_map(|recorded| recorded.found.units.keys().cloned()));
    names.extend(placed);
    names.into_iter().collect()
}

fn states(reports: Units) -> BTreeMap<UnitName, UnitState> {
    let state = |(name, report): (UnitName, UnitReport)| {
        (name, UnitState { load: report.load, active: report.active })
    };
    reports.into_iter().map(state).collect()
}

/// Every generation, and every transaction that is over, oldest first.
pub fn history(fs: &mut dyn GuestFs) -> Result<HistoryReply, GuestError> {
    let mut generations = Vec::new();
    for number in generation::numbers(fs)? {
        generations.push(generation::read(fs, number)?);
    }
    let mut transactions = journal::records(fs)?;
    let mut drift_copies = BTreeMap::new();
    let (pinned, live) = (pin::pinned(fs)?, generation::live(fs)?);
    for tx in copies::transactions(fs)? {
        // Who died between sending the live bundle again and the switch left them to the live generation.
        let record = transactions.iter().find(|record| record.state.tx == tx);
        if let Some(number) = record.map(|record| record.to).or(live) {
            // A number whose switch never came about is given again.
            drift_copies.entry(number).or_insert_with(Vec::new).extend(copies::of(fs, &tx)?);
        }
    }
    transactions.sort_by(|left, right| (left.to, &left.at).cmp(&(right.to, &right.at)));
    Ok(HistoryReply { generations, pinned, transactions, live, drift_copies })
}
