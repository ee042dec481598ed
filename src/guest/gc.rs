//! `gc`: removes what no kept generation needs, and nothing that was not shown before.

use super::error::GuestError;
use super::fs::{GuestFs, remove_tree, split};
use super::{Guest, generation, journal, pin, recover, sweep};
use crate::model::layout::{BINARIES, STATE};
use crate::model::protocol::{Garbage, GcRequest};
use crate::model::{Digest, Generation, GenerationId, Outcome};
use std::collections::BTreeSet;

/// Folders of things that generations name by a digest.
const FOLDERS: [&str; 3] = ["store", "releases", "secrets"];
/// Of what was put back, a folder for each transaction that did.
const DRIFT: &str = "drift";

/// Finds what can go, and removes it when all of it was approved. Records of generations and of transactions stay.
pub fn gc(guest: &mut Guest, request: &GcRequest) -> Result<Garbage, GuestError> {
    let garbage = find(guest, request.keep)?;
    let Some(approved) = &request.approved else { return Ok(garbage) };
    refuse_unseen(&garbage, approved)?;
    sweep::sweep(guest)?;
    for path in garbage.paths.keys() {
        remove(guest.fs, path)?;
    }
    Ok(garbage)
}

/// What a first try has removed already is no news; what has come since was not approved.
fn refuse_unseen(found: &Garbage, approved: &Garbage) -> Result<(), GuestError> {
    let unseen = found.paths.keys().find(|path| !approved.paths.contains_key(*path));
    unseen.map_or(Ok(()), |path| Err(GuestError::Unseen(path.clone())))
}

/// Renamed away first: a half-removed folder never has a whole one's name.
fn remove(fs: &mut dyn GuestFs, path: &str) -> Result<(), GuestError> {
    let (folder, name) = split(path);
    let gone = format!("{folder}/{}{name}", sweep::GONE);
    fs.rename(path, &gone)?;
    fs.sync_dir(folder)?;
    Ok(remove_tree(fs, &gone)?)
}

fn find(guest: &mut Guest, keep: u32) -> Result<Garbage, GuestError> {
    let needed = needed(guest.fs, keep)?;
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
    let mut garbage = Garbage::default();
    for path in paths {
        let bytes = guest.fs.tree_bytes(&path)?;
        garbage.paths.insert(path, bytes);
    }
    Ok(garbage)
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

/// Roots: the live generation, where a rollback from it goes, pending ones, pinned ones, and the last confirmed ones.
fn needed(fs: &mut dyn GuestFs, keep: u32) -> Result<BTreeSet<String>, GuestError> {
    let kept = kept(fs, keep)?;
    let mut needed = BTreeSet::new();
    for generation in &kept {
        needed.insert(format!("secrets/{}", generation.secrets));
        needed.extend(generation.digest.map(|digest| format!("store/{digest}")));
        needed.extend(generation.release.map(|release| format!("releases/{release}")));
    }
    Ok(needed)
}

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
