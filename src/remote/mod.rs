//! A guest over SSH: connect, send, call its binary.
#![expect(
    clippy::disallowed_methods,
    reason = "the folder starts ssh, keeps its files and waits for guests"
)]

mod binary;
mod call;
mod error;
mod session;
mod ssh;
mod trouble;

pub use binary::guest_binary_version;
pub use error::RemoteError;
pub use session::{Door, own_folder, require_ssh};
pub use ssh::{Progress, SshConnection, Stop};

use crate::model::protocol::{
    AbandonRequest, BeginRequest, BundleRequest, ConfirmRequest, DatabasesRequest, DetachReply,
    DetachRequest, Done, FetchReply, FetchRequest, Garbage, GcRequest, HistoryReply,
    HistoryRequest, MigrateRequest, ObserveRequest, ObservedGuest, PinRequest, ReceiveRequest,
    ReleaseRequest, ResultRequest, SecretsRequest, ToolsReply, UndoRequest,
};
use crate::model::{DriftReply, DriftRequest, TxState};
use std::time::Duration;

/// What the operator asks of a guest: the protocol's verbs. Each call is one round trip and can be made again.
pub trait Connection: Send {
    fn observe(&mut self, request: &ObserveRequest) -> Result<ObservedGuest, RemoteError>;
    /// What somebody's hand has changed, with what was there.
    fn drift(&mut self, request: &DriftRequest) -> Result<DriftReply, RemoteError>;
    fn receive(&mut self, request: &ReceiveRequest, archive: &[u8]) -> Result<Done, RemoteError>;
    fn packages(&mut self, request: &BundleRequest) -> Result<Done, RemoteError>;
    fn accounts(&mut self, request: &BundleRequest) -> Result<Done, RemoteError>;
    fn databases(&mut self, request: &DatabasesRequest) -> Result<Done, RemoteError>;
    fn secrets(&mut self, request: &SecretsRequest) -> Result<Done, RemoteError>;
    fn tools(&mut self, request: &BundleRequest) -> Result<ToolsReply, RemoteError>;
    fn release(&mut self, request: &ReleaseRequest, archive: &[u8]) -> Result<Done, RemoteError>;
    fn validate(&mut self, request: &BundleRequest) -> Result<Done, RemoteError>;
    fn migrate(&mut self, request: &MigrateRequest) -> Result<Done, RemoteError>;
    /// Runs the hooks that come before the switch, all of them within `limit`.
    fn hooks(&mut self, request: &BundleRequest, limit: Duration) -> Result<Done, RemoteError>;
    /// Starts the switch on the guest, which then needs nobody.
    fn begin(&mut self, request: &BeginRequest) -> Result<Done, RemoteError>;
    /// Ends a preparation without a switch.
    fn abandon(&mut self, request: &AbandonRequest) -> Result<Done, RemoteError>;
    /// Where a transaction stands. Tried once: whoever asks has Proxmox to ask too when the guest is silent.
    fn result(&mut self, request: &ResultRequest) -> Result<TxState, RemoteError>;
    /// Keeps the switch. Comes over a connection of its own, so that it proves that operators still get in. Tried once,
    /// login and answer within `limit`: a deadline is running.
    fn confirm(
        &mut self,
        request: &ConfirmRequest,
        limit: Duration,
    ) -> Result<TxState, RemoteError>;
    /// Goes back now; decided already, it tells how.
    fn undo(&mut self, request: &UndoRequest) -> Result<TxState, RemoteError>;
    /// A bundle that the guest still has.
    fn fetch(&mut self, request: &FetchRequest) -> Result<FetchReply, RemoteError>;
    fn history(&mut self, request: &HistoryRequest) -> Result<HistoryReply, RemoteError>;
    /// Takes stackc off a guest that is as it was found, its program included: a second call brings that once more.
    fn detach(&mut self, request: &DetachRequest) -> Result<DetachReply, RemoteError>;
    /// Looks for what no kept generation needs, or removes what was approved of it.
    fn gc(&mut self, request: &GcRequest) -> Result<Garbage, RemoteError>;
    fn pin(&mut self, request: &PinRequest) -> Result<Done, RemoteError>;
}
