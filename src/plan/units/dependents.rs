//! Units that go down with another one: what requires a unit that restarts is restarted by the service manager, and what
//! requires one that is stopped first would stay down. So each is stopped and started with it, once, and the plan says so.
//! What requires one that goes for good stays down with it.

use super::{Unit, UnitChange, UnitDecision, is_active};
use crate::{
    model::{GuestPath, UnitName, protocol::UnitState},
    plan::unit_file::UnitFile,
};
use std::collections::{BTreeMap, BTreeSet};

/// Relations by which stopping or restarting one unit does the same to the other. Source: systemd.unit(5).
const TIES: [&str; 4] = ["Requires", "Requisite", "BindsTo", "PartOf"];
/// Those of them by which one does not run without the other.
const NEEDS: [&str; 3] = ["Requires", "Requisite", "BindsTo"];

/// Whether a unit with this text goes down with another one.
pub fn is_tied(text: &UnitFile, down: &UnitName) -> bool {
    names(text, &TIES, down)
}

fn names(text: &UnitFile, ties: &[&str], other: &UnitName) -> bool {
    text.names("Unit", ties).any(|name| name == other.as_str())
}

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
            let text = unit.text(texts);
            if is_tied(&text, &down) && is_active(states, name) {
                let stops = decided[&down].decision == UnitDecision::Stop;
                let comes_back = !stops || !names(&text, &NEEDS, &down);
                join(decided, name, &down, comes_back);
            }
        }
        seen.insert(down);
    }
}

/// A unit that goes down, and whose dependents have not been looked at.
fn next_down(
    decided: &BTreeMap<UnitName, UnitChange>,
    seen: &BTreeSet<UnitName>,
) -> Option<UnitName> {
    let goes_down = |change: &UnitChange| {
        use UnitDecision::{Restart, Stop, StopThenStart};
        matches!(change.decision, Restart | StopThenStart | Stop)
    };
    let mut down =
        decided.iter().filter(|(name, change)| goes_down(change) && !seen.contains(*name));
    down.next().map(|(name, _)| name.clone())
}

fn join(
    decided: &mut BTreeMap<UnitName, UnitChange>,
    name: &UnitName,
    down: &UnitName,
    comes_back: bool,
) {
    let cause = format!("it goes down with {down}");
    let joined = decided.entry(name.clone()).or_insert_with(|| UnitChange {
        decision: UnitDecision::StopThenStart,
        causes: Vec::new(),
    });
    if joined.decision != UnitDecision::Stop {
        joined.decision = if comes_back { UnitDecision::StopThenStart } else { UnitDecision::Stop };
        joined.causes.push(cause);
    }
}
