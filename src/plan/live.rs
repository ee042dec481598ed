//! The live generation, whether the guest reported it whole or it is the wanted bundle itself.

use super::{documents, placement::ledger};
use crate::model::{
    Bundle, Generation, GuestPath, Ledger, Manifest, ReleaseId, SecretTags, document, layout,
    protocol::ObservedGuest,
};
use std::collections::BTreeMap;

/// The folder of the service manager's files, and of nothing else.
pub(super) const UNITS: &str = "/etc/systemd/system/";

/// What is live, as far as a plan needs it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Live {
    /// None on a guest that stackc has never changed.
    pub generation: Option<Generation>,
    pub manifest: Option<Manifest>,
    pub ledger: Ledger,
    pub unit_texts: BTreeMap<GuestPath, String>,
    pub documents: BTreeMap<String, String>,
}

impl Live {
    /// A guest on which nothing is stackc's.
    pub fn nothing() -> Self {
        Self {
            generation: None,
            manifest: None,
            ledger: Ledger::default(),
            unit_texts: BTreeMap::new(),
            documents: BTreeMap::new(),
        }
    }

    /// What is live on an observed guest. A guest with the wanted bundle live does not repeat what that holds.
    pub fn of(observed: &ObservedGuest, wanted: &Bundle) -> Self {
        let generation = observed.live.clone();
        match &observed.recorded {
            Some(recorded) => Self {
                generation,
                manifest: recorded.manifest.clone(),
                ledger: recorded.ledger.clone(),
                unit_texts: recorded.unit_texts.clone(),
                documents: recorded.documents.clone(),
            },
            None if generation.as_ref().is_some_and(|g| g.digest == Some(wanted.digest)) => {
                Self::with(generation, wanted)
            }
            None => Self { generation, ..Self::nothing() },
        }
    }

    /// A guest on which this bundle is live.
    pub(super) fn with(generation: Option<Generation>, bundle: &Bundle) -> Self {
        Self {
            generation,
            manifest: Some(bundle.manifest.clone()),
            ledger: ledger(bundle),
            unit_texts: unit_texts(bundle),
            documents: texts(bundle),
        }
    }

    pub(super) fn tags(&self) -> SecretTags {
        self.generation.as_ref().map(|g| g.tags.clone()).unwrap_or_default()
    }

    pub(super) fn release(&self) -> Option<ReleaseId> {
        self.generation.as_ref().and_then(|g| g.release)
    }

    /// Whether a document is byte for byte what the bundle has.
    pub(super) fn has_same(&self, bundle: &Bundle, name: &str) -> bool {
        let live = self.documents.get(name).map(String::as_bytes);
        live == documents::bytes(bundle, name)
    }
}

/// Unit files and drop-ins of a bundle, and what it has for sysctl.d and tmpfiles.d, as text.
pub(super) fn unit_texts(bundle: &Bundle) -> BTreeMap<GuestPath, String> {
    let on_guest = bundle.files.iter().filter_map(|(path, bytes)| Some((path.on_guest()?, bytes)));
    on_guest
        .filter(|(path, _)| layout::TOLD.iter().any(|folder| path.as_str().starts_with(folder)))
        .map(|(path, bytes)| (path, String::from_utf8_lossy(bytes).into_owned()))
        .collect()
}

/// The bundle's own documents, as text.
fn texts(bundle: &Bundle) -> BTreeMap<String, String> {
    let own = bundle.files.iter().filter(|(path, _)| path.on_guest().is_none());
    own.filter(|(path, _)| path.as_str() != document::MANIFEST)
        .map(|(path, bytes)| (path.to_string(), String::from_utf8_lossy(bytes).into_owned()))
        .collect()
}
