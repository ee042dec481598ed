//! What is live on a guest, and what was.

use super::{Access, Digest, GuestPath, SecretTags, SecretsVersion};
use serde::{Deserialize, Serialize};
use std::{collections::BTreeMap, fmt};

/// A generation's number on its guest. 0 is the guest as it was found.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct GenerationId(pub u64);

impl GenerationId {
    /// The guest as it was found.
    pub const FOUND: Self = Self(0);
}

impl fmt::Display for GenerationId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// `generations/N/generation.json`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Generation {
    pub number: GenerationId,
    /// The bundle; none for generation 0, and for one that went back there.
    pub digest: Option<Digest>,
    /// The release; none when the guest has no app.
    pub release: Option<ReleaseId>,
    pub secrets: SecretsVersion,
    pub tags: SecretTags,
    /// Where `rollback` goes from here: the confirmed generation that was live when this bundle was first made live. From
    /// the guest as it was found: the one that was live before.
    pub parent: Option<GenerationId>,
    pub cause: GenerationCause,
    /// Who asked for it: `user@host` of the operator.
    pub by: String,
    /// When, as the operator's clock had it: RFC 3339, UTC, whole seconds.
    pub at: String,
    pub outcome: Outcome,
    /// What was put into Proxmox together with it: the canonical `proxmox.json`'s digest, so that a rollback knows what to put back.
    pub proxmox: Option<Digest>,
}

impl Generation {
    /// The guest as it was found, noted by whoever switches it.
    pub fn found(by: String, at: String) -> Self {
        Self {
            number: GenerationId::FOUND,
            digest: None,
            release: None,
            secrets: SecretsVersion(Digest::of(b"")),
            tags: SecretTags::new(),
            parent: None,
            cause: GenerationCause::Found,
            by,
            at,
            outcome: Outcome::Confirmed,
            proxmox: None,
        }
    }
}

/// Why a generation was made.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase", deny_unknown_fields)]
pub enum GenerationCause {
    Found,
    Activate,
    Rollback { to: GenerationId },
}

/// How the transaction that made a generation ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Outcome {
    Pending,
    Confirmed,
    Undone,
}

/// SHA-256 over git tree, build commands, declared `build_env` and the output of declared tools.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct ReleaseId(pub Digest);

impl fmt::Display for ReleaseId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// `generations/N/ledger.json`: every path outside `/var/lib/stackc` that stackc owns on the guest.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Ledger {
    pub paths: BTreeMap<GuestPath, Placed>,
}

/// What stackc placed at a path.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase", deny_unknown_fields)]
pub enum Placed {
    /// A symlink, with its exact target.
    Link {
        target: String,
    },
    /// A copy of a file of the bundle (class `B`).
    Copy {
        sha256: Digest,
        access: Access,
    },
    /// A file of somebody else in which keys are set, `KEY=value` a line: `/etc/default/ufw`, `/etc/ufw/ufw.conf`.
    Keys {
        keys: BTreeMap<String, String>,
    },
    Directory {
        access: Access,
    },
}

/// The way from one generation's placed paths to another's, in the order of design.md §8 step 5.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Placement {
    /// Paths that leave, deepest first. A file that was found there before stackc came returns.
    pub remove: Vec<GuestPath>,
    /// Paths that come or change, directories before what is in them.
    pub place: BTreeMap<GuestPath, Placed>,
}
