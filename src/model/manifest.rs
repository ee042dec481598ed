//! The list of everything in a bundle (format 1, design.md §6).

use super::{Digest, EntryPath, GuestPath, Mode, Owner, SecretName, Target, UnitName};
use serde::{Deserialize, Serialize};
use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
};

/// The bundle format that this version writes and reads.
pub const FORMAT: u32 = 1;
/// The most bytes in one file of a bundle.
pub const FILE_BYTES_MAX: u64 = 1 << 20;
/// The most bytes in a bundle.
pub const BUNDLE_BYTES_MAX: u64 = 64 << 20;
/// The most entries in a bundle.
pub const ENTRIES_MAX: usize = 20_000;

/// The list of everything in a bundle. Its canonical bytes are `manifest.json`; their SHA-256 is the bundle's digest.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "RawManifest", into = "RawManifest")]
pub struct Manifest {
    pub target: Target,
    /// SHA-256 over what does not depend on the env: kind sources, project-level definitions, release tree and commands, packages.
    pub payload: Digest,
    pub entries: BTreeMap<EntryPath, Entry>,
    /// What units read that packages bring: files of the bundle, whose change restarts or reloads them.
    pub units: BTreeMap<UnitName, UnitInputs>,
}

/// One thing in a bundle.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Entry {
    /// One of the bundle's own documents: `proxmox.json`, `apt.json`, `firewall/user.rules`, …
    Document(Bytes),
    /// A file of the overlay.
    File { class: FileClass, access: Access, bytes: Bytes, unit: Option<UnitInputs> },
    /// A file of the overlay that holds secrets: its text is put together at activation (class `S`).
    Secret { access: Access, encoder: Encoder, parts: Vec<Part> },
    /// A symlink of the overlay, placed as it stands.
    Link { target: String },
    /// A directory that the bundle owns (class `D`).
    Directory { access: Access },
}

/// Size and hash of a file's raw bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Bytes {
    pub size: u64,
    pub sha256: Digest,
}

impl Bytes {
    pub fn of(bytes: &[u8]) -> Self {
        Self { size: bytes.len() as u64, sha256: Digest::of(bytes) }
    }
}

/// Permission bits and owners, the owners by name.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Access {
    pub mode: Mode,
    pub owner: Owner,
    pub group: Owner,
}

/// How a file of the overlay gets to its path (reliability: a class per consumer).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum FileClass {
    /// A symlink through `current`: it changes with the one flip.
    #[serde(rename = "A")]
    Linked,
    /// An atomic copy, for what boot or login needs: sshd, sudoers, ufw.
    #[serde(rename = "B")]
    Copied,
}

/// The form in which a secret file's parts are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Encoder {
    /// `KEY=value` lines: a `Part::Variable` each, quoted so that systemd and sh read the same value.
    Env,
    /// The parts as they are, one after another.
    Raw,
    /// The same, but each secret as a quoted argument of Redis's configuration.
    Redis,
}

/// A piece of a file that holds secrets.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase", deny_unknown_fields)]
pub enum Part {
    /// Text as it stands. Env files: whole lines that are encoded already.
    Literal(String),
    /// The value of a secret, in the encoder's form. Not in an env file.
    Secret(SecretName),
    /// `KEY=` the value of a secret and a line feed. Only `Encoder::Env`.
    Variable { key: String, secret: SecretName },
}

/// The text of a secret's part for people: a name where a value will be.
impl fmt::Display for Part {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Literal(text) => f.write_str(text),
            Self::Secret(name) => write!(f, "<secret {name}>"),
            Self::Variable { key, secret } => writeln!(f, "{key}=<secret {secret}>"),
        }
    }
}

/// What a unit reads besides its own text: a change there restarts or reloads it (design.md §9).
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct UnitInputs {
    /// Files whose change restarts the unit, with their hashes.
    pub restart: BTreeMap<GuestPath, Digest>,
    /// Files whose change reloads the unit, with their hashes.
    pub reload: BTreeMap<GuestPath, Digest>,
    /// Secrets whose change restarts the unit.
    pub secrets: BTreeSet<SecretName>,
    /// Whether the unit runs from the release, so that a new release restarts it.
    pub release: bool,
}

impl Manifest {
    /// The entries that stand on the guest, by their path there.
    pub fn overlay(&self) -> impl Iterator<Item = (GuestPath, &Entry)> {
        self.entries.iter().filter_map(|(path, entry)| Some((path.on_guest()?, entry)))
    }

    /// Every secret that some entry names.
    pub fn secrets(&self) -> BTreeSet<SecretName> {
        let mut names = BTreeSet::new();
        for entry in self.entries.values() {
            if let Entry::Secret { parts, .. } = entry {
                names.extend(parts.iter().filter_map(|part| match part {
                    Part::Literal(_) => None,
                    Part::Secret(name) | Part::Variable { secret: name, .. } => Some(name.clone()),
                }));
            }
        }
        names
    }
}

/// A manifest whose lines contradict each other.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ManifestError {
    #[error("bundle format {found} needs a newer stackc; this one reads format {FORMAT}")]
    Format { found: u32 },
    #[error("entries are not sorted by path, or one stands twice: `{path}`")]
    Order { path: EntryPath },
    #[error("`{path}` differs from another entry only in upper and lower case")]
    CaseTwin { path: EntryPath },
    #[error("`{path}` has the wrong fields for its type and class")]
    Fields { path: EntryPath },
    #[error("{count} entries are too many: a bundle has at most {ENTRIES_MAX}")]
    TooMany { count: usize },
    #[error("`{path}` is too big: a file has at most 1 MiB, a bundle 64 MiB")]
    TooBig { path: EntryPath },
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct RawManifest {
    format: u32,
    project: super::ProjectName,
    env: super::EnvName,
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
            if !folded.insert(path.as_str().to_lowercase()) {
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
