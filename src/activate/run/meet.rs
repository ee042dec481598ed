//! What is found on the guest: the first look at one that came up just now, and what is open there.

use super::{FRESH, Run};
use crate::activate::{
    ActivateError, Failed, Stage,
    alive::Alive,
    confirm::wait_for_end,
    look::{check, claim, door, observe_request},
    time::clock_in,
    waits::{BOOT, PAUSE, Waits},
};
use crate::model::{
    Container, GenerationId, Phase, TxId,
    protocol::{Caller, ObservedGuest, UndoRequest},
};
use crate::plan::{Plan, plan};
use crate::proxmox::ProxmoxError;
use crate::remote::{Connection, RemoteError};
use std::{thread, time::Instant};

impl Run<'_, '_> {
    /// Opens the first connection of a guest that came up just now.
    pub(super) fn reach(&mut self) -> Result<(), Failed> {
        let stage = self.stage;
        let failed = |error: ActivateError| Failed { stage, error };
        let container = self.container().map_err(failed)?;
        let (vmid, node) = (container.vmid, container.node.clone());
        let door = door(self.seams, &container)
            .ok_or_else(|| failed(ProxmoxError::Gone { vmid, node }.into()))?;
        let mut connection = (self.seams.open)(door);
        let observed = self.first_look(connection.as_mut(), &container);
        self.guest = Some(observed.map_err(|error| failed(error.into()))?);
        (self.connection, self.seen) = (Some(connection), Instant::now());
        Ok(())
    }

    /// Whether a new guest may be changed.
    pub(super) fn meet(&mut self) -> Result<(), Failed> {
        self.settle_pending()?;
        self.refuse_drift()?;
        self.claim()
    }

    /// Looks once more at a guest whose plan was not carried out at once: somebody else may have changed it meanwhile,
    /// and nothing has been done to it yet.
    pub(super) fn look_again(&mut self) -> Result<(), Failed> {
        if self.guest.is_some() && self.seen.elapsed() > FRESH {
            let stage = self.stage;
            self.guest = Some(self.observe().map_err(|error| Failed { stage, error })?);
        }
        Ok(())
    }

    /// Refuses a plan that was made against another generation than what is live by now.
    pub(super) fn refuse_stale(
        &self,
        approved: &Plan,
        observed: &ObservedGuest,
    ) -> Result<(), Failed> {
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

    /// A connection tries for a while by itself; a guest that boots may take longer, for as long as it runs. Its sshd may
    /// answer before the keys are in place, which cloud-init writes late.
    fn first_look(
        &mut self,
        connection: &mut dyn Connection,
        container: &Container,
    ) -> Result<ObservedGuest, RemoteError> {
        let (request, started) = (observe_request(self.job, container), Instant::now());
        let mut told = false;
        loop {
            match connection.observe(&request) {
                Err(error)
                    if (error.is_lost() || error.is_denied()) && started.elapsed() < BOOT =>
                {
                    if error.is_denied() && !std::mem::replace(&mut told, true) {
                        let seconds = BOOT.saturating_sub(started.elapsed()).as_secs();
                        let text = format!("{error}; trying again for up to {seconds} s");
                        (self.seams.progress)("connection", &text);
                    }
                    let proxmox = &mut self.seams.proxmox;
                    if proxmox.is_off(&container.node, container.vmid).unwrap_or(false) {
                        return Err(error);
                    }
                    thread::sleep(PAUSE);
                }
                observed => return observed,
            }
        }
    }

    pub(super) fn replan(&self) -> Result<Plan, Failed> {
        let (wanted, documents) = (self.job.wanted(), &self.job.documents);
        plan(&wanted, documents, self.container.as_ref(), self.guest.as_ref())
            .map_err(|error| Failed { stage: self.stage, error: error.into() })
    }

    pub(super) fn observe(&mut self) -> Result<ObservedGuest, ActivateError> {
        let request = observe_request(self.job, &self.container()?);
        Ok(self.connection().observe(&request)?)
    }

    /// Waits for the end of an unfinished transaction of this operator's name. Another run of theirs may be about to
    /// confirm it; one that died cannot, since its nonce died with it, and the guest goes back by itself. Undoing it
    /// here would take a good switch from the first run.
    pub(super) fn settle_pending(&mut self) -> Result<(), Failed> {
        let pending = self.guest.as_ref().and_then(|guest| guest.pending.clone());
        let Some(pending) = pending else { return Ok(()) };
        if pending.phase == Phase::Inconsistent {
            return self.undo_again(&pending.tx);
        }
        if pending.by != self.job.who || pending.phase.is_final() {
            return Ok(());
        }
        let waits = Waits::of(&self.job.documents);
        let by = clock_in(waits.end_from(pending.phase));
        let text =
            format!("for another run of yours, transaction {}, until {by} at most", pending.tx);
        (self.seams.progress)("wait", &text);
        let connection = self.connection.as_mut().expect("a transaction was seen over it");
        let ended = wait_for_end(connection.as_mut(), &pending, waits);
        let settled = match ended {
            Ok(true) => self.observe().map(|guest| self.guest = Some(guest)),
            Ok(false) => self.undo(&pending.tx),
            Err(error) => Err(error.into()),
        };
        let stage = self.stage;
        settled.map_err(|error| Failed { stage, error })
    }

    /// Going back failed once, of whosever switch: it is tried again before a person is sent to the guest.
    fn undo_again(&mut self, tx: &TxId) -> Result<(), Failed> {
        let text = format!("transaction {tx} could not be undone; trying again");
        (self.seams.progress)("undo", &text);
        match self.undo(tx) {
            // What is still wrong is told with the transaction, by whoever looks at it next.
            Err(ActivateError::Remote(error)) if error.is_answer() => Ok(()),
            tried => tried.map_err(|error| Failed { stage: Stage::Unknown, error }),
        }
    }

    /// Ends a transaction that nobody works on any more.
    fn undo(&mut self, tx: &TxId) -> Result<(), ActivateError> {
        let Caller { identity, who, .. } = self.caller();
        let request = UndoRequest { identity, tx: tx.clone(), who };
        self.connection().undo(&request)?;
        self.guest = Some(self.observe()?);
        Ok(())
    }

    /// Refuses beside another run that is at work, also one of this operator's own, and shows others that this one is.
    pub(super) fn claim(&mut self) -> Result<(), Failed> {
        let (stage, target) = (self.stage, &self.job.bundle.manifest.target);
        let failed = |error| Failed { stage, error };
        self.over = claim(target, &self.job.who, self.guest.as_ref()).map_err(failed)?;
        if self.alive.is_none() {
            let signed = Alive::sign(&self.tx);
            let unsigned = |cause| failed(ActivateError::Sign { target: target.clone(), cause });
            self.alive = Some(signed.map_err(unsigned)?);
        }
        Ok(())
    }

    /// Nothing of this run is left on the guest for others to wonder about.
    pub(super) fn forget(&mut self) {
        self.alive.take().into_iter().for_each(Alive::forget);
    }

    pub(super) fn refuse_drift(&self) -> Result<(), Failed> {
        let Some(guest) = &self.guest else { return Ok(()) };
        check(self.job, guest).map_err(|error| Failed { stage: self.stage, error })
    }
}
