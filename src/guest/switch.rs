//! The switch itself, in a process that outlives the connection (design.md §8, steps 5 and 6).

use super::Guest;
use super::account::Accounts;
use super::before::Before;
use super::cause::Cause;
use super::error::GuestError;
use super::journal::{self, Decision};
use super::system::Alarm;
use super::units::{self, Downtime};
use super::{close, firewall, generation, health, hooks, place, store, sysctl, undo};
use crate::model::{Failure, Hook, Phase, Switch, TxId};
use std::time::Duration;

/// How long stopping, placing and starting may take before the alarm undoes it: two unit jobs at systemd's own limit.
const SWITCH_SECONDS_MAX: u64 = 180;

/// Switches, verifies, and then leaves the guest waiting for the operator's confirm. A failure is undone at once.
pub fn switch(guest: &mut Guest, tx: &TxId) -> Result<(), GuestError> {
    if journal::decision(guest.fs, tx)?.is_some() || journal::phase(guest.fs, tx)? != Phase::Begun {
        return undo::after_switch(guest, tx);
    }
    let plan = journal::switch(guest.fs, tx)?;
    let before = journal::before(guest.fs, tx)?;
    let started = guest.system.uptime();
    let cause = match try_switch(guest, &plan, &before) {
        Ok(cause) => cause,
        Err(error) => Some(explain(guest, &plan, &error)),
    };
    match cause {
        Some(cause) => undo::undo(guest, tx, cause.since(started)).map(drop),
        None => await_confirm(guest, &plan),
    }
}

/// Everything up to a healthy new generation; the cause when it is not well.
fn try_switch(
    guest: &mut Guest,
    plan: &Switch,
    before: &Before,
) -> Result<Option<Cause>, GuestError> {
    let accounts = Accounts::read(guest.fs)?;
    if let Some(digest) = plan.generation.digest {
        store::verify(guest.fs, &digest)?;
    }
    journal::set_phase(guest.fs, &plan.tx, Phase::Switching)?;
    let started = guest.system.uptime();
    let mut downtime = Downtime::default();
    let changed = change(guest, plan, &accounts, &mut downtime);
    let took = guest.system.uptime().saturating_sub(started).as_millis();
    let took = u64::try_from(took).unwrap_or(u64::MAX);
    journal::note_times(guest.fs, &plan.tx, downtime, took)?;
    changed?;
    journal::set_phase(guest.fs, &plan.tx, Phase::Verifying)?;
    hooks::after_switch(guest, plan)?;
    health::verify(guest, plan, before)
}

/// The alarm covers the whole of the switch, its hooks and verification, the confirm's window, and an undo's wait.
pub fn alarm_after(plan: &Switch, before: &Before) -> Duration {
    let health = &plan.health;
    let seconds =
        [health.start_seconds, health.window_seconds, health.confirm_seconds, before.start_seconds];
    let seconds = SWITCH_SECONDS_MAX + seconds.into_iter().map(u64::from).sum::<u64>();
    Duration::from_secs(seconds) + Hook::limit_of(&plan.hooks)
}

fn change(
    guest: &mut Guest,
    plan: &Switch,
    accounts: &Accounts,
    downtime: &mut Downtime,
) -> Result<(), GuestError> {
    units::stop(guest, &plan.units.stop, downtime)?;
    place::forth(guest.fs, plan, accounts)?;
    if plan.units.daemon_reload {
        guest.system.daemon_reload()?;
    }
    firewall::change(guest, plan)?;
    let left = generation::digest(guest.fs, plan.from)?;
    sysctl::put_back(guest, left, plan.generation.digest)?;
    units::bring_up(guest, &plan.units, downtime)
}

/// An error of the switch as what is shown of it, with the unit whose job it was.
fn explain(guest: &mut Guest, plan: &Switch, error: &GuestError) -> Cause {
    let refusal = error.refusal("");
    let mut failure = Failure::new(refusal.message, refusal.details);
    let unit = units::failed_unit(error, &plan.units);
    if let Some(unit) = unit {
        failure.what = format!("`{unit}` did not start: {}", failure.what);
        failure.units.insert(unit.clone());
    }
    Cause::of_units(guest, failure, unit.into_iter().cloned().collect())
}

/// Arms the deadline, then says that the confirm may come.
fn await_confirm(guest: &mut Guest, plan: &Switch) -> Result<(), GuestError> {
    let deadline = Duration::from_secs(u64::from(plan.health.confirm_seconds));
    guest.system.arm(&plan.tx, Alarm::Confirm, deadline)?;
    journal::set_phase(guest.fs, &plan.tx, Phase::AwaitingConfirm)?;
    // Somebody may have decided while we verified.
    match journal::decision(guest.fs, &plan.tx)? {
        Some(Decision::Undone) => undo::after_switch(guest, &plan.tx),
        Some(Decision::Confirmed) => close::confirmed(guest, &plan.tx),
        None => Ok(()),
    }
}
