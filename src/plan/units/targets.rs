//! Targets, of which no switch does anything but for those that ask.

use super::{Unit, UnitChange, UnitDecision, change, is_a, is_active};
use crate::model::{GuestPath, UnitName, protocol::UnitState};
use std::collections::BTreeMap;

/// What is part of such a target goes down with it, and comes up again. One that nobody may start by hand would stay down.
pub fn stopped_by_every_switch(
    decided: &mut BTreeMap<UnitName, UnitChange>,
    units: &BTreeMap<UnitName, Unit>,
    texts: &BTreeMap<GuestPath, String>,
    states: &BTreeMap<UnitName, UnitState>,
) {
    for (name, unit) in units.iter().filter(|(name, _)| is_a(name, "target")) {
        let text = unit.text(texts);
        let says = |key| text.flag("Unit", key) == Some(true);
        if !says("X-StopOnReconfiguration") || !is_active(states, name) {
            continue;
        }
        let fixed = ["RefuseManualStart", "RefuseManualStop", "X-OnlyManualStart"];
        let (decision, cause) = if fixed.into_iter().any(says) {
            let cause = "X-StopOnReconfiguration: but not even a person may stop and start it";
            (UnitDecision::LeftAlone, cause)
        } else {
            (UnitDecision::StopThenStart, "X-StopOnReconfiguration: every switch stops it")
        };
        decided.insert(name.clone(), change(decision, cause));
    }
}
