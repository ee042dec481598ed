//! Accounts and folders of a bundle, made by the guest's own tools from the staged files before the switch.

use super::error::GuestError;
use super::fs::{GuestFs, replace};
use super::system::{Command, run, succeed};
use super::{Guest, store};
use crate::model::layout::STATE;
use crate::model::protocol::Done;
use crate::model::{Digest, TmpfilesLine};
use std::time::Duration;

const LIMIT: Duration = Duration::from_secs(60);
/// The lines at work. A folder is made first and gets its owner then: a call that dies in between leaves this to the
/// next one, which else would take the folder for somebody's.
const AT_WORK: &str = "/var/lib/stackc/tmpfiles.conf";

/// Makes what the bundle's sysusers.d and tmpfiles.d ask for and the guest lacks, then gives the tree's files to the
/// accounts. Nothing that is there changes: the old generation runs from it, and no undo would put it back.
pub fn ensure(guest: &mut Guest, digest: &Digest) -> Result<Done, GuestError> {
    let accounts = files(guest.fs, digest, "/etc/sysusers.d")?;
    if !accounts.is_empty() {
        let argv: Vec<&str> = std::iter::once("systemd-sysusers")
            .chain(accounts.iter().map(String::as_str))
            .collect();
        run(guest.system, &Command::new(&argv, LIMIT))?;
    }
    make(guest)?;
    let mut missing = String::new();
    for file in files(guest.fs, digest, "/etc/tmpfiles.d")? {
        missing += &missing_lines(guest.fs, &file)?;
    }
    if !missing.is_empty() {
        replace(guest.fs, AT_WORK, missing.as_bytes(), 0o600)?;
        make(guest)?;
    }
    store::set_owners(guest.fs, digest)?;
    Ok(Done { already: false })
}

/// Makes what the lines at work ask for. They leave whatever the result: another bundle must not fail by them.
fn make(guest: &mut Guest) -> Result<(), GuestError> {
    if guest.fs.stat(AT_WORK)?.is_none() {
        return Ok(());
    }
    let command = Command::new(&["systemd-tmpfiles", "--create", AT_WORK], LIMIT);
    let output = guest.system.run(&command)?;
    guest.fs.sync_all(STATE)?;
    guest.fs.remove(AT_WORK)?;
    guest.fs.sync_dir(STATE)?;
    succeed(&command, output)?;
    Ok(())
}

/// The staged files of a folder.
fn files(fs: &mut dyn GuestFs, digest: &Digest, folder: &str) -> Result<Vec<String>, GuestError> {
    let folder = format!("{}/rootfs{folder}", store::tree_path(digest));
    Ok(fs.list(&folder)?.iter().map(|name| format!("{folder}/{name}")).collect())
}

/// The lines of a tmpfiles.d file that make what is not there. The rest waits for the next boot, as on any Debian.
fn missing_lines(fs: &mut dyn GuestFs, file: &str) -> Result<String, GuestError> {
    let text = String::from_utf8_lossy(&fs.read(file)?).into_owned();
    let mut missing = String::new();
    for line in text.lines() {
        let Some(fields) = TmpfilesLine::of(line).filter(TmpfilesLine::makes) else { continue };
        let unclear = || GuestError::Unfit(format!("`{line}`: write its path out"));
        if fs.stat(&fields.path().ok_or_else(unclear)?)?.is_none() {
            missing = missing + line + "\n";
        }
    }
    Ok(missing)
}
