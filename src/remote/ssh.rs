//! The real connection: a login that is opened when needed and opened again when it broke.

use super::{
    Connection, RemoteError, binary,
    call::{Message, call},
    session::{As, Door, Login},
    trouble::{Terms, Trouble},
};
use crate::model::{
    DriftReply, DriftRequest, TxState,
    protocol::{
        AbandonRequest, BeginRequest, BundleRequest, ConfirmRequest, DatabasesRequest, DetachReply,
        DetachRequest, Done, FetchReply, FetchRequest, Garbage, GcRequest, HistoryReply,
        HistoryRequest, MigrateRequest, News, ObserveRequest, ObservedGuest, PinRequest,
        ReceiveRequest, ReleaseRequest, ResultRequest, SecretsRequest, ToolsReply, UndoRequest,
    },
};
use serde::{Serialize, de::DeserializeOwned};
use std::{
    thread,
    time::{Duration, Instant},
};
use tokio::{runtime::Handle, sync::watch};

/// A reboot of a container takes some seconds, its first boot on a busy machine half a minute.
const PATIENCE: Duration = Duration::from_secs(45);
/// Verbs that read or write a little.
const SHORT: Terms = Terms { limit: Duration::from_secs(60), patience: PATIENCE };
/// Installing packages and building a release; their own steps have their own, shorter limits on the guest.
const LONG: Terms = Terms { limit: Duration::from_secs(3600), patience: PATIENCE };
/// Stopping a few services; whoever waits for it has failed already.
const ABANDON: Duration = Duration::from_secs(30);
/// Going back stops and starts units, and waits for a switch at work to notice.
const UNDO: Terms = Terms { limit: Duration::from_secs(300), patience: PATIENCE };
/// Whoever begins a switch tries again too, and asks Proxmox in between whether the guest still runs.
const BEGIN: Terms = Terms { patience: Duration::from_secs(10), ..SHORT };
/// What an answer about a transaction may take beyond the time that the guest was asked to wait: it is one file read.
/// ssh itself would notice a dead connection only after 15 s.
const ANSWER: Duration = Duration::from_secs(5);

/// What a login may take. ssh gives up after 5 s of key exchange and 15 s of authentication; this is for when it does
/// not, as behind a jump host that hangs.
const LOGIN_LIMIT: Duration = Duration::from_secs(25);

/// Becomes true when the operator wants no more of it.
pub type Stop = watch::Receiver<bool>;
/// What is still asked then: it ends what was begun.
const ENDS: [&str; 2] = ["undo", "abandon"];

/// Is told what a call is at.
pub type Progress = Box<dyn Fn(News<'_>) + Send>;

/// A guest over SSH.
pub struct SshConnection {
    door: Door,
    who: As,
    runtime: Handle,
    login: Option<Login>,
    progress: Progress,
    stop: Option<Stop>,
}

impl SshConnection {
    /// Prepares a connection; the first call opens it. `progress` is told what each is at.
    pub fn new(door: Door, runtime: Handle, progress: Progress) -> Self {
        Self { door, who: As::Whoever, runtime, login: None, progress, stop: None }
    }

    /// The same; calls that have no answer yet end when this says so.
    #[must_use]
    pub fn until(mut self, stop: Stop) -> Self {
        self.stop = Some(stop);
        self
    }

    /// Calls a verb until there is an answer, or nobody has the patience for another try.
    fn ask<Q: Serialize, T: DeserializeOwned>(
        &mut self,
        verb: &'static str,
        request: &Q,
        payload: &[u8],
        terms: Terms,
    ) -> Result<T, RemoteError> {
        let mut line = serde_json::to_vec(request).expect("the protocol serialises to JSON");
        line.push(b'\n');
        let mut trouble = Trouble::new(terms);
        loop {
            let until = Instant::now() + terms.limit;
            let message = Message { verb, request: &line, payload, limit: terms.limit, until };
            let answer = self.once(&message);
            if answer.as_ref().is_err_and(|error| !error.is_answer()) {
                // What broke or hangs is not used for the next call.
                self.login = None;
            }
            let Err(error) = answer else { return answer };
            let Some(pause) = trouble.pause(&error, Instant::now()) else { return Err(error) };
            if trouble.is_new(&error) {
                let text = trouble.text(&error);
                (self.progress)(News::Event { step: "connection", text: &text });
            }
            thread::sleep(pause);
        }
    }

    /// One try, for those who have other questions to ask before the next: silence is as bad as a connection that broke.
    fn ask_once<Q: Serialize, T: DeserializeOwned>(
        &mut self,
        verb: &'static str,
        request: &Q,
        limit: Duration,
    ) -> Result<T, RemoteError> {
        match self.ask(verb, request, &[], Terms { limit, patience: Duration::ZERO }) {
            Err(RemoteError::Slow { address, verb, .. }) => {
                Err(RemoteError::Lost { address, verb })
            }
            answer => answer,
        }
    }

    /// One call, unless the operator wants no answer any more.
    fn once<T: DeserializeOwned>(&mut self, message: &Message<'_>) -> Result<T, RemoteError> {
        let stop = self.stop.clone().filter(|_| !ENDS.contains(&message.verb));
        let interrupted =
            RemoteError::Interrupted { address: self.door.address, verb: message.verb };
        let runtime = self.runtime.clone();
        runtime.block_on(async {
            tokio::select! {
                biased;
                () = stopped(stop) => Err(interrupted),
                answer = self.reach(message) => answer,
            }
        })
    }

    /// One call; the guest's binary is installed when the call shows that it is missing.
    async fn reach<T: DeserializeOwned>(
        &mut self,
        message: &Message<'_>,
    ) -> Result<T, RemoteError> {
        let login = match self.login.take() {
            Some(login) => login,
            None => Login::open(&self.door, self.who, message.limit.min(LOGIN_LIMIT)).await?,
        };
        let login = self.login.insert(login);
        let (door, progress) = (&self.door, &*self.progress);
        match call(door, login, message, progress).await {
            Err(RemoteError::NotInstalled { .. }) => {
                let text = format!("stackc-guest {}", binary::guest_binary_version());
                progress(News::Event { step: "install", text: &text });
                binary::install(door, login).await?;
                let until = Instant::now() + message.limit;
                call(door, login, &Message { until, ..*message }, progress).await
            }
            answer => answer,
        }
    }
}

/// Ends when the operator wants no more of it; never, when nobody can say so any more.
async fn stopped(stop: Option<Stop>) {
    let Some(mut stop) = stop else { return std::future::pending().await };
    if stop.wait_for(|stop| *stop).await.is_err() {
        std::future::pending::<()>().await;
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

    fn drift(&mut self, request: &DriftRequest) -> Result<DriftReply, RemoteError> {
        self.ask("drift", request, &[], SHORT)
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

    fn hooks(&mut self, request: &BundleRequest, limit: Duration) -> Result<Done, RemoteError> {
        self.ask("hooks", request, &[], Terms { limit: limit + SHORT.limit, ..SHORT })
    }

    fn begin(&mut self, request: &BeginRequest) -> Result<Done, RemoteError> {
        self.ask("begin", request, &[], BEGIN)
    }

    fn result(&mut self, request: &ResultRequest) -> Result<TxState, RemoteError> {
        let limit = Duration::from_secs(request.wait_seconds.into()) + ANSWER;
        self.ask_once("result", request, limit)
    }

    fn confirm(
        &mut self,
        request: &ConfirmRequest,
        limit: Duration,
    ) -> Result<TxState, RemoteError> {
        // A connection that stood before the switch proves nothing about the firewall and sshd after it, nor does root's
        // about the user that operators come as.
        self.login = None;
        self.who = As::Operator;
        let answer = self.ask_once("confirm", request, limit);
        // A guest that went back may have root alone again.
        self.who = As::Whoever;
        answer
    }

    fn abandon(&mut self, request: &AbandonRequest) -> Result<Done, RemoteError> {
        self.ask_once("abandon", request, ABANDON)
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

    fn detach(&mut self, request: &DetachRequest) -> Result<DetachReply, RemoteError> {
        self.ask("detach", request, &[], UNDO)
    }

    fn gc(&mut self, request: &GcRequest) -> Result<Garbage, RemoteError> {
        self.ask("gc", request, &[], LONG)
    }

    fn pin(&mut self, request: &PinRequest) -> Result<Done, RemoteError> {
        self.ask("pin", request, &[], SHORT)
    }
}
