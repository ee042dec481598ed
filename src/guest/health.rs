//! Is the new generation well? Judged against what was wrong before it.

use super::Guest;
use super::before::Before;
use super::cause::Cause;
use super::error::GuestError;
use super::system::UnitReport;
use crate::model::{Failure, HealthDocument, Probe, Switch, UnitName};
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

/// Between two rounds of probes: short beside any window, long beside a probe's own cost.
const ROUND: Duration = Duration::from_millis(250);

/// Probes that do not pass, each with its reason.
pub fn failing(
    guest: &mut Guest,
    probes: &BTreeMap<String, Probe>,
) -> Result<BTreeMap<String, String>, GuestError> {
    let mut failing = BTreeMap::new();
    for (name, probe) in probes {
        let answer = match probe {
            Probe::Unit { unit } => judge_unit(&unit_report(guest, unit)?),
            other => guest.system.probe(other),
        };
        failing.extend(answer.err().map(|reason| (name.clone(), reason)));
    }
    Ok(failing)
}

fn unit_report(guest: &mut Guest, unit: &UnitName) -> Result<UnitReport, GuestError> {
    let mut reports = guest.system.units(std::slice::from_ref(unit))?;
    Ok(reports.remove(unit).unwrap_or_default())
}

fn judge_unit(report: &UnitReport) -> Result<(), String> {
    if report.is_active() {
        return Ok(());
    }
    Err(format!("it is {} ({}, result {})", report.active, report.sub, report.result))
}

/// Waits until the probes that passed for the old generation pass again, for as long as its start may take. What does
/// not come back is told, each with its reason.
pub fn wait_for_old(
    guest: &mut Guest,
    before: &Before,
) -> Result<BTreeMap<String, String>, GuestError> {
    let started = guest.system.uptime();
    let limit = seconds(before.start_seconds);
    loop {
        let failing = failing(guest, &before.passing_probes)?;
        if failing.is_empty() || guest.system.uptime().saturating_sub(started) >= limit {
            return Ok(failing);
        }
        guest.system.sleep(ROUND);
    }
}

/// Waits until every probe passes, then until all have held for the window. The cause when one does not.
pub fn verify(
    guest: &mut Guest,
    switch: &Switch,
    before: &Before,
) -> Result<Option<Cause>, GuestError> {
    let started = guest.system.uptime();
    let watched = watched(switch);
    let first = guest.system.units(&watched)?;
    let start_limit = seconds(switch.health.start_seconds);
    loop {
        if let Some(cause) = broken_unit(guest, &watched, &first, before)? {
            return Ok(Some(cause));
        }
        let failing = new_failures(guest, &switch.health, before)?;
        if failing.is_empty() {
            break;
        }
        if guest.system.uptime().saturating_sub(started) >= start_limit {
            let within = format!("within {} s", switch.health.start_seconds);
            return Ok(Some(silent(guest, switch, &failing, &within)));
        }
        guest.system.sleep(ROUND);
    }
    hold(guest, switch, before, &watched, &first)
}

fn hold(
    guest: &mut Guest,
    switch: &Switch,
    before: &Before,
    watched: &[UnitName],
    first: &BTreeMap<UnitName, UnitReport>,
) -> Result<Option<Cause>, GuestError> {
    let passed = guest.system.uptime();
    let window = seconds(switch.health.window_seconds);
    loop {
        if let Some(cause) = broken_unit(guest, watched, first, before)? {
            return Ok(Some(cause));
        }
        let failing = new_failures(guest, &switch.health, before)?;
        if !failing.is_empty() {
            let within = format!("all through {} s", switch.health.window_seconds);
            return Ok(Some(silent(guest, switch, &failing, &within)));
        }
        let held = guest.system.uptime().saturating_sub(passed);
        if held >= window {
            return Ok(None);
        }
        guest.system.sleep(ROUND.min(window.saturating_sub(held)));
    }
}

fn seconds(seconds: u32) -> Duration {
    Duration::from_secs(u64::from(seconds))
}

/// Units that the switch brought up, and those that probes name.
fn watched(switch: &Switch) -> Vec<UnitName> {
    let actions = &switch.units;
    let mut units: BTreeSet<&UnitName> = actions.restart.iter().chain(&actions.start).collect();
    units.extend(&actions.reload);
    units.extend(switch.health.probes.values().filter_map(|probe| match probe {
        Probe::Unit { unit } => Some(unit),
        _ => None,
    }));
    units.into_iter().cloned().collect()
}

/// A unit that failed, that the service manager had to restart since the switch, or a service that ended by itself, when it
/// was not so before.
fn broken_unit(
    guest: &mut Guest,
    watched: &[UnitName],
    first: &BTreeMap<UnitName, UnitReport>,
    before: &Before,
) -> Result<Option<Cause>, GuestError> {
    let now = guest.system.units(watched)?;
    for (unit, report) in &now {
        let was = before.units.get(unit);
        let restarts = first.get(unit).map_or(0, |report| report.restarts);
        let what = if was.is_some_and(UnitReport::is_failed) {
            continue;
        } else if report.restarts > restarts {
            format!("`{unit}` crashed and was restarted by the service manager")
        } else if report.is_failed() {
            format!("`{unit}` is {} (result {})", report.active, report.result)
        } else if has_ended(unit, report) && !was.is_some_and(|was| has_ended(unit, was)) {
            format!("`{unit}` ended at once, and nothing starts it again; a job is a oneshot")
        } else {
            continue;
        };
        let units = [unit.clone()].into();
        let failure = Failure { units, ..Failure::new(what, Vec::new()) };
        return Ok(Some(Cause::of_units(guest, failure, vec![unit.clone()])));
    }
    Ok(None)
}

/// A service that should go on and does not run, though nothing went wrong.
fn has_ended(unit: &UnitName, report: &UnitReport) -> bool {
    is_down(unit, report) && !report.ends && !report.led
}

/// A service that does not run though nothing went wrong, and that something else starts when it is time.
pub fn rests(unit: &UnitName, report: &UnitReport) -> bool {
    is_down(unit, report) && report.led
}

fn is_down(unit: &UnitName, report: &UnitReport) -> bool {
    report.active == "inactive" && report.load == "loaded" && unit.as_str().ends_with(".service")
}

fn new_failures(
    guest: &mut Guest,
    health: &HealthDocument,
    before: &Before,
) -> Result<BTreeMap<String, String>, GuestError> {
    let mut failing = failing(guest, &health.probes)?;
    failing.retain(|name, _| !before.failing_probes.contains(name));
    Ok(failing)
}

/// Probes that do not pass, with their answers and the units that may be why.
fn silent(
    guest: &mut Guest,
    switch: &Switch,
    failing: &BTreeMap<String, String>,
    within: &str,
) -> Cause {
    let names: Vec<String> = failing.keys().map(|name| format!("`{name}`")).collect();
    let verb = if names.len() == 1 { "does" } else { "do" };
    let what = format!("probe {} {verb} not pass {within}", names.join(", "));
    let evidence = failing.iter().map(|(name, reason)| format!("{name}: {reason}")).collect();
    let units = switch.units.restart.iter().chain(&switch.units.start).cloned().collect();
    Cause::of_units(guest, Failure::new(what, evidence), units)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_service_that_ended_at_once_is_no_healthy_one_and_a_job_or_a_triggered_one_may() {
        let ended = |unit: &str, change: &dyn Fn(&mut UnitReport)| {
            let (load, active) = ("loaded".to_owned(), "inactive".to_owned());
            let mut report = UnitReport { load, active, ..UnitReport::default() };
            change(&mut report);
            has_ended(&unit.parse().expect("a unit's name"), &report)
        };
        assert!(ended("app.service", &|_| {}));
        assert!(!ended("app.service", &|report| report.ends = true), "a oneshot");
        assert!(!ended("app.service", &|report| report.led = true), "its timer starts it");
        assert!(!ended("app.service", &|report| report.active = "active".to_owned()));
        assert!(!ended("app.service", &|report| report.load = "not-found".to_owned()));
        assert!(!ended("app.timer", &|_| {}), "what triggers may have done so");
    }
}
