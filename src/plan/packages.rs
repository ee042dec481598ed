//! Packages and where they come from: when a plan goes to apt, and why.

use super::{Documents, Live, Wanted};
use crate::model::{AptDocument, PackageName, document, protocol::ObservedGuest};

/// Whether a package is missing, or something about packages and where they come from is another than before.
pub(super) fn touch(
    wanted: &Wanted<'_>,
    documents: &Documents,
    live: &Live,
    guest: Option<&ObservedGuest>,
) -> bool {
    let missing = guest.is_none_or(|guest| !guest.missing_packages.is_empty());
    let nothing = AptDocument::default();
    let has_some = live.documents.contains_key(document::APT)
        && !live_apt(live).is_some_and(|apt| apt == nothing);
    (documents.apt != nothing || has_some)
        && (missing || !live.has_same(wanted.bundle, document::APT))
}

/// What the live bundle says of packages; none also when this version of stackc cannot read it.
fn live_apt(live: &Live) -> Option<AptDocument> {
    serde_json::from_str(live.documents.get(document::APT)?).ok()
}

/// What the plan says of them.
pub(super) fn cause(documents: &Documents, live: &Live, guest: Option<&ObservedGuest>) -> String {
    let same_list = |old: AptDocument| old.packages == documents.apt.packages;
    match guest {
        Some(guest) if !guest.missing_packages.is_empty() => {
            let names: Vec<&str> = guest.missing_packages.iter().map(String::as_str).collect();
            format!("missing: {}", names.join(" "))
        }
        Some(_) if live_apt(live).is_some_and(same_list) => {
            "where packages come from differs".to_owned()
        }
        Some(_) => "the list of packages differs".to_owned(),
        None => {
            let names: Vec<&str> = documents.apt.packages.keys().map(PackageName::as_str).collect();
            names.join(" ")
        }
    }
}
