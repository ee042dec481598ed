//! The door before the hooks that come before a switch. Until that begins, which makes this door its own, they are undone
//! by their failure, by the end of the preparation, or by an alarm: an operator whom they cut off never comes back.

use super::super::error::GuestError;
use super::super::fs::{mkdir_all, remove_tree, split};
use super::super::kept;
use super::super::system::{Alarm, Rules};
use super::super::{Guest, journal};
use super::{Door, Texts, Way, listeners, look, record};
use crate::model::TxId;
use serde::{Deserialize, Serialize};
use std::time::Duration;

const FOLDER: &str = "/var/lib/stackc/way-in";
/// One that is not whole: swept when its call died.
const STAGED: &str = "/var/lib/stackc/.tmp-way-in";
const HEAD: &str = "head.json";
/// Room for the way back, which hooks may leave none for.
const RESERVE: &str = "reserve";

/// Of which preparation it is, and the rules of the kernel.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Head {
    tx: TxId,
    boot_id: String,
    rules: Rules,
}

/// Takes the door down before the first hook, and has it put back after this time.
pub fn keep(guest: &mut Guest, tx: &TxId, limit: Duration) -> Result<(), GuestError> {
    let rules = guest.system.save_firewall()?;
    let head = Head { tx: tx.clone(), boot_id: guest.system.boot_id()?, rules };
    let (door, texts) = look(guest)?;
    remove_tree(guest.fs, STAGED)?;
    mkdir_all(guest.fs, STAGED, 0o700)?;
    journal::write_reserve(guest.fs, &format!("{STAGED}/{RESERVE}"))?;
    record::write(guest.fs, STAGED, &door, &texts)?;
    kept::write(guest.fs, &format!("{STAGED}/{HEAD}"), &head, 0o600)?;
    guest.fs.sync_dir(STAGED)?;
    guest.system.arm(tx, Alarm::Hooks, limit)?;
    guest.fs.rename(STAGED, FOLDER)?;
    Ok(guest.fs.sync_dir(split(FOLDER).0)?)
}

/// Gives the switch this long to begin, when all hooks are over.
pub fn await_begin(guest: &mut Guest, tx: &TxId, limit: Duration) -> Result<(), GuestError> {
    Ok(guest.system.arm(tx, Alarm::Begin, limit)?)
}

fn head(guest: &mut Guest) -> Result<Option<Head>, GuestError> {
    let path = format!("{FOLDER}/{HEAD}");
    if guest.fs.stat(&path)?.is_none() {
        return Ok(None);
    }
    kept::read(guest.fs, &path).map(Some)
}

/// Whose preparation's door is kept since before this boot.
pub fn tx_before_boot(guest: &mut Guest) -> Result<Option<TxId>, GuestError> {
    let boot_id = guest.system.boot_id()?;
    Ok(head(guest)?.filter(|head| head.boot_id != boot_id).map(|head| head.tx))
}

/// Whose preparation's door is kept.
pub fn tx(guest: &mut Guest) -> Result<Option<TxId>, GuestError> {
    Ok(head(guest)?.map(|head| head.tx))
}

/// The door and the rules from before this transaction's hooks; none when it had none.
pub fn read(guest: &mut Guest, tx: &TxId) -> Result<Option<(Door, Texts, Rules)>, GuestError> {
    let Some(head) = head(guest)?.filter(|head| head.tx == *tx) else { return Ok(None) };
    let Some(door) = record::read(guest.fs, FOLDER)? else { return Ok(None) };
    Ok(Some((door, record::texts(guest.fs, FOLDER)?, head.rules)))
}

/// Forgets it: it is the switch's now, which has an alarm of its own by then. One that still rings finds nothing.
pub fn forget(guest: &mut Guest) -> Result<(), GuestError> {
    if guest.fs.stat(FOLDER)?.is_some() {
        guest.fs.rename(FOLDER, STAGED)?;
        guest.fs.sync_dir(split(FOLDER).0)?;
        remove_tree(guest.fs, STAGED)?;
    }
    Ok(())
}

/// Opens the door again that hooks before a switch may have shut. What was done is news, and copies of it are kept.
pub fn take_back(guest: &mut Guest) -> Result<(), GuestError> {
    let Some(Head { tx, boot_id, rules }) = head(guest)? else { return Ok(()) };
    if journal::is_pending(guest.fs, &tx)? || journal::record(guest.fs, &tx)?.is_some() {
        return forget(guest);
    }
    let Some(door) = record::read(guest.fs, FOLDER)? else { return forget(guest) };
    remove_tree(guest.fs, &format!("{FOLDER}/{RESERVE}"))?;
    let mut way = Way { tx: &tx, folder: FOLDER, before: None, told: Vec::new() };
    let opened = if boot_id == guest.system.boot_id()? {
        let ruled = way.restore_rules(guest, &rules, &door.ways, false);
        let (changed, others) = way.open_others(guest, &door);
        let heard = listeners::restore(guest, &door.listeners, &changed, false);
        ruled.and(others).and(heard)
    } else {
        // The kernel has forgotten what it was told.
        let (_, restored) = way.put_back(guest, &door);
        restored.and(listeners::restore_after_boot(guest, &door.listeners))
    };
    way.say(guest, "hooks");
    opened?;
    guest.system.disarm(&tx)?;
    forget(guest)
}
