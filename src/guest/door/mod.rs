//! The door: what has to be as it was for a person to get in. What hooks and programs of a new generation do to it is no part of
//! any bundle, and going back takes it back all the same: a guest that is out of reach needs a console.

mod files;
mod network;

use super::before::Before;
use super::error::GuestError;
use super::system::{System, UnitJob, UnitReport};
use super::{Guest, firewall, journal};
use crate::model::{Switch, TxId, UnitName};
use files::Files;
use network::Network;
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;

pub use files::restore_own;

/// Who listens.
const LISTENERS: [&str; 2] = ["ssh.service", "ssh.socket"];

/// The door before a switch.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Door {
    files: Files,
    pub listeners: BTreeSet<UnitName>,
    network: Network,
}

/// Takes the door down.
pub fn look(guest: &mut Guest, before: &Before) -> Result<Door, GuestError> {
    Ok(Door {
        files: Files::look(guest.fs, before)?,
        listeners: listening(guest.system)?,
        network: Network::look(guest.system)?,
    })
}

fn listening(system: &mut dyn System) -> Result<BTreeSet<UnitName>, GuestError> {
    let units = LISTENERS.map(|unit| unit.parse().expect("both are names of units"));
    let reports = system.units(&units)?;
    let is_active = |(_, report): &(UnitName, UnitReport)| report.is_active();
    Ok(reports.into_iter().filter(is_active).map(|(unit, _)| unit).collect())
}

/// Opens the door again, whatever else comes back. The first error is returned; what was put back is evidence.
pub fn open(guest: &mut Guest, switch: &Switch, before: &Before) -> Result<(), GuestError> {
    let mut told = Vec::new();
    let rules = firewall::restore(guest, &before.rules);
    if matches!(rules, Ok(true)) && !firewall::is_changed(switch) {
        told.push("the kernel's firewall".to_owned());
    }
    let own = files::restore_own(guest.fs, &switch.tx, before);
    let reload = *own.as_ref().unwrap_or(&false);
    let others = match journal::door(guest.fs, &switch.tx)? {
        Some(door) => open_others(guest, &door, before, reload, &mut told),
        None => Ok(()),
    };
    let told = told.iter().map(|what| format!("put back, and no part of the bundle: {what}"));
    journal::note_evidence(guest.fs, &switch.tx, told.collect())?;
    rules.map(drop).and(own.map(drop)).and(others)
}

fn open_others(
    guest: &mut Guest,
    door: &Door,
    before: &Before,
    reload: bool,
    told: &mut Vec<String>,
) -> Result<(), GuestError> {
    // Who is sent through a network that does not come back as it was may still be let in.
    match door.network.restore(guest.system) {
        Ok(orders) => told.extend(orders.iter().map(|order| format!("ip {order}"))),
        Err(error) => told.push(format!("not all of the network: {}", error.refusal("").message)),
    }
    let restored = door.files.restore(guest.fs, before);
    let changed = restored.as_deref().unwrap_or_default();
    told.extend(changed.iter().cloned());
    let heard = listen(guest, door, changed, reload);
    restored.map(drop).and(heard)
}

/// Has sshd read what it reads at its start, and listen as it did.
fn listen(
    guest: &mut Guest,
    door: &Door,
    changed: &[String],
    reload: bool,
) -> Result<(), GuestError> {
    if changed.iter().any(|path| path.contains("/systemd/system/")) {
        guest.system.daemon_reload()?;
    }
    let now = listening(guest.system)?;
    for unit in &door.listeners {
        let job = match now.contains(unit) {
            false => UnitJob::Start,
            true if !changed.is_empty() => UnitJob::Restart,
            true if reload => UnitJob::Reload,
            true => continue,
        };
        guest.system.job(job, unit)?;
    }
    Ok(())
}

/// Brings back the files alone: at boot, before anybody listens. What listened then is returned.
pub fn restore_files(
    guest: &mut Guest,
    tx: &TxId,
    before: &Before,
) -> Result<BTreeSet<UnitName>, GuestError> {
    let Some(door) = journal::door(guest.fs, tx)? else { return Ok(BTreeSet::new()) };
    door.files.restore(guest.fs, before)?;
    Ok(door.listeners)
}

/// Refuses a door that is not as it was.
pub fn verify(guest: &mut Guest, tx: &TxId, before: &Before) -> Result<(), GuestError> {
    let Some(door) = journal::door(guest.fs, tx)? else { return Ok(()) };
    let mut wrong = door.files.differences(guest.fs, before)?;
    let now = listening(guest.system)?;
    wrong.extend(door.listeners.difference(&now).map(ToString::to_string));
    if wrong.is_empty() {
        Ok(())
    } else {
        Err(GuestError::Inconsistent(format!("not as before: {}", wrong.join(", "))))
    }
}
