//! A lab and its guests as they are now, and the way into them.

use super::{
    Lab, LabError, Place, container::Container, daemon, error::AtPath as _, folder, lxc::Power,
    node::vmids,
};
use crate::model::Vmid;
use std::{fs, io};

/// Reads the lab of this place.
///
/// # Errors
/// When there is none, when it cannot be read, and when the folder is another lab's.
pub fn read(place: &Place) -> Result<Lab, LabError> {
    folder::refuse_other(place)?;
    let (name, options, path) = (place.name.to_string(), place.options(), place.description());
    match fs::read(&path) {
        Err(cause) if cause.kind() == io::ErrorKind::NotFound => {
            Err(LabError::NoLab { name, options, path })
        }
        Err(cause) if cause.kind() == io::ErrorKind::PermissionDenied => Err(LabError::NotRoot),
        text => {
            let text = text.at("read", &path)?;
            serde_json::from_slice(&text).map_err(|cause| LabError::NotALab {
                options,
                path,
                cause,
            })
        }
    }
}

/// A lab and its guests as they are now.
pub struct LabState {
    pub lab: Lab,
    /// The process that serves the API, when one does.
    pub daemon: Option<i32>,
    pub guests: Vec<GuestState>,
}

/// One guest, without asking the API.
pub struct GuestState {
    pub vmid: Vmid,
    pub name: String,
    /// With its prefix length; empty when it has none.
    pub address: String,
    pub running: bool,
}

/// Looks at the lab from outside, so that it works without its daemon.
pub fn state(place: &Place) -> Result<LabState, LabError> {
    let lab = read(place)?;
    let daemon = daemon::running(&lab.state).map(rustix::process::Pid::as_raw_pid);
    let guests = vmids(&lab)?.into_iter().filter_map(|vmid| guest_state(&lab, vmid)).collect();
    Ok(LabState { lab, daemon, guests })
}

/// Nothing for a guest that is only half made.
fn guest_state(lab: &Lab, vmid: Vmid) -> Option<GuestState> {
    let container = Container::of(lab, vmid);
    let config = super::node::read_config(&container.folder())?;
    Some(GuestState {
        vmid,
        name: config.get("hostname").unwrap_or_default().to_owned(),
        address: config.net().get("ip").cloned().unwrap_or_default(),
        running: container.power() != Power::Stopped,
    })
}

/// The guest of this name or number.
pub fn find(place: &Place, guest: &str) -> Result<(Lab, GuestState), LabError> {
    let LabState { lab, mut guests, .. } = state(place)?;
    match guests.iter().position(|g| g.name == guest || g.vmid.to_string() == guest) {
        Some(found) => Ok((lab, guests.swap_remove(found))),
        None => Err(LabError::NoGuest {
            name: lab.name.to_string(),
            guest: guest.to_owned(),
            known: guests.iter().map(|g| format!("{} ({})", g.name, g.vmid)).collect(),
        }),
    }
}

/// The arguments of `ssh` for a guest of this name or number: root, the lab's own key, and no host key but the guest's.
pub fn ssh_arguments(place: &Place, guest: &str) -> Result<Vec<String>, LabError> {
    let (lab, guest) = find(place, guest)?;
    Ok(ssh_to(&lab, &guest))
}

pub(super) fn ssh_to(lab: &Lab, guest: &GuestState) -> Vec<String> {
    let known_hosts = Container::of(lab, guest.vmid).folder().join("known_hosts");
    let address = guest.address.split('/').next().unwrap_or_default();
    [
        "-F",
        "none",
        "-i",
        lab.admin_key.as_str(),
        "-l",
        "root",
        "-o",
        "IdentitiesOnly=yes",
        "-o",
        "BatchMode=yes",
        "-o",
        "StrictHostKeyChecking=yes",
        "-o",
        "ConnectTimeout=5",
        "-o",
        &format!("HostKeyAlias={}", guest.vmid),
        "-o",
        &format!("UserKnownHostsFile={known_hosts}"),
        address,
    ]
    .map(str::to_owned)
    .to_vec()
}
