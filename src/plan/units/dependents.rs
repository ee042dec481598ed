//! Units that go down with another one: what requires a unit that restarts is restarted by the service manager, and what
//! requires one that is stopped first would stay down. So each is stopped and started with it, once, and the plan says so.

use super::{Unit, UnitChange, UnitDecision, is_active};
use crate::model::{GuestPath, UnitName, protocol::UnitState};
use std::collections::{BTreeMap, BTreeSet};

/// Relations by which stopping or restarting one unit does the same to the other. Source: systemd.unit(5).
const TIES: [&str; 4] = ["Requires", "Requisite", "BindsTo", "PartOf"];

/// Adds what is tied to the units that go down, and what is tied to that.
pub(super) fn with_dependents(
    decided: &mut BTreeMap<UnitName, UnitChange>,
    units: &BTreeMap<UnitName, Unit>,
    texts: &BTreeMap<GuestPath, String>,
    states: &BTreeMap<UnitName, UnitState>,
) {
    let mut seen = BTreeSet::new();
    while let Some(down) = next_down(decided, &seen) {
        for (name, unit) in units.iter().filter(|(name, _)| **name != down) {
            let is_tied = unit.text(texts).names("Unit", &TIES).any(|tied| tied == down.as_str());
            if is_tied && is_active(states, name) {
                join(decided, name, &down);
            }
        }
        seen.insert(down);
    }
}

/// A unit that goes down and comes up again, and whose dependents have not been looked at.
fn next_down(
    decided: &BTreeMap<UnitName, UnitChange>,
    seen: &BTreeSet<UnitName>,
) -> Option<UnitName> {
    let goes_down = |change: &UnitChange| {
        matches!(change.decision, UnitDecision::Restart | UnitDecision::StopThenStart)
    };
    let mut down =
        decided.iter().filter(|(name, change)| goes_down(change) && !seen.contains(*name));
    down.next().map(|(name, _)| name.clone())
}

fn join(decided: &mut BTreeMap<UnitName, UnitChange>, name: &UnitName, down: &UnitName) {
    let cause = format!("it goes down with {down}");
    let joined = decided.entry(name.clone()).or_insert_with(|| UnitChange {
        decision: UnitDecision::StopThenStart,
        causes: Vec::new(),
    });
    if joined.decision != UnitDecision::Stop {
        joined.decision = UnitDecision::StopThenStart;
        joined.causes.push(cause);
    }
}
