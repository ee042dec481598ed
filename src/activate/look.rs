//! What is there: the guest in Proxmox, and what it reports of itself.

use super::{ActivateError, Failed, Job, alive::is_dead};
use crate::model::{
    Bundle, Container, Digest, DriftReply, DriftRequest, GuestAccess, Mark, Owner, Phase,
    ReleaseDocument, RuntimeDrift, SecretValue, Setting, Target, TxId, Vmid,
    protocol::{
        FetchRequest, HistoryReply, HistoryRequest, Identity, ObserveRequest, ObservedGuest,
    },
};
use crate::plan::{Plan, Step, container_of, plan, taken_paths, watched_units};
use crate::proxmox::{Proxmox, ProxmoxError};
use crate::remote::{Connection, Door};
use std::{
    collections::{BTreeMap, BTreeSet},
    path::PathBuf,
    time::Instant,
};

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
    /// What `access.user` tells sudo where that asks.
    pub sudo_password: Option<SecretValue>,
    pub workspace: PathBuf,
    pub progress: &'a dyn Fn(&str, &str),
    /// Whether the operator wants no further step.
    pub stopped: &'a dyn Fn() -> bool,
    /// Whether something answers at an address.
    pub answers: &'a dyn Fn(std::net::IpAddr) -> bool,
}

/// What was found of one guest.
pub struct Found {
    pub container: Option<Container>,
    pub guest: Option<ObservedGuest>,
    pub connection: Option<Box<dyn Connection>>,
    /// When the guest was looked at.
    pub seen: Instant,
    /// What settings were before a start changed them (`start`).
    pub settings_before: Vec<Setting>,
}

impl Found {
    pub fn nothing() -> Self {
        Self::of(None, None, None)
    }

    fn of(
        container: Option<Container>,
        guest: Option<ObservedGuest>,
        connection: Option<Box<dyn Connection>>,
    ) -> Self {
        let (seen, settings_before) = (Instant::now(), Vec::new());
        Self { container, guest, connection, seen, settings_before }
    }

    /// The plan from here to what the job wants.
    pub fn plan(&self, job: &Job<'_>) -> Result<Plan, ActivateError> {
        // A container without its host key's line is one whose creation was cut short: the plan finishes it.
        let container = self.container.as_ref().filter(|container| container.is_introduced());
        Ok(plan(&job.wanted(), &job.documents, container, self.guest.as_ref())?)
    }
}

/// Looks at the guest of a job: one question to Proxmox, one round trip to the guest when it runs.
pub fn look(seams: &mut Seams<'_>, job: &Job<'_>) -> Result<Found, Failed> {
    container_of(&job.bundle.manifest.target, &job.documents).map_err(Failed::refused)?;
    let container = container(seams, job).map_err(Failed::refused)?;
    let found = look_into(seams, container, |container| observe_request(job, container))?;
    refuse_without_address(&job.bundle.manifest.target, &found).map_err(Failed::refused)?;
    Ok(found)
}

/// A guest that runs and cannot be asked is none that is to be made.
fn refuse_without_address(target: &Target, found: &Found) -> Result<(), ActivateError> {
    let is_deaf = |container: &&Container| container.running && container.is_introduced();
    match (found.container.as_ref().filter(is_deaf), &found.guest) {
        (Some(container), None) => {
            let (target, vmid) = (target.clone(), container.vmid);
            Err(ActivateError::NoAddress { target, vmid })
        }
        _ => Ok(()),
    }
}

/// Looks at a target's guest, of which nothing need be known: at the number where it is thought to be, or else wherever
/// in Proxmox its mark is.
///
/// # Errors
/// When two guests have the mark, when Proxmox or the guest does not answer.
pub fn find(
    seams: &mut Seams<'_>,
    target: &Target,
    thought: Option<Vmid>,
) -> Result<Found, Failed> {
    let container = marked(seams, target, thought).map_err(Failed::refused)?;
    look_into(seams, container, |container| ObserveRequest {
        identity: identity(target, container),
        digest: None,
        units: BTreeSet::new(),
        packages: BTreeSet::new(),
        paths: BTreeSet::new(),
    })
}

/// The one container with the mark of a target.
fn marked(
    seams: &mut Seams<'_>,
    target: &Target,
    thought: Option<Vmid>,
) -> Result<Option<Container>, ActivateError> {
    let is_marked = |mark: &Option<Mark>| mark.as_ref().is_some_and(|mark| mark.target == *target);
    match thought.map(|vmid| seams.proxmox.container(vmid)) {
        Some(Ok(Some(found))) if is_marked(&found.mark) => return Ok(Some(found)),
        // Free, or somebody else's: the guest has moved, or was never there.
        None | Some(Ok(_) | Err(ProxmoxError::Taken { .. })) => {}
        Some(Err(error)) => return Err(error.into()),
    }
    let mut guests = seams.proxmox.neighbours()?;
    guests.retain(|guest| is_marked(&guest.mark));
    let numbers: Vec<Vmid> = guests.iter().map(|guest| guest.vmid).collect();
    match numbers[..] {
        [] => Ok(None),
        [vmid] => Ok(seams.proxmox.container(vmid)?),
        _ => Err(ActivateError::TwoGuests { target: target.clone(), numbers }),
    }
}

fn look_into(
    seams: &mut Seams<'_>,
    container: Option<Container>,
    request: impl FnOnce(&Container) -> ObserveRequest,
) -> Result<Found, Failed> {
    let running = container.as_ref().filter(|container| container.running);
    let way_in = running.and_then(|container| Some((door(seams, container)?, container)));
    let Some((door, known)) = way_in else { return Ok(Found::of(container, None, None)) };
    let mut connection = (seams.open)(door);
    let guest = connection.observe(&request(known)).map_err(Failed::refused)?;
    Ok(Found::of(container, Some(guest), Some(connection)))
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
        address: container.network.ip?.addr().into(),
        uuid: container.mark.as_ref()?.uuid.clone(),
        host_key: container.host_key.clone()?,
        access: seams.access.clone(),
        sudo_password: seams.sudo_password.clone(),
        workspace: seams.workspace.clone(),
    })
}

/// The user that every guest was created with a key of.
pub(super) fn root() -> Owner {
    "root".parse().expect("root is a user name")
}

pub(super) fn identity(target: &Target, container: &Container) -> Identity {
    let uuid = container.mark.as_ref().map(|mark| mark.uuid.clone()).unwrap_or_default();
    Identity { project: target.project.clone(), env: target.env.clone(), uuid }
}

pub(super) fn observe_request(job: &Job<'_>, container: &Container) -> ObserveRequest {
    let packages = job.documents.apt.packages.keys();
    ObserveRequest {
        identity: identity(&job.bundle.manifest.target, container),
        digest: Some(job.bundle.digest),
        units: watched_units(&job.bundle.manifest),
        packages: packages.map(ToString::to_string).collect(),
        paths: taken_paths(job.bundle),
    }
}

/// Refuses what must not be worked over: drift, and somebody else's unfinished change.
pub(super) fn check(job: &Job<'_>, guest: &ObservedGuest) -> Result<(), ActivateError> {
    check_pending(job, guest)?;
    refuse_by_hand(job, guest, &guest.runtime_drift)
}

/// Refuses what a hand changed while the switch was prepared: nobody has seen that it would be gone over. What packages,
/// a migration or hooks of this run's own stopped or changed looks no different, and is not told apart.
pub(super) fn refuse_edited(
    job: &Job<'_>,
    approved: &Plan,
    guest: &ObservedGuest,
) -> Result<(), ActivateError> {
    let any = |of: fn(&Step) -> bool| approved.steps.iter().any(|planned| of(&planned.step));
    let mut runtime = guest.runtime_drift.clone();
    if any(|step| matches!(step, Step::Packages(_) | Step::Migrate { .. } | Step::Hooks(_))) {
        runtime.units.clear();
    }
    if any(|step| matches!(step, Step::Hooks(_))) {
        runtime = RuntimeDrift::default();
    }
    refuse_by_hand(job, guest, &runtime)
}

fn refuse_by_hand(
    job: &Job<'_>,
    guest: &ObservedGuest,
    runtime: &RuntimeDrift,
) -> Result<(), ActivateError> {
    let paths = guest.drift.keys().map(|path| format!("`{path}`"));
    let mut runtime = runtime.clone();
    // What the bundle takes the place of is kept, as every file of others.
    let taken = taken_paths(job.bundle);
    runtime.drop_ins.retain(|path, _| !taken.contains(path));
    runtime.enabled.retain(|path, _| !taken.contains(path));
    let what: Vec<String> = paths.chain(runtime.by_hand()).collect();
    if what.is_empty() || job.overwrite_drift {
        return Ok(());
    }
    let target = job.bundle.manifest.target.clone();
    Err(ActivateError::Drift { target, what })
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

/// Whose lease is taken over: that of a run of this machine which died with it. Any other run is at work, as far as anybody
/// knows.
pub(super) fn claim(
    target: &Target,
    who: &str,
    guest: Option<&ObservedGuest>,
) -> Result<Option<TxId>, ActivateError> {
    match guest.and_then(|guest| guest.lease.clone()) {
        None => Ok(None),
        Some(lease) if is_dead(&lease.tx) => Ok(Some(lease.tx)),
        Some(lease) => {
            let holder =
                if lease.who == who { "you are".to_owned() } else { format!("{} is", lease.who) };
            Err(ActivateError::Leased { target: target.clone(), holder, why: lease.why })
        }
    }
}

/// What a guest tells of its past.
pub fn history(target: &Target, found: &mut Found) -> Result<HistoryReply, Failed> {
    let (identity, connection) = reached(target, found).map_err(Failed::refused)?;
    connection.history(&HistoryRequest { identity }).map_err(Failed::refused)
}

/// What somebody's hand has changed on a guest.
pub fn drift(target: &Target, found: &mut Found) -> Result<DriftReply, Failed> {
    let (identity, connection) = reached(target, found).map_err(Failed::refused)?;
    connection.drift(&DriftRequest { identity }).map_err(Failed::refused)
}

/// The guest that was looked at, to be asked for more.
pub(super) fn reached<'f>(
    target: &Target,
    found: &'f mut Found,
) -> Result<(Identity, &'f mut dyn Connection), ActivateError> {
    let target = target.clone();
    match (&found.container, &mut found.connection) {
        (None, _) => Err(ActivateError::NoGuest { target }),
        (Some(container), _) if !container.is_introduced() => {
            Err(ActivateError::HalfMade { target, vmid: container.vmid })
        }
        (Some(container), None) if container.running => {
            Err(ActivateError::NoAddress { target, vmid: container.vmid })
        }
        (Some(container), None) => Err(ActivateError::NotRunning { target, vmid: container.vmid }),
        (Some(container), Some(connection)) => {
            Ok((identity(&target, container), connection.as_mut()))
        }
    }
}

/// A bundle that the guest has, for an operator who lost it: what has been live can be gone back to from anywhere.
pub fn fetch_bundle(
    target: &Target,
    found: &mut Found,
    digest: &Digest,
) -> Result<Bundle, ActivateError> {
    let (identity, connection) = reached(target, found)?;
    let mut request = FetchRequest { identity, digest: *digest, after: None };
    let (mut manifest, mut files) = (None, BTreeMap::new());
    loop {
        let (reply, before) = (connection.fetch(&request)?, files.len());
        manifest = manifest.or(reply.manifest);
        files.extend(reply.files);
        // Whoever has more, and does not send it, is asked no further: what there is proves nothing.
        if !reply.more || files.len() == before {
            break;
        }
        request.after = files.last_key_value().map(|(path, _)| path.clone());
    }
    let proved = manifest.and_then(|manifest| Bundle::prove(*digest, manifest, files));
    proved.ok_or(ActivateError::Unproved { target: target.clone(), digest: *digest })
}
