//! What a switch and an undo do to units, with the time that each was down for it.

use super::Guest;
use super::again::Tried;
use super::door;
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
    /// When each went down first, in milliseconds since boot.
    pub first_ms: BTreeMap<UnitName, u64>,
}

impl Downtime {
    /// What an undo adds to. Since the switch took them down, those were down that do not serve when it begins.
    pub fn resume(
        first_ms: &BTreeMap<UnitName, u64>,
        milliseconds: BTreeMap<UnitName, u64>,
        serves: impl Fn(&UnitName) -> bool,
    ) -> Self {
        let mut resumed = Self { milliseconds, ..Self::default() };
        for (unit, since) in first_ms.iter().filter(|(unit, _)| !serves(unit)) {
            resumed.milliseconds.remove(unit);
            resumed.goes_down(unit, Duration::from_millis(*since));
        }
        resumed
    }

    /// Since when units are down that have not come up again, in milliseconds since boot.
    pub fn still_down_ms(&self) -> BTreeMap<UnitName, u64> {
        self.down_since.iter().map(|(unit, since)| (unit.clone(), milliseconds(*since))).collect()
    }

    /// Milliseconds since a unit went down.
    pub fn until_now(&self, guest: &mut Guest, unit: &UnitName) -> u64 {
        let now = guest.system.uptime();
        self.down_since.get(unit).map_or(0, |since| milliseconds(now.saturating_sub(*since)))
    }

    fn goes_down(&mut self, unit: &UnitName, now: Duration) {
        self.down_since.entry(unit.clone()).or_insert(now);
        self.first_ms.entry(unit.clone()).or_insert(milliseconds(now));
    }

    fn is_up(&mut self, unit: &UnitName, now: Duration) {
        if let Some(since) = self.down_since.remove(unit) {
            let down = milliseconds(now.saturating_sub(since));
            *self.milliseconds.entry(unit.clone()).or_default() += down;
        }
    }
}

fn milliseconds(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
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
pub fn stop_all<'u>(
    guest: &mut Guest,
    units: impl Iterator<Item = &'u UnitName>,
    downtime: &mut Downtime,
) -> Result<(), GuestError> {
    let mut first = Ok(());
    for unit in units {
        let now = guest.system.uptime();
        let stopped = guest.system.job(UnitJob::Stop, unit).or_else(|_| {
            guest.system.job(UnitJob::Kill, unit)?;
            guest.system.job(UnitJob::Stop, unit)
        });
        downtime.goes_down(unit, now);
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
/// returned of those that ran before: what had failed already may do so again. What an earlier try has brought up is left
/// alone while it runs.
pub fn bring_up_all(
    guest: &mut Guest,
    actions: &UnitActions,
    before: &Units,
    tried: &mut Tried,
    downtime: &mut Downtime,
) -> Result<(), GuestError> {
    let mut first = Ok(());
    for (job, unit) in jobs(actions) {
        let ran = before.get(unit).is_none_or(UnitReport::is_active);
        let job = match job {
            _ if tried.is_up(unit) && (!ran || is_active(guest, unit)?) => continue,
            // It was not stopped once more, and runs with what it read then.
            UnitJob::Start if tried.is_stale(unit) => UnitJob::Restart,
            job => job,
        };
        let done = run_or_kill(guest, job, unit, downtime);
        if done.is_ok() {
            tried.comes_up(unit);
        }
        if ran {
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

/// As `run`, where what does not end is killed, and comes up then.
fn run_or_kill(
    guest: &mut Guest,
    job: UnitJob,
    unit: &UnitName,
    downtime: &mut Downtime,
) -> Result<(), GuestError> {
    let done = run(guest, job, unit, downtime);
    if done.is_ok() || !report(guest, unit)?.is_ending() {
        return done;
    }
    guest.system.job(UnitJob::Kill, unit)?;
    run(guest, job, unit, downtime)
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
        UnitJob::Reload if door::is_led(guest.system, unit)? => UnitJob::Restart,
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
    Ok(report(guest, unit)?.is_active())
}

/// Of a template nothing runs.
fn report(guest: &mut Guest, unit: &UnitName) -> Result<UnitReport, GuestError> {
    let mut reports = guest.system.units(std::slice::from_ref(unit))?;
    Ok(reports.remove(unit).unwrap_or_default())
}

/// The unit of a failed job, so that its journal can be shown.
pub fn failed_unit<'u>(error: &GuestError, actions: &'u UnitActions) -> Option<&'u UnitName> {
    let GuestError::System(SystemError::Failed { command, .. }) = error else { return None };
    let name = command.rsplit(' ').next()?;
    let lists = [&actions.stop, &actions.reload, &actions.restart, &actions.start];
    lists.into_iter().flatten().find(|unit| unit.as_str() == name)
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    /// Down for 40 ms in the switch.
    fn switched(unit: &UnitName) -> Downtime {
        let mut downtime = Downtime::default();
        downtime.goes_down(unit, 100 * SECOND);
        downtime.is_up(unit, 100 * SECOND + Duration::from_millis(40));
        downtime
    }

    #[test]
    fn a_unit_that_did_not_serve_was_down_until_the_old_generation_had_it_up_again() {
        let unit: UnitName = "app.service".parse().expect("it is a unit's name");
        for (serves, milliseconds) in [(false, 30_500), (true, 540)] {
            let of_switch = switched(&unit);
            let (first, times) = (of_switch.first_ms, of_switch.milliseconds);
            let mut downtime = Downtime::resume(&first, times, |_| serves);
            downtime.goes_down(&unit, 130 * SECOND);
            assert_eq!(downtime.still_down_ms().len(), 1);
            downtime.is_up(&unit, 130 * SECOND + SECOND / 2);
            assert_eq!(downtime.milliseconds[&unit], milliseconds, "serves: {serves}");
            assert!(downtime.still_down_ms().is_empty());
        }
    }
}
