//! The door: what has to be as it was for a person to get in. What hooks and programs of a new generation do to it is no part of
//! any bundle, and going back takes it back all the same: a guest that is out of reach needs a console.

mod files;
mod network;
mod part;
mod rows;
mod ways;

use super::before::Before;
use super::error::GuestError;
use super::system::{System, UnitJob, UnitReport};
use super::{Guest, copies, firewall, journal};
use crate::model::{Switch, TxId, UnitName};
use files::Files;
use network::Network;
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;

pub use files::restore_own;
pub use part::Texts;
pub use ways::Ways;

/// Who listens.
const LISTENERS: [&str; 2] = ["ssh.service", "ssh.socket"];
/// So many rules are told; the copy has all of them.
const RULES_TOLD: usize = 20;

/// The door before a switch.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Door {
    files: Files,
    pub listeners: BTreeSet<UnitName>,
    network: Network,
    ways: Ways,
}

/// Takes the door down; apart from it the texts of its files, which are only needed to put them back.
pub fn look(guest: &mut Guest, before: &Before) -> Result<(Door, Texts), GuestError> {
    let (files, texts) = Files::look(guest.fs, before)?;
    let door = Door {
        files,
        listeners: listening(guest.system)?,
        network: Network::look(guest.system)?,
        ways: Ways::look(guest.system)?,
    };
    Ok((door, texts))
}

fn listening(system: &mut dyn System) -> Result<BTreeSet<UnitName>, GuestError> {
    let units = LISTENERS.map(|unit| unit.parse().expect("both are names of units"));
    let reports = system.units(&units)?;
    let is_active = |(_, report): &(UnitName, UnitReport)| report.is_active();
    Ok(reports.into_iter().filter(is_active).map(|(unit, _)| unit).collect())
}

/// Opens the door again, whatever else comes back. The first error is returned; what was put back is evidence.
pub fn open(guest: &mut Guest, switch: &Switch, before: &Before) -> Result<(), GuestError> {
    let tx = &switch.tx;
    let mut told = Vec::new();
    let door = journal::door(guest.fs, tx);
    let ways = door.as_ref().ok().and_then(|door| Some(door.as_ref()?.ways.clone()));
    let rules = restore_rules(guest, switch, before, &ways.unwrap_or_default(), &mut told);
    let own = files::restore_own(guest.fs, tx, before);
    let reload = *own.as_ref().unwrap_or(&false);
    let others = match door {
        Ok(Some(door)) => open_others(guest, tx, (&door, before), reload, &mut told),
        Ok(None) => Ok(()),
        Err(error) => Err(error),
    };
    tell(guest, tx, &told)?;
    rules.and(own.map(drop)).and(others)
}

fn tell(guest: &mut Guest, tx: &TxId, told: &[String]) -> Result<(), GuestError> {
    let told = told.iter().map(|what| format!("put back, and no part of the bundle: {what}"));
    journal::note_evidence(guest.fs, tx, told.collect())
}

fn restore_rules(
    guest: &mut Guest,
    switch: &Switch,
    before: &Before,
    ways: &Ways,
    told: &mut Vec<String>,
) -> Result<(), GuestError> {
    let own = firewall::is_changed(switch);
    let firewall::Restored { changed, lost, instead } =
        firewall::restore(guest, &before.rules, ways, own)?;
    if lost.is_empty() && (own || !changed) {
        return Ok(());
    }
    told.push("the kernel's firewall".to_owned());
    told.extend(lost.iter().take(RULES_TOLD).map(|rule| format!("the firewall, without {rule}")));
    told.extend(copies::keep_rules(guest.fs, &switch.tx, [&instead.v4, &instead.v6]));
    Ok(())
}

fn open_others(
    guest: &mut Guest,
    tx: &TxId,
    (door, before): (&Door, &Before),
    reload: bool,
    told: &mut Vec<String>,
) -> Result<(), GuestError> {
    // Who is sent through a network that does not come back as it was may still be let in.
    match door.network.restore(guest.system) {
        Ok(orders) => told.extend(orders.iter().map(|order| format!("ip {order}"))),
        Err(error) => told.push(format!("not all of the network: {}", error.refusal("").message)),
    }
    let (changed, restored) = put_back(guest, tx, (door, before), told);
    let heard = listen(guest, door, &changed, reload);
    restored.and(heard)
}

/// Puts the files back that are not as they were, once there are copies of what stands there; which, and how that went.
fn put_back(
    guest: &mut Guest,
    tx: &TxId,
    (door, before): (&Door, &Before),
    told: &mut Vec<String>,
) -> (Vec<String>, Result<(), GuestError>) {
    let changed = match door.files.differences(guest.fs, before) {
        Ok(changed) => changed,
        Err(error) => return (Vec::new(), Err(error)),
    };
    if changed.is_empty() {
        return (changed, Ok(()));
    }
    let copied = changed.iter().filter(|path| door.files.may_be_copied(path));
    let copied: Vec<String> = copied.cloned().collect();
    told.extend(changed.iter().cloned());
    told.extend(copies::keep_taken_back(guest.fs, tx, &copied));
    let texts = journal::door_texts(guest.fs, tx);
    let restored = texts.and_then(|texts| door.files.restore(guest.fs, &changed, &texts));
    (changed, restored)
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
    let mut told = Vec::new();
    let (_, restored) = put_back(guest, tx, (&door, before), &mut told);
    restored?;
    tell(guest, tx, &told)?;
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
