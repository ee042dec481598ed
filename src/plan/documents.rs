//! A bundle's own documents, read.

use super::PlanError;
use crate::model::{
    AptDocument, Bundle, DatabasesDocument, Digest, HealthDocument, HooksDocument, ProxmoxDocument,
    ReleaseDocument, UfwDocument, canonical, document,
};
use serde::{Serialize, de::DeserializeOwned};

/// Every document of a bundle.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Documents {
    pub proxmox: ProxmoxDocument,
    /// SHA-256 of `proxmox.json`, which a generation keeps.
    pub proxmox_digest: Digest,
    pub apt: AptDocument,
    pub databases: DatabasesDocument,
    pub hooks: HooksDocument,
    pub release: Option<ReleaseDocument>,
    pub health: HealthDocument,
    pub ufw: Option<UfwDocument>,
}

impl Documents {
    /// Reads the documents of a bundle, in canonical form only.
    pub fn of(bundle: &Bundle) -> Result<Self, PlanError> {
        let target = &bundle.manifest.target;
        let required = |name| move || PlanError::NoDocument { target: target.clone(), name };
        let proxmox = bytes(bundle, document::PROXMOX);
        let proxmox = proxmox.ok_or_else(required(document::PROXMOX))?;
        Ok(Self {
            proxmox_digest: Digest::of(proxmox),
            proxmox: read(bundle, document::PROXMOX)?.ok_or_else(required(document::PROXMOX))?,
            apt: read(bundle, document::APT)?.unwrap_or_default(),
            databases: read(bundle, document::DATABASES)?.unwrap_or_default(),
            hooks: read(bundle, document::HOOKS)?.unwrap_or_default(),
            release: read(bundle, document::RELEASE)?,
            health: read(bundle, document::HEALTH)?.ok_or_else(required(document::HEALTH))?,
            ufw: read(bundle, document::UFW)?,
        })
    }
}

pub(super) fn bytes<'a>(bundle: &'a Bundle, name: &str) -> Option<&'a [u8]> {
    let (_, bytes) = bundle.files.iter().find(|(path, _)| path.as_str() == name)?;
    Some(bytes)
}

fn read<T: Serialize + DeserializeOwned>(
    bundle: &Bundle,
    name: &'static str,
) -> Result<Option<T>, PlanError> {
    let Some(bytes) = bytes(bundle, name) else { return Ok(None) };
    canonical::from_slice(bytes).map(Some).map_err(|cause| PlanError::Document {
        target: bundle.manifest.target.clone(),
        name,
        cause,
    })
}
