//! Going back: the same way for a failed switch, a silent operator, a reboot and a person who asks for it.

use super::Guest;
use super::before::Before;
use super::cause::Cause;
use super::error::GuestError;
use super::journal::{self, Decision, Reserve};
use super::system::{Alarm, UnitReport, switch_unit};
use super::units;
use super::{close, door, generation, health, hooks, lease, packages, place, sweep, sysctl};
use crate::model::{Failure, Generation, Phase, Switch, TxId, TxState, UnitName};
use std::time::Duration;

/// Going back is tried this often at once; then it waits for the next boot, the timer, or a person.
const ATTEMPTS: u32 = 3;
const PAUSE: Duration = Duration::from_secs(1);
/// How far back what a switch that died has said may tell why.
const LAST_WORDS: Duration = Duration::from_secs(60);
/// When to try again by itself after that.
pub const RETRY_AFTER: Duration = Duration::from_secs(30);

/// Undoes a transaction, unless it is decided otherwise. The answer is the true state either way.
pub fn undo(guest: &mut Guest, tx: &TxId, cause: impl Into<Cause>) -> Result<TxState, GuestError> {
    let cause = cause.into();
    if journal::record(guest.fs, tx)?.is_some() {
        return journal::state(guest.fs, tx);
    }
    if !journal::is_pending(guest.fs, tx)? {
        return Err(GuestError::UnknownTx { tx: tx.clone() });
    }
    // On a full disk neither the decision nor the reason could be written; the reserve makes room for both.
    journal::free_reserve(guest.fs, tx, Reserve::ToDecide)?;
    match journal::decide(guest.fs, tx, Decision::Undone)? {
        Decision::Confirmed => close::confirmed(guest, tx)?,
        Decision::Undone => {
            let failure = true_failure(guest, &cause.failure);
            // What cannot be told keeps nothing from coming back.
            let noted = journal::note_failure(guest.fs, tx, &failure);
            go_back(guest, tx, &cause)?;
            noted?;
        }
    }
    journal::state(guest.fs, tx)
}

/// The deadline passed, or the switch hangs: then it is ended first. Whatever keeps it from the end, it is tried again.
pub fn by_alarm(guest: &mut Guest, tx: &TxId, patience: Duration) -> Result<(), GuestError> {
    let undone = undo_by_alarm(guest, tx, patience);
    or_again(guest, tx, undone)
}

fn undo_by_alarm(guest: &mut Guest, tx: &TxId, patience: Duration) -> Result<(), GuestError> {
    if !journal::is_pending(guest.fs, tx)? {
        return Ok(());
    }
    // One that is going back already may have a unit to wait for, which an end would only begin anew.
    if journal::decision(guest.fs, tx)? != Some(Decision::Undone) {
        guest.system.end_switch(tx)?;
    }
    let _guard = lease::lock(guest, patience)?;
    if !journal::is_pending(guest.fs, tx)? {
        return Ok(());
    }
    let what = "nobody confirmed the switch in time".to_owned();
    undo(guest, tx, Failure::new(what, Vec::new())).map(drop)
}

/// The switch's process is gone, however it ended.
pub fn switch_ended(guest: &mut Guest, tx: &TxId) -> Result<(), GuestError> {
    let ended = after_switch(guest, tx);
    or_again(guest, tx, ended)
}

/// An alarm rings once, and nobody else undoes the switch: what failed is tried again later, by another one.
fn or_again(guest: &mut Guest, tx: &TxId, done: Result<(), GuestError>) -> Result<(), GuestError> {
    if done.is_err() {
        guest.system.arm(tx, Alarm::Retry, RETRY_AFTER)?;
    }
    done
}

/// Brings a transaction that has no live switch to the end that its decision asks for.
pub fn after_switch(guest: &mut Guest, tx: &TxId) -> Result<(), GuestError> {
    if !journal::is_pending(guest.fs, tx)? {
        return Ok(());
    }
    match (journal::decision(guest.fs, tx)?, journal::phase(guest.fs, tx)?) {
        (Some(Decision::Confirmed), _) => close::confirmed(guest, tx),
        (None, Phase::AwaitingConfirm) => Ok(()),
        _ => {
            let cause = ended_early(guest, tx);
            undo(guest, tx, cause).map(drop)
        }
    }
}

/// What fails while the guest goes down fails because of that; the boot that follows finds the reason noted.
fn true_failure(guest: &mut Guest, failure: &Failure) -> Failure {
    if !guest.system.is_going_down() {
        return failure.clone();
    }
    let mut evidence = vec![failure.what.clone()];
    evidence.extend(failure.evidence.iter().cloned());
    Failure { evidence, ..went_down() }
}

/// The reason for every switch that a reboot or a power cut ended.
pub fn went_down() -> Failure {
    let what = "the guest went down before the switch was confirmed".to_owned();
    Failure::new(what, Vec::new())
}

/// What the switch's own process said last may tell why.
fn ended_early(guest: &mut Guest, tx: &TxId) -> Cause {
    let what = "the switch ended before it was done".to_owned();
    let failure = Failure::new(what, Vec::new());
    let since = guest.system.uptime().saturating_sub(LAST_WORDS);
    Cause::of_units(guest, failure, vec![switch_unit(tx)]).since(since)
}

/// Takes back a transaction whose preparation failed: nothing but prepared files is there.
pub fn give_up(guest: &mut Guest, tx: &TxId, error: &GuestError) -> Result<(), GuestError> {
    let refusal = error.refusal("");
    let failure = Failure::new(refusal.message, refusal.details);
    undo(guest, tx, failure).map(drop)
}

/// Closes what a dead operator left behind, when nothing is at work on it. A transaction at work is `Busy`.
pub fn settle(guest: &mut Guest) -> Result<(), GuestError> {
    sweep::sweep(guest)?;
    for tx in journal::pending(guest.fs)? {
        refuse_beside(guest, &tx)?;
        match journal::phase(guest.fs, &tx)? {
            Phase::Inconsistent => return Err(not_whole(&tx)),
            // We hold the lock, so no switch runs: it has not started yet, or it died.
            _ => after_switch(guest, &tx)?,
        }
    }
    Ok(())
}

/// Refuses work beside a transaction that waits for its confirm, which needs the lock while its deadline runs, and beside
/// one whose switch is started and does not have the lock yet.
pub fn refuse_beside(guest: &mut Guest, tx: &TxId) -> Result<(), GuestError> {
    if journal::decision(guest.fs, tx)?.is_some() {
        return Ok(());
    }
    let (does, waits) = match journal::phase(guest.fs, tx)? {
        Phase::AwaitingConfirm => ("has switched", "waits for its confirm"),
        Phase::Begun if units::is_active(guest, &switch_unit(tx))? => {
            ("switches", "is about to start")
        }
        _ => return Ok(()),
    };
    let Generation { by, number, .. } = journal::switch(guest.fs, tx)?.generation;
    let holder = format!("{by} {does} to generation {number} in transaction `{tx}`, which {waits}");
    Err(GuestError::Busy { holder })
}

fn not_whole(tx: &TxId) -> GuestError {
    GuestError::Inconsistent(format!("transaction `{tx}` could not be undone; `undo` tries again"))
}

fn go_back(guest: &mut Guest, tx: &TxId, cause: &Cause) -> Result<(), GuestError> {
    let switch = journal::switch(guest.fs, tx)?;
    let before = journal::before(guest.fs, tx)?;
    let touched = journal::phase(guest.fs, tx)? != Phase::Begun;
    // What cannot be ended, or told, keeps nothing from coming back; only what may still change it keeps it open.
    let ended = if switch.hooks.is_empty() { Ok(()) } else { hooks::end(guest, tx) };
    if touched {
        journal::set_phase(guest.fs, tx, Phase::Undoing)?;
    }
    let noted = note_damage(guest, &switch, &before);
    let mut result = back_once(guest, &switch, &before, touched);
    for _ in 1..ATTEMPTS {
        if result.is_ok() {
            break;
        }
        guest.system.sleep(PAUSE);
        result = back_once(guest, &switch, &before, touched);
    }
    let noted = noted.and(cause.note_journals(guest, tx));
    if let Err(error) = result.and(ended) {
        return stay_inconsistent(guest, tx, touched, &error);
    }
    let noted = noted.and(restore_sources(guest, &switch));
    close::undone(guest, &switch)?;
    noted
}

/// The tree to go back to is hashed again. One that was damaged since the switch began is still the way back that there
/// is: its damage is told, and is drift from then on.
fn note_damage(guest: &mut Guest, switch: &Switch, before: &Before) -> Result<(), GuestError> {
    let fault = generation::tree_fault(guest.fs, switch.from)?;
    let Some(fault) = fault.filter(|fault| before.tree_fault.as_ref() != Some(fault)) else {
        return Ok(());
    };
    journal::note_evidence(guest.fs, &switch.tx, vec![format!("went back all the same: {fault}")])
}

/// Nothing that runs depends on what apt would read next: where it cannot be put back, that is told, and no more.
fn restore_sources(guest: &mut Guest, switch: &Switch) -> Result<(), GuestError> {
    let Err(error) = packages::restore_sources(guest.fs, switch.from) else { return Ok(()) };
    let told = format!("apt's sources are not as before: {}", error.refusal("").message);
    journal::note_evidence(guest.fs, &switch.tx, vec![told])
}

/// The old generation answers again before anybody is told that it is back. A probe that stays silent is evidence for a
/// person; only a unit that is down makes the guest inconsistent.
fn wait_for_old(guest: &mut Guest, switch: &Switch, before: &Before) -> Result<(), GuestError> {
    let silent = health::wait_for_old(guest, before)?;
    if silent.is_empty() {
        return Ok(());
    }
    let note = |(name, reason): (&String, &String)| {
        let limit = before.start_seconds;
        format!(
            "probe `{name}` passed before the switch, and not {limit} s after the undo: {reason}"
        )
    };
    journal::note_evidence(guest.fs, &switch.tx, silent.iter().map(note).collect())?;
    verify(guest, switch, before)
}

/// One whole way back; any number of times.
fn back_once(
    guest: &mut Guest,
    switch: &Switch,
    before: &Before,
    touched: bool,
) -> Result<(), GuestError> {
    // The door first: the operator must get in whatever happens to the rest, and hooks before the switch may have shut it.
    let door = door::open(guest, switch, before);
    let stopped = if touched { units::stop_all(guest, &switch.undo_units.stop) } else { Ok(()) };
    let placed = place::back(guest.fs, switch, before);
    if touched {
        if switch.undo_units.daemon_reload {
            guest.system.daemon_reload()?;
        }
        put_back_sysctls(guest, switch)?;
        units::bring_up_all(guest, &switch.undo_units, &before.units)?;
    }
    door.and(stopped).and(placed)?;
    verify(guest, switch, before)?;
    if !touched {
        return Ok(());
    }
    door::verify(guest, &switch.tx, before)?;
    wait_for_old(guest, switch, before)
}

/// What the kernel does not take again is told, and keeps nothing else from going back.
fn put_back_sysctls(guest: &mut Guest, switch: &Switch) -> Result<(), GuestError> {
    let live = generation::digest(guest.fs, switch.from)?;
    let Err(error) = sysctl::put_back(guest, switch.generation.digest, live) else { return Ok(()) };
    let told = format!("kernel parameters are not as before: {}", error.refusal("").message);
    journal::note_evidence(guest.fs, &switch.tx, vec![told])
}

/// Whether the old generation is back, whole: every path, and every unit that was active.
fn verify(guest: &mut Guest, switch: &Switch, before: &Before) -> Result<(), GuestError> {
    verify_files(guest, switch, before)?;
    let units: Vec<UnitName> = before.units.keys().cloned().collect();
    let now = guest.system.units(&units)?;
    let ran = |unit: &UnitName| before.units[unit].is_active();
    let is_active = |unit: &UnitName| now.get(unit).is_some_and(UnitReport::is_active);
    let names = |chosen: &dyn Fn(&UnitName) -> bool| {
        let chosen = units.iter().filter(|unit| chosen(unit));
        chosen.map(UnitName::as_str).collect::<Vec<_>>().join(", ")
    };
    // What only the new generation needs has ended, also where its package had started it before the switch; what starts
    // by itself, of a socket or a timer, is not in question.
    let back = &switch.undo_units;
    let ended = |unit: &UnitName| back.stop.contains(unit) && !back.start.contains(unit);
    let down = names(&|unit| ran(unit) && !ended(unit) && !is_active(unit));
    let up = names(&|unit| ended(unit) && !ran(unit) && is_active(unit));
    match (down.as_str(), up.as_str()) {
        ("", "") => Ok(()),
        ("", up) => Err(GuestError::Inconsistent(format!("still running: {up}"))),
        (down, _) => Err(GuestError::Inconsistent(format!("not running again: {down}"))),
    }
}

pub fn verify_files(guest: &mut Guest, switch: &Switch, before: &Before) -> Result<(), GuestError> {
    let wrong = place::differences(guest.fs, &switch.tx, before)?;
    if wrong.is_empty() {
        Ok(())
    } else {
        Err(GuestError::Inconsistent(format!("not as before: {}", wrong.join(", "))))
    }
}

/// Says loudly that the guest is not whole, and has the whole tried again later. Where nothing was switched yet only
/// prepared files are left, and the phase goes on saying so: no unit is in question.
fn stay_inconsistent(
    guest: &mut Guest,
    tx: &TxId,
    touched: bool,
    error: &GuestError,
) -> Result<(), GuestError> {
    guest.system.arm(tx, Alarm::Retry, RETRY_AFTER)?;
    if touched {
        journal::set_phase(guest.fs, tx, Phase::Inconsistent)?;
    }
    Err(GuestError::Inconsistent(error.refusal("").message))
}
