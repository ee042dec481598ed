//! A transaction on disk: `tx/<id>/`, published whole, decided once, moved to `history/` when it is over.

mod notes;
mod reserve;

use super::before::{Before, Found};
use super::door::{self, Door, Texts};
use super::error::GuestError;
use super::fs::{GuestFs, Sync, mkdir_all, remove_tree, replace, split};
use super::kept;
use crate::model::layout::STATE;
use crate::model::protocol::TxRecord;
use crate::model::{Digest, GuestPath, Phase, Switch, TxId, TxState};
use std::collections::BTreeMap;

pub use notes::{note_copies, note_downtime, note_evidence, note_failure, note_times, notes};
pub use reserve::{Reserve, free_reserve, write_one as write_reserve};

pub const TRANSACTIONS: &str = "/var/lib/stackc/tx";
const HISTORY: &str = "/var/lib/stackc/history";
/// After this many boots that did not finish, nothing is tried again without a person.
pub const RECOVERIES_MAX: u32 = 3;

/// How a transaction ends: settled by one link(2), for good.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Decision {
    Confirmed,
    Undone,
}

impl Decision {
    fn word(self) -> &'static str {
        match self {
            Self::Confirmed => "confirmed",
            Self::Undone => "undone",
        }
    }
}

/// The folder of a transaction.
pub fn folder(tx: &TxId) -> String {
    format!("{TRANSACTIONS}/{tx}")
}

/// Where the second name of a saved file or link is: on its own file system, so that what a boot takes is taken together.
pub fn saved_path(tx: &TxId, path: &GuestPath, name: u64) -> String {
    if is_volatile(path.as_str()) {
        format!("{}/{name}", volatile_folder(tx))
    } else {
        format!("{TRANSACTIONS}/{tx}/saved/{name}")
    }
}

/// Whether a boot takes it away.
pub fn is_volatile(path: &str) -> bool {
    path.starts_with("/run/")
}

fn volatile_folder(tx: &TxId) -> String {
    format!("/run/stackc/saved-{tx}")
}

/// The prepared neighbour of a path, renamed over it in the switch. As long whatever the path's own name is, which may
/// have all of the 255 bytes that there are; and hidden, so that nothing that reads whole folders takes it for a file of its own.
pub fn temp_path(path: &str, tx: &TxId) -> String {
    let name = split(path).1;
    let folder = &path[..path.len() - name.len()];
    format!("{folder}.stackc-{tx}-{}.tmp", Digest::of(name.as_bytes()).short())
}

/// Transactions that are not over, by name.
pub fn pending(fs: &mut dyn GuestFs) -> Result<Vec<TxId>, GuestError> {
    Ok(fs.list(TRANSACTIONS)?.iter().filter_map(|name| name.parse().ok()).collect())
}

pub fn is_pending(fs: &mut dyn GuestFs, tx: &TxId) -> Result<bool, GuestError> {
    Ok(fs.stat(&folder(tx))?.is_some())
}

/// Writes the journal's head and the way back, and gives the folder its name when all of it is durable.
pub fn publish(
    fs: &mut dyn GuestFs,
    switch: &Switch,
    before: &Before,
    (door, texts): (&Door, &Texts),
) -> Result<(), GuestError> {
    let staged = format!("{TRANSACTIONS}/.tmp-{}", switch.tx);
    mkdir_all(fs, TRANSACTIONS, 0o700)?;
    remove_tree(fs, &staged)?;
    fs.mkdir(&staged, 0o700)?;
    fs.mkdir(&format!("{staged}/saved"), 0o700)?;
    for (path, found) in &before.paths {
        let Found::Saved { name } = found else { continue };
        if is_volatile(path.as_str()) {
            mkdir_all(fs, &volatile_folder(&switch.tx), 0o700)?;
            fs.link(path.as_str(), &saved_path(&switch.tx, path, *name))?;
        } else {
            fs.link(path.as_str(), &format!("{staged}/saved/{name}"))?;
        }
    }
    fs.sync_dir(&format!("{staged}/saved"))?;
    reserve::write(fs, &staged)?;
    kept::write(fs, &format!("{staged}/before.json"), before, 0o600)?;
    door::record::write(fs, &staged, door, texts)?;
    kept::write(fs, &format!("{staged}/switch.json"), switch, 0o600)?;
    kept::write(fs, &format!("{staged}/phase"), &Phase::Begun, 0o600)?;
    for decision in [Decision::Confirmed, Decision::Undone] {
        let (path, text) = ballot(&staged, decision);
        fs.write(&path, &mut text.as_bytes(), 0o600, Sync::Now)?;
    }
    fs.sync_dir(&staged)?;
    fs.rename(&staged, &folder(&switch.tx))?;
    Ok(fs.sync_dir(TRANSACTIONS)?)
}

pub fn switch(fs: &mut dyn GuestFs, tx: &TxId) -> Result<Switch, GuestError> {
    kept::read(fs, &format!("{}/switch.json", folder(tx)))
}

pub fn before(fs: &mut dyn GuestFs, tx: &TxId) -> Result<Before, GuestError> {
    kept::read(fs, &format!("{}/before.json", folder(tx)))
}

/// How far it is. What is decided to go back does so, also where there was no room to say it.
pub fn phase(fs: &mut dyn GuestFs, tx: &TxId) -> Result<Phase, GuestError> {
    let phase = kept::read(fs, &format!("{}/phase", folder(tx)))?;
    let is_live = matches!(phase, Phase::Switching | Phase::Verifying | Phase::AwaitingConfirm);
    let goes_back = is_live && matches!(decision(fs, tx), Ok(Some(Decision::Undone)));
    Ok(if goes_back { Phase::Undoing } else { phase })
}

/// Writes the phase durably: it is on disk before its effect.
pub fn set_phase(fs: &mut dyn GuestFs, tx: &TxId, phase: Phase) -> Result<(), GuestError> {
    let path = format!("{}/phase", folder(tx));
    Ok(kept::put(fs, &path, &phase, 0o600)?)
}

/// Where a transaction stands; that of an ended one is in the history.
pub fn state(fs: &mut dyn GuestFs, tx: &TxId) -> Result<TxState, GuestError> {
    if let Some(record) = record(fs, tx)? {
        return Ok(record.state);
    }
    let phase = match phase(fs, tx) {
        Ok(phase) => phase,
        // It ended between the two looks.
        Err(error) => return record(fs, tx)?.map(|record| record.state).ok_or(error),
    };
    let notes = notes(fs, tx)?;
    Ok(TxState { phase, ..notes })
}

/// How it was decided; none while it is open.
pub fn decision(fs: &mut dyn GuestFs, tx: &TxId) -> Result<Option<Decision>, GuestError> {
    let path = format!("{}/decision", folder(tx));
    if fs.stat(&path)?.is_none() {
        return Ok(None);
    }
    match fs.read(&path)?.as_slice() {
        b"confirmed\n" => Ok(Some(Decision::Confirmed)),
        b"undone\n" => Ok(Some(Decision::Undone)),
        _ => Err(GuestError::Inconsistent(format!("`{path}` is not a decision"))),
    }
}

/// What a decision says, under a name of its own. It is written before there is one: to decide takes a second name then,
/// and no room.
fn ballot(folder: &str, decision: Decision) -> (String, String) {
    (format!("{folder}/decision.{}", decision.word()), format!("{}\n", decision.word()))
}

/// Decides, unless somebody decided before: link(2) has one winner, and the loser reads what the winner wrote.
pub fn decide(fs: &mut dyn GuestFs, tx: &TxId, wanted: Decision) -> Result<Decision, GuestError> {
    let folder = folder(tx);
    let (ballot, text) = ballot(&folder, wanted);
    if fs.stat(&ballot)?.is_none() {
        // Whoever began it was of an older stackc.
        replace(fs, &ballot, text.as_bytes(), 0o600)?;
    }
    fs.link(&ballot, &format!("{folder}/decision"))?;
    fs.sync_dir(&folder)?;
    let decided = decision(fs, tx)?;
    decided.ok_or_else(|| GuestError::Inconsistent(format!("`{folder}/decision` vanished")))
}

/// Counts one more recovery, before it is tried. A disk without any room keeps none from being tried.
pub fn count_recovery(fs: &mut dyn GuestFs, tx: &TxId) -> Result<u32, GuestError> {
    let count = recoveries(fs, tx)? + 1;
    match kept::put(fs, &format!("{}/recoveries", folder(tx)), &count, 0o600) {
        Err(error) if error.lacks_room() => Ok(count),
        counted => Ok(counted.map(|()| count)?),
    }
}

/// How many recoveries were begun.
pub fn recoveries(fs: &mut dyn GuestFs, tx: &TxId) -> Result<u32, GuestError> {
    Ok(kept::find(fs, &format!("{}/recoveries", folder(tx)))?.unwrap_or(0))
}

/// Writes the record of an ended transaction, then lets its folder go: in this order a record is never missing.
pub fn close(fs: &mut dyn GuestFs, switch: &Switch, phase: Phase) -> Result<(), GuestError> {
    let tx = &switch.tx;
    let record = TxRecord {
        from: switch.from,
        to: switch.generation.number,
        by: switch.generation.by.clone(),
        at: switch.generation.at.clone(),
        state: TxState { phase, down_since_ms: BTreeMap::new(), ..notes(fs, tx)? },
    };
    mkdir_all(fs, HISTORY, 0o755)?;
    // It quotes the journals of units, which not every user of the guest may read.
    kept::put(fs, &format!("{HISTORY}/{tx}.json"), &record, 0o600)?;
    let gone = format!("{STATE}/.gone-{tx}");
    fs.rename(&folder(tx), &gone)?;
    fs.sync_dir(TRANSACTIONS)?;
    fs.sync_dir(STATE)?;
    if switch.placement.remove.iter().any(|path| is_volatile(path.as_str())) {
        remove_tree(fs, &volatile_folder(tx))?;
    }
    Ok(remove_tree(fs, &gone)?)
}

/// How a transaction ended; none while it has not.
pub fn record(fs: &mut dyn GuestFs, tx: &TxId) -> Result<Option<TxRecord>, GuestError> {
    if is_pending(fs, tx)? {
        return Ok(None);
    }
    kept::find(fs, &format!("{HISTORY}/{tx}.json"))
}

/// Every ended transaction.
pub fn records(fs: &mut dyn GuestFs) -> Result<Vec<TxRecord>, GuestError> {
    let names = fs.list(HISTORY)?;
    let names = names.iter().filter(|name| name.strip_suffix(".json").is_some());
    let paths: Vec<String> = names.map(|name| format!("{HISTORY}/{name}")).collect();
    paths.iter().map(|path| kept::read(fs, path)).collect()
}
