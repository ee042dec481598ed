//! Services of packages that stackc has brought: they run for as long as the live generation needs their package.
//!
//! A package stays when its generation goes, and Debian starts its services at each boot. So each of their units gets a
//! condition, once, when it comes: the generation that `current` points to names the package, or a switch to one that does
//! is being prepared. The one rename that switches generations decides this too, on the way back and at boot as well.

use super::record::Record;
use super::status::Installed;
use crate::guest::Guest;
use crate::guest::error::GuestError;
use crate::guest::fs::{GuestFs, Kind, Sync, mkdir_all, replace, split};
use crate::guest::system::UnitJob;
use crate::guest::{generation, journal, place, store};
use crate::model::layout::CURRENT;
use crate::model::protocol::PackageService;
use crate::model::{AptDocument, Digest, GuestPath, Ledger, PackageName, UnitName, document};
use std::collections::{BTreeMap, BTreeSet};

const UNITS: &str = "/etc/systemd/system";
/// Where packages have their units; `/lib` is a link to `/usr/lib` since Debian 12.
const OF_PACKAGES: &str = "/usr/lib/systemd/system";
/// The paths of each package's files.
const FILES: &str = "/var/lib/dpkg/info";
/// Packages that the bundle being prepared needs, until the next boot at most: databases are ensured before the switch.
const PREPARED: &str = "/run/stackc/packages";
pub const DROP_IN: &str = "50-stackc-package.conf";

/// The packages of stackc's that a generation of this bundle needs.
pub fn needed(
    fs: &mut dyn GuestFs,
    digest: Option<Digest>,
    ledger: &Ledger,
) -> Result<BTreeSet<PackageName>, GuestError> {
    let record = Record::read(fs)?;
    if record.packages.is_empty() {
        return Ok(BTreeSet::new());
    }
    let installed = Installed::read(fs)?;
    let apt: Option<AptDocument> = match digest {
        Some(digest) => store::document(fs, &digest, document::APT)?,
        None => None,
    };
    let apt = apt.unwrap_or_default();
    let declared = apt.packages.keys().map(PackageName::as_str);
    Ok(record.needed(&installed, declared, |unit| mentions(ledger, unit)))
}

/// Whether a generation has something of its own about a unit.
pub fn mentions(ledger: &Ledger, unit: &UnitName) -> bool {
    let is_of = |path: &GuestPath| {
        let rest = path.as_str().strip_prefix(UNITS).and_then(|rest| rest.strip_prefix('/'));
        let mut parts = rest.unwrap_or_default().split('/');
        parts.any(|part| part.strip_suffix(".d").unwrap_or(part) == unit.as_str())
    };
    ledger.paths.keys().any(is_of)
}

/// Names in a generation's folder the packages that it needs.
pub fn name_needed(
    fs: &mut dyn GuestFs,
    folder: &str,
    needed: &BTreeSet<PackageName>,
) -> Result<(), GuestError> {
    if needed.is_empty() {
        return Ok(());
    }
    let folder = format!("{folder}/packages");
    fs.mkdir(&folder, 0o755)?;
    for package in needed {
        // Without bytes there is nothing to make durable but the name.
        fs.write(&format!("{folder}/{package}"), &mut &b""[..], 0o644, Sync::Later)?;
    }
    Ok(fs.sync_dir(&folder)?)
}

/// Lets the services of what a bundle needs be started before its switch, and no others of stackc's packages.
pub fn prepare(guest: &mut Guest, digest: &Digest) -> Result<(), GuestError> {
    bind(guest)?;
    let needed = needed(guest.fs, Some(*digest), &Ledger::default())?;
    forget_prepared(guest.fs)?;
    for package in &needed {
        mkdir_all(guest.fs, PREPARED, 0o755)?;
        guest.fs.write(&format!("{PREPARED}/{package}"), &mut &b""[..], 0o644, Sync::Later)?;
    }
    Ok(())
}

/// No switch is being prepared any more.
pub fn forget_prepared(fs: &mut dyn GuestFs) -> Result<(), GuestError> {
    Ok(fs.remove_tree(PREPARED)?)
}

/// Starts what may start as soon as its package is there, where an installation did not: it rested, or was stopped since.
pub fn start_allowed(guest: &mut Guest, apt: &AptDocument) -> Result<(), GuestError> {
    let record = Record::read(guest.fs)?;
    let prepared: BTreeSet<String> = guest.fs.list(PREPARED)?.into_iter().collect();
    let starts = |(unit, package): &(&UnitName, &PackageName)| {
        prepared.contains(package.as_str()) && apt.may_start(unit) && !unit.is_template()
    };
    for (unit, _) in record.units().filter(starts) {
        if !is_active(guest, unit)? {
            guest.system.job(UnitJob::Start, unit)?;
        }
    }
    Ok(())
}

/// Stops what a preparation has started that no switch came after, which no live generation needs. Whatever a call that
/// died has installed is known by then.
pub fn rest(guest: &mut Guest) -> Result<(), GuestError> {
    if Record::read(guest.fs)?.packages.is_empty() || !journal::pending(guest.fs)?.is_empty() {
        return Ok(());
    }
    bind(guest)?;
    forget_prepared(guest.fs)?;
    for (unit, service) in observe(guest.fs, &BTreeSet::new())? {
        if !service.live && !service.wanted && is_active(guest, &unit)? {
            guest.system.job(UnitJob::Stop, &unit)?;
        }
    }
    Ok(())
}

fn is_active(guest: &mut Guest, unit: &UnitName) -> Result<bool, GuestError> {
    let reports = guest.system.units(std::slice::from_ref(unit))?;
    Ok(reports.get(unit).is_some_and(|report| report.is_active() || report.active == "activating"))
}

/// Gives every unit of stackc's packages its condition, and takes it from those whose package is gone.
pub fn bind(guest: &mut Guest) -> Result<(), GuestError> {
    let fs = &mut *guest.fs;
    let (mut record, installed) = (Record::read(fs)?, Installed::read(fs)?);
    let before = record.clone();
    record.settle(&installed);
    for (name, brought) in &mut record.packages {
        brought.units = units_of(fs, name)?;
    }
    let bound: BTreeSet<&UnitName> = record.units().map(|(unit, _)| unit).collect();
    let mut changed = false;
    for (unit, _) in before.units().filter(|(unit, _)| !bound.contains(unit)) {
        changed |= unbind(fs, unit)?;
    }
    for (unit, package) in record.units() {
        changed |= bind_one(fs, unit, package)?;
    }
    if record != before {
        record.write(fs)?;
    }
    if changed {
        guest.system.daemon_reload()?;
    }
    Ok(())
}

/// Takes the conditions away from every unit: nobody is left to name what is needed.
pub fn release(guest: &mut Guest) -> Result<(), GuestError> {
    let record = Record::read(guest.fs)?;
    let units: BTreeSet<&UnitName> = record.units().map(|(unit, _)| unit).collect();
    let mut changed = false;
    for unit in units {
        changed |= unbind(guest.fs, unit)?;
    }
    if changed {
        guest.system.daemon_reload()?;
    }
    Ok(())
}

fn path_of(unit: &UnitName) -> String {
    format!("{UNITS}/{unit}.d/{DROP_IN}")
}

fn bind_one(
    fs: &mut dyn GuestFs,
    unit: &UnitName,
    package: &PackageName,
) -> Result<bool, GuestError> {
    let path = path_of(unit);
    let text = format!(
        "# Written by stackc, which has installed the package {package}: this unit starts while the live\n\
         # generation needs that package. `stackc gc --packages` removes what none needs any more.\n\
         [Unit]\n\
         ConditionPathExists=|{CURRENT}/packages/{package}\n\
         ConditionPathExists=|{PREPARED}/{package}\n"
    );
    if fs.stat(&path)?.is_some() && fs.read(&path)? == text.as_bytes() {
        return Ok(false);
    }
    mkdir_all(fs, split(&path).0, 0o755)?;
    replace(fs, &path, text.as_bytes(), 0o644)?;
    Ok(true)
}

fn unbind(fs: &mut dyn GuestFs, unit: &UnitName) -> Result<bool, GuestError> {
    let path = path_of(unit);
    if fs.stat(&path)?.is_none() {
        return Ok(false);
    }
    let folder = split(&path).0;
    fs.remove(&path)?;
    place::remove_or_leave(fs, folder)?;
    let changed = if fs.stat(folder)?.is_some() { folder } else { UNITS };
    fs.sync_dir(changed)?;
    Ok(true)
}

/// The units of a package that run by themselves: at boot, on a socket, by a timer.
fn units_of(fs: &mut dyn GuestFs, package: &PackageName) -> Result<BTreeSet<UnitName>, GuestError> {
    let mut units = BTreeSet::new();
    for path in files_of(fs, package)? {
        let Some((folder, name)) = path.rsplit_once('/') else { continue };
        let unit = match folder {
            "/lib/systemd/system" | OF_PACKAGES => name.to_owned(),
            "/etc/init.d" => format!("{name}.service"),
            _ => continue,
        };
        let sorts = [".service", ".socket", ".timer", ".path"];
        let Ok(unit) = unit.parse::<UnitName>() else { continue };
        if !sorts.iter().any(|sort| unit.as_str().ends_with(sort)) {
            continue;
        }
        let native = format!("{OF_PACKAGES}/{unit}");
        let runs = match fs.stat(&native)?.map(|stat| stat.kind) {
            Some(Kind::File) => runs_by_itself(&String::from_utf8_lossy(&fs.read(&native)?)),
            // An alias or a mask of the package's own.
            Some(_) => false,
            None => folder == "/etc/init.d",
        };
        units.extend(runs.then_some(unit));
    }
    Ok(units)
}

fn files_of(fs: &mut dyn GuestFs, package: &PackageName) -> Result<Vec<String>, GuestError> {
    for list in [format!("{FILES}/{package}.list"), format!("{FILES}/{package}:amd64.list")] {
        if fs.stat(&list)?.is_some() {
            let text = String::from_utf8_lossy(&fs.read(&list)?).into_owned();
            return Ok(text.lines().map(str::to_owned).collect());
        }
    }
    Ok(Vec::new())
}

/// Units that others start when they need them, parts of the early boot, and those with alternatives of their own among
/// their conditions, which ours would join, are left alone.
fn runs_by_itself(text: &str) -> bool {
    let others = |line: &str| {
        line.starts_with("RefuseManual")
            || line == "DefaultDependencies=no"
            || (line.starts_with("Condition") && line.contains("=|"))
    };
    text.lines().any(|line| line == "[Install]") && !text.lines().any(others)
}

/// Every service of stackc's packages, and which generation needs it.
pub fn observe(
    fs: &mut dyn GuestFs,
    wanted: &BTreeSet<String>,
) -> Result<BTreeMap<UnitName, PackageService>, GuestError> {
    let record = Record::read(fs)?;
    if record.units().next().is_none() {
        return Ok(BTreeMap::new());
    }
    let installed = Installed::read(fs)?;
    let wanted = record.needed(&installed, wanted.iter().map(String::as_str), |_| false);
    let live = generation::live(fs)?;
    let mut services = BTreeMap::new();
    for (unit, package) in record.units().filter(|(unit, _)| !unit.is_template()) {
        let live = match live {
            Some(number) => {
                fs.stat(&format!("{}/packages/{package}", generation::path(number)))?.is_some()
            }
            None => false,
        };
        let (package, wanted) = (package.clone(), wanted.contains(package));
        services.insert(unit.clone(), PackageService { package, wanted, live });
    }
    Ok(services)
}
