//! What the machine must have before a lab can be.

use super::{LabError, error::AtPath as _, program::PROGRAM_PATH};
use std::{fs, path::Path};

/// A program that the lab runs, and the Debian package that brings it.
const PROGRAMS: [(&str, &str); 13] = [
    ("lxc-start", "lxc"),
    ("newuidmap", "uidmap"),
    ("mmdebstrap", "mmdebstrap"),
    ("apt-ftparchive", "apt-utils"),
    ("ip", "iproute2"),
    ("ssh", "openssh-client"),
    ("ssh-keygen", "openssh-client"),
    ("xz", "xz-utils"),
    ("zstd", "zstd"),
    ("nsenter", "util-linux"),
    ("setsid", "util-linux"),
    ("gpg", "gpg"),
    // For the workspace of the worked examples.
    ("git", "git"),
];

/// Proves what is inside Debian's archives; a file, not a program.
const KEYRING: (&str, &str) =
    ("/usr/share/keyrings/debian-archive-keyring.gpg", "debian-archive-keyring");

/// The ids that unprivileged guests live in: Proxmox's own choice. Source: pve-container, `/etc/subuid`.
const ID_RANGE: &str = "root:100000:65536";

/// The Debian packages to install before a lab can be made, by name.
pub fn missing_packages() -> Vec<&'static str> {
    missing()
        .into_iter()
        .map(|(_, package)| package)
        .collect::<std::collections::BTreeSet<_>>()
        .into_iter()
        .collect()
}

/// Refuses unless this is root and every program is here; gives root its range of ids.
pub(super) fn check() -> Result<(), LabError> {
    let missing = missing();
    if !missing.is_empty() {
        let programs = missing.iter().map(|(program, _)| *program).collect();
        return Err(LabError::Missing { programs, packages: missing_packages() });
    }
    check_root()?;
    ["/etc/subuid", "/etc/subgid"].into_iter().try_for_each(grant_id_range)
}

/// Refuses unless this is root.
pub fn check_root() -> Result<(), LabError> {
    if rustix::process::geteuid().is_root() { Ok(()) } else { Err(LabError::NotRoot) }
}

fn missing() -> Vec<(&'static str, &'static str)> {
    let in_path =
        |program: &str| PROGRAM_PATH.split(':').any(|d| Path::new(d).join(program).exists());
    let programs = PROGRAMS.into_iter().filter(|(program, _)| !in_path(program));
    programs.chain([KEYRING].into_iter().filter(|(file, _)| !Path::new(file).exists())).collect()
}

/// What the kernel lets one user have, by its file in /proc/sys. Root of every guest is the same user to this machine: with the
/// kernel's 128 inotify instances a dozen guests are enough that the next does not boot, and with its 200 keys, of which systemd
/// makes one for each service, that sshd does not start. Sources: pve-container, `10-pve-ct-inotify-limits.conf`; keyrings(7).
const LIMITS: [(&str, u32); 3] = [
    ("fs/inotify/max_user_instances", 65_536),
    ("kernel/keys/maxkeys", 20_000),
    ("kernel/keys/maxbytes", 2_000_000),
];

/// Raises the limits until the next reboot, where they are not as high.
pub(super) fn raise_limits() -> Result<(), LabError> {
    for (name, wanted) in LIMITS {
        let file = format!("/proc/sys/{name}");
        let text = fs::read_to_string(&file).at("read", &file)?;
        if !text.trim().parse::<u32>().is_ok_and(|limit| limit >= wanted) {
            fs::write(&file, wanted.to_string()).at("raise the limit", &file)?;
        }
    }
    Ok(())
}

fn grant_id_range(file: &str) -> Result<(), LabError> {
    let mut text = match fs::read_to_string(file) {
        Err(cause) if cause.kind() == std::io::ErrorKind::NotFound => String::new(),
        read => read.at("read", file)?,
    };
    if text.lines().any(|line| line == ID_RANGE) {
        return Ok(());
    }
    if !text.is_empty() && !text.ends_with('\n') {
        text.push('\n');
    }
    fs::write(file, format!("{text}{ID_RANGE}\n")).at("write", file)
}
