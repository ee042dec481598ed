//! What goes wrong with real guests, on demand: for tests and for trying things out.

use super::{
    Lab, LabError,
    container::Container,
    node::read_config,
    program::run,
    state::{self, GuestState},
};
use crate::model::Vmid;
use std::time::{Duration, Instant};

/// Between two tries to log in. Debian 13's sshd locks out who knocks more often (`PerSourcePenalties`).
const LOGIN_PAUSE: Duration = Duration::from_millis(300);

/// Ends every process of the guest at once, as a power cut does; its files stay as they are, unwritten caches included.
pub fn power_cut(lab: &Lab, vmid: Vmid) -> Result<(), LabError> {
    existing(lab, vmid)?.kill()
}

/// Boots a guest that lost its power, as it was configured.
pub fn start_again(lab: &Lab, vmid: Vmid) -> Result<(), LabError> {
    existing(lab, vmid)?.start()
}

/// Pulls the guest's network cable: packets vanish in both directions, and nobody is told. Until mended or started again.
pub fn cut_network(lab: &Lab, vmid: Vmid) -> Result<(), LabError> {
    let guest = existing(lab, vmid)?;
    run("cut the guest's network", 10, &["ip", "link", "set", guest.device(), "nomaster"]).map(drop)
}

/// Puts the guest's network cable back.
pub fn mend_network(lab: &Lab, vmid: Vmid) -> Result<(), LabError> {
    let guest = existing(lab, vmid)?;
    let argv = ["ip", "link", "set", guest.device(), "master", guest.host_bridge()];
    run("mend the guest's network", 10, &argv).map(drop)
}

/// Waits until the lab's own key can log in to the guest.
pub fn wait_for_ssh(lab: &Lab, vmid: Vmid, limit: Duration) -> Result<(), LabError> {
    let config = read_config(&existing(lab, vmid)?.folder());
    let config = config.ok_or_else(|| no_guest(lab, vmid))?;
    let name = config.get("hostname").unwrap_or_default().to_owned();
    let address = config.net().get("ip").cloned().unwrap_or_default();
    let guest = GuestState { vmid, name, address, running: true };
    let arguments = state::ssh_to(lab, &guest);
    // The usual key exchange takes a processor for 50 ms, each time.
    let ssh = ["ssh", "-o", "KexAlgorithms=curve25519-sha256"];
    let argv: Vec<&str> =
        ssh.into_iter().chain(arguments.iter().map(String::as_str)).chain(["true"]).collect();
    let deadline = Instant::now() + limit;
    loop {
        let tried = run("log in", 10, &argv);
        if tried.is_ok() {
            return Ok(());
        }
        if Instant::now() > deadline {
            return Err(LabError::NoSsh { guest: guest.name, seconds: limit.as_secs() });
        }
        std::thread::sleep(LOGIN_PAUSE);
    }
}

fn existing(lab: &Lab, vmid: Vmid) -> Result<Container, LabError> {
    let container = Container::of(lab, vmid);
    if container.folder().exists() { Ok(container) } else { Err(no_guest(lab, vmid)) }
}

fn no_guest(lab: &Lab, vmid: Vmid) -> LabError {
    LabError::NoVmid { name: lab.name.to_string(), vmid }
}
