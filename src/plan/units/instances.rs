//! Instances that run though no link of the generation enables them: another unit, a timer or a person has started them. They
//! are what the generation's template says, like those that are enabled.

use super::{Unit, defined, is_a, is_active};
use crate::{
    model::{GuestPath, Manifest, UnitName, protocol::UnitState},
    plan::Live,
};
use std::collections::{BTreeMap, BTreeSet};

/// The units of a generation, with those instances of its own templates that run, but for these.
pub fn with_running(
    manifest: &Manifest,
    texts: &BTreeMap<GuestPath, String>,
    states: &BTreeMap<UnitName, UnitState>,
    but: &BTreeSet<UnitName>,
) -> BTreeMap<UnitName, Unit> {
    let mut units = defined::listed(manifest);
    let is_own = |template: &UnitName| {
        units.get(template).is_some_and(Unit::own) && !is_per_connection(template, &units, texts)
    };
    let running = states.keys().filter(|name| is_active(states, name) && !but.contains(*name));
    let running = running.filter(|name| name.template().is_some_and(|template| is_own(&template)));
    for name in running.cloned().collect::<Vec<_>>() {
        units.entry(name).or_default();
    }
    defined::with_templates(&mut units);
    units
}

impl Live {
    /// The units of the live generation, as they run.
    pub(in crate::plan) fn units(
        &self,
        states: &BTreeMap<UnitName, UnitState>,
    ) -> BTreeMap<UnitName, Unit> {
        let with = |manifest| with_running(manifest, &self.unit_texts, states, &BTreeSet::new());
        self.manifest.as_ref().map(with).unwrap_or_default()
    }
}

/// Whether a socket starts an instance for each connection, which lives as long as that and cannot be started by its name.
/// Source: systemd.socket(5), `Accept=`.
fn is_per_connection(
    template: &UnitName,
    units: &BTreeMap<UnitName, Unit>,
    texts: &BTreeMap<GuestPath, String>,
) -> bool {
    let Some((name, _)) = template.as_str().split_once("@.").filter(|_| is_a(template, "service"))
    else {
        return false;
    };
    let socket = format!("{name}.socket").parse::<UnitName>().ok();
    let text = socket.and_then(|socket| units.get(&socket)).map(|unit| unit.text(texts));
    text.is_some_and(|text| text.flag("Socket", "Accept") == Some(true))
}
