//! What is prepared on the guest beside what runs there.

use super::Run;
use crate::activate::{ActivateError, Failed, Stage, look::identity, release_id};
use crate::model::protocol::{
    AbandonRequest, BundleRequest, Caller, DatabasesRequest, MigrateRequest, ReceiveRequest,
    ReleaseRequest, SecretsRequest,
};
use crate::model::{Hook, UnitName};
use crate::remote::{Connection, RemoteError};
use crate::store;

impl Run<'_, '_> {
    pub(super) fn caller(&self) -> Caller {
        let target = &self.job.bundle.manifest.target;
        let container = self.container.as_ref().expect("steps on the guest follow its creation");
        Caller {
            identity: identity(target, container),
            tx: self.tx.clone(),
            who: self.job.who.clone(),
            why: self.why.clone(),
            over: self.over.clone(),
        }
    }

    pub(super) fn on_bundle<T>(
        &mut self,
        call: impl FnOnce(&mut dyn Connection, &BundleRequest) -> Result<T, RemoteError>,
    ) -> Result<T, ActivateError> {
        let request = BundleRequest { caller: self.caller(), digest: self.job.bundle.digest };
        Ok(call(self.connection(), &request)?)
    }

    pub(super) fn receive(&mut self) -> Result<(), ActivateError> {
        let archive = store::archive(self.job.bundle);
        let request = ReceiveRequest {
            caller: self.caller(),
            digest: self.job.bundle.digest,
            bytes: archive.len() as u64,
        };
        self.connection().receive(&request, &archive)?;
        Ok(())
    }

    pub(super) fn secrets(&mut self) -> Result<(), ActivateError> {
        let Some(files) = self.job.secrets.files.clone() else { return Ok(()) };
        let version = self.job.secrets.version;
        let request = SecretsRequest { caller: self.caller(), version, files };
        self.connection().secrets(&request)?;
        Ok(())
    }

    pub(super) fn databases(&mut self) -> Result<(), ActivateError> {
        let request = DatabasesRequest {
            caller: self.caller(),
            digest: self.job.bundle.digest,
            passwords: self.job.secrets.passwords.clone(),
        };
        self.connection().databases(&request)?;
        Ok(())
    }

    /// Names the release from the guest's own tools, and builds it there unless it is built already.
    pub(super) fn release(&mut self) -> Result<(), ActivateError> {
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

    pub(super) fn migrate(&mut self, rest: &[UnitName]) -> Result<(), ActivateError> {
        let Some(release) = self.release else { return Ok(()) };
        let request = MigrateRequest {
            caller: self.caller(),
            digest: self.job.bundle.digest,
            release,
            secrets: self.job.secrets.version,
            stop: rest.to_vec(),
        };
        self.connection().migrate(&request)?;
        Ok(())
    }

    /// Ends what was prepared in vain. Of no consequence when it fails, or when the guest cannot be reached: the next
    /// call of any operator does the same.
    pub(super) fn abandon(&mut self, failed: &Failed) {
        // The lease of a switch whose end nobody knows may be there still.
        if failed.stage == Stage::Unknown {
            return;
        }
        if failed.stage != Stage::BeforeSwitch || self.connection.is_none() {
            return self.forget();
        }
        if matches!(&failed.error, ActivateError::Remote(error) if error.is_lost()) {
            return;
        }
        let request = AbandonRequest { caller: self.caller() };
        if self.connection().abandon(&request).is_ok() {
            self.forget();
        }
    }

    pub(super) fn hooks(&mut self) -> Result<(), ActivateError> {
        let limit = Hook::limit_of(&self.job.documents.hooks.before_switch);
        self.on_bundle(|c, request| c.hooks(request, limit)).map(drop)
    }
}
