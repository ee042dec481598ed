//! The switch as the guest carries it out: no choice left.

use super::{
    Documents, FileChange, Live, Wanted, changes, ledger,
    live::UNITS,
    packages, placement,
    units::{Differences, UnitChange, UnitDecision, as_found, decide, is_a},
};
use crate::model::{
    Down, FirewallAction, Generation, GenerationCause, GenerationId, GuestPath, Ledger, Manifest,
    Nonce, Outcome, ReleaseId, RuntimeDrift, Switch, TxId, UnitActions, UnitName, document, layout,
    protocol::ObservedGuest,
};
use std::collections::{BTreeMap, BTreeSet};

/// What the operator's side knows of the generation to make, and the plan does not.
#[derive(Debug, Clone)]
pub struct NewGeneration {
    pub tx: TxId,
    pub nonce: Nonce,
    pub release: Option<ReleaseId>,
    pub cause: GenerationCause,
    /// The parent to inherit; without one it is what rule says for an activation.
    pub parent: Option<GenerationId>,
    pub by: String,
    /// RFC 3339, UTC, whole seconds.
    pub at: String,
}

/// The confirmed generation that was live when the wanted bundle was first made live.
pub fn parent(live: &Live, wanted: &Wanted<'_>) -> GenerationId {
    match &live.generation {
        None => GenerationId::FOUND,
        Some(live) if live.digest == wanted.bundle.recorded_digest() => {
            live.parent.unwrap_or(GenerationId::FOUND)
        }
        Some(live) => live.number,
    }
}

/// Puts the switch together from what the guest reports right before it.
pub fn switch(
    wanted: &Wanted<'_>,
    documents: &Documents,
    observed: &ObservedGuest,
    new: NewGeneration,
) -> Switch {
    let live = Live::of(observed, wanted.bundle);
    let new_ledger = ledger(wanted.bundle);
    let release_changes = new.release != live.release();
    let drifted: BTreeSet<GuestPath> = observed.drift.keys().cloned().collect();
    let units = unit_changes(wanted, documents, &live, release_changes, observed);
    let overrides = overrides(observed, &new_ledger);
    let reload = reload_needed(&live, wanted)
        || !overrides.is_empty()
        || drifted.iter().any(|path| path.as_str().starts_with(UNITS));
    let mut placement = placement(&live.ledger, &new_ledger, &drifted);
    placement.remove.extend(overrides);
    let parent = new.parent.unwrap_or_else(|| parent(&live, wanted));
    Switch {
        tx: new.tx,
        nonce: new.nonce,
        from: live.generation.as_ref().map_or(GenerationId::FOUND, |g| g.number),
        generation: Generation {
            number: GenerationId(observed.last_number.0 + 1),
            digest: wanted.bundle.recorded_digest(),
            release: new.release,
            secrets: wanted.secrets,
            tags: wanted.tags.clone(),
            parent: Some(parent),
            cause: new.cause,
            by: new.by,
            at: new.at,
            outcome: Outcome::Pending,
            proxmox: (!wanted.bundle.is_found()).then_some(documents.proxmox_digest),
        },
        placement,
        ledger: new_ledger,
        undo_units: resting(
            undo_actions(&units, reload),
            &packages::only_new(&wanted.bundle.manifest, observed),
        ),
        units: actions(&units, reload),
        firewall: firewall(wanted, documents, &live, observed),
        hooks: documents.hooks.after_switch.clone(),
        health: documents.health.clone(),
    }
}

pub(super) fn file_changes(wanted: &Wanted<'_>, live: &Live) -> BTreeMap<GuestPath, FileChange> {
    changes(live.manifest.as_ref(), &wanted.bundle.manifest, &live.tags(), wanted.tags)
}

pub(super) fn unit_changes(
    wanted: &Wanted<'_>,
    documents: &Documents,
    live: &Live,
    release: bool,
    observed: &ObservedGuest,
) -> BTreeMap<UnitName, UnitChange> {
    let files = file_changes(wanted, live);
    let old_tags = live.tags();
    let changed = wanted.tags.iter().filter(|(name, tag)| old_tags.get(name) != Some(tag));
    let secrets = changed.map(|(name, _)| name.clone()).collect();
    let drifted = observed.drift.keys().cloned().collect();
    let drop_ins = of_brought(&observed.runtime_drift.drop_ins, &ledger(wanted.bundle));
    let differences = Differences {
        secrets: &secrets,
        release,
        files: &files,
        drifted: &drifted,
        drop_ins: &drop_ins,
        down: &observed.runtime_drift.units,
    };
    let mut decided = decide(live, wanted.bundle, &differences, &observed.units);
    packages::services(&mut decided, &wanted.bundle.manifest, &documents.apt, observed);
    if wanted.bundle.is_found() {
        as_found(&mut decided, live, observed);
    }
    decided
}

/// Links by which somebody masked units that run in the live generation, and drop-ins and links of others for units that the
/// wanted one brings. They are nobody's in a ledger, and leave.
fn overrides(observed: &ObservedGuest, wanted: &Ledger) -> Vec<GuestPath> {
    let links = observed.runtime_drift.units.iter().filter_map(|(unit, down)| match down {
        Down::Masked => format!("{UNITS}{unit}").parse().ok(),
        Down::MaskedUntilBoot => format!("/run/systemd/system/{unit}").parse().ok(),
        Down::Stopped | Down::Failed => None,
    });
    let links = links.filter(|path| !wanted.paths.contains_key(path));
    let RuntimeDrift { drop_ins, enabled, .. } = &observed.runtime_drift;
    let of_others = [drop_ins, enabled].into_iter().flat_map(|found| of_brought(found, wanted));
    links.chain(of_others.map(|(path, _)| path)).collect()
}

/// What others have for units that the wanted generation brings, and is not its own from now on.
fn of_brought(
    found: &BTreeMap<GuestPath, UnitName>,
    wanted: &Ledger,
) -> BTreeMap<GuestPath, UnitName> {
    let is_own = |unit: &UnitName| {
        format!("{UNITS}{unit}")
            .parse()
            .is_ok_and(|path: GuestPath| wanted.paths.contains_key(&path))
    };
    let mut found = found.clone();
    found.retain(|path, unit| is_own(unit) && !wanted.paths.contains_key(path));
    found
}

/// Whether the service manager must read again. Another tree has other times of change, by which it would say for ever
/// that its units changed on disk; so it reads again also where no unit's text is another.
fn reload_needed(live: &Live, wanted: &Wanted<'_>) -> bool {
    let new = &wanted.bundle.manifest;
    let has_units =
        |manifest: &Manifest| manifest.overlay().any(|(path, _)| path.as_str().starts_with(UNITS));
    live.manifest.as_ref() != Some(new)
        && (has_units(new) || live.manifest.as_ref().is_some_and(has_units))
}

fn of(units: &BTreeMap<UnitName, UnitChange>, wanted: &[UnitDecision]) -> Vec<UnitName> {
    let chosen = units.iter().filter(|(_, change)| wanted.contains(&change.decision));
    let mut names: Vec<UnitName> = chosen.map(|(name, _)| name.clone()).collect();
    // Sockets before what they hand connections to; timers last.
    names.sort_by_key(|name| (!is_a(name, "socket"), is_a(name, "timer")));
    names
}

fn actions(units: &BTreeMap<UnitName, UnitChange>, daemon_reload: bool) -> UnitActions {
    use UnitDecision::{Reload, Restart, Start, Stop, StopThenStart};
    let mut stop = of(units, &[Stop, StopThenStart]);
    // A service first, then its socket, which would start it again.
    stop.reverse();
    UnitActions {
        stop,
        daemon_reload,
        reload: of(units, &[Reload]),
        restart: of(units, &[Restart]),
        start: of(units, &[Start, StopThenStart]),
    }
}

/// The way back: what came is stopped, what went is started, what changed is restarted. A socket cannot be restarted while
/// its service runs, so what stopped together stops together again.
fn undo_actions(units: &BTreeMap<UnitName, UnitChange>, daemon_reload: bool) -> UnitActions {
    use UnitDecision::{Reload, Restart, Start, Stop, StopThenStart};
    let mut stop = of(units, &[Start, StopThenStart]);
    stop.reverse();
    UnitActions {
        stop,
        daemon_reload,
        reload: of(units, &[Reload]),
        restart: of(units, &[Restart]),
        start: of(units, &[Stop, StopThenStart]),
    }
}

/// Services that only the new generation needs rest where the way back ends.
fn resting(mut undo: UnitActions, services: &BTreeSet<UnitName>) -> UnitActions {
    for list in [&mut undo.reload, &mut undo.restart, &mut undo.start] {
        list.retain(|unit| !services.contains(unit));
    }
    let more = services.iter().filter(|unit| !undo.stop.contains(unit)).cloned();
    let more: Vec<UnitName> = more.collect();
    undo.stop.extend(more);
    undo
}

/// Rules are loaded when they or ufw's keys differ, and when they are wanted and not in the kernel.
fn firewall(
    wanted: &Wanted<'_>,
    documents: &Documents,
    live: &Live,
    observed: &ObservedGuest,
) -> FirewallAction {
    if wanted.bundle.is_found() {
        return FirewallAction::Found;
    }
    let Some(ufw) = &documents.ufw else { return FirewallAction::Keep };
    let names = [document::UFW, document::USER_RULES, document::USER6_RULES];
    let same = names.iter().all(|name| live.has_same(wanted.bundle, name));
    let drifted = observed.drift.keys().any(|path| {
        let files =
            [layout::USER_RULES, layout::USER6_RULES, layout::UFW_CONF, layout::UFW_DEFAULTS];
        files.contains(&path.as_str())
    });
    let in_kernel =
        observed.runtime_drift.firewall.is_empty() && (!ufw.enabled || observed.firewall_active);
    if !same || drifted || !in_kernel { FirewallAction::Apply } else { FirewallAction::Keep }
}
