//! Generation 0, the guest as it was found: how that was which a switch changed for the first time. Files of others are
//! kept under their own paths (`staging`); all else is here.

use super::Guest;
use super::before::{Before, Found};
use super::error::GuestError;
use super::fs::{GuestFs, split};
use super::system::{Rules, UnitReport};
use super::{door, firewall, generation, kept, packages, place, sysctl};
use crate::model::{GenerationId, GuestPath, Placed, Switch, TxId, UnitName};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};

const FILE: &str = "/var/lib/stackc/generations/0/found.json";

/// What goes back when stackc gives the guest up.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AsFound {
    /// Units, by whether they ran before a switch first did something to them.
    pub units: BTreeMap<UnitName, bool>,
    /// The kernel's rules before a switch first loaded any.
    pub rules: Option<Rules>,
    /// Folders of others that a bundle gave another owner or mode.
    pub folders: BTreeMap<GuestPath, Found>,
    /// Folders that were made only to hold what is placed.
    pub made: BTreeSet<String>,
    /// Kernel parameters, as paths below `/proc/sys`, before a switch last began to set them.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub sysctls: BTreeMap<String, String>,
}

/// What is known by now; nothing on a guest that was first switched by a stackc that did not write it down.
pub fn read(fs: &mut dyn GuestFs) -> Result<AsFound, GuestError> {
    Ok(kept::find(fs, FILE)?.unwrap_or_default())
}

/// Whether a generation is the guest as it was found.
pub fn is_found(fs: &mut dyn GuestFs, number: GenerationId) -> Result<bool, GuestError> {
    Ok(number == GenerationId::FOUND || generation::read(fs, number)?.digest.is_none())
}

/// Writes down what this switch is the first to touch. A guest that is as it was found is found anew.
pub fn note(fs: &mut dyn GuestFs, switch: &Switch, before: &Before) -> Result<(), GuestError> {
    if switch.generation.digest.is_none() {
        return Ok(());
    }
    let owned = generation::ledger(fs, switch.from)?;
    let known = read(fs)?;
    let mut noted = if is_found(fs, switch.from)? { AsFound::default() } else { known.clone() };
    for (unit, report) in &before.units {
        noted.units.entry(unit.clone()).or_insert_with(|| UnitReport::is_active(report));
    }
    if firewall::is_changed(switch) {
        noted.rules.get_or_insert_with(|| before.rules.clone());
    }
    let first = switch.placement.place.iter().filter(|(path, _)| !owned.paths.contains_key(*path));
    for (path, placed) in first {
        match (placed, before.paths[path]) {
            (Placed::Directory { .. }, found @ Found::Directory { .. }) => {
                noted.folders.insert(path.clone(), found);
            }
            _ => drop(noted.folders.remove(path)),
        }
    }
    let from = generation::digest(fs, switch.from)?;
    noted.sysctls.extend(sysctl::look(fs, from, switch.generation.digest)?);
    noted.made.extend(before.created.iter().cloned());
    if noted != known {
        kept::put(fs, FILE, &noted, 0o600)?;
    }
    Ok(())
}

/// Puts the kernel's rules back, when a switch ever changed them.
pub fn restore_rules(guest: &mut Guest, tx: &TxId) -> Result<(), GuestError> {
    match read(guest.fs)?.rules {
        Some(rules) => door::restore_rules(guest, tx, &rules),
        None => Ok(()),
    }
}

/// Takes away what an undo would still have needed: where packages came from, and folders that hold nothing any more.
pub fn leave(fs: &mut dyn GuestFs) -> Result<(), GuestError> {
    packages::restore_sources(fs, GenerationId::FOUND)?;
    for folder in read(fs)?.made.iter().rev() {
        place::remove_or_leave(fs, folder)?;
        let parent = split(folder).0;
        if fs.stat(parent)?.is_some() {
            fs.sync_dir(parent)?;
        }
    }
    Ok(())
}
