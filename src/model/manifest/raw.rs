//! A manifest as JSON has it: one list of entries with optional fields, and what is wrong with one from elsewhere.

use super::{
    Access, BUNDLE_BYTES_MAX, Bytes, ENTRIES_MAX, Encoder, Entry, FILE_BYTES_MAX, FORMAT,
    FileClass, Manifest, ManifestError, Part, UnitInputs,
};
use crate::model::{
    Digest, EntryPath, EnvName, Mode, Owner, ProjectName, Target, UnitName, fold_case,
};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RawManifest {
    format: u32,
    project: ProjectName,
    env: EnvName,
    payload: Digest,
    entries: Vec<RawEntry>,
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    units: BTreeMap<UnitName, UnitInputs>,
}

#[derive(Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
enum RawType {
    File,
    Link,
    Directory,
}

#[derive(Clone, Copy, PartialEq, Serialize, Deserialize)]
enum RawClass {
    A,
    B,
    S,
    D,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct RawEntry {
    path: EntryPath,
    #[serde(rename = "type")]
    kind: RawType,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    class: Option<RawClass>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    mode: Option<Mode>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    owner: Option<Owner>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    group: Option<Owner>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    size: Option<u64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    sha256: Option<Digest>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    target: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    encoder: Option<Encoder>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    parts: Option<Vec<Part>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    unit: Option<UnitInputs>,
}

impl From<Manifest> for RawManifest {
    fn from(manifest: Manifest) -> Self {
        Self {
            format: FORMAT,
            project: manifest.target.project,
            env: manifest.target.env,
            payload: manifest.payload,
            entries: manifest.entries.into_iter().map(RawEntry::from).collect(),
            units: manifest.units,
        }
    }
}

impl From<(EntryPath, Entry)> for RawEntry {
    fn from((path, entry): (EntryPath, Entry)) -> Self {
        let mut raw = Self {
            path,
            kind: RawType::File,
            class: None,
            mode: None,
            owner: None,
            group: None,
            size: None,
            sha256: None,
            target: None,
            encoder: None,
            parts: None,
            unit: None,
        };
        match entry {
            Entry::Document(bytes) => raw.set_bytes(bytes),
            Entry::File { class, access, bytes, unit } => {
                raw.class = Some(match class {
                    FileClass::Linked => RawClass::A,
                    FileClass::Copied => RawClass::B,
                });
                raw.set_access(access);
                raw.set_bytes(bytes);
                raw.unit = unit;
            }
            Entry::Secret { access, encoder, parts } => {
                raw.class = Some(RawClass::S);
                raw.set_access(access);
                raw.encoder = Some(encoder);
                raw.parts = Some(parts);
            }
            Entry::Link { target } => {
                raw.kind = RawType::Link;
                raw.class = Some(RawClass::B);
                raw.target = Some(target);
            }
            Entry::Directory { access } => {
                raw.kind = RawType::Directory;
                raw.class = Some(RawClass::D);
                raw.set_access(access);
            }
        }
        raw
    }
}

impl RawEntry {
    fn set_bytes(&mut self, bytes: Bytes) {
        self.size = Some(bytes.size);
        self.sha256 = Some(bytes.sha256);
    }

    fn set_access(&mut self, access: Access) {
        self.mode = Some(access.mode);
        self.owner = Some(access.owner);
        self.group = Some(access.group);
    }

    fn access(&mut self) -> Option<Access> {
        Some(Access {
            mode: self.mode.take()?,
            owner: self.owner.take()?,
            group: self.group.take()?,
        })
    }

    fn bytes(&mut self) -> Option<Bytes> {
        Some(Bytes { size: self.size.take()?, sha256: self.sha256.take()? })
    }

    /// Takes the fields that this type and class must have; none when one is missing.
    fn take(&mut self) -> Option<Entry> {
        let overlay = self.path.on_guest().is_some();
        Some(match (self.kind, self.class.take(), overlay) {
            (RawType::File, None, false) => Entry::Document(self.bytes()?),
            (RawType::File, Some(RawClass::A), true) => self.file(FileClass::Linked)?,
            (RawType::File, Some(RawClass::B), true) => self.file(FileClass::Copied)?,
            (RawType::File, Some(RawClass::S), true) => self.secret()?,
            (RawType::Link, Some(RawClass::B), true) => Entry::Link { target: self.target.take()? },
            (RawType::Directory, Some(RawClass::D), true) => {
                Entry::Directory { access: self.access()? }
            }
            _ => return None,
        })
    }

    fn file(&mut self, class: FileClass) -> Option<Entry> {
        let unit = self.unit.take();
        Some(Entry::File { class, access: self.access()?, bytes: self.bytes()?, unit })
    }

    /// A secret file whose parts are of the sorts that its encoder has.
    fn secret(&mut self) -> Option<Entry> {
        let (encoder, parts) = (self.encoder.take()?, self.parts.take()?);
        let fits = |part: &Part| match part {
            Part::Literal(_) => true,
            Part::Secret(_) => encoder != Encoder::Env,
            Part::Variable { .. } => encoder == Encoder::Env,
        };
        let access = self.access()?;
        parts.iter().all(fits).then_some(Entry::Secret { access, encoder, parts })
    }

    fn is_used_up(&self) -> bool {
        self.mode.is_none()
            && self.owner.is_none()
            && self.group.is_none()
            && self.size.is_none()
            && self.sha256.is_none()
            && self.target.is_none()
            && self.encoder.is_none()
            && self.parts.is_none()
            && self.unit.is_none()
    }
}

impl TryFrom<RawManifest> for Manifest {
    type Error = ManifestError;
    fn try_from(raw: RawManifest) -> Result<Self, Self::Error> {
        if raw.format != FORMAT {
            return Err(ManifestError::Format { found: raw.format });
        }
        if raw.entries.len() > ENTRIES_MAX {
            return Err(ManifestError::TooMany { count: raw.entries.len() });
        }
        let mut entries = BTreeMap::new();
        let mut folded = BTreeSet::new();
        let mut room = BUNDLE_BYTES_MAX;
        for mut raw in raw.entries {
            let path = raw.path.clone();
            let size = raw.size.unwrap_or(0);
            if size > FILE_BYTES_MAX || size > room {
                return Err(ManifestError::TooBig { path });
            }
            room -= size;
            if entries.last_key_value().is_some_and(|(last, _)| *last >= path) {
                return Err(ManifestError::Order { path });
            }
            if !folded.insert(fold_case(path.as_str())) {
                return Err(ManifestError::CaseTwin { path });
            }
            let entry = raw.take().filter(|_| raw.is_used_up());
            let Some(entry) = entry else { return Err(ManifestError::Fields { path }) };
            entries.insert(path, entry);
        }
        let target = Target { project: raw.project, env: raw.env };
        Ok(Self { target, payload: raw.payload, entries, units: raw.units })
    }
}
