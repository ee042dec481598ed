//! A lab's life: up and down.

use super::{
    Debian, Lab, LabError, Place, base, bridge::Bridge, certificate, control_groups, daemon,
    error::AtPath as _, folder, lxc::Lxc, network, prerequisites, program::run, state::read,
};
use camino::{Utf8Path, Utf8PathBuf};
use ipnet::Ipv4Net;
use rustix::fs::{FlockOperation, flock};
use std::{
    collections::BTreeMap,
    fs::{self, File},
    net::TcpListener,
};

/// The one node, its storage for disks and its bridge: what a fresh Proxmox has.
const NODE: &str = "pve";
const STORAGE: &str = "local-lvm";
const BRIDGE: &str = "vmbr0";

/// Locked while a lab is made or removed: two at once would choose the same subnet. A folder that is always there, so that no lock
/// file stays behind.
const LOCK: &str = "/run/lock";

/// What `up` is to make.
pub struct Up<'a> {
    pub place: &'a Place,
    /// A free /24; without one, a free one of 10.213.0.0/16.
    pub subnet: Option<Ipv4Net>,
    /// The API's port on 127.0.0.1; without one, a free one.
    pub port: Option<u16>,
    /// What guests can be made of; the first is what definitions for this lab name. None is named: Debian 12, or what is there.
    pub debians: &'a [Debian],
    /// A disk of this size for each guest, which may fill up and lose what was not written; for tests, since it is slower.
    pub disk_mib: Option<u32>,
    /// Base URL above `debian` and `debian-security`; without one, this machine's own mirror.
    pub mirror: Option<&'a str>,
    /// The `stackc` binary, which becomes the daemon.
    pub program: &'a Utf8Path,
}

impl Up<'_> {
    /// What a new lab has: one at least.
    fn debians(&self) -> &[Debian] {
        if self.debians.is_empty() { &[Debian::Twelve] } else { self.debians }
    }
}

/// Makes the lab, or brings one that lost its daemon or its bridge up again; one that is up stays as it is.
pub fn up(wanted: &Up, report: &mut dyn FnMut(&str)) -> Result<Lab, LabError> {
    folder::refuse_other(wanted.place)?;
    prerequisites::check()?;
    wanted.place.check()?;
    prerequisites::raise_limits()?;
    // Guests are other users: what is made here must let them pass.
    rustix::process::umask(rustix::fs::Mode::from_raw_mode(0o022));
    let lab = if wanted.place.description().exists() {
        again(wanted, read(wanted.place)?)?
    } else {
        let bases = bases(wanted, report)?;
        let _lock = lock()?;
        // Another `up` may have made it while this one waited.
        if wanted.place.description().exists() {
            read(wanted.place)?
        } else {
            found(wanted, bases)?
        }
    };
    if daemon::running(&lab.state).is_none() {
        report("starting the API");
        daemon::start(&lab, wanted.place, wanted.program)?;
    }
    Ok(lab)
}

/// A base for each Debian that is wanted, by its template.
fn bases(
    wanted: &Up,
    report: &mut dyn FnMut(&str),
) -> Result<BTreeMap<String, Utf8PathBuf>, LabError> {
    let mut bases = BTreeMap::new();
    for debian in wanted.debians() {
        let base = base::prepare(&wanted.place.cache, *debian, wanted.mirror, report)?;
        bases.insert(debian.template().to_owned(), base.folder().to_owned());
    }
    Ok(bases)
}

fn lock() -> Result<File, LabError> {
    let file = File::open(LOCK).at("open", LOCK)?;
    flock(&file, FlockOperation::LockExclusive).at("lock", LOCK)?;
    Ok(file)
}

/// A lab that exists: checks that it is the wanted one, and makes what a reboot of this machine took.
fn again(wanted: &Up, lab: Lab) -> Result<Lab, LabError> {
    let (name, options) = (wanted.place.name.to_string(), wanted.place.options());
    let different = |what, is: String, wanted: String| {
        let (name, options) = (name.clone(), options.clone());
        Err(LabError::Different { name, options, what, is, wanted })
    };
    match (wanted.subnet, wanted.port) {
        (Some(subnet), _) if subnet.trunc() != lab.subnet => {
            return different("subnet", lab.subnet.to_string(), subnet.to_string());
        }
        (_, Some(port)) if port != lab.port() => {
            return different("port", lab.port().to_string(), port.to_string());
        }
        _ => {}
    }
    if let Some(debian) = wanted.debians.iter().find(|d| !lab.bases.contains_key(d.template())) {
        let is = lab.bases.keys().map(|volume| told(volume)).collect::<Vec<_>>().join(" and ");
        return different("guests of", is, format!("of Debian {debian}"));
    }
    if let Some(path) = lab.bases.values().find(|path| !path.exists()) {
        return Err(LabError::BaseGone { name, options, path: path.clone() });
    }
    let _lock = lock()?;
    let bridge = Bridge::of(&lab.name, &lab.state);
    if !bridge.exists()? {
        network::choose_subnet(Some(lab.subnet))?;
    }
    bridge.make(lab.gateway, lab.subnet)?;
    Ok(lab)
}

/// What a template holds, for people.
fn told(volume: &str) -> String {
    Debian::of_template(volume).map_or(volume.to_owned(), |debian| format!("Debian {debian}"))
}

/// A new lab. Its description is written last: without it, the next `up` starts over.
fn found(wanted: &Up, bases: BTreeMap<String, Utf8PathBuf>) -> Result<Lab, LabError> {
    let Place { name, state, .. } = wanted.place;
    let bridge = Bridge::of(name, state);
    bridge.refuse_foreign()?;
    // Our bridge without a description is what a killed `up` left.
    bridge.remove()?;
    // What may be refused comes before anything is made.
    let subnet = network::choose_subnet(wanted.subnet)?;
    let port = free_port(wanted.port)?;
    folder::make(wanted.place)?;
    certificate::make(state)?;
    let admin_key = state.join("admin_key");
    make_admin_key(&admin_key, name.as_str())?;
    let lab = Lab {
        name: name.clone(),
        url: format!("https://127.0.0.1:{port}"),
        ca_file: state.join("ca.pem"),
        token: format!("root@pam!stackc={}", uuid()?),
        node: NODE.to_owned(),
        storage: STORAGE.to_owned(),
        template: wanted.debians()[0].template().to_owned(),
        bridge: BRIDGE.to_owned(),
        subnet,
        gateway: network::gateway(subnet),
        host_bridge: name.bridge(),
        admin_key,
        state: state.clone(),
        bases,
        disk_mib: wanted.disk_mib,
    };
    bridge.make(lab.gateway, subnet)?;
    let text = serde_json::to_vec_pretty(&lab).expect("a lab is JSON");
    certificate::write(&wanted.place.description(), &text, 0o600)?;
    Ok(lab)
}

fn make_admin_key(path: &Utf8Path, name: &str) -> Result<(), LabError> {
    if path.exists() {
        return Ok(());
    }
    let comment = format!("stackc-lab-{name}");
    let argv = ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", &comment, "-f", path.as_str()];
    run("make the lab's key", 10, &argv).map(drop)
}

/// The wanted port, or one that nobody has now; it stays the lab's own.
fn free_port(wanted: Option<u16>) -> Result<u16, LabError> {
    let port = wanted.unwrap_or(0);
    let bound = TcpListener::bind(("127.0.0.1", port)).and_then(|listener| listener.local_addr());
    bound.map(|address| address.port()).map_err(|cause| LabError::Listen { port, cause })
}

/// A random UUID. Source: random(4).
fn uuid() -> Result<String, LabError> {
    let source = "/proc/sys/kernel/random/uuid";
    fs::read_to_string(source).at("read", source).map(|text| text.trim().to_owned())
}

/// Removes the lab: guests, daemon, mounts, bridge, state. What is not there is fine, so a second call does nothing; returns
/// whether there was anything. The base stays in the cache: [`remove_base`].
///
/// # Errors
/// When the folder is another lab's or nobody's: it stays as it is. When something of the lab cannot be removed.
pub fn down(place: &Place) -> Result<bool, LabError> {
    folder::refuse_foreign(place)?;
    prerequisites::check_root()?;
    if place.state.join("guests").exists() {
        prerequisites::check()?;
    }
    let _lock = lock()?;
    let bridge = Bridge::of(&place.name, &place.state);
    let was_there = folder::exists(place) || bridge.exists()?;
    folder::refuse_foreign(place)?;
    daemon::stop(&place.state)?;
    remove_guests(place)?;
    bridge.remove()?;
    folder::remove(place)?;
    remove_traces(&place.state);
    Ok(was_there)
}

/// Goes by the folders, whatever a description says: a lab that was only half made has none.
fn remove_guests(place: &Place) -> Result<(), LabError> {
    let guests = place.state.join("guests");
    if !guests.exists() {
        return Ok(());
    }
    for entry in guests.read_dir_utf8().at("list", &guests)? {
        let entry = entry.at("list", &guests)?;
        Lxc::at(&guests, entry.file_name()).remove()?;
    }
    Ok(())
}

/// What LXC keeps outside the lab's folders: folders of lock files by path, and a group that it moves itself through. Where another
/// lab or container still needs them they are not empty, and stay.
fn remove_traces(state: &Utf8Path) {
    for controller in control_groups::roots() {
        control_groups::remove_empty(&controller.join("lxc.pivot"));
    }
    let locks = Utf8Path::new("/run/lxc/lock");
    let below = locks.join(state.strip_prefix("/").unwrap_or(state)).join("guests");
    below.ancestors().take_while(|folder| *folder != locks).for_each(|folder| {
        let _ = fs::remove_dir(folder);
    });
}

/// Removes every base that labs were built from. Take labs down first: their guests stand on it.
pub fn remove_base(place: &Place) -> Result<(), LabError> {
    base::remove_all(&place.cache)
}
