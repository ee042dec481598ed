//! The guest before a switch: what an undo needs, taken down before anything changes.

use super::error::GuestError;
use super::fs::{GuestFs, Ids, Kind, split};
use super::journal::is_volatile;
use super::system::{Rules, UnitReport};
use crate::model::layout::{CURRENT, STATE};
use crate::model::{GenerationId, GuestPath, Placed, Probe, Switch, UnitName};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};

/// The guest before the switch: all that an undo needs, besides the hard links in `saved/`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Before {
    pub boot_id: String,
    pub live: Option<GenerationId>,
    /// What was wrong already with the tree that an undo goes back to; none, mostly.
    pub tree_fault: Option<String>,
    pub paths: BTreeMap<GuestPath, Found>,
    /// Directories that are made only to hold what is placed, parents first.
    pub created: BTreeSet<String>,
    pub units: BTreeMap<UnitName, UnitReport>,
    /// Probes that did not pass while the old generation, which had them too, was live.
    pub failing_probes: BTreeSet<String>,
    /// The old generation's probes that passed: they do again when it is back.
    pub passing_probes: BTreeMap<String, Probe>,
    /// How long the old generation may take for that.
    pub start_seconds: u32,
    pub rules: Rules,
}

/// What was at a path.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase", deny_unknown_fields)]
pub enum Found {
    Absent,
    /// A file or a symlink, kept under a second name.
    Saved {
        name: u64,
    },
    Directory {
        uid: u32,
        gid: u32,
        mode: u32,
    },
}

impl Found {
    pub fn directory(ids: Ids) -> Self {
        Self::Directory { uid: ids.uid, gid: ids.gid, mode: ids.mode }
    }
}

/// What is at every path that the switch touches, `current` included.
pub fn look(
    fs: &mut dyn GuestFs,
    switch: &Switch,
) -> Result<BTreeMap<GuestPath, Found>, GuestError> {
    let placement = &switch.placement;
    let mut paths: BTreeSet<GuestPath> = placement.place.keys().cloned().collect();
    paths.extend(placement.remove.iter().cloned());
    paths.insert(current());
    let mut found = BTreeMap::new();
    for (name, path) in (0..).zip(paths) {
        let at = match fs.stat(path.as_str())? {
            None => Found::Absent,
            Some(stat) if stat.kind == Kind::Directory => Found::directory(stat.ids),
            Some(stat) if stat.kind == Kind::Special => return Err(unfit(&path, "is a device")),
            Some(_) => Found::Saved { name },
        };
        check_type(&path, at, placement.place.get(&path))?;
        found.insert(path, at);
    }
    placement.place.keys().try_for_each(|path| check_way(path, &found))?;
    Ok(found)
}

/// The path of the one pointer that makes something live.
pub fn current() -> GuestPath {
    CURRENT.parse().expect("the layout's paths are guest paths")
}

fn unfit(path: &GuestPath, why: &str) -> GuestError {
    GuestError::Unfit(format!("`{path}` {why}; move it away first"))
}

/// A directory cannot be replaced by a rename, nor become one.
fn check_type(path: &GuestPath, found: Found, placed: Option<&Placed>) -> Result<(), GuestError> {
    match (found, placed) {
        (Found::Directory { .. }, None | Some(Placed::Directory { .. })) => Ok(()),
        (Found::Directory { .. }, Some(_)) => Err(unfit(path, "is a directory on the guest")),
        (Found::Saved { .. }, Some(Placed::Directory { .. })) => {
            Err(unfit(path, "is no directory on the guest"))
        }
        (Found::Absent, Some(Placed::Keys { .. })) => Err(GuestError::Unfit(format!(
            "`{path}` is not on the guest, so no keys can be set in it; install its package"
        ))),
        _ => Ok(()),
    }
}

/// What this switch removes or replaces cannot become the directory that holds something else of it.
fn check_way(path: &GuestPath, found: &BTreeMap<GuestPath, Found>) -> Result<(), GuestError> {
    let is_above = |above: &GuestPath| {
        path.as_str().strip_prefix(above.as_str()).is_some_and(|rest| rest.starts_with('/'))
    };
    let mut files = found.iter().filter(|(_, found)| matches!(found, Found::Saved { .. }));
    match files.find(|(above, _)| is_above(above)) {
        None => Ok(()),
        Some((above, _)) => Err(GuestError::Unfit(format!(
            "`{above}` is no directory on the guest, and has to be one for `{path}`; activate once without both"
        ))),
    }
}

/// Directories that must be made to hold what is placed, parents first.
pub fn missing_folders(
    fs: &mut dyn GuestFs,
    switch: &Switch,
) -> Result<BTreeSet<String>, GuestError> {
    let mut missing = BTreeSet::new();
    for (path, placed) in &switch.placement.place {
        let mut folder = match placed {
            Placed::Directory { .. } => path.as_str(),
            _ => split(path.as_str()).0,
        };
        while folder != "/" && fs.stat(folder)?.is_none() {
            missing.insert(folder.to_owned());
            folder = split(folder).0;
        }
    }
    Ok(missing)
}

/// Every placed path must be on the file system of `/var/lib/stackc`: a second name cannot cross to another.
pub fn check_one_file_system(fs: &mut dyn GuestFs, switch: &Switch) -> Result<(), GuestError> {
    let device = fs.stat(STATE)?.map(|stat| stat.device);
    let folders: BTreeSet<&str> = switch
        .placement
        .place
        .keys()
        .chain(&switch.placement.remove)
        .map(|path| split(path.as_str()).0)
        .filter(|folder| !is_volatile(folder))
        .chain(["/etc"])
        .collect();
    for mut folder in folders {
        // What is not there yet will be on the file system of what is above it.
        while folder != "/" && fs.stat(folder)?.is_none() {
            folder = split(folder).0;
        }
        if let Some(stat) = fs.stat(folder)?
            && Some(stat.device) != device
        {
            return Err(GuestError::Unfit(format!(
                "`{folder}` and `{STATE}` are on two file systems; a switch needs one"
            )));
        }
    }
    Ok(())
}
