//! Drop-ins that are nobody's in the ledger: `systemctl edit`, `systemctl set-property`, a file put there by hand. And links by
//! which others have units of the generation start: `systemctl enable`.

use super::error::GuestError;
use super::fs::{GuestFs, Kind};
use super::packages::services::DROP_IN;
use crate::model::{GuestPath, Ledger, Placed, UnitName};
use std::collections::{BTreeMap, BTreeSet};

/// Where a hand's drop-ins are read, `systemctl edit` and `set-property` with `--runtime` too. Packages have theirs below
/// `/usr/lib`. Source: systemd.unit(5), "System Unit Search Path".
const FOLDERS: [&str; 4] = [
    "/etc/systemd/system.control",
    "/run/systemd/system.control",
    "/etc/systemd/system",
    "/run/systemd/system",
];
const UNITS: &str = "/etc/systemd/system/";

/// What others have said of units, by path.
#[derive(Debug, Default)]
pub struct DropIns {
    /// For units that the generation brings, which run by no other text than its own.
    pub own: BTreeMap<GuestPath, UnitName>,
    /// Links to these, or to instances of them, in folders of what is wanted.
    pub enabled: BTreeMap<GuestPath, UnitName>,
    /// For packages' units that it has something of, for every unit of a sort, and for those whose name begins alike.
    pub others: BTreeSet<GuestPath>,
}

/// Looks for them. `started` are the units that the generation starts.
pub fn look(
    fs: &mut dyn GuestFs,
    ledger: &Ledger,
    started: &BTreeSet<UnitName>,
) -> Result<DropIns, GuestError> {
    let own = own(ledger);
    let mut shared: BTreeSet<String> = own.iter().flat_map(shared_names).collect();
    shared.extend(started.difference(&own).map(ToString::to_string));
    let mut found = DropIns::default();
    for folder in FOLDERS {
        let there: BTreeSet<String> = fs.list(folder)?.into_iter().collect();
        for unit in own.iter().filter(|unit| there.contains(&format!("{unit}.d"))) {
            let paths = of_others(fs, ledger, &format!("{folder}/{unit}.d"))?;
            found.own.extend(paths.into_iter().map(|path| (path, unit.clone())));
        }
        for name in shared.iter().filter(|name| there.contains(&format!("{name}.d"))) {
            found.others.extend(of_others(fs, ledger, &format!("{folder}/{name}.d"))?);
        }
        let is_wants =
            |name: &&String| [".wants", ".requires"].iter().any(|end| name.ends_with(end));
        for name in there.iter().filter(is_wants) {
            found.enabled.extend(enabled(fs, ledger, &own, &format!("{folder}/{name}"))?);
        }
    }
    Ok(found)
}

/// Units whose file is the generation's.
fn own(ledger: &Ledger) -> BTreeSet<UnitName> {
    let mask = Placed::Link { target: "/dev/null".to_owned() };
    let files = ledger.paths.iter().filter(|(_, placed)| **placed != mask);
    let names = files.filter_map(|(path, _)| path.as_str().strip_prefix(UNITS));
    names.filter_map(|name| name.parse().ok()).collect()
}

/// `service` and `app-.service` for `app-web.service`: their drop-ins count for it as well.
fn shared_names(unit: &UnitName) -> Vec<String> {
    let Some((name, kind)) = unit.as_str().rsplit_once('.') else { return Vec::new() };
    let dashes = name.match_indices('-').filter(|(at, _)| at + 1 < name.len());
    let prefixes = dashes.map(|(at, _)| format!("{}.{kind}", &name[..=at]));
    prefixes.chain([kind.to_owned()]).collect()
}

/// What is in a folder; nothing in what is none.
fn names(fs: &mut dyn GuestFs, folder: &str) -> Result<Vec<String>, GuestError> {
    let is_folder = fs.stat(folder)?.is_some_and(|stat| stat.kind == Kind::Directory);
    if is_folder { Ok(fs.list(folder)?) } else { Ok(Vec::new()) }
}

fn enabled(
    fs: &mut dyn GuestFs,
    ledger: &Ledger,
    own: &BTreeSet<UnitName>,
    folder: &str,
) -> Result<Vec<(GuestPath, UnitName)>, GuestError> {
    let mut found = Vec::new();
    for name in names(fs, folder)? {
        let (Ok(unit), Ok(path)) = (name.parse::<UnitName>(), format!("{folder}/{name}").parse())
        else {
            continue;
        };
        let unit = unit.template().unwrap_or(unit);
        if own.contains(&unit) && !ledger.paths.contains_key(&path) {
            found.push((path, unit));
        }
    }
    Ok(found)
}

fn of_others(
    fs: &mut dyn GuestFs,
    ledger: &Ledger,
    folder: &str,
) -> Result<Vec<GuestPath>, GuestError> {
    let mut found = Vec::new();
    for name in names(fs, folder)? {
        // What conditions a package's services is stackc's own, and in no ledger.
        let counts = name.strip_suffix(".conf").is_some() && name != DROP_IN;
        let Ok(path) = format!("{folder}/{name}").parse::<GuestPath>() else { continue };
        if counts && !ledger.paths.contains_key(&path) {
            found.push(path);
        }
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_unit_shares_drop_ins_with_its_sort_and_with_names_that_begin_alike() {
        let shared = |unit: &str| shared_names(&unit.parse().expect("a unit"));
        assert_eq!(shared("app-web-1.service"), ["app-.service", "app-web-.service", "service"]);
        assert_eq!(shared("app.timer"), ["timer"]);
    }
}
