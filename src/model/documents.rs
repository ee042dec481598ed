//! The bundle's own documents, for the guest (`proxmox.json`, `databases.json` and `hooks.json` are in files of their own).
//! Each is canonical JSON; any new field is a new bundle format.

use super::{
    Bytes, Digest, Entry, EntryPath, GuestPath, Manifest, Owner, PackageName, ServiceName,
    UnitName, canonical,
};
use serde::{Deserialize, Serialize};
use std::{
    collections::BTreeMap,
    net::{IpAddr, Ipv4Addr},
};

/// `apt.json`: packages and where they come from. Packages are only ever added; a switch does not remove one.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AptDocument {
    /// Package to version; an empty version means the newest that the sources have.
    pub packages: BTreeMap<PackageName, String>,
    /// Extra sources by name: `/etc/apt/sources.list.d/stackc-<name>.sources` (deb822 text, keyring included as `Signed-By`).
    pub sources: BTreeMap<String, String>,
    /// Which versions are preferred, by name: `/etc/apt/preferences.d/stackc-<name>` (`apt_preferences(5)`).
    pub pins: BTreeMap<String, String>,
    /// Init scripts that may start while packages are installed; every other start is held back (policy-rc.d).
    pub may_start: Vec<ServiceName>,
}

impl AptDocument {
    /// Whether a package's unit starts by itself when it comes.
    pub fn may_start(&self, unit: &UnitName) -> bool {
        let unit = unit.as_str();
        let stem = unit.strip_suffix(".service").unwrap_or(unit);
        self.may_start.iter().any(|name| [unit, stem].contains(&name.as_str()))
    }

    /// The files of apt that it asks for, with their texts.
    pub fn files(&self) -> BTreeMap<String, &str> {
        let source = |name: &str| format!("/etc/apt/sources.list.d/stackc-{name}.sources");
        let sources = self.sources.iter().map(|(name, text)| (source(name), text.as_str()));
        let pin = |name: &str| format!("/etc/apt/preferences.d/stackc-{name}");
        sources.chain(self.pins.iter().map(|(name, text)| (pin(name), text.as_str()))).collect()
    }
}

/// `firewall/ufw.json`: the keys of `/etc/default/ufw` and `/etc/ufw/ufw.conf` that the bundle sets.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct UfwDocument {
    pub enabled: bool,
    pub ipv6: bool,
    /// `off`, `low`, `medium`, `high` or `full`.
    pub logging: String,
    /// `accept`, `drop` or `reject`.
    pub incoming: String,
    pub outgoing: String,
    pub routed: String,
}

/// `release.json`: the app's checkout and how it is built. Absent when the guest has no app.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ReleaseDocument {
    pub repo: String,
    pub branch: String,
    /// The pinned commit, 40 lower-case hex digits.
    pub commit: String,
    /// That commit's tree, or its subfolder's, 40 lower-case hex digits.
    pub tree: String,
    /// The folder of the repository that is the release; empty for all of it.
    pub subfolder: String,
    /// Who owns the checkout and runs its commands.
    pub user: Owner,
    /// Shell commands, each run in its folder of the release, in this order.
    pub build: Vec<ReleaseCommand>,
    pub migrate: Vec<ReleaseCommand>,
    /// The environment that `build` sees besides PATH, HOME and the user's name.
    pub build_env: BTreeMap<String, String>,
    /// Commands whose output is part of the release id, such as `node --version`.
    pub tools: Vec<String>,
    /// Paths of the release, relative to it, that outlive it (uploads, `SQLite` files).
    pub shared: Vec<String>,
    /// Whether the units that run from the release stop while `migrate` runs.
    pub stop_for_migrate: bool,
    /// The env file that `migrate` reads; a secret one is read from the new secrets version.
    pub env_file: Option<GuestPath>,
    /// How many releases besides the live one stay on the guest.
    pub keep: u32,
}

/// A shell command of a release.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ReleaseCommand {
    /// The folder, relative to the release; empty for the release itself.
    pub folder: String,
    pub run: String,
    pub timeout_seconds: u32,
}

/// `health.json`: how the new generation is judged.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct HealthDocument {
    pub probes: BTreeMap<String, Probe>,
    /// How long every probe must hold after it first passed.
    pub window_seconds: u32,
    /// How long a unit may take from its start until its probes pass.
    pub start_seconds: u32,
    /// How long the guest waits for the operator's confirm before it goes back by itself.
    pub confirm_seconds: u32,
}

/// One probe, run on the guest.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase", deny_unknown_fields)]
pub enum Probe {
    /// GET over HTTP; passes on this status.
    Http {
        /// Of the guest itself; left out where it is 127.0.0.1.
        #[serde(default = "localhost", skip_serializing_if = "is_localhost")]
        address: IpAddr,
        port: u16,
        path: String,
        status: u16,
        timeout_seconds: u32,
    },
    /// A TCP connection.
    Tcp {
        /// Of the guest itself; left out where it is 127.0.0.1.
        #[serde(default = "localhost", skip_serializing_if = "is_localhost")]
        address: IpAddr,
        port: u16,
        timeout_seconds: u32,
    },
    /// A command that exits with 0.
    Command { argv: Vec<String>, timeout_seconds: u32 },
    /// A unit that is active and does not restart.
    Unit { unit: UnitName },
}

fn localhost() -> IpAddr {
    Ipv4Addr::LOCALHOST.into()
}

fn is_localhost(address: &IpAddr) -> bool {
    *address == Ipv4Addr::LOCALHOST
}

/// A compiled guest: its manifest, the manifest's digest, and the bytes of every entry that has bytes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Bundle {
    pub digest: Digest,
    pub manifest: Manifest,
    pub files: BTreeMap<EntryPath, Vec<u8>>,
}

impl Bundle {
    /// Puts a bundle together, when these bytes are the ones that the digest names.
    pub fn prove(
        digest: Digest,
        manifest: Manifest,
        files: BTreeMap<EntryPath, Vec<u8>>,
    ) -> Option<Self> {
        let wanted = manifest.entries.iter().filter_map(|(path, entry)| match entry {
            Entry::Document(bytes) | Entry::File { bytes, .. } => Some((path, *bytes)),
            _ => None,
        });
        let found = files.iter().map(|(path, bytes)| (path, Bytes::of(bytes)));
        let proved = Digest::of(&canonical::to_bytes(&manifest)) == digest && wanted.eq(found);
        proved.then_some(Self { digest, manifest, files })
    }
}

/// Names of the bundle's own documents.
pub mod document {
    pub const MANIFEST: &str = "manifest.json";
    pub const PROXMOX: &str = "proxmox.json";
    pub const APT: &str = "apt.json";
    pub const RELEASE: &str = "release.json";
    pub const HEALTH: &str = "health.json";
    pub const DATABASES: &str = "databases.json";
    pub const HOOKS: &str = "hooks.json";
    pub const UFW: &str = "firewall/ufw.json";
    pub const USER_RULES: &str = "firewall/user.rules";
    pub const USER6_RULES: &str = "firewall/user6.rules";
}
