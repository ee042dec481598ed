//! A plan, step by step.

mod meet;
mod prepare;
mod switch;

use super::{
    ActivateError, Failed, Found, Job, Seams, Stage,
    alive::Alive,
    look::{check_pending, claim},
    provision, time,
};
use crate::model::{
    Container, GenerationId, Nonce, ReleaseId, Setting, TxId, TxState, protocol::ObservedGuest,
};
use crate::plan::{Plan, Step};
use crate::proxmox::ProxmoxError;
use crate::remote::Connection;
use std::time::{Duration, Instant};

/// How old a look may be when its plan is carried out. An approval takes longer, and so does waiting for other guests'
/// turns; a whole activation by somebody else does not fit in here, and one that is at work shows its lease.
const FRESH: Duration = Duration::from_millis(500);

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
    run.look_again()?;
    run.settle_pending()?;
    if let Some(guest) = &run.guest {
        run.refuse_stale(approved, guest)?;
    }
    run.refuse_drift()?;
    run.claim()?;
    match run.steps(approved) {
        Ok(()) => {
            run.forget();
            Ok(run.activated)
        }
        Err(failed) => {
            run.abandon(&failed);
            // What the operator called off has no cause in the plan.
            let called_off = (run.seams.stopped)();
            let failed = if called_off { failed } else { failed.because(&approved.units) };
            Err(run.put_back(failed))
        }
    }
}

/// Starts a guest that was off, with the settings that its approved plan has for it: only then can the rest be planned.
///
/// # Errors
/// With the stage that things were in; the same call again, from a new look, continues.
pub fn start(
    seams: &mut Seams<'_>,
    job: &Job<'_>,
    found: Found,
    approved: &Plan,
) -> Result<Found, Failed> {
    let mut run = Run::new(seams, job, found);
    match run.steps(approved) {
        Ok(()) => Ok(run.found()),
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
        claim(&job.bundle.manifest.target, &job.who, Some(guest)).map_err(Failed::refused)?;
    }
    Ok(run.found())
}

struct Run<'r, 's> {
    seams: &'r mut Seams<'s>,
    job: &'r Job<'r>,
    container: Option<Container>,
    guest: Option<ObservedGuest>,
    connection: Option<Box<dyn Connection>>,
    /// When the guest was looked at.
    seen: Instant,
    tx: TxId,
    nonce: Nonce,
    /// What others read who find it at work.
    why: String,
    /// While others are to know that it lives.
    alive: Option<Alive>,
    /// A dead run, whose lease this one takes over.
    over: Option<TxId>,
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
            seen: found.seen,
            tx: time::new_tx(),
            nonce: Nonce(time::random_hex(16)),
            why: time::since_now(&job.why()),
            alive: None,
            over: None,
            release: None,
            begun_from: None,
            settings_before: found.settings_before,
            stage: Stage::Refused,
            activated: Activated { generation: None, state: None },
        }
    }

    fn found(self) -> Found {
        let Self { container, guest, connection, seen, settings_before, .. } = self;
        Found { container, guest, connection, seen, settings_before }
    }
}

impl Run<'_, '_> {
    fn steps(&mut self, approved: &Plan) -> Result<(), Failed> {
        for planned in &approved.steps {
            (self.seams.progress)(planned.step.name(), &planned.cause);
            self.step(&planned.step, approved)?;
            if planned.step == Step::Start && self.guest.is_none() {
                // Only now can the guest be asked.
                self.reach()?;
                if approved.off {
                    return Ok(());
                }
                // The rest of the approved plan was what a new guest takes.
                self.meet()?;
                let rest = self.replan()?;
                return self.steps(&rest);
            }
        }
        Ok(())
    }

    fn step(&mut self, step: &Step, approved: &Plan) -> Result<(), Failed> {
        let begins = self.stage == Stage::Refused;
        if (begins || self.stage == Stage::BeforeSwitch) && (self.seams.stopped)() {
            let error = ActivateError::Interrupted { step: step.name() };
            return Err(Failed { stage: self.stage, error });
        }
        if begins {
            self.stage = Stage::BeforeSwitch;
        }
        match step {
            Step::Switch => self.switch(approved),
            Step::Confirm => self.confirm(),
            other => self.prepare(other).map_err(|error| Failed { stage: self.stage, error }),
        }
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
                self.container = Some(self.set(&container, changes)?);
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
            Step::Packages(_) => drop(self.on_bundle(|c, request| c.packages(request))?),
            Step::Accounts => drop(self.on_bundle(|c, request| c.accounts(request))?),
            Step::Validate => drop(self.on_bundle(|c, request| c.validate(request))?),
            Step::Databases => self.databases()?,
            Step::Secrets => self.secrets()?,
            Step::Release => self.release()?,
            Step::Migrate { rest } => self.migrate(rest)?,
            Step::Hooks(_) => self.hooks()?,
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
}
