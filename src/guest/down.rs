//! Units that the live generation starts and that do not run, when it is certain that they should.
//!
//! A unit that is inactive may have ended as it was meant to: a oneshot, a service that a timer or a socket starts, a
//! program that was done. None of these is drift. `UnitReport::stopped` says of the others that a job ended them.

use super::error::GuestError;
use super::fs::{GuestFs, Kind};
use super::system::UnitReport;
use crate::model::{Down, Ledger, Manifest, UnitName};
use std::collections::{BTreeMap, BTreeSet};

const UNITS: &str = "/etc/systemd/system/";
/// Where `systemctl mask --runtime` puts its link, which only counts where `UNITS` has no file.
const UNITS_UNTIL_BOOT: &str = "/run/systemd/system/";

/// Units that a ledger's own links want at boot.
pub fn enabled(ledger: &Ledger) -> BTreeSet<UnitName> {
    let is_wanted = |path: &str| path.contains(".wants/") || path.contains(".requires/");
    let links = ledger.paths.keys().filter(|path| is_wanted(path.as_str()));
    links.filter_map(|path| path.file_name().parse().ok()).collect()
}

/// Units that a generation starts: those that it enables, and those of packages for which it has files.
pub fn started(ledger: &Ledger, manifest: Option<&Manifest>) -> BTreeSet<UnitName> {
    let mut units = enabled(ledger);
    units.extend(manifest.into_iter().flat_map(|manifest| manifest.units.keys().cloned()));
    units
}

/// Which of these do not run as they should, and why.
pub fn down(
    fs: &mut dyn GuestFs,
    ledger: &Ledger,
    started: &BTreeSet<UnitName>,
    reports: &BTreeMap<UnitName, UnitReport>,
) -> Result<BTreeMap<UnitName, Down>, GuestError> {
    let (mut found, enabled) = (BTreeMap::new(), enabled(ledger));
    for unit in started {
        let Some(report) = reports.get(unit) else { continue };
        // A oneshot that failed has its next run; a package's own unit may fail for what no file of ours is about.
        let is_ours = enabled.contains(unit) && !report.ends;
        let down = why(fs, ledger, unit, report)?;
        if let Some(down) = down.filter(|down| is_ours || down.by_hand()) {
            found.insert(unit.clone(), down);
        }
    }
    Ok(found)
}

fn why(
    fs: &mut dyn GuestFs,
    ledger: &Ledger,
    unit: &UnitName,
    report: &UnitReport,
) -> Result<Option<Down>, GuestError> {
    let file = format!("{UNITS}{unit}");
    let is_owned = ledger.paths.keys().any(|path| path.as_str() == file);
    Ok(match report.load.as_str() {
        "masked" if !is_owned && is_mask(fs, &file)? => Some(Down::Masked),
        "masked" if is_mask(fs, &format!("{UNITS_UNTIL_BOOT}{unit}"))? => {
            Some(Down::MaskedUntilBoot)
        }
        _ if report.active == "failed" => Some(Down::Failed),
        _ if report.active != "inactive" => None,
        // Its file went, and the service manager has forgotten when it ran.
        "not-found" if is_owned => Some(Down::Stopped),
        "loaded" if report.stopped => Some(Down::Stopped),
        _ => None,
    })
}

fn is_mask(fs: &mut dyn GuestFs, file: &str) -> Result<bool, GuestError> {
    let is_link = fs.stat(file)?.is_some_and(|stat| stat.kind == Kind::Link);
    Ok(is_link && fs.read_link(file)? == "/dev/null")
}
