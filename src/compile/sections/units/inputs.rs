//! What each unit reads besides its own text: a change there restarts or reloads it (design.md §9).

use super::{Unit, lint, needs};
use crate::{
    compile::sections::{
        overlay::{Item, Overlay},
        place,
    },
    model::{Digest, GuestPath, Part, UnitInputs, UnitName, canonical, layout, unit_commands},
};
use std::collections::{BTreeMap, BTreeSet};

/// Inputs by the file of the unit, and those of units that packages bring by their names.
#[derive(Default)]
pub struct Inputs {
    pub own: BTreeMap<GuestPath, UnitInputs>,
    pub foreign: BTreeMap<UnitName, UnitInputs>,
}

pub fn inputs(overlay: &Overlay, units: &[Unit], app_links: &BTreeSet<GuestPath>) -> Inputs {
    let mut all = Inputs::default();
    for unit in units {
        let release = runs_from_release(unit, app_links);
        let mut inputs = UnitInputs { release, ..UnitInputs::default() };
        for path in unit.directives().flat_map(needs::named_paths) {
            note(overlay, &path, &mut inputs, false);
        }
        if !unit.is_drop_in {
            add_declared(overlay, &unit.name, &mut inputs);
        }
        all.own.insert(unit.path.clone(), inputs);
    }
    let is_ours = |name: &UnitName| units.iter().any(|unit| !unit.is_drop_in && unit.name == *name);
    for name in overlay.restart.keys().chain(overlay.reload.keys()).filter(|name| !is_ours(name)) {
        let mut inputs = UnitInputs::default();
        add_declared(overlay, name, &mut inputs);
        all.foreign.insert(name.clone(), inputs);
    }
    all
}

/// Files that `restart`, `reload` and `reads` name.
fn add_declared(overlay: &Overlay, unit: &UnitName, inputs: &mut UnitInputs) {
    for path in overlay.restart.get(unit).into_iter().flatten() {
        note(overlay, path, inputs, false);
    }
    for path in overlay.reload.get(unit).into_iter().flatten() {
        note(overlay, path, inputs, true);
    }
}

fn note(overlay: &Overlay, path: &GuestPath, inputs: &mut UnitInputs, reload: bool) {
    let digest = match overlay.items.get(path) {
        Some((Item::File { bytes, .. }, _)) => Digest::of(bytes),
        Some((Item::Secret { encoder, parts, .. }, _)) => {
            inputs.secrets.extend(parts.iter().filter_map(Part::secret).cloned());
            Digest::of(&canonical::to_bytes(&(encoder, parts)))
        }
        _ => return,
    };
    let changed = if reload { &mut inputs.reload } else { &mut inputs.restart };
    changed.insert(path.clone(), digest);
}

/// Whether a unit's working folder or commands lie in the release.
fn runs_from_release(unit: &Unit, app_links: &BTreeSet<GuestPath>) -> bool {
    let is_within = |text: &str| {
        place::is_at_or_below(text, layout::CURRENT_RELEASE)
            || app_links.iter().any(|link| place::is_at_or_below(text, link.as_str()))
    };
    unit.directives().any(|directive| match directive.key {
        "WorkingDirectory" => is_within(directive.value.trim_start_matches('-')),
        key if lint::is_exec(key) => {
            let commands = unit_commands(directive.value).unwrap_or_default();
            commands.iter().flatten().any(|word| is_within(lint::program(word)))
        }
        _ => false,
    })
}
