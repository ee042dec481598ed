//! Sockets and the services that they hand connections to.

use super::{
    Generation, Refusals, Unit, UnitChange, UnitDecision, ends, is_a, is_active, is_fixed,
};
use crate::{
    model::{GuestPath, UnitName, protocol::UnitState},
    plan::unit_file::UnitFile,
};
use std::collections::BTreeMap;

/// A changed socket is bound anew only while its services are down; all stop, and the socket starts. Where one of them must
/// not go down, the socket stays as it is.
pub fn together(
    decided: &mut BTreeMap<UnitName, UnitChange>,
    new: Generation<'_>,
    refusals: &Refusals<'_>,
    states: &BTreeMap<UnitName, UnitState>,
) {
    let Generation { units, texts } = new;
    for (name, unit) in units.iter().filter(|(name, _)| is_a(name, "socket")) {
        let services = services_of(name, &unit.text(texts), units, texts);
        let services = services.into_iter().filter(|(service, apart)| {
            // One that listens for itself as well may restart beside its socket.
            !apart || restarts(decided, name) || !restarts(decided, service)
        });
        let services: Vec<UnitName> = services.map(|(service, _)| service).collect();
        let restarting = services.iter().find(|service| restarts(decided, service)).cloned();
        if !is_active(states, name) || !(restarts(decided, name) || restarting.is_some()) {
            continue;
        }
        let stays = |service: &&UnitName| {
            let text = units.get(*service).map(|unit| unit.text(texts));
            is_active(states, service)
                && (text.is_some_and(|text| is_fixed(&text) || ends(&text))
                    || refusals.reason(service).is_some())
        };
        if let Some(service) = services.iter().find(stays) {
            leave(decided, name, service);
            continue;
        }
        if refusals.reason(name).is_some() {
            continue;
        }
        let changed = restarts(decided, name);
        join(decided, name, restarting.map(|service| format!("it belongs to {service}")));
        let cause =
            if changed { format!("{name} changed") } else { format!("it goes down with {name}") };
        for service in services.iter().filter(|service| is_active(states, service)) {
            let is_told = !changed && decided.contains_key(service);
            join(decided, service, (!is_told).then(|| cause.clone()));
        }
    }
}

/// Stops a unit with its pair, for this cause besides its own.
fn join(decided: &mut BTreeMap<UnitName, UnitChange>, name: &UnitName, cause: Option<String>) {
    let joined = decided.entry(name.clone()).or_insert_with(|| UnitChange {
        decision: UnitDecision::StopThenStart,
        causes: Vec::new(),
    });
    joined.decision = UnitDecision::StopThenStart;
    joined.causes.extend(cause);
}

/// Leaves a socket alone for a service that runs on. Other services of it may still restart beside it.
fn leave(decided: &mut BTreeMap<UnitName, UnitChange>, socket: &UnitName, service: &UnitName) {
    if restarts(decided, socket)
        && let Some(change) = decided.get_mut(socket)
    {
        change.decision = UnitDecision::LeftAlone;
        change.causes.push(format!("it listens anew only while {service} is down"));
    }
}

fn restarts(decided: &BTreeMap<UnitName, UnitChange>, name: &UnitName) -> bool {
    decided.get(name).is_some_and(|change| {
        matches!(change.decision, UnitDecision::Restart | UnitDecision::StopThenStart)
    })
}

/// The services that a socket hands connections to, its own first, each with whether it says `X-NotSocketActivated`.
fn services_of(
    socket: &UnitName,
    text: &UnitFile,
    units: &BTreeMap<UnitName, Unit>,
    texts: &BTreeMap<GuestPath, String>,
) -> Vec<(UnitName, bool)> {
    let own = || socket.as_str().trim_end_matches("socket").to_owned() + "service";
    let own = text.value("Socket", "Service").map_or_else(own, str::to_owned);
    let mut services: Vec<(UnitName, bool)> =
        own.parse().map(|own| (own, false)).into_iter().collect();
    for (name, unit) in units.iter().filter(|(name, _)| is_a(name, "service")) {
        let text = unit.text(texts);
        let apart = text.flag("Service", "X-NotSocketActivated") == Some(true);
        let sockets = text.value("Service", "Sockets").unwrap_or_default();
        if let Some(own) = services.iter_mut().find(|(service, _)| service == name) {
            own.1 = apart;
        } else if sockets.split_whitespace().any(|word| word == socket.as_str()) {
            services.push((name.clone(), apart));
        }
    }
    services
}
