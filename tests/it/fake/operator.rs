//! The operator's two seams in memory, one world behind both.

mod faulty;

pub use faulty::{At, Fault, Faulty};

use crate::{handmade::made, plan::recorded};
use stackc::{
    model::{
        Bundle, Container, Digest, DriftReply, DriftRequest, Failure, Generation, GenerationId,
        Mark, NodeName, Outcome, Phase, ProxmoxDocument, RuntimeDrift, SecretsVersion, Setting,
        Switch, TxId, TxState, Vmid,
        protocol::{
            AbandonRequest, BeginRequest, BundleRequest, ConfirmRequest, DatabasesRequest,
            DetachReply, DetachRequest, Done, FetchReply, FetchRequest, Garbage, GcRequest,
            HistoryReply, HistoryRequest, Lease, MigrateRequest, ObserveRequest, ObservedGuest,
            PendingTx, PinRequest, ReceiveRequest, Refusal, RefusalCode, ReleaseRequest,
            ResultRequest, SecretsRequest, ToolsReply, UndoRequest, UnitState,
        },
    },
    proxmox::{Neighbour, Proxmox, ProxmoxError},
    remote::{Connection, RemoteError},
};
use std::{
    collections::{BTreeMap, BTreeSet},
    net::{IpAddr, Ipv4Addr},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

const ADDRESS: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);

/// A guest in Proxmox with what lives on it. Clones are the same world.
#[derive(Clone, Default)]
pub struct World(Arc<Mutex<Inside>>);

/// What is there.
#[derive(Default)]
pub struct Inside {
    pub container: Option<Container>,
    /// Another container with the same description.
    pub copy: Option<Container>,
    pub live: Option<GenerationId>,
    pub lease: Option<Lease>,
    /// Every bundle that may come, by digest.
    bundles: BTreeMap<Digest, Bundle>,
    /// Bundles that do not get healthy.
    broken: BTreeSet<Digest>,
    changes: u64,
    trees: BTreeSet<Digest>,
    secrets: BTreeSet<SecretsVersion>,
    generations: Vec<Generation>,
    switches: BTreeMap<TxId, (Switch, Phase)>,
    /// What runs otherwise than it should.
    pub runtime: RuntimeDrift,
    /// What a hand does to that while a bundle is validated.
    pub hand: Option<RuntimeDrift>,
    /// Whether the guest loses its power when it is asked to confirm.
    pub dies_at_confirm: bool,
    /// Preparations that were given up.
    pub abandoned: Vec<TxId>,
}

impl World {
    pub fn of(bundles: &[&Bundle]) -> Self {
        let bundles = bundles.iter().map(|b| (b.digest, (*b).clone())).collect();
        Self(Arc::new(Mutex::new(Inside { bundles, ..Inside::default() })))
    }

    pub fn inside(&self) -> MutexGuard<'_, Inside> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Lets this bundle's switches be undone.
    pub fn breaks(self, bundle: &Bundle) -> Self {
        self.inside().broken.insert(bundle.digest);
        self
    }

    pub fn live_digest(&self) -> Option<Digest> {
        self.inside().live_digest()
    }

    /// Lets a bundle's tree be collected.
    pub fn lose_tree(&self, bundle: &Bundle) {
        self.inside().trees.remove(&bundle.digest);
    }

    /// Makes a switch of somebody that nobody has confirmed or undone yet.
    pub fn leave_open(&self, by: &str) {
        self.leave(by, Phase::AwaitingConfirm);
    }

    /// Makes a switch of somebody that could not be undone when that was tried.
    pub fn leave_torn(&self, by: &str) {
        self.leave(by, Phase::Inconsistent);
    }

    fn leave(&self, by: &str, phase: Phase) {
        let mut inside = self.inside();
        let live = inside.live.expect("something is live");
        let (tx, (switch, _)) = inside.switches.last_key_value().expect("something switched");
        let mut switch = switch.clone();
        let tx: TxId = if tx.as_str() == "f".repeat(16) { "e".repeat(16) } else { "f".repeat(16) }
            .parse()
            .expect("16 hex digits");
        switch.tx = tx.clone();
        switch.from = live;
        switch.generation.number = GenerationId(inside.last().0 + 1);
        by.clone_into(&mut switch.generation.by);
        switch.generation.outcome = Outcome::Pending;
        inside.live = Some(switch.generation.number);
        inside.generations.push(switch.generation.clone());
        inside.switches.insert(tx, (switch, phase));
    }
}

impl Inside {
    fn generation(&self, number: GenerationId) -> Option<&Generation> {
        self.generations.iter().find(|g| g.number == number)
    }

    fn live_digest(&self) -> Option<Digest> {
        self.live.and_then(|number| self.generation(number)?.digest)
    }

    /// Nothing of stackc's is left on the guest.
    fn forget(&mut self) {
        self.live = None;
        self.generations.clear();
        self.switches.clear();
        self.trees.clear();
        self.secrets.clear();
    }

    fn last(&self) -> GenerationId {
        self.generations.last().map_or(GenerationId::FOUND, |g| g.number)
    }

    pub fn pending(&self) -> Option<PendingTx> {
        let is_over = |phase: &Phase| matches!(phase, Phase::Confirmed | Phase::Undone);
        let mut open = self.switches.values().filter(|(_, phase)| !is_over(phase));
        open.next().map(|(switch, phase)| PendingTx {
            tx: switch.tx.clone(),
            phase: *phase,
            by: switch.generation.by.clone(),
            from: switch.from,
            to: switch.generation.number,
            digest: switch.generation.digest,
        })
    }

    fn end(&mut self, tx: &TxId, phase: Phase) {
        let (switch, now) = self.switches.get_mut(tx).expect("it is known");
        *now = phase;
        let (number, from) = (switch.generation.number, switch.from);
        let confirmed = phase == Phase::Confirmed;
        let of = self.generations.iter_mut().find(|g| g.number == number).expect("it was made");
        of.outcome = if confirmed { Outcome::Confirmed } else { Outcome::Undone };
        if !confirmed {
            self.live = (from != GenerationId::FOUND).then_some(from);
        }
    }

    fn state(&self, tx: &TxId) -> Result<TxState, RemoteError> {
        let Some((_, phase)) = self.switches.get(tx) else {
            let text = format!("the transaction `{tx}` is not on this guest");
            return Err(refused(RefusalCode::Unknown, text));
        };
        let failure = Failure {
            units: ["web.service".parse().expect("it is a unit's name")].into(),
            ..Failure::new("`web.service` failed".to_owned(), Vec::new())
        };
        Ok(TxState {
            tx: tx.clone(),
            phase: *phase,
            failure: (*phase == Phase::Undone).then_some(failure),
            downtime_ms: BTreeMap::new(),
            down_since_ms: BTreeMap::new(),
            switch_ms: 1,
            drift_copies: Vec::new(),
        })
    }

    fn begin(&mut self, switch: &Switch) -> Result<Done, RemoteError> {
        if self.switches.contains_key(&switch.tx) {
            return Ok(Done { already: true });
        }
        if self.pending().is_some() {
            return Err(refused(RefusalCode::Busy, "another transaction is open".to_owned()));
        }
        if switch.from != self.live.unwrap_or(GenerationId::FOUND) {
            return Err(refused(RefusalCode::Stale, "the guest moved on".to_owned()));
        }
        let generation = switch.generation.clone();
        let is_there = |digest: &Digest| {
            self.trees.contains(digest) && self.secrets.contains(&generation.secrets)
        };
        if !generation.digest.is_none_or(|digest| is_there(&digest)) {
            return Err(refused(RefusalCode::Refused, "prepare it first".to_owned()));
        }
        let broken = generation.digest.is_some_and(|digest| self.broken.contains(&digest));
        self.live = Some(generation.number);
        self.generations.push(generation);
        self.switches.insert(switch.tx.clone(), (switch.clone(), Phase::AwaitingConfirm));
        if broken {
            self.end(&switch.tx, Phase::Undone);
        }
        Ok(Done { already: false })
    }

    fn observe(&self, request: &ObserveRequest) -> ObservedGuest {
        let live = self.live.and_then(|number| self.generation(number)).cloned();
        let digest = live.as_ref().and_then(|g| g.digest);
        let other = digest.filter(|_| request.digest.is_some() && digest != request.digest);
        let active = if live.is_some() { "active" } else { "inactive" };
        let state = UnitState { load: "loaded".to_owned(), active: active.to_owned() };
        ObservedGuest {
            identity: None,
            boot_id: "b".to_owned(),
            debian: "12".to_owned(),
            live,
            last_number: self.last(),
            pending: self.pending(),
            lease: self.lease.clone(),
            has_tree: request.digest.is_some_and(|digest| self.trees.contains(&digest)),
            releases: BTreeSet::new(),
            secrets: self.secrets.clone(),
            drift: BTreeMap::new(),
            runtime_drift: self.runtime.clone(),
            foreign: BTreeMap::new(),
            recorded: other.map(|digest| recorded(&self.bundles[&digest])),
            units: request.units.iter().map(|unit| (unit.clone(), state.clone())).collect(),
            services: BTreeMap::new(),
            missing_packages: BTreeSet::new(),
            firewall_active: false,
        }
    }

    /// Applies a change to the container as it was read.
    fn change(
        &mut self,
        read: &Container,
        change: impl FnOnce(&mut Container),
    ) -> Result<(), ProxmoxError> {
        self.changes += 1;
        let changes = self.changes;
        let container = self.container.as_mut().expect("it is there");
        if container.config_digest != read.config_digest {
            let text = "detected modified configuration".to_owned();
            return Err(ProxmoxError::Refused {
                method: "PUT",
                path: "config".to_owned(),
                status: 500,
                text,
            });
        }
        change(container);
        container.config_digest = format!("{changes:040x}");
        Ok(())
    }
}

fn refused(code: RefusalCode, message: String) -> RemoteError {
    let (details, state) = (Vec::new(), String::new());
    let refusal = Box::new(Refusal { code, message, details, state });
    RemoteError::Refused { address: ADDRESS, verb: "verb", refusal }
}

const DONE: Done = Done { already: false };

impl Connection for World {
    fn observe(&mut self, request: &ObserveRequest) -> Result<ObservedGuest, RemoteError> {
        Ok(self.inside().observe(request))
    }
    fn drift(&mut self, _: &DriftRequest) -> Result<DriftReply, RemoteError> {
        let inside = self.inside();
        let live = inside.live.and_then(|number| inside.generation(number)).cloned();
        Ok(DriftReply { live, paths: BTreeMap::new(), runtime: RuntimeDrift::default() })
    }
    fn receive(&mut self, request: &ReceiveRequest, _: &[u8]) -> Result<Done, RemoteError> {
        self.inside().trees.insert(request.digest);
        Ok(DONE)
    }
    fn packages(&mut self, _: &BundleRequest) -> Result<Done, RemoteError> {
        Ok(DONE)
    }
    fn accounts(&mut self, _: &BundleRequest) -> Result<Done, RemoteError> {
        Ok(DONE)
    }
    fn databases(&mut self, _: &DatabasesRequest) -> Result<Done, RemoteError> {
        Ok(DONE)
    }
    fn secrets(&mut self, request: &SecretsRequest) -> Result<Done, RemoteError> {
        self.inside().secrets.insert(request.version);
        Ok(DONE)
    }
    fn tools(&mut self, _: &BundleRequest) -> Result<ToolsReply, RemoteError> {
        Ok(ToolsReply { outputs: BTreeMap::new() })
    }
    fn release(&mut self, _: &ReleaseRequest, _: &[u8]) -> Result<Done, RemoteError> {
        Ok(DONE)
    }
    fn validate(&mut self, _: &BundleRequest) -> Result<Done, RemoteError> {
        let mut inside = self.inside();
        if let Some(hand) = inside.hand.take() {
            inside.runtime = hand;
        }
        Ok(DONE)
    }
    fn migrate(&mut self, _: &MigrateRequest) -> Result<Done, RemoteError> {
        Ok(DONE)
    }
    fn hooks(&mut self, _: &BundleRequest, _: Duration) -> Result<Done, RemoteError> {
        Ok(DONE)
    }
    fn begin(&mut self, request: &BeginRequest) -> Result<Done, RemoteError> {
        self.inside().begin(&request.switch)
    }
    fn abandon(&mut self, request: &AbandonRequest) -> Result<Done, RemoteError> {
        let mut inside = self.inside();
        inside.abandoned.push(request.caller.tx.clone());
        Ok(Done { already: false })
    }
    fn result(&mut self, request: &ResultRequest) -> Result<TxState, RemoteError> {
        self.inside().state(&request.tx)
    }
    fn confirm(&mut self, request: &ConfirmRequest, _: Duration) -> Result<TxState, RemoteError> {
        let mut inside = self.inside();
        if inside.dies_at_confirm {
            inside.container.as_mut().expect("it is there").running = false;
            return Err(RemoteError::Lost { address: ADDRESS, verb: "confirm" });
        }
        if inside.state(&request.tx)?.phase == Phase::AwaitingConfirm {
            assert_eq!(inside.switches[&request.tx].0.nonce, request.nonce);
            inside.end(&request.tx, Phase::Confirmed);
        }
        inside.state(&request.tx)
    }
    fn undo(&mut self, request: &UndoRequest) -> Result<TxState, RemoteError> {
        let mut inside = self.inside();
        if matches!(inside.state(&request.tx)?.phase, Phase::AwaitingConfirm | Phase::Inconsistent)
        {
            inside.end(&request.tx, Phase::Undone);
        }
        inside.state(&request.tx)
    }
    fn fetch(&mut self, request: &FetchRequest) -> Result<FetchReply, RemoteError> {
        let inside = self.inside();
        let sent = inside.trees.get(&request.digest).and_then(|digest| inside.bundles.get(digest));
        let message = || format!("bundle {} is not here", request.digest);
        let bundle = sent.cloned().ok_or_else(|| refused(RefusalCode::Failed, message()))?;
        Ok(FetchReply { manifest: Some(bundle.manifest), files: bundle.files, more: false })
    }
    fn detach(&mut self, _: &DetachRequest) -> Result<DetachReply, RemoteError> {
        let mut inside = self.inside();
        if inside.live_digest().is_some() {
            return Err(refused(RefusalCode::Refused, "a generation is live".to_owned()));
        }
        inside.forget();
        Ok(DetachReply { shared: None })
    }
    fn history(&mut self, _: &HistoryRequest) -> Result<HistoryReply, RemoteError> {
        let inside = self.inside();
        let (generations, live) = (inside.generations.clone(), inside.live);
        Ok(HistoryReply { generations, live, ..HistoryReply::default() })
    }
    fn gc(&mut self, _: &GcRequest) -> Result<Garbage, RemoteError> {
        Ok(Garbage::default())
    }
    fn pin(&mut self, _: &PinRequest) -> Result<Done, RemoteError> {
        Ok(Done { already: true })
    }
}

impl Proxmox for World {
    fn container(&mut self, vmid: Vmid) -> Result<Option<Container>, ProxmoxError> {
        Ok(self.inside().container.clone().filter(|container| container.vmid == vmid))
    }
    fn neighbours(&mut self) -> Result<Vec<Neighbour>, ProxmoxError> {
        let inside = self.inside();
        let containers = inside.container.iter().chain(&inside.copy);
        let neighbour = |container: &Container| Neighbour {
            vmid: container.vmid,
            name: "shop-dev".to_owned(),
            mark: container.mark.clone(),
            addresses: Vec::new(),
        };
        Ok(containers.map(neighbour).collect())
    }
    fn obstacles(&mut self, _: &ProxmoxDocument) -> Result<Vec<String>, ProxmoxError> {
        Ok(Vec::new())
    }
    fn create(&mut self, wanted: &ProxmoxDocument, mark: &Mark) -> Result<(), ProxmoxError> {
        let mut inside = self.inside();
        let made = inside.container.get_or_insert_with(|| container(wanted, mark));
        assert_eq!(made.mark.as_ref(), Some(mark), "a second guest would have been made");
        Ok(())
    }
    fn introduce(&mut self, wanted: &ProxmoxDocument) -> Result<Container, ProxmoxError> {
        let mut inside = self.inside();
        let read = inside.container.clone().expect("it was created");
        inside.change(&read, |container| {
            container.host_key = format!("SHA256:{}", "k".repeat(43)).parse().ok();
            container.tags.clone_from(&wanted.tags);
        })?;
        Ok(inside.container.clone().expect("it was created"))
    }
    fn set(&mut self, read: &Container, settings: &[Setting]) -> Result<(), ProxmoxError> {
        self.inside().change(read, |container| {
            container.mark.clone_from(&read.mark);
            container.host_key.clone_from(&read.host_key);
            for setting in settings {
                match setting {
                    Setting::Cores(cores) => container.cores = Some(*cores),
                    Setting::Unset("cores") => container.cores = None,
                    Setting::Unset("tags") => container.tags.clear(),
                    Setting::Unset("description") => container.notes.clear(),
                    Setting::Description(notes) => container.notes.clone_from(notes),
                    Setting::Tags(tags) => container.tags.clone_from(tags),
                    Setting::MemoryMib(memory) => container.memory_mib = *memory,
                    other => panic!("no test changes {other:?}"),
                }
            }
        })
    }
    fn grow(&mut self, read: &Container, disk_gib: u32) -> Result<(), ProxmoxError> {
        self.inside().change(read, |container| container.disk_gib = disk_gib)
    }
    fn is_off(&mut self, _: &NodeName, _: Vmid) -> Result<bool, ProxmoxError> {
        Ok(self.inside().container.as_ref().is_none_or(|container| !container.running))
    }
    fn start(&mut self, _: &NodeName, _: Vmid) -> Result<(), ProxmoxError> {
        self.inside().container.as_mut().expect("it was created").running = true;
        Ok(())
    }
}

/// A container that was created just now.
fn container(wanted: &ProxmoxDocument, mark: &Mark) -> Container {
    Container { mark: Some(mark.clone()), tags: BTreeSet::new(), ..made(wanted) }
}
