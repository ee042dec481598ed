//! What somebody's hand has changed on a guest since its live generation was made live.

use super::{Access, Bytes, Digest, Generation, GuestPath, UnitName, protocol::Identity};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};

/// What runs otherwise than the live generation has it. Files that differ are not of it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RuntimeDrift {
    /// Units that the live generation starts, and that do not run as it has them.
    pub units: BTreeMap<UnitName, Down>,
    /// What the kernel's rules differ in, in words.
    pub firewall: Vec<String>,
    /// Drop-ins of others for units that the live generation brings, which run otherwise than their own files say.
    pub drop_ins: BTreeMap<GuestPath, UnitName>,
    /// Links of others by which such units start: `systemctl enable`, whose link would still be there when the unit is not.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub enabled: BTreeMap<GuestPath, UnitName>,
    /// Drop-ins of others for packages' units, and for every unit of a sort. Nothing of stackc's, so no drift: only told.
    pub others: BTreeSet<GuestPath>,
}

/// Why a unit does not run, or would not after a boot.
///
/// A unit that was stopped or masked was meant to be: that is drift, over which an activation does not go unasked. One that
/// failed is health: nobody meant it, and nothing of anybody's is lost by starting it again. So a plan starts it, and an
/// activation needs no leave for that; when it fails once more, the switch is undone with its journal as the evidence.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Down {
    Stopped,
    /// By a link to /dev/null where the unit's file would be; it may still run, but for the last time.
    Masked,
    /// The same until the next boot.
    MaskedUntilBoot,
    Failed,
}

impl Down {
    /// Whether somebody meant it.
    pub fn by_hand(self) -> bool {
        self != Self::Failed
    }

    pub fn words(self) -> &'static str {
        match self {
            Self::Stopped => "stopped by hand",
            Self::Masked => "masked by hand",
            Self::MaskedUntilBoot => "masked by hand until the next boot",
            Self::Failed => "failed",
        }
    }
}

impl RuntimeDrift {
    pub fn is_empty(&self) -> bool {
        self.units.is_empty()
            && self.firewall.is_empty()
            && self.drop_ins.is_empty()
            && self.enabled.is_empty()
    }

    /// What somebody meant to be so, a sentence each.
    pub fn by_hand(&self) -> Vec<String> {
        let units = self.units.iter().filter(|(_, down)| down.by_hand());
        let units = units.map(|(unit, down)| format!("{unit}: {}", down.words()));
        let firewall = self.firewall.iter().map(|words| format!("firewall: {words}"));
        let drop_ins = self.drop_ins.iter();
        let drop_ins =
            drop_ins.map(|(path, unit)| format!("{path}: a drop-in of others for {unit}"));
        let enabled = self.enabled.iter();
        let enabled = enabled.map(|(path, unit)| format!("{path}: {unit} enabled by hand"));
        units.chain(firewall).chain(drop_ins).chain(enabled).collect()
    }

    /// Units that are down for nobody's wish.
    pub fn failed(&self) -> impl Iterator<Item = &UnitName> {
        self.units.iter().filter(|(_, down)| !down.by_hand()).map(|(unit, _)| unit)
    }
}

/// `drift`: what somebody's hand has changed, with what stackc placed there and what is there now. Changes nothing.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DriftRequest {
    pub identity: Identity,
}

/// Bounded: texts of 64 KiB at most, and of 1 MiB in all; the rest by size and hash.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DriftReply {
    /// None: nothing of stackc's is on the guest.
    pub live: Option<Generation>,
    pub paths: BTreeMap<GuestPath, DriftedPath>,
    pub runtime: RuntimeDrift,
}

/// A path whose state is not what the ledger says.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DriftedPath {
    /// What is there instead, in a few words.
    pub what: String,
    pub placed: Sight,
    pub found: Sight,
}

/// What is, or should be, at a path. A file that is linked into the store counts as that file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Sight {
    /// Mode and owners by name: `0644 root:root`. A link has none.
    pub access: Option<String>,
    pub content: Sighted,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub enum Sighted {
    Nothing,
    /// Values of secrets that the guest knows are hidden in it.
    Text(String),
    /// No text, or too long a one.
    Bytes {
        size: u64,
        sha256: Digest,
    },
    /// Bigger than any file of a bundle, so that it was not read.
    Big {
        size: u64,
    },
    /// A file that holds secrets: never told.
    Secret,
    Link {
        target: String,
    },
    /// Keys in a file of somebody else, those alone that stackc sets.
    Keys {
        keys: BTreeMap<String, String>,
    },
    Directory,
    /// A device, socket or pipe.
    Special,
}

impl Sight {
    pub fn nothing() -> Self {
        Self { access: None, content: Sighted::Nothing }
    }

    pub fn of_access(access: &Access, content: Sighted) -> Self {
        let Access { mode, owner, group } = access;
        Self { access: Some(format!("{mode} {owner}:{group}")), content }
    }
}

impl Sighted {
    /// Bytes as text when they can be read as such and are not more than `most`.
    pub fn of_bytes(bytes: &[u8], most: u64) -> Self {
        let Bytes { size, sha256 } = Bytes::of(bytes);
        let text = || str::from_utf8(bytes).ok().filter(|text| !text.contains('\0'));
        match text().filter(|_| size <= most) {
            Some(text) => Self::Text(text.to_owned()),
            None => Self::Bytes { size, sha256 },
        }
    }
}
