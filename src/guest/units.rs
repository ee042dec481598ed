//! What a switch and an undo do to units, with the time that each was down for it.

use super::Guest;
use super::error::GuestError;
use super::system::{SystemError, UnitJob, UnitReport, Units};
use crate::model::{UnitActions, UnitName};
use std::collections::BTreeMap;
use std::time::Duration;

/// When units went down, and for how long each was.
#[derive(Debug, Default)]
pub struct Downtime {
    down_since: BTreeMap<UnitName, Duration>,
    pub milliseconds: BTreeMap<UnitName, u64>,
}

impl Downtime {
    fn goes_down(&mut self, unit: &UnitName, now: Duration) {
        self.down_since.entry(unit.clone()).or_insert(now);
    }

    fn is_up(&mut self, unit: &UnitName, now: Duration) {
        if let Some(since) = self.down_since.remove(unit) {
            let down = now.saturating_sub(since).as_millis();
            self.milliseconds.insert(unit.clone(), u64::try_from(down).unwrap_or(u64::MAX));
        }
    }
}

/// Stops units while their files still stand.
pub fn stop(
    guest: &mut Guest,
    units: &[UnitName],
    downtime: &mut Downtime,
) -> Result<(), GuestError> {
    for unit in units {
        let now = guest.system.uptime();
        guest.system.job(UnitJob::Stop, unit)?;
        downtime.goes_down(unit, now);
    }
    Ok(())
}

/// Stops units on the way back, where one that does not end keeps nothing from going on: it is killed, and stopped again.
/// The first error that is left is returned.
pub fn stop_all(guest: &mut Guest, units: &[UnitName]) -> Result<(), GuestError> {
    let mut first = Ok(());
    for unit in units {
        let stopped = guest.system.job(UnitJob::Stop, unit).or_else(|_| {
            guest.system.job(UnitJob::Kill, unit)?;
            guest.system.job(UnitJob::Stop, unit)
        });
        first = first.and(stopped);
    }
    Ok(first?)
}

/// Reloads, restarts and starts, in this order. Every job's result counts.
pub fn bring_up(
    guest: &mut Guest,
    actions: &UnitActions,
    downtime: &mut Downtime,
) -> Result<(), GuestError> {
    for (job, unit) in jobs(actions) {
        run(guest, job, unit, downtime)?;
    }
    Ok(())
}

/// As `bring_up` on the way back, where one unit that does not come up does not keep the next one down. The first error is
/// returned of those that ran before: what had failed already may do so again.
pub fn bring_up_all(
    guest: &mut Guest,
    actions: &UnitActions,
    before: &Units,
) -> Result<(), GuestError> {
    let mut first = Ok(());
    for (job, unit) in jobs(actions) {
        let done = run(guest, job, unit, &mut Downtime::default());
        if before.get(unit).is_none_or(UnitReport::is_active) {
            first = first.and(done);
        }
    }
    first
}

fn jobs(actions: &UnitActions) -> impl Iterator<Item = (UnitJob, &UnitName)> {
    let reload = actions.reload.iter().map(|unit| (UnitJob::Reload, unit));
    let restart = actions.restart.iter().map(|unit| (UnitJob::Restart, unit));
    reload.chain(restart).chain(actions.start.iter().map(|unit| (UnitJob::Start, unit)))
}

fn run(
    guest: &mut Guest,
    job: UnitJob,
    unit: &UnitName,
    downtime: &mut Downtime,
) -> Result<(), GuestError> {
    let job = match job {
        // What is not running has nothing to reload; it is started, as NixOS does.
        UnitJob::Reload if !is_active(guest, unit)? => UnitJob::Start,
        job => job,
    };
    if job == UnitJob::Restart {
        downtime.goes_down(unit, guest.system.uptime());
    }
    guest.system.job(job, unit)?;
    downtime.is_up(unit, guest.system.uptime());
    Ok(())
}

pub fn is_active(guest: &mut Guest, unit: &UnitName) -> Result<bool, GuestError> {
    let reports = guest.system.units(std::slice::from_ref(unit))?;
    Ok(reports.get(unit).is_some_and(UnitReport::is_active))
}

/// The unit of a failed job, so that its journal can be shown.
pub fn failed_unit<'u>(error: &GuestError, actions: &'u UnitActions) -> Option<&'u UnitName> {
    let GuestError::System(SystemError::Failed { command, .. }) = error else { return None };
    let name = command.rsplit(' ').next()?;
    let lists = [&actions.stop, &actions.reload, &actions.restart, &actions.start];
    lists.into_iter().flatten().find(|unit| unit.as_str() == name)
}
