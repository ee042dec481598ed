//! The way back itself: door, units, files, and what is told of it.

use super::Guest;
use super::again::Tried;
use super::before::Before;
use super::cause::Cause;
use super::error::GuestError;
use super::journal::{self, Reserve};
use super::system::{UnitReport, Units};
use super::units::{self, Downtime};
use super::{close, door, generation, health, hooks, packages, place, sysctl, undo};
use crate::model::{Failure, Phase, Switch, TxId, UnitActions, UnitName};
use std::time::Duration;

/// Going back is tried this often at once; then it waits for the next boot, the timer, or a person.
const ATTEMPTS: u32 = 3;
const PAUSE: Duration = Duration::from_secs(1);

/// One way back, with what it has come to so far.
struct Way {
    switch: Switch,
    before: Before,
    failure: Failure,
    /// Whether anything but prepared files is there.
    touched: bool,
    tried: Tried,
    downtime: Downtime,
    /// What is worth knowing of it.
    evidence: Vec<String>,
}

/// Goes back, which anybody may ask for any number of times.
pub fn go_back(guest: &mut Guest, tx: &TxId, cause: &Cause) -> Result<(), GuestError> {
    let mut way = way_of(guest, tx, cause)?;
    // Neither what cannot be ended nor what cannot be told keeps anything from coming back. Where there is no room to tell,
    // it is told later: what takes the room may be of the new generation, and would take the reserve as well.
    drop(journal::note_failure(guest.fs, tx, &way.failure));
    let ended = if way.switch.hooks.is_empty() { Ok(()) } else { hooks::end(guest, tx) };
    if way.touched {
        drop(journal::set_phase(guest.fs, tx, Phase::Undoing));
    }
    let damage = note_damage(guest, &mut way);
    let mut result = back_once(guest, &mut way);
    for _ in 1..ATTEMPTS {
        if result.is_ok() {
            break;
        }
        guest.system.sleep(PAUSE);
        result = back_once(guest, &mut way);
    }
    let told = tell(guest, &way, cause).and(damage);
    if let Err(error) = result.and(ended) {
        way.tried.keep(guest, tx);
        return Err(stay_inconsistent(guest, tx, way.touched, &error));
    }
    let told = told.and(restore_sources(guest, &way.switch));
    close::undone(guest, &way.switch)?;
    way.tried.forget(guest.fs, tx);
    told
}

fn way_of(guest: &mut Guest, tx: &TxId, cause: &Cause) -> Result<Way, GuestError> {
    let before = journal::before(guest.fs, tx)?;
    Ok(Way {
        switch: journal::switch(guest.fs, tx)?,
        downtime: downtime_so_far(guest, tx, &before, &cause.failure),
        before,
        failure: undo::true_failure(guest, &cause.failure),
        touched: journal::phase(guest.fs, tx)? != Phase::Begun,
        tried: Tried::read(guest.fs, tx),
        evidence: Vec::new(),
    })
}

/// What the switch has cost so far. Nothing is known of it in another boot, whose clock is another one.
fn downtime_so_far(guest: &mut Guest, tx: &TxId, before: &Before, failure: &Failure) -> Downtime {
    let is_known = guest.system.boot_id().is_ok_and(|boot_id| boot_id == before.boot_id);
    let (true, Ok(notes)) = (is_known, journal::notes(guest.fs, tx)) else {
        return Downtime::default();
    };
    let units: Vec<UnitName> = notes.down_since_ms.keys().cloned().collect();
    let now = guest.system.units(&units).unwrap_or_default();
    // The first reason is the true one.
    let at_fault = &notes.failure.as_ref().unwrap_or(failure).units;
    Downtime::resume(&notes.down_since_ms, notes.downtime_ms, |unit| {
        now.get(unit).is_some_and(UnitReport::is_active) && !at_fault.contains(unit)
    })
}

/// Says why it went back, and what is worth knowing of the way. Nobody of ours takes the room for it any more.
fn tell(guest: &mut Guest, way: &Way, cause: &Cause) -> Result<(), GuestError> {
    let tx = &way.switch.tx;
    journal::note_failure(guest.fs, tx, &way.failure)?;
    if !way.evidence.is_empty() {
        journal::note_evidence(guest.fs, tx, way.evidence.clone())?;
    }
    cause.note_journals(guest, tx)?;
    if !way.touched {
        return Ok(());
    }
    let is_measured = guest.system.boot_id()? == way.before.boot_id;
    let nothing = Downtime::default();
    journal::note_downtime(guest.fs, tx, if is_measured { &way.downtime } else { &nothing })
}

/// The tree to go back to is hashed again. One that was damaged since the switch began is still the way back that there
/// is: its damage is told, and is drift from then on.
fn note_damage(guest: &mut Guest, way: &mut Way) -> Result<(), GuestError> {
    let fault = generation::tree_fault(guest.fs, way.switch.from)?;
    let fault = fault.filter(|fault| way.before.tree_fault.as_ref() != Some(fault));
    way.evidence.extend(fault.map(|fault| format!("went back all the same: {fault}")));
    Ok(())
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
fn back_once(guest: &mut Guest, way: &mut Way) -> Result<(), GuestError> {
    let Way { switch, before, failure, touched, tried, downtime, evidence } = way;
    // The door first: the operator must get in whatever happens to the rest, and hooks before the switch may have shut it.
    let door = door::open(guest, switch, before);
    let mut stopped = Ok(());
    if *touched {
        let again = switch.undo_units.stop.iter().filter(|unit| !tried.is_up(unit));
        stopped = units::stop_all(guest, again, downtime);
    }
    let placed = place::back(guest.fs, switch, before);
    let mut up = Ok(());
    if *touched {
        tried.has_files(still_wrong(guest, switch, before, &placed));
        // All of these before any comes up: a socket does not beside its service.
        let stale = switch.undo_units.stop.iter().filter(|unit| tried.is_stale(unit));
        stopped = stopped.and(units::stop_all(guest, stale, downtime));
        if switch.undo_units.daemon_reload {
            guest.system.daemon_reload()?;
        }
        evidence.extend(sysctl_fault(guest, switch)?);
        up = units::bring_up_all(guest, &switch.undo_units, &before.units, tried, downtime);
    }
    // Whatever of ours took all the room runs no more; what still cannot be told is no reason to stop here.
    journal::free_reserve(guest.fs, &switch.tx, Reserve::ToDecide)?;
    drop(journal::note_failure(guest.fs, &switch.tx, failure));
    up.and(door).and(stopped).and(placed)?;
    verify(guest, switch, before)?;
    if !*touched {
        return Ok(());
    }
    door::verify(guest, &switch.tx, before)?;
    wait_for_old(guest, switch, before)
}

/// Paths that units find otherwise than before.
fn still_wrong(
    guest: &mut Guest,
    switch: &Switch,
    before: &Before,
    placed: &Result<(), GuestError>,
) -> Vec<String> {
    match placed {
        Ok(()) => Vec::new(),
        Err(_) => place::differences(guest.fs, &switch.tx, before)
            .unwrap_or_else(|error| vec![error.refusal("").message]),
    }
}

/// What the kernel does not take again is told, and keeps nothing else from going back.
fn sysctl_fault(guest: &mut Guest, switch: &Switch) -> Result<Option<String>, GuestError> {
    let live = generation::digest(guest.fs, switch.from)?;
    let Err(error) = sysctl::put_back(guest, switch.generation.digest, live) else {
        return Ok(None);
    };
    Ok(Some(format!("kernel parameters are not as before: {}", error.refusal("").message)))
}

/// Whether the old generation is back, whole: every path, and every unit that was active.
fn verify(guest: &mut Guest, switch: &Switch, before: &Before) -> Result<(), GuestError> {
    verify_files(guest, switch, before)?;
    let units: Vec<UnitName> = before.units.keys().cloned().collect();
    verify_units(&switch.undo_units, &before.units, &guest.system.units(&units)?)
}

fn verify_units(back: &UnitActions, before: &Units, now: &Units) -> Result<(), GuestError> {
    let ran = |unit: &UnitName| before[unit].is_active();
    let is_active = |unit: &UnitName| now.get(unit).is_some_and(UnitReport::is_active);
    let is_ending = |unit: &UnitName| now.get(unit).is_some_and(UnitReport::is_ending);
    let names = |chosen: &dyn Fn(&UnitName) -> bool| {
        let chosen = before.keys().filter(|unit| chosen(unit));
        chosen.map(UnitName::as_str).collect::<Vec<_>>().join(", ")
    };
    // What only the new generation needs has ended, also where its package had started it before the switch; what starts
    // by itself, of a socket or a timer, is not in question.
    let ended = |unit: &UnitName| back.stop.contains(unit) && !back.start.contains(unit);
    // What a timer had started may have done its work again.
    let rests = |unit: &UnitName| now.get(unit).is_some_and(|report| health::rests(unit, report));
    let down = names(&|unit| ran(unit) && !ended(unit) && !is_active(unit) && !rests(unit));
    let up = names(&|unit| ended(unit) && !ran(unit) && (is_active(unit) || is_ending(unit)));
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

/// Says loudly that the guest is not whole. Where nothing was switched yet only prepared files are left, and the phase goes
/// on saying so: no unit is in question.
fn stay_inconsistent(
    guest: &mut Guest,
    tx: &TxId,
    touched: bool,
    error: &GuestError,
) -> GuestError {
    if touched {
        // What cannot be written is said all the same, here and by the next try.
        drop(journal::set_phase(guest.fs, tx, Phase::Inconsistent));
    }
    GuestError::Inconsistent(error.refusal("").message)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn report(active: &str, change: impl FnOnce(&mut UnitReport)) -> UnitReport {
        let (load, active) = ("loaded".to_owned(), active.to_owned());
        let mut report = UnitReport { load, active, ..UnitReport::default() };
        change(&mut report);
        report
    }

    fn fault(back: &UnitActions, before: &str, now: UnitReport) -> Option<String> {
        let unit: UnitName = "app.service".parse().expect("it is a unit's name");
        let before = Units::from([(unit.clone(), report(before, |_| {}))]);
        let fault = verify_units(back, &before, &Units::from([(unit, now)]));
        fault.err().map(|error| error.to_string())
    }

    #[test]
    fn a_service_of_a_timer_that_has_done_its_work_again_is_back_and_one_that_failed_is_not() {
        let back = UnitActions::default();
        let is_back = |active: &str, led| {
            fault(&back, "active", report(active, |report| report.led = led)).is_none()
        };
        let rests = [("inactive", true), ("failed", true), ("inactive", false), ("active", false)];
        assert_eq!(rests.map(|(active, led)| is_back(active, led)), [true, false, false, true]);
    }

    #[test]
    fn what_only_the_new_generation_needs_and_is_still_ending_is_not_gone() {
        let stop = vec!["app.service".parse().expect("it is a unit's name")];
        let back = UnitActions { stop, ..UnitActions::default() };
        let is_gone = |active| fault(&back, "inactive", report(active, |_| {})).is_none();
        let gone = ["inactive", "failed", "deactivating", "active"].map(is_gone);
        assert_eq!(gone, [true, true, false, false]);
    }
}
