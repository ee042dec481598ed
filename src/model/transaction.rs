//! One attempt to go from one generation to another: what the operator sends, and what the guest answers.

use super::{Generation, GenerationId, HealthDocument, Hook, Ledger, Placement, UnitName};
use serde::{Deserialize, Serialize};
use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
    str::FromStr,
};

/// The name of a transaction: 16 lower-case hex digits, drawn by the operator.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct TxId(String);

/// Text that is not a transaction's name.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{text}` is not a transaction: 16 lower-case hex digits are")]
pub struct ParseTxError {
    pub text: String,
}

impl TxId {
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for TxId {
    type Err = ParseTxError;
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let hex = |b: u8| b.is_ascii_digit() || (b'a'..=b'f').contains(&b);
        if text.len() == 16 && text.bytes().all(hex) {
            Ok(Self(text.to_owned()))
        } else {
            Err(ParseTxError { text: text.to_owned() })
        }
    }
}

impl TryFrom<String> for TxId {
    type Error = ParseTxError;
    fn try_from(text: String) -> Result<Self, Self::Error> {
        text.parse()
    }
}

impl From<TxId> for String {
    fn from(tx: TxId) -> Self {
        tx.0
    }
}

impl fmt::Display for TxId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// What a confirm must bring: drawn for one transaction, sent with `begin`, so that no other reply can stand in for it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Nonce(pub String);

/// A whole switch, with no choice left: written to `tx/<id>/switch.json`, the journal's head, before anything changes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Switch {
    pub tx: TxId,
    pub nonce: Nonce,
    /// The live generation that this was planned against; another one there is refused as stale.
    pub from: GenerationId,
    /// The generation to make, `outcome` pending.
    pub generation: Generation,
    pub ledger: Ledger,
    pub placement: Placement,
    pub units: UnitActions,
    /// What undoing does to units. As on the way forth, stops come while the files that it leaves still stand; the
    /// rest comes when the old files and `current` are back.
    pub undo_units: UnitActions,
    pub firewall: FirewallAction,
    /// Run by name when the units are up, before the probes.
    pub hooks: BTreeMap<String, Hook>,
    pub health: HealthDocument,
}

/// What a switch or its undo does to units, each list in order.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct UnitActions {
    /// Stopped first, by the definitions that they run from: no file has changed yet.
    pub stop: Vec<UnitName>,
    /// Whether a unit file, drop-in or link of the service manager changes.
    pub daemon_reload: bool,
    pub reload: Vec<UnitName>,
    pub restart: Vec<UnitName>,
    pub start: Vec<UnitName>,
}

/// What a switch does to the firewall.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum FirewallAction {
    /// Rules and policies stay.
    Keep,
    /// The rules are loaded in one atomic restore; ufw is enabled first when it never was.
    Apply,
    /// The kernel's rules are again what they were before stackc first loaded any; they stay when it never did.
    Found,
}

/// How far a transaction is. Each phase is on disk before its effect.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Phase {
    /// The journal is written; nothing has changed.
    Begun,
    /// Files, `current`, units and firewall are being changed.
    Switching,
    /// Everything is changed; hooks and probes run.
    Verifying,
    /// Healthy; the guest waits for the operator's confirm.
    AwaitingConfirm,
    /// The guest is going back.
    Undoing,
    /// The new generation is live for good.
    Confirmed,
    /// The old generation is live again, whole.
    Undone,
    /// Going back failed; the guest tries again at each boot and on its timer.
    Inconsistent,
}

impl Phase {
    /// Whether nothing more will happen by itself.
    pub fn is_final(self) -> bool {
        matches!(self, Self::Confirmed | Self::Undone | Self::Inconsistent)
    }
}

/// The guest's answer about a transaction.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TxState {
    pub tx: TxId,
    pub phase: Phase,
    /// Why it is being, or was, undone.
    pub failure: Option<Failure>,
    /// Milliseconds that each unit was not running because of the switch.
    pub downtime_ms: BTreeMap<UnitName, u64>,
    /// While it is open, since when units are down for it, or were first: milliseconds since boot, from which an undo counts.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub down_since_ms: BTreeMap<UnitName, u64>,
    /// Milliseconds from the first stop or flip to the end of the last start.
    pub switch_ms: u64,
    /// Where the guest keeps copies of what was changed by hand and overwritten.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub drift_copies: Vec<String>,
}

/// Why a switch was undone, with the evidence.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Failure {
    /// One sentence: `app-backend.service failed to start`.
    pub what: String,
    /// Units that it is of for certain; none where nobody knows which one was at fault.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub units: BTreeSet<UnitName>,
    /// Lines of the failing unit's journal since the switch, or a probe's last answers.
    pub evidence: Vec<String>,
}

impl Failure {
    /// One that is of no unit for certain.
    pub fn new(what: String, evidence: Vec<String>) -> Self {
        Self { what, units: BTreeSet::new(), evidence }
    }
}
