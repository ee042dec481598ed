//! Seams whose calls fail when told to.

use super::ADDRESS;
use stackc::{
    model::{
        Container, DriftReply, DriftRequest, Mark, NodeName, ProxmoxDocument, Setting, TxState,
        Vmid,
        protocol::{
            AbandonRequest, BeginRequest, BundleRequest, ConfirmRequest, DatabasesRequest,
            DetachReply, DetachRequest, Done, FetchReply, FetchRequest, Garbage, GcRequest,
            HistoryReply, HistoryRequest, MigrateRequest, ObserveRequest, ObservedGuest,
            PinRequest, ReceiveRequest, ReleaseRequest, ResultRequest, SecretsRequest, ToolsReply,
            UndoRequest,
        },
    },
    proxmox::{Neighbour, Proxmox, ProxmoxError},
    remote::{Connection, RemoteError},
};
use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

/// Which calls fail.
#[derive(Debug, Clone, Copy)]
pub enum At {
    /// The call of this number, counted from 0 over both seams.
    Call(usize),
    /// Calls of this verb, the first of them counted from 0.
    Verb { verb: &'static str, from: usize, times: usize },
    /// This call to a guest and all after it, but for those that end what was begun: the operator wants no more.
    Interrupt(usize),
    /// The first call of this verb to Proxmox: the operator stopped waiting for its answer.
    Unawaited(&'static str),
    /// The first logins, this many: sshd answers, and takes no key.
    Login(usize),
}

/// Calls that fail; shared by every wrapper of one run.
#[derive(Debug, Clone)]
pub struct Fault {
    at: At,
    after_effect: bool,
    seen: Arc<AtomicUsize>,
    struck: Arc<AtomicUsize>,
}

impl Fault {
    pub fn new(at: At, after_effect: bool) -> Self {
        Self { at, after_effect, seen: Arc::default(), struck: Arc::default() }
    }

    /// How often it has struck.
    pub fn struck(&self) -> usize {
        self.struck.load(Ordering::Relaxed)
    }

    pub fn has_interrupted(&self) -> bool {
        matches!(self.at, At::Interrupt(_)) && self.struck() > 0
    }

    fn strikes(&self, verb: &str) -> bool {
        let strikes = match self.at {
            At::Call(call) => self.seen.fetch_add(1, Ordering::Relaxed) == call,
            At::Verb { verb: of, from, times } => {
                let calls = from..from + times;
                verb == of && calls.contains(&self.seen.fetch_add(1, Ordering::Relaxed))
            }
            At::Unawaited(of) => verb == of && self.seen.fetch_add(1, Ordering::Relaxed) == 0,
            At::Login(times) => self.seen.fetch_add(1, Ordering::Relaxed) < times,
            At::Interrupt(from) => {
                !matches!(verb, "undo" | "abandon")
                    && self.seen.fetch_add(1, Ordering::Relaxed) >= from
            }
        };
        self.struck.fetch_add(usize::from(strikes), Ordering::Relaxed);
        strikes
    }
}

/// Wraps a seam. A call that fails before its effect never arrives; after it, only its reply is lost.
pub struct Faulty<T> {
    pub inner: T,
    pub fault: Fault,
}

impl<T> Faulty<T> {
    fn effect<R, E>(
        &mut self,
        verb: &'static str,
        error: impl FnOnce(bool) -> E,
        call: impl FnOnce(&mut T) -> Result<R, E>,
    ) -> Result<R, E> {
        if !self.fault.strikes(verb) {
            return call(&mut self.inner);
        }
        if self.fault.after_effect {
            call(&mut self.inner)?;
        }
        Err(error(self.fault.after_effect))
    }

    fn guest<R>(
        &mut self,
        verb: &'static str,
        call: impl FnOnce(&mut T) -> Result<R, RemoteError>,
    ) -> Result<R, RemoteError> {
        let at = self.fault.at;
        let error = |arrived| {
            let (address, user) = (ADDRESS, "root".to_owned());
            match at {
                At::Interrupt(_) => RemoteError::Interrupted { address, verb },
                At::Login(_) => {
                    let log = "Permission denied (publickey).".to_owned();
                    RemoteError::Denied { address, user, log }
                }
                _ if arrived => RemoteError::Lost { address, verb },
                _ => RemoteError::Connect { address, user, log: "no route to host".to_owned() },
            }
        };
        self.effect(verb, error, call)
    }

    fn node<R>(
        &mut self,
        verb: &'static str,
        call: impl FnOnce(&mut T) -> Result<R, ProxmoxError>,
    ) -> Result<R, ProxmoxError> {
        if matches!(self.fault.at, At::Interrupt(_) | At::Login(_)) {
            return call(&mut self.inner);
        }
        let at = self.fault.at;
        let error = |_| {
            if matches!(at, At::Unawaited(_)) {
                return ProxmoxError::Interrupted { what: verb.to_owned() };
            }
            let (path, text) = (verb.to_owned(), "Connection timed out".to_owned());
            ProxmoxError::Refused { method: "POST", path, status: 596, text }
        };
        self.effect(verb, error, call)
    }
}

impl<T: Connection> Connection for Faulty<T> {
    fn observe(&mut self, request: &ObserveRequest) -> Result<ObservedGuest, RemoteError> {
        self.guest("observe", |inner| inner.observe(request))
    }
    fn drift(&mut self, request: &DriftRequest) -> Result<DriftReply, RemoteError> {
        self.guest("drift", |inner| inner.drift(request))
    }
    fn receive(&mut self, request: &ReceiveRequest, archive: &[u8]) -> Result<Done, RemoteError> {
        self.guest("receive", |inner| inner.receive(request, archive))
    }
    fn packages(&mut self, request: &BundleRequest) -> Result<Done, RemoteError> {
        self.guest("packages", |inner| inner.packages(request))
    }
    fn accounts(&mut self, request: &BundleRequest) -> Result<Done, RemoteError> {
        self.guest("accounts", |inner| inner.accounts(request))
    }
    fn databases(&mut self, request: &DatabasesRequest) -> Result<Done, RemoteError> {
        self.guest("databases", |inner| inner.databases(request))
    }
    fn secrets(&mut self, request: &SecretsRequest) -> Result<Done, RemoteError> {
        self.guest("secrets", |inner| inner.secrets(request))
    }
    fn tools(&mut self, request: &BundleRequest) -> Result<ToolsReply, RemoteError> {
        self.guest("tools", |inner| inner.tools(request))
    }
    fn release(&mut self, request: &ReleaseRequest, archive: &[u8]) -> Result<Done, RemoteError> {
        self.guest("release", |inner| inner.release(request, archive))
    }
    fn validate(&mut self, request: &BundleRequest) -> Result<Done, RemoteError> {
        self.guest("validate", |inner| inner.validate(request))
    }
    fn migrate(&mut self, request: &MigrateRequest) -> Result<Done, RemoteError> {
        self.guest("migrate", |inner| inner.migrate(request))
    }
    fn hooks(&mut self, request: &BundleRequest, limit: Duration) -> Result<Done, RemoteError> {
        self.guest("hooks", |inner| inner.hooks(request, limit))
    }
    fn begin(&mut self, request: &BeginRequest) -> Result<Done, RemoteError> {
        self.guest("begin", |inner| inner.begin(request))
    }
    fn result(&mut self, request: &ResultRequest) -> Result<TxState, RemoteError> {
        self.guest("result", |inner| inner.result(request))
    }
    fn confirm(
        &mut self,
        request: &ConfirmRequest,
        limit: Duration,
    ) -> Result<TxState, RemoteError> {
        self.guest("confirm", |inner| inner.confirm(request, limit))
    }
    fn abandon(&mut self, request: &AbandonRequest) -> Result<Done, RemoteError> {
        self.guest("abandon", |inner| inner.abandon(request))
    }
    fn undo(&mut self, request: &UndoRequest) -> Result<TxState, RemoteError> {
        self.guest("undo", |inner| inner.undo(request))
    }
    fn fetch(&mut self, request: &FetchRequest) -> Result<FetchReply, RemoteError> {
        self.guest("fetch", |inner| inner.fetch(request))
    }
    fn detach(&mut self, request: &DetachRequest) -> Result<DetachReply, RemoteError> {
        self.guest("detach", |inner| inner.detach(request))
    }
    fn history(&mut self, request: &HistoryRequest) -> Result<HistoryReply, RemoteError> {
        self.guest("history", |inner| inner.history(request))
    }
    fn gc(&mut self, request: &GcRequest) -> Result<Garbage, RemoteError> {
        self.guest("gc", |inner| inner.gc(request))
    }
    fn pin(&mut self, request: &PinRequest) -> Result<Done, RemoteError> {
        self.guest("pin", |inner| inner.pin(request))
    }
}

impl<T: Proxmox> Proxmox for Faulty<T> {
    fn container(&mut self, vmid: Vmid) -> Result<Option<Container>, ProxmoxError> {
        self.node("container", |inner| inner.container(vmid))
    }
    fn neighbours(&mut self) -> Result<Vec<Neighbour>, ProxmoxError> {
        self.node("neighbours", T::neighbours)
    }
    fn obstacles(&mut self, wanted: &ProxmoxDocument) -> Result<Vec<String>, ProxmoxError> {
        self.node("obstacles", |inner| inner.obstacles(wanted))
    }
    fn create(&mut self, wanted: &ProxmoxDocument, mark: &Mark) -> Result<(), ProxmoxError> {
        self.node("create", |inner| inner.create(wanted, mark))
    }
    fn introduce(&mut self, wanted: &ProxmoxDocument) -> Result<Container, ProxmoxError> {
        self.node("introduce", |inner| inner.introduce(wanted))
    }
    fn set(&mut self, container: &Container, settings: &[Setting]) -> Result<(), ProxmoxError> {
        self.node("set", |inner| inner.set(container, settings))
    }
    fn grow(&mut self, container: &Container, disk_gib: u32) -> Result<(), ProxmoxError> {
        self.node("grow", |inner| inner.grow(container, disk_gib))
    }
    fn is_off(&mut self, node: &NodeName, vmid: Vmid) -> Result<bool, ProxmoxError> {
        self.node("is_off", |inner| inner.is_off(node, vmid))
    }
    fn start(&mut self, node: &NodeName, vmid: Vmid) -> Result<(), ProxmoxError> {
        self.node("start", |inner| inner.start(node, vmid))
    }
}
