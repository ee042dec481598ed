//! Targets, of which no switch does anything but for those that ask.

use super::{Unit, UnitChange, UnitDecision, change, is_a, is_active};
use crate::model::{GuestPath, UnitName, protocol::UnitState};
use std::collections::BTreeMap;

/// What is part of such a target goes down with it, and comes up again.
pub fn stopped_by_every_switch(
    decided: &mut BTreeMap<UnitName, UnitChange>,
    units: &BTreeMap<UnitName, Unit>,
    texts: &BTreeMap<GuestPath, String>,
    states: &BTreeMap<UnitName, UnitState>,
) {
    for (name, unit) in units.iter().filter(|(name, _)| is_a(name, "target")) {
        let asks = unit.text(texts).flag("Unit", "X-StopOnReconfiguration") == Some(true);
        if asks && is_active(states, name) {
            let cause = "X-StopOnReconfiguration: every switch stops it";
            decided.insert(name.clone(), change(UnitDecision::StopThenStart, cause));
        }
    }
}
