//! The app's release: when a plan builds one, and which one a switch takes without.

use super::{Documents, Live, Wanted};
use crate::model::{ReleaseDocument, ReleaseId, document};

/// Whether the app's checkout has to be another one.
pub(super) fn changes(wanted: &Wanted<'_>, documents: &Documents, live: &Live) -> bool {
    if let Some(release) = wanted.release {
        return live.release() != Some(release);
    }
    let old = live.documents.get(document::RELEASE);
    let old: Option<ReleaseDocument> = old.and_then(|text| serde_json::from_str(text).ok());
    match (&documents.release, old) {
        (None, _) => live.release().is_some(),
        (Some(new), Some(old)) => live.release().is_none() || built_from(new) != built_from(&old),
        (Some(_), None) => true,
    }
}

/// What of a release document goes into what is built.
pub(super) fn built_from(release: &ReleaseDocument) -> impl PartialEq + '_ {
    (
        &release.tree,
        &release.build,
        &release.build_env,
        &release.tools,
        &release.shared,
        &release.user,
    )
}

/// The release that a switch takes without building one: the wanted one, or the live one when nothing about it changes.
pub(super) fn kept_release(
    wanted: &Wanted<'_>,
    documents: &Documents,
    live: &Live,
) -> Option<ReleaseId> {
    documents.release.as_ref()?;
    wanted.release.or_else(|| live.release().filter(|_| !changes(wanted, documents, live)))
}

impl Live {
    /// The release that stays, or is gone back to, when the plan has no step that builds one.
    pub fn kept_release(&self, wanted: &Wanted<'_>, documents: &Documents) -> Option<ReleaseId> {
        kept_release(wanted, documents, self)
    }
}
