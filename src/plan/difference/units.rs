//! What a switch would do to units.

use crate::{
    model::{Bundle, ReleaseDocument, SecretTags, UnitName, document, protocol::UnitState},
    plan::{
        Live, UnitChange, changes, documents,
        release::built_from,
        units::{self, Differences},
    },
};
use std::collections::{BTreeMap, BTreeSet};

/// Decides as a plan does, for a guest where everything runs that the old bundle enables, and Debian's own services.
pub fn compare(old: Option<&Bundle>, new: &Bundle) -> BTreeMap<UnitName, UnitChange> {
    let tags = SecretTags::default();
    let files = changes(old.map(|bundle| &bundle.manifest), &new.manifest, &tags, &tags);
    let differences = Differences {
        secrets: &BTreeSet::new(),
        release: is_built_anew(old, new),
        files: &files,
        drifted: &BTreeSet::new(),
        drop_ins: &BTreeMap::new(),
        down: &BTreeMap::new(),
    };
    let live = old.map_or_else(Live::nothing, |bundle| Live::with(None, bundle));
    let running = old.map(|bundle| units::expected_active(&bundle.manifest)).unwrap_or_default();
    let active = || UnitState { load: "loaded".to_owned(), active: "active".to_owned() };
    let states = running.into_iter().map(|unit| (unit, active())).collect();
    units::decide(&live, new, &differences, &states)
}

fn is_built_anew(old: Option<&Bundle>, new: &Bundle) -> bool {
    let release = |bundle| -> Option<ReleaseDocument> {
        serde_json::from_slice(documents::bytes(bundle, document::RELEASE)?).ok()
    };
    let (old, new) = (old.and_then(release), release(new));
    old.as_ref().map(built_from) != new.as_ref().map(built_from)
}
