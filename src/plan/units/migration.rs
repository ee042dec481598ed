//! Units that rest while the app's records are migrated.

use super::{Unit, UnitDecision, ends, is_active, refusals::refusal, restart_kind};
use crate::model::{UnitName, protocol::UnitState};
use crate::plan::Live;
use std::collections::BTreeMap;

impl Live {
    /// What runs from the live release and may be stopped by hand: neither a template, of which nothing runs, nor what
    /// something else starts when it is time.
    pub(in crate::plan) fn running_of_release(
        &self,
        states: &BTreeMap<UnitName, UnitState>,
    ) -> Vec<UnitName> {
        let units = self.units(states);
        let may_stop = |name: &UnitName, unit: &Unit| {
            let text = unit.text(&self.unit_texts);
            let restarts = restart_kind(name, &text)
                .is_some_and(|decision| decision != UnitDecision::LeftAlone);
            restarts && refusal(&text).is_none() && !ends(&text)
        };
        let units = units.into_iter().filter(|(name, unit)| {
            let runs = !name.is_template() && is_active(states, name);
            unit.inputs.release && runs && may_stop(name, unit)
        });
        units.map(|(name, _)| name).collect()
    }
}
