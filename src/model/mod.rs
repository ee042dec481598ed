//! The nouns that cross a border between folders. No I/O, no clock, no network.

pub mod canonical;
mod content;
mod crontab;
mod databases;
mod digest;
mod documents;
mod drift;
mod generation;
mod hooks;
pub mod layout;
mod manifest;
mod mode;
mod name;
#[cfg(feature = "operator")]
mod observed;
mod path;
pub mod pattern;
pub mod protocol;
#[cfg(feature = "operator")]
mod proxmox;
mod secret;
#[cfg(feature = "operator")]
mod site;
mod sysctl;
mod tmpfiles;
mod transaction;
mod unit_text;

pub use crontab::{CronLine, cron_command};
pub use databases::{DatabaseServer, DatabasesDocument, OwnedDatabase};
pub use digest::{Digest, ParseDigestError};
pub use documents::{
    AptDocument, Bundle, HealthDocument, Probe, ReleaseCommand, ReleaseDocument, UfwDocument,
    document,
};
pub use drift::{Down, DriftReply, DriftRequest, DriftedPath, RuntimeDrift, Sight, Sighted};
pub use generation::{
    Generation, GenerationCause, GenerationId, Ledger, Outcome, Placed, Placement, ReleaseId,
};
pub use hooks::{Hook, HooksDocument};
pub use manifest::{
    Access, BUNDLE_BYTES_MAX, Bytes, ENTRIES_MAX, Encoder, Entry, FILE_BYTES_MAX, FORMAT,
    FileClass, Manifest, ManifestError, Part, UnitInputs,
};
pub use mode::{Mode, ParseModeError};
pub use name::{
    AccountName, BranchName, BridgeName, CpuType, DatabaseName, DiskSlot, DomainName, EnvName,
    GuestName, ImageVolume, InterfaceName, KindName, MountSlot, NodeName, Owner, PackageName,
    ParseNameError, PoolName, ProjectName, SecretName, ServiceName, StartableUnit, StorageName,
    Target, TemplateVolume, UnitName,
};
#[cfg(feature = "operator")]
pub use observed::{Container, HostKey, Mark, Setting};
pub(crate) use path::component_form;
pub use path::{
    COMPONENT_BYTES_MAX, EntryPath, GuestPath, PATH_BYTES_MAX, ParsePathError, fold_case,
};
#[cfg(feature = "operator")]
pub(crate) use path::{path_form, relative_form};
#[cfg(feature = "operator")]
pub use proxmox::{
    Bios, Call, Chipset, ContainerOptions, Disk, DiskSource, GuestKind, MacAddr, MachineOptions,
    Mount, Network, Notes, Parameters, ParseNotesError, ParseVmidError, ProxmoxDocument, Startup,
    Vmid, container_creation, creation, gib, property,
};
pub use secret::{SecretTag, SecretTags, SecretValue, SecretsVersion};
#[cfg(feature = "operator")]
pub use site::{GuestAccess, Site, Trust};
pub use sysctl::sysctl_keys;
#[cfg(feature = "operator")]
pub use sysctl::sysctl_name;
pub use tmpfiles::TmpfilesLine;
pub use transaction::{
    Failure, FirewallAction, Nonce, ParseTxError, Phase, Switch, TxId, TxState, UnitActions,
};
pub use unit_text::{UnitLine, unit_commands, unit_lines, unit_words};
