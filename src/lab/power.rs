//! What tasks do to guests: create, start, stop, resize, destroy.

use super::{
    Debian, Lab, LabError,
    base::Base,
    config::Config,
    error::AtPath as _,
    guest_files::GuestRoot,
    journal::TaskLog,
    lxc::Power,
    node::{Guest, Node},
    program::run,
    schema,
};
use camino::Utf8Path;
use std::{fmt::Write as _, fs};

/// The kinds of host key that a Debian sshd offers, in the order in which a node makes them.
/// With their bits: a key of RSA as long as ssh-keygen's default takes a processor for a second.
const HOST_KEYS: [(&str, &str); 3] = [("ed25519", "256"), ("ecdsa", "256"), ("rsa", "2048")];

/// A failure as a task's text: what was tried, then why.
pub(super) fn as_text(error: &LabError) -> String {
    let mut text = error.to_string();
    let mut cause = std::error::Error::source(error);
    while let Some(error) = cause {
        let _ = write!(text, ": {error}");
        cause = error.source();
    }
    text
}

/// What a guest is made from.
pub(super) struct NewGuest {
    pub config: Config,
    /// Public keys for root, one a line.
    pub keys: String,
    /// Volume id of the template.
    pub template: String,
}

/// Makes a reserved guest; removes it again when that does not work.
pub(super) fn create(
    node: &Node,
    guest: &Guest,
    new: &NewGuest,
    log: &TaskLog,
) -> Result<(), String> {
    let _lock = guest.lock()?;
    let made = match node.lab.bases.get(&new.template) {
        Some(base) => {
            make(&node.lab, guest, new, &Base::at(base), log).map_err(|error| as_text(&error))
        }
        None => Err(format!("volume '{}' does not exist", new.template)),
    };
    if made.is_err() {
        let _ = guest.container.remove();
        node.forget(guest.vmid);
    }
    made
}

fn make(
    lab: &Lab,
    guest: &Guest,
    new: &NewGuest,
    base: &Base,
    log: &TaskLog,
) -> Result<(), LabError> {
    log.line("laying an overlay over the lab's base, where a node would extract the template");
    guest.container.make(base)?;
    log.line("Detected container architecture: amd64");
    let root = GuestRoot::open(&guest.container.rootfs())?;
    write_identity(&root, &new.config)?;
    let admin = fs::read_to_string(format!("{}.pub", lab.admin_key)).at("read", &lab.admin_key)?;
    let keys = format!("{}\n{admin}", new.keys.trim());
    root.write("root/.ssh/authorized_keys", keys.trim_start().as_bytes(), 0o600)?;
    make_host_keys(guest, &root, &new.config, log)?;
    guest.replace(new.config.clone())?;
    if property_is_off(&new.config, "nesting") {
        let systemd = Debian::of_template(&new.template).map_or(252, Debian::systemd);
        log.warn(&format!("Systemd {systemd} detected. You may need to enable nesting."));
    }
    Ok(())
}

fn property_is_off(config: &Config, feature: &str) -> bool {
    !config.get("features").unwrap_or_default().split(',').any(|f| f == format!("{feature}=1"))
}

/// The files that a node writes at each start. Source: pve-container, `PVE/LXC/Setup/Base.pm`, `Debian.pm`.
fn write_identity(root: &GuestRoot, config: &Config) -> Result<(), LabError> {
    let name = config.get("hostname").unwrap_or_default();
    let net = config.net();
    let address = net.get("ip").and_then(|ip| ip.split_once('/')).map(|(address, _)| address);
    root.write("etc/hostname", format!("{name}\n").as_bytes(), 0o644)?;
    root.write_section("etc/hosts", &format!("{} {name}\n", address.unwrap_or("127.0.1.1")))?;
    root.write_section("etc/resolv.conf", &resolver(config))?;
    root.write("etc/network/interfaces", interfaces(&net).as_bytes(), 0o644)
}

fn resolver(config: &Config) -> String {
    let search = config.get("searchdomain").map(|domain| format!("search {domain}\n"));
    let servers = schema::split_list(config.get("nameserver").unwrap_or_default());
    search.into_iter().chain(servers.map(|server| format!("nameserver {server}\n"))).collect()
}

/// For people and programs that read it: LXC itself sets the address, since the base has no ifupdown.
fn interfaces(net: &std::collections::BTreeMap<String, String>) -> String {
    let mut text = "auto lo\niface lo inet loopback\n".to_owned();
    if let (Some(name), Some(ip)) = (net.get("name"), net.get("ip").filter(|ip| ip.contains('/'))) {
        let _ = write!(text, "\nauto {name}\niface {name} inet static\n\taddress {ip}\n");
        if let Some(gateway) = net.get("gw") {
            let _ = writeln!(text, "\tgateway {gateway}");
        }
    }
    text
}

/// Makes the host keys outside, where no guest can reach them, and says their fingerprints as a node does.
fn make_host_keys(
    guest: &Guest,
    root: &GuestRoot,
    config: &Config,
    log: &TaskLog,
) -> Result<(), LabError> {
    let host = config.get("hostname").unwrap_or_default();
    let mut known = String::new();
    for (kind, bits) in HOST_KEYS {
        let name = format!("ssh_host_{kind}_key");
        log.line(&format!("Creating SSH host key '{name}' - this may take some time ..."));
        let (private, public, fingerprint) =
            make_key(&guest.container.folder().join(&name), (kind, bits), host)?;
        root.write(&format!("etc/ssh/{name}"), private.as_bytes(), 0o600)?;
        root.write(&format!("etc/ssh/{name}.pub"), public.as_bytes(), 0o644)?;
        log.line(&format!("done: {fingerprint} root@{host}"));
        // By number: the address may change, the key does not.
        let _ = writeln!(
            known,
            "{} {}",
            guest.vmid,
            public.split(' ').take(2).collect::<Vec<_>>().join(" ")
        );
    }
    let path = guest.container.folder().join("known_hosts");
    fs::write(&path, known).at("write", path)
}

/// A key pair and its fingerprint; leaves no file.
fn make_key(
    path: &Utf8Path,
    (kind, bits): (&str, &str),
    host: &str,
) -> Result<(String, String, String), LabError> {
    let comment = format!("root@{host}");
    run(
        "make a host key",
        60,
        &[
            "ssh-keygen",
            "-q",
            "-t",
            kind,
            "-b",
            bits,
            "-N",
            "",
            "-C",
            &comment,
            "-f",
            path.as_str(),
        ],
    )?;
    let public_path = path.with_extension("pub");
    let shown = run("read a host key", 10, &["ssh-keygen", "-l", "-f", public_path.as_str()])?;
    let fingerprint = shown.split(' ').nth(1).unwrap_or_default().to_owned();
    let private = fs::read_to_string(path).at("read", path)?;
    let public = fs::read_to_string(&public_path).at("read", &public_path)?;
    fs::remove_file(path).at("remove", path)?;
    fs::remove_file(&public_path).at("remove", &public_path)?;
    Ok((private, public, fingerprint))
}

/// Boots a guest, with everything that waited for it.
pub(super) fn start(lab: &Lab, guest: &Guest) -> Result<(), String> {
    let _lock = guest.lock()?;
    if guest.power() != Power::Stopped {
        return Err(format!("CT {} already running", guest.vmid));
    }
    boot(lab, guest)
}

fn boot(lab: &Lab, guest: &Guest) -> Result<(), String> {
    let mut config = guest.config();
    config.apply_pending();
    volume(&config)?;
    if let Some(bridge) = config.net().get("bridge").filter(|bridge| **bridge != lab.bridge) {
        return Err(format!("bridge '{bridge}' does not exist"));
    }
    let booted = || {
        guest.replace(config.clone())?;
        guest.container.mount()?;
        write_identity(&GuestRoot::open(&guest.container.rootfs())?, &config)?;
        guest.container.configure(&config)?;
        guest.container.start()
    };
    booted().map_err(|error| as_text(&error))
}

/// A `rootfs` that was PUT as `STORAGE:SIZE` is stored as it is and breaks the container: so does Proxmox.
pub(super) fn volume(config: &Config) -> Result<(), String> {
    let rootfs = config.get("rootfs").unwrap_or_default();
    let name =
        rootfs.split(',').next().and_then(|v| v.split_once(':')).map_or("", |(_, name)| name);
    if name.starts_with("vm-") {
        Ok(())
    } else {
        Err(format!("unable to parse lvm volume name '{name}'"))
    }
}

pub(super) fn stop(guest: &Guest) -> Result<(), String> {
    let _lock = guest.lock()?;
    guest.container.kill().map_err(|error| as_text(&error))
}

pub(super) fn shut_down(guest: &Guest, seconds: u32, force: bool) -> Result<(), String> {
    let _lock = guest.lock()?;
    guest.container.shut_down(seconds, force).map_err(|error| as_text(&error))
}

pub(super) fn reboot(lab: &Lab, guest: &Guest, seconds: u32) -> Result<(), String> {
    let _lock = guest.lock()?;
    guest.container.shut_down(seconds, false).map_err(|error| as_text(&error))?;
    boot(lab, guest)
}

pub(super) fn destroy(node: &Node, guest: &Guest) -> Result<(), String> {
    let _lock = guest.lock()?;
    volume(&guest.config())?;
    guest.container.remove().map_err(|error| as_text(&error))?;
    node.forget(guest.vmid);
    Ok(())
}

/// Gives the running guest the name and the addresses that its configuration now says, for its next boots too.
pub(super) fn apply_identity(guest: &Guest, new: &Config) -> Result<(), LabError> {
    let Power::Running { init } = guest.power() else { return Ok(()) };
    guest.container.configure(new)?;
    guest.container.apply_network(init)?;
    write_identity(&GuestRoot::open(&guest.container.rootfs())?, new)
}
