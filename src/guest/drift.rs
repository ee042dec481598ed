//! What somebody's hand has changed since the live generation was made live: files, units, the kernel's rules.

use super::account::Accounts;
use super::error::GuestError;
use super::fs::{GuestFs, Kind, mkdir_all, remove_tree, split};
use super::system::{Rules, UnitReport};
use super::{Guest, down, firewall, journal, keys, release, store};
use crate::model::{
    Digest, FILE_BYTES_MAX, Generation, GuestPath, Ledger, Placed, RuntimeDrift, Switch, TxId,
    TxState, UnitName,
};
use std::collections::{BTreeMap, BTreeSet};

/// Copies of what activations went over, by transaction, and there under their own paths. Nobody but root gets in.
const COPIES: &str = "/var/lib/stackc/drift";

/// Keeps what somebody changed by hand at the paths that a switch touches, before it does; returns where. Each copy is a
/// second name: whole, however big, durable at once, and with the owner and the mode that it had.
pub fn keep(
    fs: &mut dyn GuestFs,
    switch: &Switch,
    owned: &Ledger,
) -> Result<Vec<String>, GuestError> {
    let placement = &switch.placement;
    let accounts = Accounts::read(fs)?;
    let mut kept = Vec::new();
    for path in placement.place.keys().chain(&placement.remove) {
        let changed = match owned.paths.get(path) {
            Some(placed) => instead(fs, &accounts, path, placed)?.is_some(),
            // A link by which somebody masked a unit leaves, and is in no ledger.
            None => placement.remove.contains(path),
        };
        if changed && is_file_or_link(fs, path)? {
            kept.push(keep_one(fs, &switch.tx, path)?);
        }
    }
    Ok(kept)
}

fn is_file_or_link(fs: &mut dyn GuestFs, path: &GuestPath) -> Result<bool, GuestError> {
    let stat = fs.stat(path.as_str())?;
    Ok(stat.is_some_and(|stat| matches!(stat.kind, Kind::File | Kind::Link)))
}

fn keep_one(fs: &mut dyn GuestFs, tx: &TxId, path: &GuestPath) -> Result<String, GuestError> {
    let copy = format!("{COPIES}/{tx}{path}");
    mkdir_all(fs, COPIES, 0o700)?;
    mkdir_all(fs, split(&copy).0, 0o700)?;
    fs.link(path.as_str(), &copy)?;
    fs.sync_dir(split(&copy).0)?;
    Ok(copy)
}

/// Copies that a transaction left and that are still there.
pub fn copies(fs: &mut dyn GuestFs, state: &TxState) -> Result<Vec<String>, GuestError> {
    let mut there = Vec::new();
    for copy in &state.drift_copies {
        there.extend(fs.stat(copy)?.map(|_| copy.clone()));
    }
    Ok(there)
}

/// Forgets the copies of a transaction that was undone: what they are of is back in its place.
pub fn forget(fs: &mut dyn GuestFs, tx: &TxId) -> Result<(), GuestError> {
    if journal::state(fs, tx)?.drift_copies.is_empty() {
        return Ok(());
    }
    journal::note_copies(fs, tx, Vec::new())?;
    Ok(remove_tree(fs, &format!("{COPIES}/{tx}"))?)
}

/// What runs otherwise than the live generation has it, as it is now.
pub fn runtime_now(
    guest: &mut Guest,
    live: &Generation,
    ledger: &Ledger,
) -> Result<RuntimeDrift, GuestError> {
    let started = started(guest.fs, Some(live), ledger);
    let names: Vec<UnitName> = started.iter().cloned().collect();
    let (reports, rules) = (guest.system.units(&names)?, guest.system.save_firewall()?);
    runtime(guest, live, (ledger, &started), &reports, &rules)
}

/// Units that the live generation starts. A damaged tree tells nothing of those that packages bring.
pub fn started(
    fs: &mut dyn GuestFs,
    live: Option<&Generation>,
    ledger: &Ledger,
) -> BTreeSet<UnitName> {
    let digest = live.and_then(|live| live.digest);
    let manifest = digest.and_then(|digest| store::manifest(fs, &digest).ok());
    down::started(ledger, manifest.as_ref())
}

/// What runs otherwise than the live generation has it. While a transaction or a migration is at work, that is its doing.
pub fn runtime(
    guest: &mut Guest,
    live: &Generation,
    (ledger, started): (&Ledger, &BTreeSet<UnitName>),
    reports: &BTreeMap<UnitName, UnitReport>,
    kernel: &Rules,
) -> Result<RuntimeDrift, GuestError> {
    if !journal::pending(guest.fs)?.is_empty() || release::is_migrating(guest.fs)? {
        return Ok(RuntimeDrift::default());
    }
    Ok(RuntimeDrift {
        units: down::down(guest.fs, ledger, started, reports)?,
        firewall: match live.digest {
            Some(digest) => firewall::drift(guest, &digest, kernel)?,
            None => Vec::new(),
        },
    })
}

/// Paths whose state is not what the ledger says: somebody's hand.
pub fn paths(
    fs: &mut dyn GuestFs,
    ledger: &Ledger,
) -> Result<BTreeMap<GuestPath, String>, GuestError> {
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
            // What is bigger than any file of a bundle need not be read.
            if stat.size > FILE_BYTES_MAX || Digest::of(&fs.read(at)?) != *sha256 {
                Some("a file with other bytes".to_owned())
            } else if accounts.ids(access).ok() != Some(stat.ids) {
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
            (accounts.ids(access).ok() != Some(stat.ids))
                .then(|| format!("mode {mode:04o} or another owner"))
        }
        _ => Some(format!("a {:?}", stat.kind).to_lowercase()),
    })
}
