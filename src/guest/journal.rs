//! A transaction on disk: `tx/<id>/`, published whole, decided once, moved to `history/` when it is over.

mod reserve;

use super::before::{Before, Found};
use super::door::{self, Door, Texts};
use super::error::GuestError;
use super::fs::{GuestFs, Sync, mkdir_all, remove_tree, split};
use super::kept;
use super::redact;
use crate::model::layout::STATE;
use crate::model::protocol::TxRecord;
use crate::model::{Digest, Failure, GuestPath, Phase, Switch, TxId, TxState, UnitName};
use std::collections::BTreeMap;

pub use reserve::{Reserve, free_reserve, write_one as write_reserve};

pub const TRANSACTIONS: &str = "/var/lib/stackc/tx";
const HISTORY: &str = "/var/lib/stackc/history";
/// After this many boots that did not finish, nothing is tried again without a person.
pub const RECOVERIES_MAX: u32 = 3;

/// So much of one line is noted, and of all: the notes have to fit into the reserve beside those that they replace, and a
/// character takes six bytes at most.
const LINE_CHARS_MAX: usize = 1000;
const EVIDENCE_CHARS_MAX: usize = 32 << 10;

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

pub fn phase(fs: &mut dyn GuestFs, tx: &TxId) -> Result<Phase, GuestError> {
    kept::read(fs, &format!("{}/phase", folder(tx)))
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

/// What has been noted of a transaction so far.
fn notes(fs: &mut dyn GuestFs, tx: &TxId) -> Result<TxState, GuestError> {
    let nothing = || TxState {
        tx: tx.clone(),
        phase: Phase::Begun,
        failure: None,
        downtime_ms: BTreeMap::new(),
        switch_ms: 0,
        drift_copies: Vec::new(),
    };
    Ok(kept::find(fs, &format!("{}/state.json", folder(tx)))?.unwrap_or_else(nothing))
}

/// Notes what the switch cost.
pub fn note_times(
    fs: &mut dyn GuestFs,
    tx: &TxId,
    downtime_ms: BTreeMap<UnitName, u64>,
    switch_ms: u64,
) -> Result<(), GuestError> {
    let notes = TxState { downtime_ms, switch_ms, ..notes(fs, tx)? };
    keep_notes(fs, tx, &notes)
}

/// Notes where copies are of what it goes over.
pub fn note_copies(
    fs: &mut dyn GuestFs,
    tx: &TxId,
    drift_copies: Vec<String>,
) -> Result<(), GuestError> {
    let notes = TxState { drift_copies, ..notes(fs, tx)? };
    keep_notes(fs, tx, &notes)
}

/// Notes why it is being undone; the first reason stays.
pub fn note_failure(fs: &mut dyn GuestFs, tx: &TxId, failure: &Failure) -> Result<(), GuestError> {
    let notes = notes(fs, tx)?;
    if notes.failure.is_some() {
        return Ok(());
    }
    let mut shown = Failure { evidence: Vec::new(), ..failure.clone() };
    // A unit's journal may quote its secrets, and what is noted here is shown.
    add(&mut shown, redact::lines(fs, failure.evidence.clone()));
    keep_notes(fs, tx, &TxState { failure: Some(shown), ..notes })
}

/// Adds lines to the failure's evidence, once each.
pub fn note_evidence(
    fs: &mut dyn GuestFs,
    tx: &TxId,
    lines: Vec<String>,
) -> Result<(), GuestError> {
    let mut notes = notes(fs, tx)?;
    let Some(failure) = &mut notes.failure else { return Ok(()) };
    let lines = redact::lines(fs, lines);
    add(failure, lines);
    keep_notes(fs, tx, &notes)
}

/// Adds lines, which may be of any length.
fn add(failure: &mut Failure, lines: Vec<String>) {
    let length = |line: &String| line.chars().count();
    let mut room = EVIDENCE_CHARS_MAX.saturating_sub(failure.evidence.iter().map(length).sum());
    for line in lines {
        let line: String = line.chars().take(LINE_CHARS_MAX).collect();
        let fits = length(&line) <= room;
        let line = if fits { line } else { "and more than there is room for".to_owned() };
        if !failure.evidence.contains(&line) {
            room = room.saturating_sub(length(&line));
            failure.evidence.push(line);
        }
    }
}

fn keep_notes(fs: &mut dyn GuestFs, tx: &TxId, notes: &TxState) -> Result<(), GuestError> {
    let path = format!("{}/state.json", folder(tx));
    Ok(kept::put(fs, &path, notes, 0o600)?)
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

/// Decides, unless somebody decided before: link(2) has one winner, and the loser reads what the winner wrote.
pub fn decide(fs: &mut dyn GuestFs, tx: &TxId, wanted: Decision) -> Result<Decision, GuestError> {
    let folder = folder(tx);
    let ballot = format!("{folder}/decision.{}", wanted.word());
    let text = format!("{}\n", wanted.word());
    fs.write(&ballot, &mut text.as_bytes(), 0o600, Sync::Now)?;
    fs.link(&ballot, &format!("{folder}/decision"))?;
    fs.sync_dir(&folder)?;
    let decided = decision(fs, tx)?;
    decided.ok_or_else(|| GuestError::Inconsistent(format!("`{folder}/decision` vanished")))
}

/// Counts one more recovery, before it is tried.
pub fn count_recovery(fs: &mut dyn GuestFs, tx: &TxId) -> Result<u32, GuestError> {
    let count = recoveries(fs, tx)? + 1;
    kept::put(fs, &format!("{}/recoveries", folder(tx)), &count, 0o600)?;
    Ok(count)
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
        state: TxState { phase, ..notes(fs, tx)? },
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn evidence_of_any_length_has_the_room_that_it_has_and_says_that_there_is_more() {
        let mut failure = Failure::new("it failed".to_owned(), Vec::new());
        for number in 0..100 {
            let lines = (0..10).map(|line| format!("{number} {line} {}", "ö".repeat(5000)));
            add(&mut failure, lines.collect());
        }
        let chars: usize = failure.evidence.iter().map(|line| line.chars().count()).sum();
        assert!(chars > EVIDENCE_CHARS_MAX - LINE_CHARS_MAX && chars < EVIDENCE_CHARS_MAX + 100);
        let more = failure.evidence.iter().filter(|line| line.starts_with("and more")).count();
        assert_eq!((failure.evidence.len(), more), (33, 1));
    }
}
