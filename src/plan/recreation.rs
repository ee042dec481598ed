//! What a guest that exists cannot become by a plan: said in words, never ignored.

use super::{Documents, PlanError};
use crate::model::{
    Container, ContainerOptions, GuestKind, Mount, MountSlot, ProxmoxDocument, Target,
};

/// Refuses what is no container: before anything is asked of Proxmox, too.
///
/// # Errors
/// For a virtual machine.
pub fn container_of<'a>(
    target: &Target,
    documents: &'a Documents,
) -> Result<&'a ContainerOptions, PlanError> {
    match &documents.proxmox.kind {
        GuestKind::Lxc(options) => Ok(options),
        GuestKind::Qemu(_) => Err(PlanError::Machine { target: target.clone() }),
    }
}

/// Refuses a plan for a guest whose disk, mounts or pool are others than wanted.
pub(super) fn refuse(
    target: &Target,
    wanted: &ProxmoxDocument,
    options: &ContainerOptions,
    found: &Container,
) -> Result<(), PlanError> {
    let (target, vmid) = (target.clone(), found.vmid);
    let reasons = disk(wanted, found);
    if !reasons.is_empty() {
        return Err(PlanError::Recreation { target, vmid, reasons: reasons.join("; ") });
    }
    let reasons = by_hand(wanted, options, found);
    if reasons.is_empty() {
        return Ok(());
    }
    Err(PlanError::ByHand { target, vmid, reasons: reasons.join("; ") })
}

/// The same, of a guest that goes back: it keeps all that.
pub(super) fn kept(
    wanted: &ProxmoxDocument,
    options: &ContainerOptions,
    found: &Container,
) -> Vec<String> {
    [disk(wanted, found), by_hand(wanted, options, found)].concat()
}

fn by_hand(wanted: &ProxmoxDocument, options: &ContainerOptions, found: &Container) -> Vec<String> {
    let mut reasons = mounts(options, found);
    reasons.extend(wanted.pool.as_ref().filter(|pool| found.pool.as_ref() != Some(pool)).map(
        |pool| {
            let is =
                found.pool.as_ref().map_or_else(|| "no pool".to_owned(), |p| format!("pool `{p}`"));
            format!("it is in {is}, not in `{pool}`")
        },
    ));
    reasons
}

fn disk(wanted: &ProxmoxDocument, found: &Container) -> Vec<String> {
    let mut reasons = Vec::new();
    if wanted.storage != found.storage {
        reasons.push(format!("its disk is on `{}`, not on `{}`", found.storage, wanted.storage));
    }
    if wanted.disk_gib < found.disk_gib {
        reasons.push(format!(
            "its disk has {} GiB and cannot shrink to {}",
            found.disk_gib, wanted.disk_gib
        ));
    }
    reasons
}

fn mounts(options: &ContainerOptions, found: &Container) -> Vec<String> {
    let wanted = options.mounts.iter().filter_map(|(slot, wanted)| {
        let there = found.mounts.get(slot).map(|text| Mount::read(text));
        mount(slot, wanted, there.as_ref())
    });
    let is_extra = |slot: &&MountSlot| !options.mounts.contains_key(*slot);
    let extra = found.mounts.keys().filter(is_extra).filter_map(|slot| {
        // A folder or device of the node is not stackc's to know: no definition can say it.
        let there = Mount::read(&found.mounts[slot])?;
        Some(format!("its mount `{slot}` at {} is in no definition", there.path))
    });
    wanted.chain(extra).collect()
}

/// What is wrong with a mount; `there` is none inside when it is no volume.
fn mount(slot: &MountSlot, wanted: &Mount, there: Option<&Option<Mount>>) -> Option<String> {
    let Some(there) = there else {
        return Some(format!("it has no mount `{slot}` for {}", wanted.path));
    };
    let Some(there) = there else {
        return Some(format!("its mount `{slot}` is a folder or device of the node"));
    };
    let backup = |on: bool| if on { "is part of backups" } else { "is left out of backups" };
    let text = |mount: &Mount| {
        let (path, storage, gib) = (&mount.path, &mount.storage, mount.size_gib);
        format!("at {path} with {gib} GiB on `{storage}` and {}", backup(mount.backup))
    };
    (wanted != there)
        .then(|| format!("its mount `{slot}` is {}, not {}", text(there), text(wanted)))
}
