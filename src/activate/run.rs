//! A plan, step by step.

use super::{
    ActivateError, Failed, Found, Job, Seams, Stage,
    confirm::{Switching, wait_for_end},
    look::{check, check_pending, door, identity, observe_request},
    provision, release_id, time,
};
use crate::model::{
    Container, GenerationId, Nonce, ReleaseId, Setting, TxId, TxState,
    protocol::{
        BeginRequest, BundleRequest, Caller, DatabasesRequest, MigrateRequest, ObservedGuest,
        ReceiveRequest, ReleaseRequest, SecretsRequest, UndoRequest,
    },
};
use crate::plan::{Live, NewGeneration, Plan, Step, found_value, plan, setting_name, switch};
use crate::proxmox::ProxmoxError;
use crate::remote::Connection;
use crate::store;
use std::cell::RefCell;

/// What an activation has made live.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Activated {
    /// None when only Proxmox had to be changed, or nothing at all.
    pub generation: Option<GenerationId>,
    pub state: Option<TxState>,
}

/// Runs a plan that was made from `found` and approved.
///
/// # Errors
/// With the stage that things were in; the same call again, from a new look, continues.
pub fn activate(
    seams: &mut Seams<'_>,
    job: &Job<'_>,
    found: Found,
    approved: &Plan,
) -> Result<Activated, Failed> {
    let mut run = Run::new(seams, job, found);
    run.settle_pending()?;
    run.refuse_drift()?;
    match run.steps(approved) {
        Ok(()) => Ok(run.activated),
        Err(failed) => Err(run.put_back(failed)),
    }
}

/// Sees the end of what another run of this operator's own has begun, so that a plan is made against what stays.
///
/// # Errors
/// When somebody else's change is under way, or the guest is not whole.
pub fn settle(seams: &mut Seams<'_>, job: &Job<'_>, found: Found) -> Result<Found, Failed> {
    let mut run = Run::new(seams, job, found);
    run.settle_pending()?;
    if let Some(guest) = &run.guest {
        check_pending(job, guest).map_err(Failed::refused)?;
    }
    Ok(Found { container: run.container, guest: run.guest, connection: run.connection })
}

struct Run<'r, 's> {
    seams: &'r mut Seams<'s>,
    job: &'r Job<'r>,
    container: Option<Container>,
    guest: Option<ObservedGuest>,
    connection: Option<Box<dyn Connection>>,
    tx: TxId,
    nonce: Nonce,
    /// The release that was built or found built.
    release: Option<ReleaseId>,
    begun_from: Option<GenerationId>,
    /// What the settings that were changed were before.
    settings_before: Vec<Setting>,
    stage: Stage,
    activated: Activated,
}

impl<'r, 's> Run<'r, 's> {
    fn new(seams: &'r mut Seams<'s>, job: &'r Job<'r>, found: Found) -> Self {
        Self {
            seams,
            job,
            container: found.container,
            guest: found.guest,
            connection: found.connection,
            tx: time::new_tx(),
            nonce: Nonce(time::random_hex(16)),
            release: None,
            begun_from: None,
            settings_before: Vec::new(),
            stage: Stage::Refused,
            activated: Activated { generation: None, state: None },
        }
    }
}

impl Run<'_, '_> {
    fn steps(&mut self, approved: &Plan) -> Result<(), Failed> {
        for planned in &approved.steps {
            (self.seams.progress)(planned.step.name(), &planned.cause);
            self.step(&planned.step, approved)?;
            if planned.step == Step::Start && self.guest.is_none() {
                // Only now can the guest be asked: the rest of the approved plan was what a new guest takes.
                self.meet()?;
                let rest = self.replan()?;
                return self.steps(&rest);
            }
        }
        Ok(())
    }

    fn step(&mut self, step: &Step, approved: &Plan) -> Result<(), Failed> {
        let before = self.stage;
        if before == Stage::Refused {
            self.stage = Stage::BeforeSwitch;
        }
        match step {
            Step::Switch => self.switch(approved),
            Step::Confirm => self.confirm(),
            other => self.prepare(other).map_err(|error| Failed { stage: self.stage, error }),
        }
    }

    /// After a switch that was undone the guest's settings in Proxmox go back too. A disk that has grown stays.
    fn put_back(&mut self, failed: Failed) -> Failed {
        if failed.stage != Stage::Undone || self.settings_before.is_empty() {
            return failed;
        }
        let names: Vec<_> = self.settings_before.iter().map(setting_name).collect();
        (self.seams.progress)("settings", &format!("{} go back too", names.join(", ")));
        let restored = match self.restore_settings() {
            // Whether it was done or not: the same again does it.
            Err(error) if error.outcome_unknown() => self.restore_settings(),
            restored => restored,
        };
        match (restored, failed.error) {
            (Err(cause), ActivateError::Undone { target, from, what, state }) => {
                let error = ActivateError::SettingsLeft { target, from, what, state, cause };
                Failed { stage: Stage::SettingsLeft, error }
            }
            (_, error) => Failed { stage: failed.stage, error },
        }
    }

    fn restore_settings(&mut self) -> Result<(), ProxmoxError> {
        let (vmid, node) =
            (self.job.documents.proxmox.vmid, self.job.documents.proxmox.node.clone());
        // Read again, for the digest that a change has to carry.
        let found = self.seams.proxmox.container(vmid)?;
        let found = found.ok_or(ProxmoxError::Gone { vmid, node })?;
        self.seams.proxmox.set(&found, &self.settings_before)
    }

    /// A step with no effect on what runs, or on Proxmox.
    fn prepare(&mut self, step: &Step) -> Result<(), ActivateError> {
        match step {
            Step::Create => {
                let made = provision::create(self.seams, self.job, self.container.as_ref())?;
                self.container = Some(made);
            }
            Step::Settings(changes) => {
                let container = self.container()?;
                let before = changes.iter().map(|c| found_value(&c.setting, &container));
                self.settings_before = before.collect();
                self.container = Some(provision::set(self.seams, &container, changes)?);
            }
            Step::Grow { to_gib, .. } => {
                let container = self.container()?;
                self.seams.proxmox.grow(&container, *to_gib)?;
                self.container = Some(provision::reread(self.seams, &container)?);
            }
            Step::Start => {
                let container = self.container()?;
                self.seams.proxmox.start(&container.node, container.vmid)?;
                self.container = Some(provision::reread(self.seams, &container)?);
            }
            Step::Network(change) => {
                let container = self.container()?;
                provision::move_network(self.seams, self.job, &container, change)?;
            }
            Step::Receive => self.receive()?,
            Step::Packages => drop(self.on_bundle(|c, request| c.packages(request))?),
            Step::Accounts => drop(self.on_bundle(|c, request| c.accounts(request))?),
            Step::Validate => drop(self.on_bundle(|c, request| c.validate(request))?),
            Step::Databases => self.databases()?,
            Step::Secrets => self.secrets()?,
            Step::Release => self.release()?,
            Step::Migrate => self.migrate()?,
            Step::Switch | Step::Confirm => unreachable!("they are not preparations"),
        }
        Ok(())
    }

    fn container(&self) -> Result<Container, ActivateError> {
        let (vmid, node) =
            (self.job.documents.proxmox.vmid, self.job.documents.proxmox.node.clone());
        let gone = ProxmoxError::Gone { vmid, node };
        self.container.clone().ok_or_else(|| gone.into())
    }

    fn connection(&mut self) -> &mut dyn Connection {
        self.connection.as_mut().expect("steps on the guest follow the step that meets it").as_mut()
    }

    fn caller(&self) -> Caller {
        let target = &self.job.bundle.manifest.target;
        let container = self.container.as_ref().expect("steps on the guest follow its creation");
        Caller {
            identity: identity(target, container),
            tx: self.tx.clone(),
            who: self.job.who.clone(),
            why: format!("activation of {target} {}", self.job.bundle.digest.short()),
        }
    }

    fn on_bundle<T>(
        &mut self,
        call: impl FnOnce(&mut dyn Connection, &BundleRequest) -> Result<T, crate::remote::RemoteError>,
    ) -> Result<T, ActivateError> {
        let request = BundleRequest { caller: self.caller(), digest: self.job.bundle.digest };
        Ok(call(self.connection(), &request)?)
    }

    /// Opens the first connection of a guest that came up just now.
    fn meet(&mut self) -> Result<(), Failed> {
        let stage = self.stage;
        let failed = |error: ActivateError| Failed { stage, error };
        let container = self.container().map_err(failed)?;
        let (vmid, node) = (container.vmid, container.node.clone());
        let door = door(self.seams, &container)
            .ok_or_else(|| failed(ProxmoxError::Gone { vmid, node }.into()))?;
        let mut connection = (self.seams.open)(door);
        let observed = connection.observe(&observe_request(self.job, &container));
        self.guest = Some(observed.map_err(|error| failed(error.into()))?);
        self.connection = Some(connection);
        self.settle_pending()?;
        self.refuse_drift()
    }

    fn replan(&self) -> Result<Plan, Failed> {
        let (wanted, documents) = (self.job.wanted(), &self.job.documents);
        plan(&wanted, documents, self.container.as_ref(), self.guest.as_ref())
            .map_err(|error| Failed { stage: self.stage, error: error.into() })
    }

    fn observe(&mut self) -> Result<ObservedGuest, ActivateError> {
        let request = observe_request(self.job, &self.container()?);
        Ok(self.connection().observe(&request)?)
    }

    /// Waits for the end of an unfinished transaction of this operator's name. Another run of theirs may be about to
    /// confirm it; one that died cannot, since its nonce died with it, and the guest goes back by itself. Undoing it
    /// here would take a good switch from the first run.
    fn settle_pending(&mut self) -> Result<(), Failed> {
        let pending = self.guest.as_ref().and_then(|guest| guest.pending.clone());
        let Some(pending) = pending.filter(|p| p.by == self.job.who && !p.phase.is_final()) else {
            return Ok(());
        };
        let text = format!("another run of yours, transaction {}, is not over", pending.tx);
        (self.seams.progress)("wait", &text);
        let health = &self.job.documents.health;
        let connection = self.connection.as_mut().expect("a transaction was seen over it");
        let ended = wait_for_end(connection.as_mut(), &pending, health);
        let settled = match ended {
            Ok(true) => self.observe().map(|guest| self.guest = Some(guest)),
            Ok(false) => self.undo(&pending.tx),
            Err(error) => Err(error.into()),
        };
        let stage = self.stage;
        settled.map_err(|error| Failed { stage, error })
    }

    /// Ends a transaction that nobody works on any more.
    fn undo(&mut self, tx: &TxId) -> Result<(), ActivateError> {
        let Caller { identity, who, .. } = self.caller();
        let request = UndoRequest { identity, tx: tx.clone(), who };
        self.connection().undo(&request)?;
        self.guest = Some(self.observe()?);
        Ok(())
    }

    fn refuse_drift(&self) -> Result<(), Failed> {
        let Some(guest) = &self.guest else { return Ok(()) };
        check(self.job, guest).map_err(|error| Failed { stage: self.stage, error })
    }

    fn receive(&mut self) -> Result<(), ActivateError> {
        let archive = store::archive(self.job.bundle);
        let request = ReceiveRequest {
            caller: self.caller(),
            digest: self.job.bundle.digest,
            bytes: archive.len() as u64,
        };
        self.connection().receive(&request, &archive)?;
        Ok(())
    }

    fn secrets(&mut self) -> Result<(), ActivateError> {
        let Some(files) = &self.job.secrets.files else { return Ok(()) };
        let copy = |file: &crate::model::protocol::SecretFile| crate::model::protocol::SecretFile {
            access: file.access.clone(),
            text: file.text.clone(),
        };
        let files = files.iter().map(|(path, file)| (path.clone(), copy(file))).collect();
        let version = self.job.secrets.version;
        let request = SecretsRequest { caller: self.caller(), version, files };
        self.connection().secrets(&request)?;
        Ok(())
    }

    fn databases(&mut self) -> Result<(), ActivateError> {
        let request = DatabasesRequest {
            caller: self.caller(),
            digest: self.job.bundle.digest,
            passwords: self.job.secrets.passwords.clone(),
        };
        self.connection().databases(&request)?;
        Ok(())
    }

    /// Names the release from the guest's own tools, and builds it there unless it is built already.
    fn release(&mut self) -> Result<(), ActivateError> {
        let Some(document) = self.job.documents.release.clone() else { return Ok(()) };
        let tools = self.on_bundle(|c, request| c.tools(request))?;
        let release = release_id(&document, &tools.outputs);
        self.release = Some(release);
        if self.guest.as_ref().is_some_and(|guest| guest.releases.contains(&release)) {
            return Ok(());
        }
        let target = self.job.bundle.manifest.target.clone();
        let archive = (self.seams.fetch)(&document);
        let archive = archive.map_err(|cause| ActivateError::Fetch { target, cause })?;
        let request = ReleaseRequest {
            caller: self.caller(),
            digest: self.job.bundle.digest,
            release,
            bytes: archive.len() as u64,
        };
        self.connection().release(&request, &archive)?;
        Ok(())
    }

    fn migrate(&mut self) -> Result<(), ActivateError> {
        let (Some(release), Some(document)) = (self.release, self.job.documents.release.clone())
        else {
            return Ok(());
        };
        let live = self.guest.as_ref().map(|guest| Live::of(guest, self.job.bundle));
        let stop = live.filter(|_| document.stop_for_migrate).map(|live| live.units_of_release());
        let request = MigrateRequest {
            caller: self.caller(),
            digest: self.job.bundle.digest,
            release,
            secrets: self.job.secrets.version,
            stop: stop.unwrap_or_default(),
        };
        self.connection().migrate(&request)?;
        Ok(())
    }

    /// Looks once more, puts the switch together, starts it, and waits until the guest asks to be confirmed.
    fn switch(&mut self, approved: &Plan) -> Result<(), Failed> {
        let stage = self.stage;
        let observed = self.observe().map_err(|error| Failed { stage, error })?;
        self.refuse_stale(approved, &observed)?;
        let (wanted, documents) = (self.job.wanted(), &self.job.documents);
        let kept = Live::of(&observed, self.job.bundle).kept_release(&wanted, documents);
        let new = NewGeneration {
            tx: self.tx.clone(),
            nonce: self.nonce.clone(),
            release: self.release.or(kept),
            cause: self.job.cause,
            parent: self.job.parent(),
            by: self.job.who.clone(),
            at: time::now(),
        };
        let switch = switch(&wanted, documents, &observed, new);
        let (from, number) = (switch.from, switch.generation.number);
        let request = BeginRequest { caller: self.caller(), switch };
        self.begun_from = Some(from);
        self.switching(|switching, connection| switching.begin(connection, &request))?;
        self.stage = Stage::Unknown;
        self.activated.generation = Some(number);
        self.switching(|switching, connection| switching.wait(connection))
    }

    fn confirm(&mut self) -> Result<(), Failed> {
        let state = self.switching(|switching, connection| switching.confirm(connection))?;
        self.stage = Stage::AfterConfirm;
        self.activated.state = Some(state);
        Ok(())
    }

    fn switching<T>(
        &mut self,
        work: impl FnOnce(&Switching<'_>, &mut dyn Connection) -> Result<T, Failed>,
    ) -> Result<T, Failed> {
        let identity = self.caller().identity;
        let vmid = self.job.documents.proxmox.vmid;
        let proxmox = RefCell::new(&mut *self.seams.proxmox);
        let is_off = || {
            let found = proxmox.borrow_mut().container(vmid);
            matches!(found, Ok(Some(container)) if !container.running)
        };
        let switching = Switching {
            target: &self.job.bundle.manifest.target,
            identity: &identity,
            tx: &self.tx,
            nonce: &self.nonce,
            who: &self.job.who,
            from: self.begun_from.unwrap_or(GenerationId::FOUND),
            health: &self.job.documents.health,
            is_off: &is_off,
        };
        let connection = self.connection.as_mut().expect("a switch began over it");
        work(&switching, connection.as_mut())
    }

    fn refuse_stale(&self, approved: &Plan, observed: &ObservedGuest) -> Result<(), Failed> {
        let found = observed.live.as_ref().map(|live| live.number);
        if found == approved.from {
            return Ok(());
        }
        let error = ActivateError::Stale {
            target: self.job.bundle.manifest.target.clone(),
            planned: approved.from.unwrap_or(GenerationId::FOUND),
            found: found.unwrap_or(GenerationId::FOUND),
        };
        Err(Failed { stage: self.stage, error })
    }
}
