//! Kernel parameters: what leaves `/etc/sysctl.d` has its value of before, for a file that is gone sets nothing.

use super::error::GuestError;
use super::fs::{GuestFs, Sync, mkdir_all, split};
use super::system::{Command, run};
use super::{Guest, found, store};
use crate::model::{Digest, sysctl_keys};
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

const PROGRAM: &str = "/usr/lib/systemd/systemd-sysctl";
const FOLDER: &str = "/etc/sysctl.d";
/// The values at work; a boot has all of the kernel's own again.
const AT_WORK: &str = "/run/stackc/sysctl.conf";
const LIMIT: Duration = Duration::from_secs(20);

/// Parameters that the files of one bundle set, and those of the other do not.
fn only_in(
    fs: &mut dyn GuestFs,
    one: Option<Digest>,
    other: Option<Digest>,
) -> Result<BTreeSet<String>, GuestError> {
    let (mut keys, others) = (set_by(fs, one)?, set_by(fs, other)?);
    keys.retain(|key| !others.contains(key));
    Ok(keys)
}

fn set_by(fs: &mut dyn GuestFs, digest: Option<Digest>) -> Result<BTreeSet<String>, GuestError> {
    let Some(digest) = digest else { return Ok(BTreeSet::new()) };
    let folder = format!("{}/rootfs{FOLDER}", store::tree_path(&digest));
    let mut keys = BTreeSet::new();
    for name in fs.list(&folder)? {
        keys.extend(sysctl_keys(&String::from_utf8_lossy(&fs.read(&format!("{folder}/{name}"))?)));
    }
    Ok(keys)
}

/// The values of what a switch is the first to set, before it does.
pub fn look(
    fs: &mut dyn GuestFs,
    from: Option<Digest>,
    to: Option<Digest>,
) -> Result<BTreeMap<String, String>, GuestError> {
    let mut values = BTreeMap::new();
    for key in only_in(fs, to, from)? {
        let path = format!("/proc/sys/{key}");
        // A parameter that is not there, or that nobody may read, has no value to go back to.
        let read = if fs.stat(&path)?.is_some() { fs.read(&path).ok() } else { None };
        let text = read.and_then(|bytes| String::from_utf8(bytes).ok());
        values.extend(text.map(|text| (key, text.trim().to_owned())));
    }
    Ok(values)
}

/// Gives the parameters that only `left` sets the values that they were found with; files of others that set them as well
/// are read again after that, when `systemd-sysctl.service` restarts.
pub fn put_back(
    guest: &mut Guest,
    left: Option<Digest>,
    live: Option<Digest>,
) -> Result<(), GuestError> {
    let gone = only_in(guest.fs, left, live)?;
    if gone.is_empty() {
        return Ok(());
    }
    let found = found::read(guest.fs)?.sysctls;
    let told = |key: &String| found.get(key).map(|value| format!("{key} = {value}\n"));
    let lines: String = gone.iter().filter_map(told).collect();
    if lines.is_empty() {
        return Ok(());
    }
    mkdir_all(guest.fs, split(AT_WORK).0, 0o755)?;
    guest.fs.write(AT_WORK, &mut lines.as_bytes(), 0o600, Sync::Later)?;
    let done = run(guest.system, &Command::new(&[PROGRAM, AT_WORK], LIMIT));
    guest.fs.remove(AT_WORK)?;
    Ok(done.map(drop)?)
}
