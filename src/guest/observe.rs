//! `observe`: all that a plan needs to know of the guest, in one round trip that changes nothing.

use super::account::Accounts;
use super::error::GuestError;
use super::fs::{GuestFs, Kind};
use super::packages::Installed;
use super::{Guest, firewall, found, generation, journal, keys, lease, release, store};
use crate::model::layout::STATE;
use crate::model::protocol::{
    FoundSystem, HistoryReply, ObserveRequest, ObservedGuest, PendingTx, Recorded, UnitState,
};
use crate::model::{
    Digest, Entry, EntryPath, Generation, GenerationId, GuestPath, Ledger, Manifest, Placed,
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
    let live = match generation::live(guest.fs)? {
        None => None,
        Some(number) => Some(generation::read(guest.fs, number)?),
    };
    let ledger = match &live {
        Some(generation) => generation::ledger(guest.fs, generation.number)?,
        None => Ledger::default(),
    };
    let wanted = request.digest;
    let is_live = wanted.is_some() && live.as_ref().is_some_and(|live| live.digest == wanted);
    let drift = drift(guest.fs, &ledger)?;
    let recorded = match &live {
        Some(generation) if wanted.is_some() && (!is_live || !drift.is_empty()) => {
            Some(recorded(guest.fs, generation, &ledger)?)
        }
        _ => None,
    };
    let numbers = generation::numbers(guest.fs)?;
    let installed =
        if request.packages.is_empty() { Installed::default() } else { Installed::read(guest.fs)? };
    Ok(ObservedGuest {
        identity: lease::identity(guest.fs)?,
        boot_id: guest.system.boot_id()?,
        debian: debian_version(guest.fs)?,
        last_number: numbers.last().copied().unwrap_or(GenerationId::FOUND),
        pending: pending(guest.fs)?,
        lease: lease::lease(guest)?,
        has_tree: is_live || wanted.is_some_and(|digest| store::verify(guest.fs, &digest).is_ok()),
        releases: release::built(guest.fs)?.into_iter().collect(),
        secrets: secrets(guest.fs)?,
        drift,
        units: units(guest, &request.units, &ledger, recorded.as_ref())?,
        missing_packages: missing(&request.packages, &installed),
        firewall_active: firewall::is_loaded(&guest.system.save_firewall()?),
        free_bytes: free_bytes(guest.fs)?,
        recorded,
        live,
    })
}

fn missing(wanted: &BTreeSet<String>, installed: &Installed) -> BTreeSet<String> {
    wanted.iter().filter(|name| !installed.has(name)).cloned().collect()
}

fn free_bytes(fs: &mut dyn GuestFs) -> Result<u64, GuestError> {
    let there = fs.stat(STATE)?.is_some();
    Ok(fs.free_bytes(if there { STATE } else { "/" })?)
}

/// `VERSION_ID` of os-release(5); empty on a system that says none.
fn debian_version(fs: &mut dyn GuestFs) -> Result<String, GuestError> {
    let path = "/usr/lib/os-release";
    if fs.stat(path)?.is_none() {
        return Ok(String::new());
    }
    let text = String::from_utf8_lossy(&fs.read(path)?).into_owned();
    let value = text.lines().find_map(|line| line.strip_prefix("VERSION_ID="));
    Ok(value.unwrap_or_default().trim_matches('"').to_owned())
}

fn secrets(fs: &mut dyn GuestFs) -> Result<BTreeSet<SecretsVersion>, GuestError> {
    let names = fs.list(&format!("{STATE}/secrets"))?;
    Ok(names.iter().filter_map(|name| name.parse().ok().map(SecretsVersion)).collect())
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

/// Paths whose state is not what the ledger says: somebody's hand.
fn drift(fs: &mut dyn GuestFs, ledger: &Ledger) -> Result<BTreeMap<GuestPath, String>, GuestError> {
    let mut drift = BTreeMap::new();
    if ledger.paths.is_empty() {
        return Ok(drift);
    }
    let accounts = Accounts::read(fs)?;
    for (path, placed) in &ledger.paths {
        let instead = instead(fs, &accounts, path, placed)?;
        drift.extend(instead.map(|instead| (path.clone(), instead)));
    }
    Ok(drift)
}

/// What is at a path instead of what the ledger says; none when all is well.
fn instead(
    fs: &mut dyn GuestFs,
    accounts: &Accounts,
    path: &GuestPath,
    placed: &Placed,
) -> Result<Option<String>, GuestError> {
    let at = path.as_str();
    let Some(stat) = fs.stat(at)? else { return Ok(Some("nothing is there".to_owned())) };
    let kind_is = |kind: Kind| stat.kind == kind;
    Ok(match placed {
        Placed::Link { target } if kind_is(Kind::Link) => {
            let found = fs.read_link(at)?;
            (found != *target).then(|| format!("a link to `{found}`"))
        }
        Placed::Copy { sha256, access } if kind_is(Kind::File) => {
            let ids = accounts.ids(access)?;
            if Digest::of(&fs.read(at)?) != *sha256 {
                Some("a file with other bytes".to_owned())
            } else if stat.ids != ids {
                let (mode, uid, gid) = (stat.ids.mode, stat.ids.uid, stat.ids.gid);
                Some(format!("mode {mode:04o}, owner {uid}:{gid}"))
            } else {
                None
            }
        }
        Placed::Keys { keys: wanted } if kind_is(Kind::File) => {
            let text = String::from_utf8_lossy(&fs.read(at)?).into_owned();
            let found = keys::get(&text, wanted.keys());
            let differs = wanted.iter().find(|(key, value)| found.get(*key) != Some(value));
            differs.map(|(key, _)| match found.get(key) {
                Some(value) => format!("`{key}={value}`"),
                None => format!("no `{key}`"),
            })
        }
        Placed::Directory { access } if kind_is(Kind::Directory) => {
            let mode = stat.ids.mode;
            (stat.ids != accounts.ids(access)?).then(|| format!("mode {mode:04o} or another owner"))
        }
        _ => Some(format!("a {:?}", stat.kind).to_lowercase()),
    })
}

fn found_system(fs: &mut dyn GuestFs) -> Result<FoundSystem, GuestError> {
    let found = found::read(fs)?;
    Ok(FoundSystem { units: found.units, firewall: found.rules.is_some() })
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
    for path in unit_files(&manifest) {
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

/// Unit files and drop-ins of a bundle.
fn unit_files(manifest: &Manifest) -> Vec<GuestPath> {
    let is_file = |entry: &Entry| matches!(entry, Entry::File { .. });
    let overlay = manifest.overlay().filter(|(_, entry)| is_file(entry));
    overlay
        .map(|(path, _)| path)
        .filter(|path| path.as_str().starts_with("/etc/systemd/system/"))
        .collect()
}

/// Units asked for, those whose files the live generation placed, and for a plan those that some generation has touched,
/// in one call to the service manager.
fn units(
    guest: &mut Guest,
    wanted: &BTreeSet<UnitName>,
    ledger: &Ledger,
    recorded: Option<&Recorded>,
) -> Result<BTreeMap<UnitName, UnitState>, GuestError> {
    let mut names = wanted.clone();
    names.extend(recorded.iter().flat_map(|recorded| recorded.found.units.keys().cloned()));
    let placed = ledger.paths.keys().filter_map(|path| {
        let name = path.as_str().strip_prefix("/etc/systemd/system/")?;
        name.parse::<UnitName>().ok()
    });
    names.extend(placed);
    let names: Vec<UnitName> = names.into_iter().collect();
    let reports = guest.system.units(&names)?;
    let state = |(name, report): (UnitName, super::UnitReport)| {
        (name, UnitState { load: report.load, active: report.active })
    };
    Ok(reports.into_iter().map(state).collect())
}

/// Every generation, and every transaction that is over, oldest first.
pub fn history(fs: &mut dyn GuestFs) -> Result<HistoryReply, GuestError> {
    let mut generations = Vec::new();
    for number in generation::numbers(fs)? {
        generations.push(generation::read(fs, number)?);
    }
    let mut transactions = journal::records(fs)?;
    transactions.sort_by(|left, right| (left.to, &left.at).cmp(&(right.to, &right.at)));
    Ok(HistoryReply { generations, transactions, live: generation::live(fs)? })
}
