//! The real connection: a login that is opened when needed and opened again when it broke.

use super::{
    Connection, RemoteError, binary,
    call::{Message, call},
    session::{Door, Login},
};
use crate::model::{
    TxState,
    protocol::{
        BeginRequest, BundleRequest, ConfirmRequest, DatabasesRequest, Done, FetchReply,
        FetchRequest, HistoryReply, HistoryRequest, MigrateRequest, ObserveRequest, ObservedGuest,
        ReceiveRequest, ReleaseRequest, ResultRequest, SecretsRequest, ToolsReply, UndoRequest,
    },
};
use serde::{Serialize, de::DeserializeOwned};
use std::{
    thread,
    time::{Duration, Instant},
};
use tokio::runtime::Handle;

/// Verbs that read or write a little.
const SHORT: Duration = Duration::from_secs(60);
/// A confirm is read and decided at once. A connection that swallows it must leave time for another before the guest
/// goes back, which definitions allow after 15 s; ssh itself notices a dead connection only then.
const CONFIRM: Duration = Duration::from_secs(4);
/// Installing packages and building a release; their own steps have their own, shorter limits on the guest.
const LONG: Duration = Duration::from_secs(3600);
/// Going back stops and starts units, and waits for a switch at work to notice.
const UNDO: Duration = Duration::from_secs(300);
/// How long a lost connection or a busy guest is worth trying: a reboot of a container takes some seconds.
const RECONNECT_LIMIT: Duration = Duration::from_secs(45);
/// A first call of this operator that still runs on the guest may take as long as the verb itself.
const BUSY_PAUSE: Duration = Duration::from_secs(2);
const FIRST_PAUSE: Duration = Duration::from_millis(200);
const LONGEST_PAUSE: Duration = Duration::from_secs(3);

/// Is told each event of a call: its step and its text.
pub type Progress = Box<dyn Fn(&str, &str) + Send>;

/// A guest over SSH.
pub struct SshConnection {
    door: Door,
    runtime: Handle,
    login: Option<Login>,
    progress: Progress,
    /// How long to try again before a lost connection is an error.
    patience: Duration,
}

impl SshConnection {
    /// Prepares a connection; the first call opens it. `progress` is told each event: its step and its text.
    pub fn new(door: Door, runtime: Handle, progress: Progress) -> Self {
        Self { door, runtime, login: None, progress, patience: RECONNECT_LIMIT }
    }

    /// The same, with another time for which a guest that does not answer is tried again.
    #[must_use]
    pub fn with_patience(mut self, patience: Duration) -> Self {
        self.patience = patience;
        self
    }

    fn ask<Q: Serialize, T: DeserializeOwned>(
        &mut self,
        verb: &'static str,
        request: &Q,
        payload: &[u8],
        limit: Duration,
    ) -> Result<T, RemoteError> {
        let mut line = serde_json::to_vec(request).expect("the protocol serialises to JSON");
        line.push(b'\n');
        let message = Message { verb, request: &line, payload, limit };
        let (started, mut pause) = (Instant::now(), FIRST_PAUSE);
        loop {
            let answer = self.once(&message);
            if answer.as_ref().is_err_and(|error| !error.is_answer()) {
                // What broke or hangs is not used for the next call.
                self.login = None;
            }
            match answer {
                Err(error) if error.is_lost() && started.elapsed() < self.patience => {
                    thread::sleep(pause);
                    pause = (pause * 2).min(LONGEST_PAUSE);
                }
                Err(error) if error.is_busy() && started.elapsed() < self.patience => {
                    thread::sleep(BUSY_PAUSE);
                }
                answer => return answer,
            }
        }
    }

    /// One call; the guest's binary is installed when the call shows that it is missing.
    fn once<T: DeserializeOwned>(&mut self, message: &Message<'_>) -> Result<T, RemoteError> {
        let login = match self.login.take() {
            Some(login) => login,
            None => self.runtime.block_on(Login::open(&self.door))?,
        };
        let login = self.login.insert(login);
        let (door, progress) = (&self.door, &*self.progress);
        self.runtime.block_on(async {
            match call(door, login, message, progress).await {
                Err(RemoteError::NotInstalled { .. }) => {
                    progress("install", binary::guest_binary_version());
                    binary::install(door, login).await?;
                    call(door, login, message, progress).await
                }
                answer => answer,
            }
        })
    }
}

impl Drop for SshConnection {
    fn drop(&mut self) {
        // openssh stops its master when dropped, which wants a runtime around it.
        let _inside = self.runtime.enter();
        self.login = None;
    }
}

impl Connection for SshConnection {
    fn observe(&mut self, request: &ObserveRequest) -> Result<ObservedGuest, RemoteError> {
        self.ask("observe", request, &[], SHORT)
    }

    fn receive(&mut self, request: &ReceiveRequest, archive: &[u8]) -> Result<Done, RemoteError> {
        self.ask("receive", request, archive, LONG)
    }

    fn packages(&mut self, request: &BundleRequest) -> Result<Done, RemoteError> {
        self.ask("packages", request, &[], LONG)
    }

    fn accounts(&mut self, request: &BundleRequest) -> Result<Done, RemoteError> {
        self.ask("accounts", request, &[], SHORT)
    }

    fn databases(&mut self, request: &DatabasesRequest) -> Result<Done, RemoteError> {
        self.ask("databases", request, &[], LONG)
    }

    fn secrets(&mut self, request: &SecretsRequest) -> Result<Done, RemoteError> {
        self.ask("secrets", request, &[], SHORT)
    }

    fn tools(&mut self, request: &BundleRequest) -> Result<ToolsReply, RemoteError> {
        self.ask("tools", request, &[], SHORT)
    }

    fn release(&mut self, request: &ReleaseRequest, archive: &[u8]) -> Result<Done, RemoteError> {
        self.ask("release", request, archive, LONG)
    }

    fn validate(&mut self, request: &BundleRequest) -> Result<Done, RemoteError> {
        self.ask("validate", request, &[], SHORT)
    }

    fn migrate(&mut self, request: &MigrateRequest) -> Result<Done, RemoteError> {
        self.ask("migrate", request, &[], LONG)
    }

    fn begin(&mut self, request: &BeginRequest) -> Result<Done, RemoteError> {
        self.ask("begin", request, &[], SHORT)
    }

    fn result(&mut self, request: &ResultRequest) -> Result<TxState, RemoteError> {
        let wait = Duration::from_secs(request.wait_seconds.into());
        self.ask("result", request, &[], wait + SHORT)
    }

    fn confirm(&mut self, request: &ConfirmRequest) -> Result<TxState, RemoteError> {
        // A connection that stood before the switch proves nothing about the firewall and sshd after it.
        self.login = None;
        match self.ask("confirm", request, &[], CONFIRM) {
            Err(RemoteError::Slow { address, verb, .. }) => {
                Err(RemoteError::Lost { address, verb })
            }
            answer => answer,
        }
    }

    fn undo(&mut self, request: &UndoRequest) -> Result<TxState, RemoteError> {
        self.ask("undo", request, &[], UNDO)
    }

    fn fetch(&mut self, request: &FetchRequest) -> Result<FetchReply, RemoteError> {
        self.ask("fetch", request, &[], SHORT)
    }

    fn history(&mut self, request: &HistoryRequest) -> Result<HistoryReply, RemoteError> {
        self.ask("history", request, &[], SHORT)
    }
}
