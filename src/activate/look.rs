//! What is there: the guest in Proxmox, and what it reports of itself.

use super::{ActivateError, Failed, Job};
use crate::model::{
    Bundle, Container, Digest, GuestAccess, Phase, ReleaseDocument, Target,
    protocol::{
        FetchRequest, HistoryReply, HistoryRequest, Identity, ObserveRequest, ObservedGuest,
    },
};
use crate::plan::{Plan, plan, watched_units};
use crate::proxmox::Proxmox;
use crate::remote::{Connection, Door};
use std::path::PathBuf;

/// Fetches a release's checkout as a tar archive.
pub type Fetch<'a> = &'a (
        dyn Fn(&ReleaseDocument) -> Result<Vec<u8>, Box<dyn std::error::Error + Send + Sync>> + Sync
    );

/// The world that an activation works on, and where it tells its progress: a step's name and a text.
pub struct Seams<'a> {
    pub proxmox: &'a mut dyn Proxmox,
    pub open: &'a dyn Fn(Door) -> Box<dyn Connection>,
    pub fetch: Fetch<'a>,
    pub access: GuestAccess,
    pub workspace: PathBuf,
    pub progress: &'a dyn Fn(&str, &str),
    /// Whether something answers at an address.
    pub answers: &'a dyn Fn(std::net::IpAddr) -> bool,
}

/// What was found of one guest.
pub struct Found {
    pub container: Option<Container>,
    pub guest: Option<ObservedGuest>,
    pub connection: Option<Box<dyn Connection>>,
}

impl Found {
    /// The plan from here to what the job wants.
    pub fn plan(&self, job: &Job<'_>) -> Result<Plan, ActivateError> {
        // A container without its host key's line is one whose creation was cut short: the plan finishes it.
        let container = self.container.as_ref().filter(|c| c.host_key.is_some());
        Ok(plan(&job.wanted(), &job.documents, container, self.guest.as_ref())?)
    }
}

/// Looks at one guest: one question to Proxmox, one round trip to the guest when it runs.
pub fn look(seams: &mut Seams<'_>, job: &Job<'_>) -> Result<Found, Failed> {
    let container = container(seams, job).map_err(Failed::refused)?;
    let running = container.as_ref().filter(|container| container.running);
    let way_in = running.and_then(|container| Some((door(seams, container)?, container)));
    let (mut guest, mut connection) = (None, None);
    if let Some((door, container)) = way_in {
        let mut opened = (seams.open)(door);
        let request = observe_request(job, container);
        guest = Some(opened.observe(&request).map_err(Failed::refused)?);
        connection = Some(opened);
    }
    Ok(Found { container, guest, connection })
}

/// The guest at the wanted number, when it is this target's.
fn container(seams: &mut Seams<'_>, job: &Job<'_>) -> Result<Option<Container>, ActivateError> {
    let (target, vmid) = (&job.bundle.manifest.target, job.documents.proxmox.vmid);
    let Some(found) = seams.proxmox.container(vmid)? else { return Ok(None) };
    match &found.mark {
        Some(mark) if mark.target == *target => Ok(Some(found)),
        other => {
            let name = found.hostname.as_ref().map_or("?", |name| name.as_str());
            let owner = match other {
                Some(mark) => format!("the guest of {}", mark.target),
                None => format!("the container `{name}`, which is not stackc's"),
            };
            Err(ActivateError::NotOurs { target: target.clone(), vmid, owner })
        }
    }
}

/// How to get into a guest; none while its address or host key is not known.
pub(super) fn door(seams: &Seams<'_>, container: &Container) -> Option<Door> {
    Some(Door {
        address: container.network.ip?.addr(),
        uuid: container.mark.as_ref()?.uuid.clone(),
        host_key: container.host_key.clone()?,
        access: seams.access.clone(),
        workspace: seams.workspace.clone(),
    })
}

pub(super) fn identity(target: &Target, container: &Container) -> Identity {
    let uuid = container.mark.as_ref().map(|mark| mark.uuid.clone()).unwrap_or_default();
    Identity { project: target.project.clone(), env: target.env.clone(), uuid }
}

pub(super) fn observe_request(job: &Job<'_>, container: &Container) -> ObserveRequest {
    let packages = job.documents.apt.packages.keys();
    ObserveRequest {
        identity: identity(&job.bundle.manifest.target, container),
        digest: job.bundle.digest,
        units: watched_units(&job.bundle.manifest),
        packages: packages.map(ToString::to_string).collect(),
    }
}

/// Refuses what must not be worked over: drift, and somebody else's unfinished change.
pub(super) fn check(job: &Job<'_>, guest: &ObservedGuest) -> Result<(), ActivateError> {
    check_pending(job, guest)?;
    if !guest.drift.is_empty() && !job.overwrite_drift {
        let target = job.bundle.manifest.target.clone();
        let paths = guest.drift.keys().map(|path| format!("`{path}`")).collect();
        return Err(ActivateError::Drift { target, paths });
    }
    Ok(())
}

/// Refuses while a transaction is not over: what is live now may not stay.
pub(super) fn check_pending(job: &Job<'_>, guest: &ObservedGuest) -> Result<(), ActivateError> {
    let target = job.bundle.manifest.target.clone();
    if let Some(pending) = guest.pending.clone() {
        let pending = Box::new(pending);
        return Err(match pending.phase {
            Phase::Inconsistent => ActivateError::NotWhole { target, pending },
            _ => ActivateError::Pending { target, pending },
        });
    }
    Ok(())
}

/// What a guest tells of its past.
pub fn history(job: &Job<'_>, found: &mut Found) -> Result<HistoryReply, Failed> {
    let target = &job.bundle.manifest.target;
    let (Some(container), Some(connection)) = (&found.container, &mut found.connection) else {
        return Err(Failed::refused(ActivateError::NotRunning { target: target.clone() }));
    };
    let request = HistoryRequest { identity: identity(target, container) };
    connection.history(&request).map_err(Failed::refused)
}

/// A bundle that the guest has, for an operator who lost it: what has been live can be gone back to from anywhere.
pub fn fetch_bundle(
    job: &Job<'_>,
    found: &mut Found,
    digest: &Digest,
) -> Result<Bundle, ActivateError> {
    let target = &job.bundle.manifest.target;
    let (Some(container), Some(connection)) = (&found.container, &mut found.connection) else {
        return Err(ActivateError::NotRunning { target: target.clone() });
    };
    let request = FetchRequest { identity: identity(target, container), digest: *digest };
    let reply = connection.fetch(&request)?;
    let unproved = ActivateError::Unproved { target: target.clone(), digest: *digest };
    Bundle::prove(*digest, reply.manifest, reply.files).ok_or(unproved)
}
