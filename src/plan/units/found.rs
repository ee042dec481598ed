//! Units on the way to generation 0, where they run again as they did when the guest was found.

use super::{Unit, UnitChange, UnitDecision, change, is_active, of_manifest};
use crate::{
    model::{UnitName, protocol::ObservedGuest},
    plan::Live,
};
use std::collections::BTreeMap;

/// However the guest was found, the door stays open.
const LOGINS: [&str; 3] = ["ssh.service", "ssh.socket", "sshd.service"];

/// Corrects what was decided, by how each unit was before stackc first touched it.
pub fn as_found(
    decided: &mut BTreeMap<UnitName, UnitChange>,
    live: &Live,
    observed: &ObservedGuest,
) {
    let old = live.manifest.as_ref().map(of_manifest).unwrap_or_default();
    let found = observed.recorded.iter().flat_map(|recorded| &recorded.found.units);
    // What came with a package of stackc's may have run before the first switch, and rests now, whatever it did.
    let rests =
        |name: &UnitName| observed.services.get(name).is_some_and(|service| !service.wanted);
    for (name, &ran) in found.filter(|(name, _)| !rests(name)) {
        let unit = old.get(name);
        let stops = decided.get(name).is_some_and(|change| change.decision == UnitDecision::Stop);
        let change = match (ran, is_active(&observed.units, name)) {
            (true, true) if stops => change(
                UnitDecision::StopThenStart,
                "the file that it ran by when it was found returns",
            ),
            (true, false) if unit.is_some_and(|unit| unit.masked) => {
                change(UnitDecision::Start, "it ran when the guest was found")
            }
            (false, true) if !unit.is_some_and(Unit::own) && !LOGINS.contains(&name.as_str()) => {
                change(UnitDecision::Stop, "it did not run when the guest was found")
            }
            _ => continue,
        };
        decided.insert(name.clone(), change);
    }
}
