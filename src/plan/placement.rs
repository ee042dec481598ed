//! What stands where: the ledger of a bundle, and the way from one ledger to another.

use super::documents;
use crate::model::{
    Access, Bundle, Entry, FileClass, GuestPath, Ledger, Mode, Owner, Placed, Placement,
    UfwDocument, canonical, document, layout,
};
use std::collections::{BTreeMap, BTreeSet};

/// Everything that a bundle puts outside `/var/lib/stackc`.
pub fn ledger(bundle: &Bundle) -> Ledger {
    let overlay = bundle.manifest.overlay();
    let mut paths: BTreeMap<GuestPath, Placed> =
        overlay.filter_map(|(path, entry)| Some((path.clone(), placed(&path, entry)?))).collect();
    for (name, path) in
        [(document::USER_RULES, layout::USER_RULES), (document::USER6_RULES, layout::USER6_RULES)]
    {
        if let Some(bytes) = documents::bytes(bundle, name) {
            let sha256 = crate::model::Digest::of(bytes);
            paths.insert(guest_path(path), Placed::Copy { sha256, access: rules_access() });
        }
    }
    if let Some(ufw) =
        documents::bytes(bundle, document::UFW).and_then(|b| canonical::from_slice(b).ok())
    {
        paths.extend(ufw_keys(&ufw));
    }
    Ledger { paths }
}

fn placed(path: &GuestPath, entry: &Entry) -> Option<Placed> {
    match entry {
        Entry::Document(_) => None,
        Entry::File { class: FileClass::Linked, .. } => {
            Some(Placed::Link { target: format!("{}{path}", layout::CURRENT_OVERLAY) })
        }
        Entry::File { class: FileClass::Copied, access, bytes, .. } => {
            Some(Placed::Copy { sha256: bytes.sha256, access: access.clone() })
        }
        Entry::Secret { .. } => {
            Some(Placed::Link { target: format!("{}{path}", layout::CURRENT_SECRETS) })
        }
        Entry::Link { target } => Some(Placed::Link { target: target.clone() }),
        Entry::Directory { access } => Some(Placed::Directory { access: access.clone() }),
    }
}

/// The keys of ufw's two configuration files, written as ufw itself writes them (ufw 0.36.2, `backend.py`).
fn ufw_keys(ufw: &UfwDocument) -> [(GuestPath, Placed); 2] {
    let yes_no = |on: bool| if on { "yes" } else { "no" }.to_owned();
    let policy = |policy: &str| format!("\"{}\"", policy.to_uppercase());
    let keys = |pairs: &[(&str, String)]| Placed::Keys {
        keys: pairs.iter().map(|(key, value)| ((*key).to_owned(), value.clone())).collect(),
    };
    let conf = keys(&[("ENABLED", yes_no(ufw.enabled)), ("LOGLEVEL", ufw.logging.clone())]);
    let defaults = keys(&[
        ("IPV6", yes_no(ufw.ipv6)),
        ("DEFAULT_INPUT_POLICY", policy(&ufw.incoming)),
        ("DEFAULT_OUTPUT_POLICY", policy(&ufw.outgoing)),
        ("DEFAULT_FORWARD_POLICY", policy(&ufw.routed)),
    ]);
    [(guest_path(layout::UFW_CONF), conf), (guest_path(layout::UFW_DEFAULTS), defaults)]
}

/// ufw keeps its rules from other users' eyes.
fn rules_access() -> Access {
    let root: Owner = "root".parse().expect("root is a user name");
    Access { mode: "0640".parse::<Mode>().expect("it is a mode"), owner: root.clone(), group: root }
}

fn guest_path(path: &str) -> GuestPath {
    path.parse().expect("the layout's paths are paths")
}

/// From one ledger to another. Paths in `again` are placed even though both ledgers have the same there: they drifted.
pub fn placement(old: &Ledger, new: &Ledger, again: &BTreeSet<GuestPath>) -> Placement {
    let gone = old.paths.keys().rev().filter(|path| !new.paths.contains_key(*path));
    let differs =
        |path: &GuestPath, placed| old.paths.get(path) != Some(placed) || again.contains(path);
    let come = new.paths.iter().filter(|(path, placed)| differs(path, placed));
    Placement {
        remove: gone.cloned().collect(),
        place: come.map(|(path, placed)| (path.clone(), placed.clone())).collect(),
    }
}
