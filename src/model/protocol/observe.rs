//! `observe`: what a plan needs to know of a guest.

use super::{Identity, Lease};
use crate::model::{
    Digest, Generation, GenerationId, GuestPath, Ledger, Manifest, PackageName, Phase, ReleaseId,
    RuntimeDrift, SecretsVersion, Sight, TxId, UnitName,
};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};

/// `observe`: what is live, what is there already, what is different from the ledger. Changes nothing.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ObserveRequest {
    pub identity: Identity,
    /// The wanted bundle. When there is none, or it is live, the reply leaves out what only a plan needs.
    pub digest: Option<Digest>,
    /// Units of the wanted bundle and packages that it needs, to be looked at besides those that are live.
    pub units: BTreeSet<UnitName>,
    pub packages: BTreeSet<String>,
    /// Paths that the wanted bundle takes whole, to be looked at where they are not the live generation's.
    pub paths: BTreeSet<GuestPath>,
}

/// What the guest reports.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ObservedGuest {
    /// None on a guest that stackc has not touched yet.
    pub identity: Option<Identity>,
    pub boot_id: String,
    /// `VERSION_ID` of /etc/os-release: `12`, `13`.
    pub debian: String,
    /// The live generation; none before the first activation.
    pub live: Option<Generation>,
    /// The highest generation number ever given, undone ones included.
    pub last_number: GenerationId,
    /// The transaction that is not over yet.
    pub pending: Option<PendingTx>,
    pub lease: Option<Lease>,
    /// Whether the wanted bundle's tree is in the store, whole.
    pub has_tree: bool,
    /// Releases that are built.
    pub releases: BTreeSet<ReleaseId>,
    pub secrets: BTreeSet<SecretsVersion>,
    /// Paths whose state is not what the ledger says, with what is there instead.
    pub drift: BTreeMap<GuestPath, String>,
    pub runtime_drift: RuntimeDrift,
    /// What others have at the paths asked for; a file that not everybody may read is told without its content.
    pub foreign: BTreeMap<GuestPath, Sight>,
    /// What a plan needs of the live generation; left out when nothing has to be planned.
    pub recorded: Option<Recorded>,
    /// Units by name: those asked for and those of the live generation.
    pub units: BTreeMap<UnitName, UnitState>,
    /// Services of packages that stackc has installed; looked at when a bundle is wanted.
    pub services: BTreeMap<UnitName, PackageService>,
    /// Packages asked for that are not installed.
    pub missing_packages: BTreeSet<String>,
    /// Whether ufw's chains are hooked into the kernel's INPUT.
    pub firewall_active: bool,
}

/// What the live generation says of itself.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Recorded {
    pub manifest: Option<Manifest>,
    pub ledger: Ledger,
    /// Text of every unit file and drop-in of the live tree, and of what it has for sysctl.d and tmpfiles.d.
    pub unit_texts: BTreeMap<GuestPath, String>,
    /// The live tree's own documents, as text: `firewall/user.rules`, `release.json`, …
    pub documents: BTreeMap<String, String>,
    pub found: FoundSystem,
}

/// How that was which switches have changed for the first time, besides files: where generation 0 goes.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FoundSystem {
    /// Units, by whether they ran.
    pub units: BTreeMap<UnitName, bool>,
    /// Whether the kernel's rules were written down, so that they can come back.
    pub firewall: bool,
    /// Kernel parameters, as paths below `/proc/sys`, by the value that they had.
    pub sysctls: BTreeMap<String, String>,
}

/// A unit as the service manager has it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct UnitState {
    /// `LoadState`: loaded, not-found, masked, …
    pub load: String,
    /// `ActiveState`: active, inactive, failed, activating, …
    pub active: String,
}

/// A unit that runs by itself because stackc has installed its package.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PackageService {
    pub package: PackageName,
    /// Whether the packages asked for, or packages that others have installed, are or need this one.
    pub wanted: bool,
    /// Whether the live generation needs it.
    pub live: bool,
}

/// A transaction that is not over yet.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PendingTx {
    pub tx: TxId,
    pub phase: Phase,
    pub by: String,
    pub from: GenerationId,
    pub to: GenerationId,
    pub digest: Option<Digest>,
}
