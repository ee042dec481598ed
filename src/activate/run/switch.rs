//! The switch, its confirm, and what follows an undo.

use super::Run;
use crate::activate::{
    ActivateError, Failed, Stage,
    confirm::Switching,
    look::{door, refuse_edited, root},
    provision, time,
    waits::Waits,
};
use crate::model::{Container, GenerationId, Owner, protocol::BeginRequest};
use crate::plan::{Live, NewGeneration, Plan, SettingChange, setting_name, switch};
use crate::proxmox::ProxmoxError;
use crate::remote::Connection;
use std::cell::{Cell, RefCell};

impl Run<'_, '_> {
    /// Looks once more, puts the switch together, starts it, and waits until the guest asks to be confirmed.
    pub(super) fn switch(&mut self, approved: &Plan) -> Result<(), Failed> {
        let stage = self.stage;
        let mut observed = self.observe().map_err(|error| Failed { stage, error })?;
        self.refuse_stale(approved, &observed)?;
        refuse_edited(self.job, approved, &observed).map_err(|error| Failed { stage, error })?;
        // A live bundle that was sent again is whole by now; what read its files still has what a hand wrote into them.
        observed.drift.extend(approved.drift.clone());
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
        if self.loses_way_in() {
            return self.wait_as_root();
        }
        self.switching(|switching, connection| switching.wait(connection))
    }

    fn wait_as_root(&mut self) -> Result<(), Failed> {
        self.log_in_again(Some(root()));
        let first = self.switching(|switching, connection| switching.wait(connection));
        if first.as_ref().is_err_and(|failed| failed.stage == Stage::Unknown) {
            // Without root's way in either the guest has gone back by now, and the old way in with it.
            self.log_in_again(None);
            return self.switching(|switching, connection| switching.wait(connection));
        }
        first
    }

    /// Whether the operator's user gets in by files that leave: then only root, by the key of the guest's creation, can
    /// confirm that there is a way in.
    fn loses_way_in(&self) -> bool {
        let user = &self.seams.access.user;
        let recorded = self.guest.as_ref().and_then(|guest| guest.recorded.as_ref());
        let paths = recorded.iter().flat_map(|recorded| recorded.ledger.paths.keys());
        let mut own = paths.filter(|path| {
            path.as_str() == format!("/etc/ssh/authorized_keys.d/{user}")
                || path.as_str().starts_with("/etc/sudoers.d/")
        });
        self.job.bundle.is_found() && *user != root() && own.next().is_some()
    }

    /// Opens another connection, as another user than the site's when one is named.
    fn log_in_again(&mut self, user: Option<Owner>) {
        let container = self.container.as_ref().expect("a guest that switches was found");
        let Some(mut door) = door(self.seams, container) else { return };
        door.access.user = user.unwrap_or(door.access.user);
        self.connection = Some((self.seams.open)(door));
    }

    pub(super) fn confirm(&mut self) -> Result<(), Failed> {
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
        let container = self.container.as_ref().expect("a guest that switches was found");
        let (vmid, node) = (container.vmid, container.node.clone());
        let proxmox = RefCell::new(&mut *self.seams.proxmox);
        let is_off = || proxmox.borrow_mut().is_off(&node, vmid).unwrap_or(false);
        let switching = Switching {
            target: &self.job.bundle.manifest.target,
            vmid,
            identity: &identity,
            tx: &self.tx,
            nonce: &self.nonce,
            who: &self.job.who,
            from: self.begun_from.unwrap_or(GenerationId::FOUND),
            waits: Waits::of(&self.job.documents),
            confirming: Cell::new(false),
            is_off: &is_off,
            progress: self.seams.progress,
        };
        let connection = self.connection.as_mut().expect("a switch began over it");
        work(&switching, connection.as_mut())
    }

    /// Changes settings, and notes what they were. A change that Proxmox refused has nothing to go back: what is there
    /// then may be somebody else's.
    pub(super) fn set(
        &mut self,
        container: &Container,
        changes: &[SettingChange],
    ) -> Result<Container, ActivateError> {
        let done = provision::set(self.seams, container, changes);
        let is_in_doubt = |e: &ProxmoxError| e.outcome_unknown() || e.is_interrupted();
        if done.as_ref().err().is_none_or(is_in_doubt) {
            self.note_before(changes);
        }
        done?;
        provision::reread(self.seams, container)
    }

    fn note_before(&mut self, changes: &[SettingChange]) {
        let known: Vec<_> = self.settings_before.iter().map(setting_name).collect();
        let new = changes.iter().map(|change| &change.before);
        let new: Vec<_> = new.filter(|before| !known.contains(&setting_name(before))).collect();
        self.settings_before.extend(new.into_iter().cloned());
    }

    /// Where the old generation stays, the guest's settings in Proxmox go back too. A disk that has grown stays.
    pub(super) fn put_back(&mut self, failed: Failed) -> Failed {
        let stays = matches!(failed.stage, Stage::BeforeSwitch | Stage::Undone);
        if !stays || self.settings_before.is_empty() {
            return failed;
        }
        let names: Vec<_> = self.settings_before.iter().map(setting_name).collect();
        (self.seams.progress)("settings", &format!("{} go back too", names.join(", ")));
        let restored = match self.restore_settings() {
            // Whether it was done or not: the same again does it.
            Err(error) if error.outcome_unknown() || error.is_interrupted() => {
                self.restore_settings()
            }
            restored => restored,
        };
        let Err(cause) = restored else { return failed };
        let target = self.job.bundle.manifest.target.clone();
        let from = self.guest.as_ref().and_then(|guest| Some(guest.live.as_ref()?.number));
        let after = Box::new(failed.error);
        let error = ActivateError::SettingsLeft { target, from, after, cause };
        Failed { stage: Stage::SettingsLeft, error }
    }

    fn restore_settings(&mut self) -> Result<(), ProxmoxError> {
        let (vmid, node) =
            (self.job.documents.proxmox.vmid, self.job.documents.proxmox.node.clone());
        // Read again, for the digest that a change has to carry.
        let found = self.seams.proxmox.container(vmid)?;
        let found = found.ok_or(ProxmoxError::Gone { vmid, node })?;
        self.seams.proxmox.set(&found, &self.settings_before)
    }
}
