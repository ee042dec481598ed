//! Going back: the same way for a failed switch, a silent operator, a reboot and a person who asks for it.

use super::Guest;
use super::again;
use super::cause::Cause;
use super::error::GuestError;
use super::journal::{self, Decision, Reserve};
use super::system::{Alarm, switch_unit};
use super::units;
use super::{close, lease, sweep, way_back};
use crate::model::{Failure, Generation, Phase, TxId, TxState};
use std::time::Duration;

/// How far back what a switch that died has said may tell why.
const LAST_WORDS: Duration = Duration::from_secs(60);
/// When to try again by itself after that, at first.
pub const RETRY_AFTER: Duration = Duration::from_secs(30);

/// Undoes a transaction, unless it is decided otherwise. The answer is the true state either way. What fails is tried again.
pub fn undo(guest: &mut Guest, tx: &TxId, cause: impl Into<Cause>) -> Result<TxState, GuestError> {
    let undone = try_undo(guest, tx, &cause.into());
    or_again(guest, tx, undone)
}

fn try_undo(guest: &mut Guest, tx: &TxId, cause: &Cause) -> Result<TxState, GuestError> {
    if journal::record(guest.fs, tx)?.is_some() {
        return journal::state(guest.fs, tx);
    }
    if !journal::is_pending(guest.fs, tx)? {
        return Err(GuestError::UnknownTx { tx: tx.clone() });
    }
    match decide(guest, tx)? {
        Decision::Confirmed => close::confirmed(guest, tx)?,
        Decision::Undone => way_back::go_back(guest, tx, cause)?,
    }
    journal::state(guest.fs, tx)
}

/// To decide takes no room where its words are written already; else the reserve makes some.
fn decide(guest: &mut Guest, tx: &TxId) -> Result<Decision, GuestError> {
    journal::decide(guest.fs, tx, Decision::Undone).or_else(|_| {
        journal::free_reserve(guest.fs, tx, Reserve::ToDecide)?;
        journal::decide(guest.fs, tx, Decision::Undone)
    })
}

/// The deadline passed, or the switch hangs: then it is ended first. Whatever keeps it from the end, it is tried again.
pub fn by_alarm(guest: &mut Guest, tx: &TxId, patience: Duration) -> Result<(), GuestError> {
    ring(guest, |guest| undo_by_alarm(guest, tx, patience), |guest| arm_again(guest, tx))
}

/// What an alarm has called for. It rings once: what failed is called for again by another one. Where that cannot be set, as
/// no program can be started, nobody else would ever come: whoever was called stays, and tries again.
pub fn ring(
    guest: &mut Guest,
    work: impl Fn(&mut Guest) -> Result<(), GuestError>,
    call_again: impl Fn(&mut Guest) -> Result<(), GuestError>,
) -> Result<(), GuestError> {
    loop {
        let done = work(guest);
        if done.is_ok() || call_again(guest).is_ok() {
            return done;
        }
        guest.system.sleep(RETRY_AFTER);
    }
}

fn undo_by_alarm(guest: &mut Guest, tx: &TxId, patience: Duration) -> Result<(), GuestError> {
    if !journal::is_pending(guest.fs, tx)? {
        return Ok(());
    }
    // One that is going back already may have a unit to wait for, which an end would only begin anew.
    let ended = match journal::decision(guest.fs, tx)? {
        Some(Decision::Undone) => Ok(()),
        _ => guest.system.end_switch(tx),
    };
    // A switch that could not be ended has the lock; where that is free, there was none to end.
    let _guard = lease::lock(guest, patience).or_else(|busy| {
        ended?;
        Err(busy)
    })?;
    if !journal::is_pending(guest.fs, tx)? {
        return Ok(());
    }
    let what = "nobody confirmed the switch in time".to_owned();
    try_undo(guest, tx, &Failure::new(what, Vec::new()).into()).map(drop)
}

/// Nobody else undoes the switch: what failed is tried again later, by an alarm.
fn or_again<T>(guest: &mut Guest, tx: &TxId, done: Result<T, GuestError>) -> Result<T, GuestError> {
    if done.is_err() {
        arm_again(guest, tx)?;
    }
    done
}

/// Of each try this is the one place that sets an alarm for the next.
fn arm_again(guest: &mut Guest, tx: &TxId) -> Result<(), GuestError> {
    if journal::is_pending(guest.fs, tx).unwrap_or(true) {
        let after = again::retry_after(guest, tx);
        guest.system.arm(tx, Alarm::Retry, after)?;
    }
    Ok(())
}

/// Brings a transaction that has no live switch to the end that its decision asks for, however the switch's process ended.
pub fn after_switch(guest: &mut Guest, tx: &TxId) -> Result<(), GuestError> {
    let ended = try_after_switch(guest, tx);
    or_again(guest, tx, ended)
}

fn try_after_switch(guest: &mut Guest, tx: &TxId) -> Result<(), GuestError> {
    if !journal::is_pending(guest.fs, tx)? {
        return Ok(());
    }
    match (journal::decision(guest.fs, tx)?, journal::phase(guest.fs, tx)?) {
        (Some(Decision::Confirmed), _) => close::confirmed(guest, tx),
        (None, Phase::AwaitingConfirm) => Ok(()),
        _ => {
            let cause = ended_early(guest, tx);
            try_undo(guest, tx, &cause).map(drop)
        }
    }
}

/// What fails while the guest goes down fails because of that; the boot that follows finds the reason noted.
pub fn true_failure(guest: &mut Guest, failure: &Failure) -> Failure {
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
