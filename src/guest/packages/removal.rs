//! Packages that stackc has brought and that nothing needs any more: found, and removed as they were shown.

use super::record::Record;
use super::services::{self, mentions};
use super::status::Installed;
use super::{apt, apt_words, hold, release_services, simulated_names};
use crate::guest::error::GuestError;
use crate::guest::system::UnitJob;
use crate::guest::{Guest, generation, store};
use crate::model::{AptDocument, Generation, Ledger, PackageName, UnitName, document};
use std::collections::{BTreeMap, BTreeSet};

/// Ends an installation or a removal that was interrupted: what is half there can be neither counted nor removed.
pub fn settle(guest: &mut Guest) -> Result<(), GuestError> {
    if !Installed::read(guest.fs)?.is_half() {
        return Ok(());
    }
    held(guest, |guest| apt(guest, &["dpkg", "--configure", "-a", "--force-confold"]).map(drop))
}

/// What can go when these generations are kept, with the bytes that each package takes.
pub fn find(
    guest: &mut Guest,
    kept: &[Generation],
) -> Result<BTreeMap<PackageName, u64>, GuestError> {
    let mut record = Record::read(guest.fs)?;
    let installed = Installed::read(guest.fs)?;
    record.settle(&installed);
    let mut declared = BTreeSet::new();
    let mut ledgers: Vec<Ledger> = Vec::new();
    for generation in kept {
        ledgers.push(generation::ledger(guest.fs, generation.number)?);
        let Some(digest) = generation.digest else { continue };
        let apt: Option<AptDocument> = store::document(guest.fs, &digest, document::APT)?;
        declared.extend(apt.unwrap_or_default().packages.into_keys());
    }
    let is_mentioned = |unit: &UnitName| ledgers.iter().any(|ledger| mentions(ledger, unit));
    let declared = declared.iter().map(PackageName::as_str);
    let needed = record.needed(&installed, declared, is_mentioned);
    let unneeded = record.packages.keys().filter(|name| !needed.contains(*name));
    let found: BTreeMap<PackageName, u64> =
        unneeded.map(|name| (name.clone(), installed.bytes(name.as_str()))).collect();
    refuse_more(guest, &found)?;
    Ok(found)
}

/// Refuses when apt would remove another package with these.
fn refuse_more(guest: &mut Guest, found: &BTreeMap<PackageName, u64>) -> Result<(), GuestError> {
    if found.is_empty() {
        return Ok(());
    }
    let simulated = apt(guest, &words(&["-s"], found))?;
    let more = simulated_names(&simulated, "Remv").filter(|name| !found.contains_key(name));
    let more: Vec<String> = more.map(|name| name.to_string()).collect();
    if more.is_empty() {
        return Ok(());
    }
    let what = format!("with what can go apt would remove {} as well", more.join(", "));
    let next = "nothing is removed; see what depends on what with `apt-get -s remove`";
    let names = found.keys().map(ToString::to_string).collect::<Vec<_>>().join(" ");
    Err(GuestError::Packages { what, next, tail: vec![format!("what can go: {names}")] })
}

/// `remove` leaves configuration files, which somebody may have changed, and data.
fn words<'w>(options: &[&'w str], packages: &'w BTreeMap<PackageName, u64>) -> Vec<&'w str> {
    let mut argv = apt_words(options);
    argv.extend(["remove", "--"]);
    argv.extend(packages.keys().map(PackageName::as_str));
    argv
}

/// Removes packages, their services stopped first.
pub fn remove(guest: &mut Guest, packages: &BTreeMap<PackageName, u64>) -> Result<(), GuestError> {
    if packages.is_empty() {
        return Ok(());
    }
    let record = Record::read(guest.fs)?;
    let units = record.units().filter(|(_, package)| packages.contains_key(package));
    for (unit, _) in units.filter(|(unit, _)| !unit.is_template()) {
        guest.system.job(UnitJob::Stop, unit)?;
    }
    held(guest, |guest| apt(guest, &words(&[], packages)).map(drop))?;
    services::bind(guest)
}

/// Nothing is started or restarted by scripts of packages meanwhile.
fn held(
    guest: &mut Guest,
    work: impl FnOnce(&mut Guest) -> Result<(), GuestError>,
) -> Result<(), GuestError> {
    hold::hold(guest, &[])?;
    let done = work(guest);
    release_services(guest.fs)?;
    done
}
