//! The list of everything in a bundle (format 1, design.md §6).

mod raw;

use super::{Digest, EntryPath, GuestPath, Mode, Owner, SecretName, Target, UnitName};
use raw::RawManifest;
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

impl Part {
    /// The secret that it stands for.
    pub fn secret(&self) -> Option<&SecretName> {
        match self {
            Self::Literal(_) => None,
            Self::Secret(name) | Self::Variable { secret: name, .. } => Some(name),
        }
    }
}

/// The text of a secret's part for people: a name where a value will be. Two parts that are not the same never read alike:
/// text that looks like such a name gets a backslash.
impl fmt::Display for Part {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Literal(text) => f.write_str(&without_names(text)),
            Self::Secret(name) => write!(f, "<secret {name}>"),
            Self::Variable { key, secret } => writeln!(f, "{key}=<secret {secret}>"),
        }
    }
}

/// Text with one more backslash in each `<secret `, `<\\secret `, and so on.
fn without_names(text: &str) -> String {
    let mut pieces = text.split('<');
    let first = pieces.next().unwrap_or_default().to_owned();
    pieces.fold(first, |shown, piece| {
        let looks_like_one = piece.trim_start_matches('\\').starts_with("secret ");
        shown + if looks_like_one { "<\\" } else { "<" } + piece
    })
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
        let parts = self.entries.values().flat_map(|entry| match entry {
            Entry::Secret { parts, .. } => parts.as_slice(),
            _ => &[],
        });
        parts.filter_map(Part::secret).cloned().collect()
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
