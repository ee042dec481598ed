//! What the operator and `stackc-guest` say to each other.
//!
//! A call is `stackc-guest [--root DIR] VERB` over SSH: one request as a line of JSON on stdin, for some verbs followed
//! by raw bytes; any number of `Event` lines and then one `Reply` line on stdout. Each call is one idempotent round trip.
//! A lost reply is no failure: the same call again gives the same answer. Both ends are of one build, so the protocol
//! has no version of its own.

mod observe;

use super::{
    Digest, EntryPath, Generation, GenerationId, GuestPath, Manifest, Nonce, ReleaseId,
    SecretsVersion, Switch, TxId, TxState, UnitName,
};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};

pub use observe::{
    FoundSystem, ObserveRequest, ObservedGuest, PackageService, PendingTx, Recorded, UnitState,
};

/// A line of stdout.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase", deny_unknown_fields)]
pub enum Line<T> {
    /// Progress, for people.
    Event {
        step: String,
        text: String,
    },
    /// What a command that runs for long has said last; secret values are hidden in it.
    Output(String),
    Reply(T),
    Refused(Refusal),
}

/// What a call tells while it runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum News<'n> {
    /// Something begins: a step's name and a sentence.
    Event { step: &'n str, text: &'n str },
    /// A line of a command's output.
    Output(&'n str),
}

/// The guest's no.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Refusal {
    pub code: RefusalCode,
    /// What could not be done, and why.
    pub message: String,
    /// Evidence: the tail of a log, the lines of a validator.
    pub details: Vec<String>,
    /// The state that things are in now.
    pub state: String,
}

/// What sort of no.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum RefusalCode {
    /// Another call or transaction holds the guest: wait, then observe.
    Busy,
    /// The guest moved on since the plan was made: observe and plan again.
    Stale,
    /// The request does not fit this guest: another identity, another file system layout, a bad request.
    Refused,
    /// The transaction that was asked about is not on this guest, and never began there.
    Unknown,
    /// Something was tried and did not work; nothing that runs has changed.
    Failed,
    /// The guest is not whole: a person is needed.
    Inconsistent,
}

/// Who the operator thinks the guest is. Wrong: everything is refused.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Identity {
    pub project: super::ProjectName,
    pub env: super::EnvName,
    pub uuid: String,
}

/// Who may change the guest now. Renewed by each call; over when its time is up or the guest has booted again.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Lease {
    pub tx: TxId,
    /// `user@host` of the operator.
    pub who: String,
    pub why: String,
    pub boot_id: String,
    /// `CLOCK_BOOTTIME` seconds at which it ends.
    pub expires_at_seconds: u64,
}

/// What every call that changes something carries.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Caller {
    pub identity: Identity,
    pub tx: TxId,
    /// `user@host` of the operator.
    pub who: String,
    pub why: String,
    /// A run that is known to be dead: its lease is taken over before its time is up.
    pub over: Option<TxId>,
}

/// `receive`: followed by the bundle's archive (deterministic `.tar.gz`).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ReceiveRequest {
    pub caller: Caller,
    pub digest: Digest,
    /// Length of the archive that follows, in bytes.
    pub bytes: u64,
}

/// `packages`, `accounts`, `validate`: what the bundle in the store asks for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BundleRequest {
    pub caller: Caller,
    pub digest: Digest,
}

/// `secrets`: put together by the operator. The request is not `Debug`: it holds values.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SecretsRequest {
    pub caller: Caller,
    pub version: SecretsVersion,
    pub files: BTreeMap<GuestPath, SecretFile>,
}

/// One secret file, whole. Readable by the owner and the group at most.
#[derive(Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SecretFile {
    pub access: super::Access,
    pub text: String,
}

/// `databases`: with the passwords that `databases.json` names. Not `Debug`: it holds values.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DatabasesRequest {
    pub caller: Caller,
    pub digest: Digest,
    pub passwords: BTreeMap<super::SecretName, String>,
}

/// `tools`: runs the declared tool commands as the release's user; their output goes into the release id.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ToolsReply {
    pub outputs: BTreeMap<String, String>,
}

/// `release`: followed by the checkout as a tar archive; unpacked and built in its own folder.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ReleaseRequest {
    pub caller: Caller,
    pub digest: Digest,
    pub release: ReleaseId,
    /// Length of the archive that follows, in bytes.
    pub bytes: u64,
}

/// `migrate`: runs the release's migrate commands, the old generation still live.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct MigrateRequest {
    pub caller: Caller,
    pub digest: Digest,
    pub release: ReleaseId,
    pub secrets: SecretsVersion,
    /// Units that stop meanwhile: those that run from the live release, when the release asks for it.
    pub stop: Vec<UnitName>,
}

/// `begin`: starts the switch on the guest, which then needs nobody. Again with the same `tx`: changes nothing.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BeginRequest {
    pub caller: Caller,
    pub switch: Switch,
}

/// `abandon`: a preparation ends without a switch, and what it has started with it. Again: nothing.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AbandonRequest {
    pub caller: Caller,
}

/// `result`: waits until the transaction awaits the confirm or is over, at most this long.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ResultRequest {
    pub tx: TxId,
    pub wait_seconds: u32,
}

/// `confirm`: keeps the switch. Again: the same answer. Too late: the true state.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ConfirmRequest {
    pub identity: Identity,
    pub tx: TxId,
    pub nonce: Nonce,
}

/// `undo`: goes back now, without waiting for the deadline. Decided already: the true state.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct UndoRequest {
    pub identity: Identity,
    pub tx: TxId,
    pub who: String,
}

/// `history`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct HistoryRequest {
    pub identity: Identity,
}

/// `fetch`: a bundle of the store, for an operator whose `out/` has lost it. Some files a call, so that a guest needs
/// little memory for the largest.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FetchRequest {
    pub identity: Identity,
    pub digest: Digest,
    /// The last path of the call before, whose successors are wanted.
    pub after: Option<EntryPath>,
}

/// A part of the bundle; its digest proves every byte of the whole, so that the guest need not be believed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FetchReply {
    /// With the first files only.
    pub manifest: Option<Manifest>,
    #[serde(with = "super::content")]
    pub files: BTreeMap<EntryPath, Vec<u8>>,
    /// Whether files are left for the next call.
    pub more: bool,
}

/// `detach`: removes all that stackc keeps on a guest that is as it was found. Again: what is left of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DetachRequest {
    pub caller: Caller,
}

/// What the app had outside its releases, and where it is now; none when there was nothing.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DetachReply {
    pub shared: Option<String>,
}

/// `gc`: what no kept generation needs. It leaves only when it was shown before.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct GcRequest {
    pub caller: Caller,
    /// How many confirmed generations are kept besides the live one, where a rollback from it goes, and pinned ones.
    pub keep: u32,
    /// Whether packages go too: those that stackc has installed, and that nothing needs any more.
    pub packages: bool,
    /// What an operator has seen and approved: nothing else leaves. None: it is only looked for.
    pub approved: Option<Garbage>,
}

/// What no kept generation needs.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Garbage {
    /// Trees, releases with their logs, sets of secrets, programs of stackc's own: each with the bytes that it takes.
    pub paths: BTreeMap<String, u64>,
    /// Packages, each with the bytes that it takes.
    pub packages: BTreeMap<super::PackageName, u64>,
}

/// `pin`: keeps a generation from `gc`, or no longer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PinRequest {
    pub caller: Caller,
    pub number: GenerationId,
    pub pinned: bool,
}

/// `history`: every generation and every transaction that is over, oldest first.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct HistoryReply {
    pub generations: Vec<Generation>,
    /// Generations that `gc` keeps for as long as they are pinned.
    pub pinned: BTreeSet<GenerationId>,
    pub transactions: Vec<TxRecord>,
    pub live: Option<GenerationId>,
    /// Where the guest keeps copies of what was changed by hand, by the generation whose activation overwrote it.
    pub drift_copies: BTreeMap<GenerationId, Vec<String>>,
}

/// `history/<tx>.json`: how a transaction ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TxRecord {
    pub from: GenerationId,
    pub to: GenerationId,
    pub by: String,
    pub at: String,
    pub state: TxState,
}

/// An acknowledgement that needs no words.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Done {
    /// Whether it had been done before this call.
    pub already: bool,
}
