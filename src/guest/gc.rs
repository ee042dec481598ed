//! `gc`: removes what no kept generation needs, and nothing that was not shown before.

use super::error::GuestError;
use super::fs::{GuestFs, remove_tree, split};
use super::{Guest, generation, journal, packages, pin, recover, sweep};
use crate::model::layout::{BINARIES, STATE};
use crate::model::protocol::{Garbage, GcRequest, TxRecord};
use crate::model::{Digest, Generation, GenerationId, Outcome, TxId};
use std::collections::BTreeSet;

/// Folders of things that generations name by a digest.
const FOLDERS: [&str; 3] = ["store", "releases", "secrets"];
/// Of what was put back, a folder for each transaction that did.
const DRIFT: &str = "drift";

/// Finds what can go, and removes it when all of it was approved. Records of generations and of transactions stay.
pub fn gc(guest: &mut Guest, request: &GcRequest) -> Result<Garbage, GuestError> {
    if request.packages && request.approved.is_some() {
        packages::removal::settle(guest)?;
    }
    let garbage = find(guest, request)?;
    let Some(approved) = &request.approved else { return Ok(garbage) };
    refuse_unseen(&garbage, approved)?;
    sweep::sweep(guest)?;
    packages::removal::remove(guest, &garbage.packages)?;
    for path in garbage.paths.keys() {
        remove(guest.fs, path)?;
    }
    Ok(garbage)
}

/// What a first try has removed already is no news; what has come since was not approved.
fn refuse_unseen(found: &Garbage, approved: &Garbage) -> Result<(), GuestError> {
    let path = found.paths.keys().find(|path| !approved.paths.contains_key(*path));
    let package = found.packages.keys().find(|name| !approved.packages.contains_key(name));
    let unseen = path.cloned().or_else(|| Some(format!("package {}", package?)));
    unseen.map_or(Ok(()), |what| Err(GuestError::Unseen(what)))
}

/// Renamed away first: a half-removed folder never has a whole one's name.
fn remove(fs: &mut dyn GuestFs, path: &str) -> Result<(), GuestError> {
    let (folder, name) = split(path);
    let gone = format!("{folder}/{}{name}", sweep::GONE);
    fs.rename(path, &gone)?;
    fs.sync_dir(folder)?;
    Ok(remove_tree(fs, &gone)?)
}

fn find(guest: &mut Guest, request: &GcRequest) -> Result<Garbage, GuestError> {
    let kept = kept(guest.fs, request.keep)?;
    let needed = needed(&kept);
    let mut paths = old_programs(guest)?;
    for folder in FOLDERS {
        for name in guest.fs.list(&format!("{STATE}/{folder}"))? {
            // A release's log goes with it.
            let id = name.split('.').next().unwrap_or(&name);
            // What has no digest for a name is somebody else's.
            if id.parse::<Digest>().is_ok() && !needed.contains(&format!("{folder}/{id}")) {
                paths.push(format!("{STATE}/{folder}/{name}"));
            }
        }
    }
    paths.extend(old_copies(guest.fs, &kept)?);
    let mut garbage = Garbage::default();
    if request.packages {
        garbage.packages = packages::removal::find(guest, &kept)?;
    }
    for path in paths {
        let bytes = guest.fs.tree_bytes(&path)?;
        garbage.paths.insert(path, bytes);
    }
    Ok(garbage)
}

/// Copies of what a hand had changed, by the transaction that put it back: those of an open one and of kept generations
/// stay.
fn old_copies(fs: &mut dyn GuestFs, kept: &[Generation]) -> Result<Vec<String>, GuestError> {
    let mut needed: BTreeSet<TxId> = journal::pending(fs)?.into_iter().collect();
    let is_kept = |record: &TxRecord| kept.iter().any(|generation| generation.number == record.to);
    let made = journal::records(fs)?.into_iter().filter(is_kept);
    needed.extend(made.map(|record| record.state.tx));
    let folder = format!("{STATE}/{DRIFT}");
    let names = fs.list(&folder)?;
    let is_old = |name: &&String| name.parse().is_ok_and(|tx: TxId| !needed.contains(&tx));
    Ok(names.iter().filter(is_old).map(|name| format!("{folder}/{name}")).collect())
}

/// Versions of this program that nothing calls any more: not this one, not that of the boot's recovery. The alarms of an
/// open transaction call one that only the service manager knows; then all stay.
fn old_programs(guest: &mut Guest) -> Result<Vec<String>, GuestError> {
    if !journal::pending(guest.fs)?.is_empty() {
        return Ok(Vec::new());
    }
    let called = [guest.system.program()?, recover::unit_text_there(guest.fs)?];
    let mut old = Vec::new();
    for version in guest.fs.list(BINARIES)? {
        let program = format!("{BINARIES}/{version}/stackc-guest");
        let is_called = called.iter().any(|text| text.contains(&program));
        if !version.starts_with('.') && !is_called && guest.fs.stat(&program)?.is_some() {
            old.push(format!("{BINARIES}/{version}"));
        }
    }
    Ok(old)
}

fn needed(kept: &[Generation]) -> BTreeSet<String> {
    let mut needed = BTreeSet::new();
    for generation in kept {
        needed.insert(format!("secrets/{}", generation.secrets));
        needed.extend(generation.digest.map(|digest| format!("store/{digest}")));
        needed.extend(generation.release.map(|release| format!("releases/{release}")));
    }
    needed
}

/// Roots: the live generation, where a rollback from it goes, pending ones, pinned ones, and the last confirmed ones.
fn kept(fs: &mut dyn GuestFs, keep: u32) -> Result<Vec<Generation>, GuestError> {
    let mut generations: Vec<Generation> = Vec::new();
    for number in generation::numbers(fs)? {
        generations.push(generation::read(fs, number)?);
    }
    let mut kept: BTreeSet<GenerationId> = pin::pinned(fs)?;
    if let Some(live) = generation::live(fs)? {
        kept.insert(live);
        kept.extend(generations.iter().find(|g| g.number == live).and_then(|g| g.parent));
    }
    for tx in journal::pending(fs)? {
        let switch = journal::switch(fs, &tx)?;
        kept.extend([switch.from, switch.generation.number]);
    }
    let confirmed = generations.iter().rev().filter(|g| g.outcome == Outcome::Confirmed);
    let keep = usize::try_from(keep).unwrap_or(usize::MAX);
    kept.extend(confirmed.take(keep).map(|generation| generation.number));
    generations.retain(|generation| kept.contains(&generation.number));
    Ok(generations)
}
