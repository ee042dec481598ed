//! Units as one generation defines them.

use super::suffix;
use crate::{
    model::{Entry, GuestPath, Manifest, UnitInputs, UnitName},
    plan::{live::UNITS, unit_file::UnitFile},
};
use std::collections::BTreeMap;

/// Folders of links by which a unit starts others at boot. Source: systemd.unit(5).
const STARTS: [&str; 2] = ["wants", "requires"];

/// A unit as one generation defines it.
#[derive(Clone, Default)]
pub struct Unit {
    /// The file first, then the drop-ins in order.
    pub paths: Vec<GuestPath>,
    pub inputs: UnitInputs,
    pub brings: Brings,
    pub enabled: bool,
    /// Whether the generation keeps it from being started at all.
    pub masked: bool,
}

/// What a generation brings of a unit.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub enum Brings {
    /// Links and drop-ins at most: the unit is somebody else's.
    #[default]
    Additions,
    /// Files that it reads; the unit is a package's.
    Files,
    /// The unit itself.
    Unit,
}

/// Every unit that a generation defines, enables, has drop-ins for, or has files for.
pub fn of_manifest(manifest: &Manifest) -> BTreeMap<UnitName, Unit> {
    let mut units = listed(manifest);
    with_templates(&mut units);
    units
}

/// The same, where an instance has nothing yet of its template.
pub fn listed(manifest: &Manifest) -> BTreeMap<UnitName, Unit> {
    let mut units: BTreeMap<UnitName, Unit> = BTreeMap::new();
    for (path, entry) in manifest.overlay() {
        let Some(rest) = path.as_str().strip_prefix(UNITS) else { continue };
        match (rest.split_once('/'), entry) {
            (None, Entry::File { unit: inputs, .. }) => {
                let Ok(name) = rest.parse::<UnitName>() else { continue };
                let unit = units.entry(name).or_default();
                unit.brings = Brings::Unit;
                unit.paths.insert(0, path.clone());
                unit.add(inputs.as_ref());
            }
            (None, Entry::Link { target }) if target == "/dev/null" => {
                let Ok(name) = rest.parse::<UnitName>() else { continue };
                units.entry(name).or_default().masked = true;
            }
            (Some((folder, file)), Entry::File { unit: inputs, .. }) if suffix(file) == "conf" => {
                let Some(Ok(name)) = folder.strip_suffix(".d").map(str::parse::<UnitName>) else {
                    continue;
                };
                let unit = units.entry(name).or_default();
                unit.paths.push(path.clone());
                unit.add(inputs.as_ref());
            }
            (Some((folder, name)), Entry::Link { .. }) if STARTS.contains(&suffix(folder)) => {
                let Ok(name) = name.parse::<UnitName>() else { continue };
                units.entry(name).or_default().enabled = true;
            }
            _ => {}
        }
    }
    for (name, inputs) in &manifest.units {
        let unit = units.entry(name.clone()).or_default();
        unit.brings = unit.brings.max(Brings::Files);
        unit.add(Some(inputs));
    }
    units
}

/// An instance is what its template says, and is the generation's own where that is.
pub fn with_templates(units: &mut BTreeMap<UnitName, Unit>) {
    let template = |name: &UnitName| Some((name.clone(), units.get(&name.template()?)?.clone()));
    let instances: Vec<_> = units.keys().filter_map(template).collect();
    for (name, template) in instances {
        let unit = units.entry(name).or_default();
        unit.paths.splice(0..0, template.paths);
        unit.brings = unit.brings.max(template.brings);
        unit.add(Some(&template.inputs));
    }
}

impl Unit {
    pub fn own(&self) -> bool {
        self.brings == Brings::Unit
    }

    pub fn named(&self) -> bool {
        self.brings == Brings::Files
    }

    /// What is told where the generation no longer has anything of a package's unit.
    pub fn what_goes(&self) -> &'static str {
        if self.paths.is_empty() { "its files go" } else { "its drop-ins go" }
    }

    fn add(&mut self, inputs: Option<&UnitInputs>) {
        let Some(inputs) = inputs else { return };
        self.inputs.restart.extend(inputs.restart.clone());
        self.inputs.reload.extend(inputs.reload.clone());
        self.inputs.secrets.extend(inputs.secrets.iter().cloned());
        self.inputs.release |= inputs.release;
    }

    pub fn text(&self, texts: &BTreeMap<GuestPath, String>) -> UnitFile {
        UnitFile::parse(self.paths.iter().filter_map(|path| texts.get(path)).map(String::as_str))
    }
}
