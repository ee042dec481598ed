//! What a switch does to each unit: the decision table of NixOS's `switch-to-configuration`, for Debian.
//!
//! Six rows differ. Targets are not started again, but for those that ask to be stopped: what is newly enabled is started
//! by its name. On Debian a unit's text does not change when its files do, so hashes, tags and the release count too. Files
//! of Debian's own services count for these. A service is stopped before the flip only when its old text says how to stop it
//! (`ExecStop`) or asks for it (`X-StopIfChanged`): otherwise a restart afterwards has less downtime. `RefuseManualStart`
//! counts like `RefuseManualStop`, also for what such a unit would go down with. And a oneshot that is at work, without
//! `RemainAfterExit`, is left alone: a timer's job would be killed and run once more, and its next run reads the change.

mod defined;
mod dependents;
mod found;
mod instances;
mod jobs;
mod migration;
mod readers;
mod refusals;
mod sockets;
mod targets;

use super::{FileChange, Live, live::unit_texts, unit_file::UnitFile};
use crate::model::{Bundle, Down, GuestPath, Manifest, SecretName, UnitName, protocol::UnitState};
use defined::{Unit, of_manifest};
use dependents::with_dependents;
pub(super) use found::as_found;
use instances::with_running;
use jobs::{at_work, ends};
pub(super) use readers::unread;
use refusals::{Generation, Refusals};
use serde::Serialize;
use std::collections::{BTreeMap, BTreeSet};

/// What happens to a unit.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum UnitDecision {
    Reload,
    Restart,
    /// Stopped while its old files stand, started after the switch.
    StopThenStart,
    Start,
    Stop,
    /// It changed, and is a job at work; or its own text says that it must not be restarted, or that of what would go down with it.
    LeftAlone,
}

impl UnitDecision {
    pub fn word(self) -> &'static str {
        match self {
            Self::Reload => "reload",
            Self::Restart => "restart",
            Self::StopThenStart => "stop+start",
            Self::Start => "start",
            Self::Stop => "stop",
            Self::LeftAlone => "leave",
        }
    }
}

/// A decision with its causes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct UnitChange {
    pub decision: UnitDecision,
    pub causes: Vec<String>,
}

/// `[Unit]` keys that change nothing about what runs.
const COSMETIC: [&str; 12] = [
    "Description",
    "Documentation",
    "OnFailure",
    "OnSuccess",
    "OnFailureJobMode",
    "IgnoreOnIsolate",
    "StopWhenUnneeded",
    "RefuseManualStart",
    "RefuseManualStop",
    "AllowIsolate",
    "CollectMode",
    "SourcePath",
];

/// Units that a plan for this bundle has to know the state of.
pub fn watched_units(manifest: &Manifest) -> BTreeSet<UnitName> {
    let mut watched = mentioned(manifest);
    watched.extend(readers::of_debian());
    watched.extend(manifest.overlay().filter_map(|(path, _)| readers::of_package(&path)));
    watched
}

/// Units that a bundle with this manifest has, enables, or has files for.
pub(super) fn mentioned(manifest: &Manifest) -> BTreeSet<UnitName> {
    of_manifest(manifest).into_keys().collect()
}

/// Units that a bundle with this manifest starts at boot.
fn enabled(manifest: &Manifest) -> BTreeSet<UnitName> {
    let units = of_manifest(manifest).into_iter().filter(|(_, unit)| unit.enabled);
    units.map(|(name, _)| name).collect()
}

/// Files that units of a bundle with this manifest are known to read.
fn mentioned_inputs(manifest: &Manifest) -> impl Iterator<Item = GuestPath> {
    let inputs = of_manifest(manifest).into_values().map(|unit| unit.inputs);
    inputs.flat_map(|inputs| inputs.restart.into_keys().chain(inputs.reload.into_keys()))
}

/// Units that run where a bundle with this manifest is live: those that it enables, and Debian's own.
pub(super) fn expected_active(manifest: &Manifest) -> BTreeSet<UnitName> {
    let runs = |unit: &Unit| !unit.masked && (unit.enabled || !unit.own());
    let units = of_manifest(manifest).into_iter().filter(|(_, unit)| runs(unit));
    let mut active: BTreeSet<UnitName> = units.map(|(name, _)| name).collect();
    active.extend(readers::of_debian());
    active
}

/// What else than files differs between the two generations.
pub(super) struct Differences<'a> {
    pub(super) secrets: &'a BTreeSet<SecretName>,
    pub(super) release: bool,
    pub(super) files: &'a BTreeMap<GuestPath, FileChange>,
    /// Paths that somebody changed by hand, and that are put back.
    pub(super) drifted: &'a BTreeSet<GuestPath>,
    /// Drop-ins of others, by the unit that they are for, which are taken away.
    pub(super) drop_ins: &'a BTreeMap<GuestPath, UnitName>,
    /// Units of the live generation that do not run as it has them.
    pub(super) down: &'a BTreeMap<UnitName, Down>,
}

impl Differences<'_> {
    fn any(&self) -> bool {
        let Self { secrets, release, files, drifted, drop_ins, down } = self;
        let none = secrets.is_empty() && files.is_empty() && drifted.is_empty();
        !none || *release || !drop_ins.is_empty() || !down.is_empty()
    }
}

/// Decides for every unit. Units that nothing happens to are left out.
pub(super) fn decide(
    live: &Live,
    wanted: &Bundle,
    differences: &Differences<'_>,
    states: &BTreeMap<UnitName, UnitState>,
) -> BTreeMap<UnitName, UnitChange> {
    let old_units = live.units(states);
    let new_texts = unit_texts(wanted);
    // What the live generation enables, and the new one does not, goes.
    let enabled = live.manifest.as_ref().map(enabled).unwrap_or_default();
    let new_units = with_running(&wanted.manifest, &new_texts, states, &enabled);
    let mut decided = BTreeMap::new();
    for (name, old) in &old_units {
        let goes = old.own() && !new_units.get(name).is_some_and(Unit::own);
        let stops = || !outlives(old, &live.unit_texts);
        if goes && is_active(states, name) && stops() {
            // An instance is of its template's file, which may stay.
            let cause = if name.template().is_some() { "it goes" } else { "its file goes" };
            decided.insert(name.clone(), change(UnitDecision::Stop, cause));
        }
        let is_left = !old.own() && !new_units.contains_key(name) && is_active(states, name);
        if is_left && (old.named() || !old.paths.is_empty()) {
            // A package's unit stays, and reads its own files again.
            let decision = restart_kind(name, &old.text(&live.unit_texts));
            let left = decision.map(|decision| change(decision, old.what_goes()));
            decided.extend(left.map(|change| (name.clone(), change)));
        }
    }
    for (name, new) in &new_units {
        if new.masked {
            let outlives = old_units.get(name).is_some_and(|old| outlives(old, &live.unit_texts));
            let stops = is_active(states, name) && !outlives;
            decided
                .extend(stops.then(|| (name.clone(), change(UnitDecision::Stop, "it is masked"))));
            continue;
        }
        let new_text = new.text(&new_texts);
        let Some(old) = old_units.get(name) else {
            decided.extend(appears(name, new, &new_text, states).map(|c| (name.clone(), c)));
            continue;
        };
        let old_text = old.text(&live.unit_texts);
        let pair = Pair { name, old, new, old_text: &old_text, new_text: &new_text };
        decided.extend(pair.decide(differences, states).map(|c| (name.clone(), c)));
    }
    for (name, change) in readers::changes(differences, states) {
        decided.entry(name).or_insert(change);
    }
    if differences.any() {
        targets::stopped_by_every_switch(&mut decided, &new_units, &new_texts, states);
    }
    let old = Generation { units: &old_units, texts: &live.unit_texts };
    let new = Generation { units: &new_units, texts: &new_texts };
    let refusals = Refusals::of([old, new], states);
    refusals.hold(&mut decided);
    sockets::together(&mut decided, new, &refusals, states);
    with_dependents(&mut decided, &new_units, &new_texts, states);
    decided
}

/// Whether a unit is to run on when its file goes, or is masked.
fn outlives(unit: &Unit, texts: &BTreeMap<GuestPath, String>) -> bool {
    unit.text(texts).flag("Unit", "X-StopOnRemoval") == Some(false)
}

fn appears(
    name: &UnitName,
    unit: &Unit,
    text: &UnitFile,
    states: &BTreeMap<UnitName, UnitState>,
) -> Option<UnitChange> {
    if is_active(states, name) {
        if !unit.paths.is_empty() {
            let cause = if unit.own() { "it runs by another file" } else { "it gets drop-ins" };
            return Some(change(restart_kind(name, text)?, cause));
        }
        if unit.named() {
            let reload = unit.inputs.restart.is_empty() && unit.inputs.secrets.is_empty();
            let decision = if reload { UnitDecision::Reload } else { restart_kind(name, text)? };
            return Some(change(decision, "it gets files"));
        }
        return None;
    }
    // What a package would have started was held back while it was installed.
    (unit.enabled || unit.named()).then(|| change(UnitDecision::Start, "it is new"))
}

/// A unit in both generations.
struct Pair<'a> {
    name: &'a UnitName,
    old: &'a Unit,
    new: &'a Unit,
    old_text: &'a UnitFile,
    new_text: &'a UnitFile,
}

impl Pair<'_> {
    fn decide(
        &self,
        differences: &Differences<'_>,
        states: &BTreeMap<UnitName, UnitState>,
    ) -> Option<UnitChange> {
        let (restart, reload) = self.causes(differences);
        if !is_active(states, self.name) {
            if let Some(down) = differences.down.get(self.name).filter(|_| self.is_started()) {
                return Some(change(UnitDecision::Start, down.words()));
            }
            let oneshot = self.new_text.value("Service", "Type") == Some("oneshot");
            let newly = self.new.enabled && !self.old.enabled;
            let down = self.new.enabled && (!oneshot || newly || !restart.is_empty());
            // A unit that was down before is not this switch's to start, unless something about it changed.
            let touched = newly || !restart.is_empty() || !reload.is_empty();
            let causes =
                if restart.is_empty() { vec!["it is enabled".to_owned()] } else { restart };
            return (down && touched)
                .then_some(UnitChange { decision: UnitDecision::Start, causes });
        }
        if ends(self.old_text) && ends(self.new_text) {
            return at_work(restart.into_iter().chain(reload).collect());
        }
        if restart.is_empty() {
            let decision = UnitDecision::Reload;
            return (!reload.is_empty()).then_some(UnitChange { decision, causes: reload });
        }
        let decision = self.how_to_restart()?;
        Some(UnitChange { decision, causes: restart })
    }

    /// Whether the new generation has it run all the time.
    fn is_started(&self) -> bool {
        (self.new.enabled || self.new.named()) && !ends(self.new_text)
    }

    /// Causes for a restart, and causes for which a reload is enough.
    fn causes(&self, differences: &Differences<'_>) -> (Vec<String>, Vec<String>) {
        let (mut restart, mut reload) = (Vec::new(), Vec::new());
        for (section, key) in self.old_text.differences(self.new_text) {
            match (section.as_str(), key.as_str()) {
                ("Unit", key) if COSMETIC.contains(&key) => {}
                ("Unit", "X-Reload-Triggers") | ("Mount", "Options") => {
                    reload.push(format!("{key} changed"));
                }
                ("Service", "ExecReload")
                    if self.new_text.value("Service", "ExecReload").is_none() => {}
                ("Service", "ExecReload") => reload.push("ExecReload changed".to_owned()),
                _ => restart.push(format!("{key} changed")),
            }
        }
        restart.extend(differing(&self.old.inputs.restart, &self.new.inputs.restart));
        reload.extend(differing(&self.old.inputs.reload, &self.new.inputs.reload));
        let put_back = |path: &&GuestPath| differences.drifted.contains(*path);
        let back = |path: &GuestPath| format!("{path} is put back");
        let read = self.new.paths.iter().chain(self.new.inputs.restart.keys());
        restart.extend(read.filter(put_back).map(back));
        reload.extend(self.new.inputs.reload.keys().filter(put_back).map(back));
        let drop_ins = differences.drop_ins.iter().filter(|(_, unit)| *unit == self.name);
        restart.extend(drop_ins.map(|(path, _)| format!("{path} is taken away")));
        let secrets = self.new.inputs.secrets.intersection(differences.secrets);
        restart.extend(secrets.map(|name| format!("the secret {name} changed")));
        if self.new.inputs.release && differences.release {
            restart.push("the release changed".to_owned());
        }
        (restart, reload)
    }

    fn how_to_restart(&self) -> Option<UnitDecision> {
        let decision = restart_kind(self.name, self.new_text)?;
        let own_stop = ["ExecStop", "ExecStopPost"];
        let stops = own_stop.iter().any(|key| self.old_text.value("Service", key).is_some());
        let asked = self.new_text.flag("Service", "X-StopIfChanged");
        let stop_first = is_a(self.name, "service") && asked.unwrap_or(stops);
        Some(if decision == UnitDecision::Restart && stop_first {
            UnitDecision::StopThenStart
        } else {
            decision
        })
    }
}

/// How a changed unit of this sort takes its change; none when `daemon-reload` is enough.
fn restart_kind(name: &UnitName, text: &UnitFile) -> Option<UnitDecision> {
    if ["target", "path", "slice", "device", "scope"].iter().any(|kind| is_a(name, kind)) {
        return None;
    }
    if text.flag("Service", "X-ReloadIfChanged") == Some(true) {
        return Some(UnitDecision::Reload);
    }
    Some(match (is_fixed(text), name.as_str()) {
        (true, _) => UnitDecision::LeftAlone,
        // The login that carries stackc: its sessions live on either way, and a reload never closes the door. And nobody
        // can leave the root.
        (false, "ssh.service" | "-.mount") => UnitDecision::Reload,
        (false, _) => UnitDecision::Restart,
    })
}

/// Whether a unit's own text says that no switch is to restart it.
fn is_fixed(text: &UnitFile) -> bool {
    text.flag("Service", "X-RestartIfChanged") == Some(false)
        || text.flag("Unit", "X-OnlyManualStart") == Some(true)
}

fn differing(
    old: &BTreeMap<GuestPath, crate::model::Digest>,
    new: &BTreeMap<GuestPath, crate::model::Digest>,
) -> Vec<String> {
    let paths: BTreeSet<_> = old.keys().chain(new.keys()).collect();
    let differs = paths.into_iter().filter(|path| old.get(*path) != new.get(*path));
    differs.map(|path| format!("{path} changed")).collect()
}

/// Whether a unit is of this type.
pub(super) fn is_a(name: &UnitName, kind: &str) -> bool {
    suffix(name.as_str()) == kind
}

fn suffix(name: &str) -> &str {
    name.rsplit_once('.').map_or("", |(_, suffix)| suffix)
}

pub(super) fn is_active(states: &BTreeMap<UnitName, UnitState>, name: &UnitName) -> bool {
    let active = ["active", "activating", "reloading"];
    states.get(name).is_some_and(|state| active.contains(&state.active.as_str()))
}

fn change(decision: UnitDecision, cause: &str) -> UnitChange {
    UnitChange { decision, causes: vec![cause.to_owned()] }
}
