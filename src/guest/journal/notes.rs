//! What is noted of a transaction while it is open: what it costs, what it goes over, and why it is undone.

use super::folder;
use crate::guest::error::GuestError;
use crate::guest::fs::GuestFs;
use crate::guest::units::Downtime;
use crate::guest::{copies, kept, redact};
use crate::model::{Failure, Phase, TxId, TxState};
use std::collections::BTreeMap;

/// So much of one line is noted, and of all: the notes have to fit into the reserve beside those that they replace, and a
/// character takes six bytes at most.
const LINE_CHARS_MAX: usize = 1000;
const EVIDENCE_CHARS_MAX: usize = 32 << 10;
/// The same of the paths of copies.
const COPIES_BYTES_MAX: usize = 32 << 10;

/// What has been noted of a transaction so far.
pub fn notes(fs: &mut dyn GuestFs, tx: &TxId) -> Result<TxState, GuestError> {
    let nothing = || TxState {
        tx: tx.clone(),
        phase: Phase::Begun,
        failure: None,
        downtime_ms: BTreeMap::new(),
        down_since_ms: BTreeMap::new(),
        switch_ms: 0,
        drift_copies: Vec::new(),
    };
    Ok(kept::find(fs, &format!("{}/state.json", folder(tx)))?.unwrap_or_else(nothing))
}

/// Notes what the switch cost.
pub fn note_times(
    fs: &mut dyn GuestFs,
    tx: &TxId,
    downtime: Downtime,
    switch_ms: u64,
) -> Result<(), GuestError> {
    let (downtime_ms, down_since_ms) = (downtime.milliseconds, downtime.first_ms);
    let notes = TxState { downtime_ms, down_since_ms, switch_ms, ..notes(fs, tx)? };
    keep_notes(fs, tx, &notes)
}

/// Notes what going back has made of that.
pub fn note_downtime(
    fs: &mut dyn GuestFs,
    tx: &TxId,
    downtime: &Downtime,
) -> Result<(), GuestError> {
    let (downtime_ms, down_since_ms) = (downtime.milliseconds.clone(), downtime.still_down_ms());
    let notes = TxState { downtime_ms, down_since_ms, ..notes(fs, tx)? };
    keep_notes(fs, tx, &notes)
}

/// Notes where copies are of what it goes over: all of them, or as many as there is room for.
pub fn note_copies(
    fs: &mut dyn GuestFs,
    tx: &TxId,
    mut drift_copies: Vec<String>,
) -> Result<(), GuestError> {
    let (copies, mut room) = (drift_copies.len(), COPIES_BYTES_MAX);
    drift_copies.retain(|copy| {
        room = room.saturating_sub(copy.len());
        room > 0
    });
    let left_out = copies - drift_copies.len();
    if left_out > 0 {
        drift_copies.push(format!("and {left_out} more below {}", copies::folder(tx)));
    }
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
