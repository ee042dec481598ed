//! The guest in Proxmox: checks before it is made, its making, its settings, its network at the very end.

use super::{ActivateError, Found, Job, Seams, look::door, time};
use crate::model::{Container, Mark, Network, Setting};
use crate::plan::{Plan, SettingChange, Step};
use crate::proxmox::ProxmoxError;
use crate::remote::RemoteError;
use std::net::IpAddr;

/// Looks for whatever would make the plan fail, before anything is changed.
pub fn preflight(
    seams: &mut Seams<'_>,
    job: &Job<'_>,
    found: &Found,
    plan: &Plan,
) -> Result<(), ActivateError> {
    if let Some(lock) = found.container.as_ref().and_then(|c| c.lock.clone()) {
        return Err(ActivateError::Locked { vmid: job.documents.proxmox.vmid, lock });
    }
    let creates = plan.steps.iter().any(|s| s.step == Step::Create) && found.container.is_none();
    let moves =
        plan.steps.iter().any(|s| matches!(&s.step, Step::Network(change) if moves(change, found)));
    if creates {
        let list = seams.proxmox.obstacles(&job.documents.proxmox)?;
        if !list.is_empty() {
            let target = job.bundle.manifest.target.clone();
            return Err(ActivateError::Obstacles { target, list });
        }
    }
    if creates || moves { check_neighbours(seams, job) } else { Ok(()) }
}

/// Whether the guest gets another address, not only another gateway or bridge.
fn moves(change: &SettingChange, found: &Found) -> bool {
    let Setting::Network(network) = &change.setting else { return false };
    found.container.as_ref().is_none_or(|c| c.network.ip != network.ip)
}

fn check_neighbours(seams: &mut Seams<'_>, job: &Job<'_>) -> Result<(), ActivateError> {
    let (target, wanted) = (&job.bundle.manifest.target, &job.documents.proxmox);
    let taken = |address, owner: String| {
        let target = target.clone();
        Err(ActivateError::AddressTaken { target, address, owner })
    };
    let addresses = wanted.addresses();
    for neighbour in seams.proxmox.neighbours()? {
        if neighbour.vmid == wanted.vmid {
            continue;
        }
        if neighbour.mark.as_ref().is_some_and(|mark| mark.target == *target) {
            return Err(ActivateError::Elsewhere { target: target.clone(), found: neighbour.vmid });
        }
        let same = addresses.iter().find(|address| neighbour.addresses.contains(address));
        if let Some(address) = same.filter(|_| !job.allow_ip_conflicts) {
            let owner = format!("guest {} (`{}`)", neighbour.vmid, neighbour.name);
            return taken(*address, owner);
        }
    }
    let address = IpAddr::from(wanted.ip.addr());
    if !job.allow_ip_conflicts && (seams.answers)(address) {
        return taken(address, "something that answers on the network".to_owned());
    }
    Ok(())
}

/// Makes the guest, or finishes the making that was cut short.
pub(super) fn create(
    seams: &mut Seams<'_>,
    job: &Job<'_>,
    found: Option<&Container>,
) -> Result<Container, ActivateError> {
    let target = job.bundle.manifest.target.clone();
    let mark = found.and_then(|c| c.mark.clone());
    let mark = mark.unwrap_or_else(|| Mark { target, uuid: time::random_hex(16) });
    seams.proxmox.create(&job.documents.proxmox, &mark)?;
    Ok(seams.proxmox.introduce(&job.documents.proxmox)?)
}

pub(super) fn set(
    seams: &mut Seams<'_>,
    container: &Container,
    changes: &[SettingChange],
) -> Result<(), ProxmoxError> {
    let settings: Vec<Setting> = changes.iter().map(|change| change.setting.clone()).collect();
    seams.proxmox.set(container, &settings)
}

pub(super) fn reread(
    seams: &mut Seams<'_>,
    container: &Container,
) -> Result<Container, ActivateError> {
    let found = seams.proxmox.container(container.vmid)?;
    let (vmid, node) = (container.vmid, container.node.clone());
    Ok(found.ok_or(ProxmoxError::Gone { vmid, node })?)
}

/// Changes the network of a guest that runs, and puts it back when the guest does not answer at its new address.
pub(super) fn move_network(
    seams: &mut Seams<'_>,
    job: &Job<'_>,
    container: &Container,
    change: &SettingChange,
) -> Result<(), ActivateError> {
    let before: Network = container.network.clone();
    set(seams, container, std::slice::from_ref(change))?;
    let moved = reread(seams, container)?;
    let Some(there) = door(seams, &moved) else { return Ok(()) };
    let address = there.address;
    let mut connection = (seams.open)(there);
    match connection.observe(&super::look::observe_request(job, &moved)) {
        Ok(_) => Ok(()),
        Err(error) if answered(&error) => Ok(()),
        Err(error) => {
            seams.proxmox.set(&moved, &[Setting::Network(before)])?;
            if error.is_interrupted() {
                return Err(error.into());
            }
            let target = job.bundle.manifest.target.clone();
            Err(ActivateError::NetworkPutBack { target, address })
        }
    }
}

/// A refusal is an answer too.
fn answered(error: &RemoteError) -> bool {
    error.refusal().is_some()
}
