//! What goes with files that leave the definitions, and what they leave behind: no generation takes that back.

use super::{FileChange, Live};
use crate::model::{
    Bundle, GuestPath, TmpfilesLine, protocol::FoundSystem, sysctl_keys, sysctl_name,
};
use std::collections::{BTreeMap, BTreeSet};

pub const USERS_STAY: &str = "users stay";
const SYSCTL: &str = "/etc/sysctl.d/";
const UNKNOWN: &str =
    "kernel parameters whose value of before is not known stay until the next start";
const TMPFILES: &str = "/etc/tmpfiles.d/";

/// What files leave behind that others' programs have read, a few words each.
pub fn stays(
    files: &BTreeMap<GuestPath, FileChange>,
    live: &Live,
    wanted: &Bundle,
    found: Option<&FoundSystem>,
) -> Vec<String> {
    let goes = |folder: &str| {
        let gone = files.iter().filter(|(_, change)| **change == FileChange::Removed);
        gone.map(|(path, _)| path).any(|path| path.as_str().starts_with(folder))
    };
    let mut told = Vec::new();
    let made = left(live, wanted, TMPFILES, made_by);
    if !made.is_empty() {
        told.push(format!("what tmpfiles.d has made stays: {}", Vec::from_iter(made).join(", ")));
    }
    let unknown = left(live, wanted, SYSCTL, sysctl_keys);
    let is_unknown = |key: &&String| found.is_none_or(|found| !found.sysctls.contains_key(*key));
    let unknown: Vec<String> =
        unknown.iter().filter(is_unknown).map(|key| sysctl_name(key)).collect();
    if !unknown.is_empty() {
        told.push(format!("{UNKNOWN}: {}", unknown.join(", ")));
    }
    let sorts = [
        ("/etc/sysusers.d/", USERS_STAY),
        ("/etc/modules-load.d/", "modules stay loaded until the next start"),
        ("/etc/security/limits.d/", "sessions that are open keep their limits"),
    ];
    told.extend(sorts.iter().filter(|(folder, _)| goes(folder)).map(|(_, w)| (*w).to_owned()));
    told
}

/// Kernel parameters that leave, with the values that they have again.
pub fn put_back(live: &Live, wanted: &Bundle, found: Option<&FoundSystem>) -> Vec<String> {
    let value = |key: &String| {
        let value = found?.sysctls.get(key)?;
        Some(format!("sysctl {} is {value} again, as it was found", sysctl_name(key)))
    };
    left(live, wanted, SYSCTL, sysctl_keys).iter().filter_map(value).collect()
}

/// What the live generation's files of a folder name, and the wanted one's do not.
fn left(
    live: &Live,
    wanted: &Bundle,
    folder: &str,
    names: fn(&str) -> BTreeSet<String>,
) -> BTreeSet<String> {
    let all = |texts: &BTreeMap<GuestPath, String>| -> BTreeSet<String> {
        let texts = texts.iter().filter(|(path, _)| path.as_str().starts_with(folder));
        texts.flat_map(|(_, text)| names(text)).collect()
    };
    let kept = all(&super::live::unit_texts(wanted));
    let mut gone = all(&live.unit_texts);
    gone.retain(|name| !kept.contains(name));
    gone
}

/// What is empty after each boot is none of it.
fn made_by(text: &str) -> BTreeSet<String> {
    let lines = text.lines().filter_map(TmpfilesLine::of).filter(TmpfilesLine::makes);
    let paths = lines.filter_map(|line| line.path());
    paths.filter(|path| !path.starts_with("/run/")).collect()
}
