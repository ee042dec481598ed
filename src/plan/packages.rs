//! Packages and where they come from: when a plan goes to apt, and why; and what runs because of them.

use super::{
    Documents, FileChange, Live, UnitChange, UnitDecision, Wanted,
    units::{is_active, mentioned},
};
use crate::model::{
    AptDocument, Manifest, PackageName, UnitName, document,
    protocol::{ObservedGuest, PackageService},
};
use std::collections::{BTreeMap, BTreeSet};

/// Services of packages that stackc has installed: those that the new generation does not need stop, and those that it
/// needs again, and may start by themselves, start.
pub(super) fn services(
    units: &mut BTreeMap<UnitName, UnitChange>,
    wanted: &Manifest,
    apt: &AptDocument,
    observed: &ObservedGuest,
) {
    let mentioned = mentioned(wanted);
    for (unit, service) in &observed.services {
        let active = is_active(&observed.units, unit);
        let decided = if needs(service, unit, &mentioned) {
            let starts = !service.live && !active && apt.may_start(unit);
            starts.then(|| decision(UnitDecision::Start, service, "is declared again"))
        } else {
            units.remove(unit);
            active.then(|| decision(UnitDecision::Stop, service, "is no longer declared"))
        };
        if let Some(decided) = decided {
            units.entry(unit.clone()).or_insert(decided);
        }
    }
}

fn decision(decision: UnitDecision, service: &PackageService, why: &str) -> UnitChange {
    UnitChange { decision, causes: vec![format!("its package {} {why}", service.package)] }
}

fn needs(service: &PackageService, unit: &UnitName, mentioned: &BTreeSet<UnitName>) -> bool {
    service.wanted || mentioned.contains(unit)
}

/// Services that the new generation needs and the old one does not: going back stops them, whoever has started them.
pub(super) fn only_new(wanted: &Manifest, observed: &ObservedGuest) -> BTreeSet<UnitName> {
    let mentioned = mentioned(wanted);
    let is_new = |(unit, service): &(&UnitName, &PackageService)| {
        needs(service, unit, &mentioned) && !service.live
    };
    observed.services.iter().filter(is_new).map(|(unit, _)| unit.clone()).collect()
}

/// Whether a package is missing, or something about packages and where they come from is another than before.
pub(super) fn touch(
    wanted: &Wanted<'_>,
    documents: &Documents,
    live: &Live,
    guest: Option<&ObservedGuest>,
) -> bool {
    let missing = guest.is_none_or(|guest| !guest.missing_packages.is_empty());
    let nothing = AptDocument::default();
    let has_some = live.documents.contains_key(document::APT)
        && !live_apt(live).is_some_and(|apt| apt == nothing);
    (documents.apt != nothing || has_some)
        && (missing || !live.has_same(wanted.bundle, document::APT))
}

/// What the live bundle says of packages; none also when this version of stackc cannot read it.
fn live_apt(live: &Live) -> Option<AptDocument> {
    serde_json::from_str(live.documents.get(document::APT)?).ok()
}

/// Files of apt that come, change or go, before anything is installed; to the guest as it was found, when it is confirmed.
pub(super) fn files(live: &Live, wanted: &AptDocument) -> BTreeMap<String, FileChange> {
    let live = live_apt(live).unwrap_or_default();
    let (old, new) = (live.files(), wanted.files());
    let paths: BTreeSet<&String> = old.keys().chain(new.keys()).collect();
    let differs = paths.into_iter().filter(|path| old.get(*path) != new.get(*path));
    let change = |path: &String| FileChange::between(old.get(path), new.get(path));
    differs.map(|path| (path.clone(), change(path))).collect()
}

/// What the plan says of them.
pub(super) fn cause(documents: &Documents, live: &Live, guest: Option<&ObservedGuest>) -> String {
    let same_list = |old: AptDocument| old.packages == documents.apt.packages;
    match guest {
        Some(guest) if !guest.missing_packages.is_empty() => {
            let names: Vec<&str> = guest.missing_packages.iter().map(String::as_str).collect();
            format!("missing: {}", names.join(" "))
        }
        Some(_) if live_apt(live).is_some_and(same_list) => {
            "where packages come from differs".to_owned()
        }
        Some(_) => "the list of packages differs".to_owned(),
        None => {
            let names: Vec<&str> = documents.apt.packages.keys().map(PackageName::as_str).collect();
            names.join(" ")
        }
    }
}
