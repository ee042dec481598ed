//! Services are held back while packages are installed (policy-rc.d).

use crate::guest::Guest;
use crate::guest::error::GuestError;
use crate::guest::fs::{FsError, GuestFs, Kind, Sync, mkdir_all, split};
use crate::model::ServiceName;
use std::collections::BTreeSet;

/// Asked by invoke-rc.d before any package starts a service. Source: /usr/share/doc/init-system-helpers.
const POLICY: &str = "/usr/sbin/policy-rc.d";
/// Where a policy of the guest's own waits meanwhile.
const POLICY_FOUND: &str = "/usr/sbin/policy-rc.d.stackc-found";
const POLICY_MARK: &str = "# Written by stackc while packages are installed.";

/// Holds back every service that a package would start, but those that may.
pub fn hold(guest: &mut Guest, may_start: &[ServiceName]) -> Result<(), GuestError> {
    let boot_id = guest.system.boot_id()?;
    let fs = &mut *guest.fs;
    let names: BTreeSet<&ServiceName> = may_start.iter().collect();
    let case = |name: &&ServiceName| format!("  {name}|{name}.service) exit 0 ;;\n");
    let cases = names.iter().map(case).collect::<Vec<_>>().concat();
    // A power cut leaves it behind: after another boot it holds nothing any more, before anybody has come to remove it.
    let script = format!(
        "#!/bin/sh
{POLICY_MARK}
if test \"$(cat /proc/sys/kernel/random/boot_id)\" != {boot_id}; then
  test -x {POLICY_FOUND} && exec {POLICY_FOUND} \"$@\"
  exit 0
fi
case \"$1\" in
{cases}  *) exit 101 ;;
esac
"
    );
    release(fs)?;
    if fs.stat(POLICY)?.is_some() {
        fs.rename(POLICY, POLICY_FOUND)?;
    }
    mkdir_all(fs, split(POLICY).0, 0o755)?;
    fs.write(&format!("{POLICY}.new"), &mut script.as_bytes(), 0o755, Sync::Now)?;
    fs.rename(&format!("{POLICY}.new"), POLICY)?;
    Ok(fs.sync_dir(split(POLICY).0)?)
}

/// Takes our hold away, and puts back what was there before it. Left over, it would keep every later service down.
pub fn release(fs: &mut dyn GuestFs) -> Result<(), GuestError> {
    let is_ours = |bytes: &[u8]| String::from_utf8_lossy(bytes).contains(POLICY_MARK);
    fs.remove(&format!("{POLICY}.new"))?;
    let mut changed = false;
    if fs.stat(POLICY)?.is_some() && is_ours(&read_file(fs, POLICY)?) {
        fs.remove(POLICY)?;
        changed = true;
    }
    if fs.stat(POLICY_FOUND)?.is_some() {
        fs.rename(POLICY_FOUND, POLICY)?;
        changed = true;
    }
    if changed {
        fs.sync_dir(split(POLICY).0)?;
    }
    Ok(())
}

/// A policy of the guest's own may be a symlink: not ours, then.
fn read_file(fs: &mut dyn GuestFs, path: &str) -> Result<Vec<u8>, FsError> {
    match fs.stat(path)? {
        Some(stat) if stat.kind == Kind::File => fs.read(path),
        _ => Ok(Vec::new()),
    }
}
