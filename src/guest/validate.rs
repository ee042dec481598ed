//! Validators of the guest's own tools, run on the staged tree before anything changes.

use super::Guest;
use super::error::GuestError;
use super::fs::Sync;
use super::judge::{self, Judge};
use super::store;
use super::system::Command;
use super::{firewall, fs};
use crate::model::layout::STATE;
use crate::model::protocol::Done;
use crate::model::{Digest, Entry, GuestPath, TxId};
use std::time::Duration;

const LIMIT: Duration = Duration::from_secs(20);
/// What a unit's directives need of the guest: one credential needs one mount, which a container may be refused.
const NEEDS_MOUNTS: [&str; 2] = ["LoadCredential", "SetCredential"];

/// Judges the staged files; every fault is told at once.
pub fn validate(guest: &mut Guest, tx: &TxId, digest: &Digest) -> Result<Done, GuestError> {
    let manifest = store::verify(guest.fs, digest)?;
    let mut faults = firewall::validate(guest, digest)?;
    for (path, entry) in manifest.overlay() {
        if matches!(entry, Entry::File { .. }) {
            let staged = store::copy_source(digest, &path);
            faults.extend(fault(guest, tx, &path, &staged)?);
        }
    }
    if faults.is_empty() {
        Ok(Done { already: false })
    } else {
        Err(GuestError::Invalid { count: faults.len(), faults })
    }
}

fn fault(
    guest: &mut Guest,
    tx: &TxId,
    path: &GuestPath,
    staged: &str,
) -> Result<Option<String>, GuestError> {
    let bytes = guest.fs.read(staged)?;
    let judge = Judge::of(path, &bytes);
    if matches!(judge, Some(Judge::Unit | Judge::DropIn { .. }))
        && let Some(fault) = lack_of_mounts(guest, path, &bytes)?
    {
        return Ok(Some(fault));
    }
    match judge {
        Some(Judge::Visudo) => ask(guest, path, &["visudo", "-c", "-q", "-f", staged]),
        Some(Judge::Sshd) => sshd(guest, tx, path, staged),
        Some(Judge::Logrotate) => logrotate(guest, path, staged),
        Some(Judge::Shell(shell)) => ask(guest, path, &[shell.program(), "-n", staged]),
        Some(Judge::Unit) => verify(guest, path, staged, staged),
        Some(Judge::DropIn { folder, unit }) => drop_in(guest, tx, path, (&folder, &unit, &bytes)),
        None => Ok(None),
    }
}

/// A fault unless the command succeeds.
fn ask(guest: &mut Guest, path: &GuestPath, argv: &[&str]) -> Result<Option<String>, GuestError> {
    let output = guest.system.run(&Command::new(argv, LIMIT))?;
    let told = output.tail(5).join(" / ");
    Ok((output.code != Some(0)).then(|| format!("`{path}`: {}: {told}", argv[0])))
}

/// The staged drop-in before the guest's own configuration: the first value that sshd reads wins.
fn sshd(
    guest: &mut Guest,
    tx: &TxId,
    path: &GuestPath,
    staged: &str,
) -> Result<Option<String>, GuestError> {
    let file = format!("{STATE}/.tmp-sshd-{tx}");
    let text = format!("Include {staged}\nInclude /etc/ssh/sshd_config\n");
    guest.fs.write(&file, &mut text.as_bytes(), 0o600, Sync::Later)?;
    // Debian 12 makes this folder only when sshd first starts.
    fs::mkdir_all(guest.fs, "/run/sshd", 0o755)?;
    let fault = ask(guest, path, &["/usr/sbin/sshd", "-t", "-f", &file]);
    guest.fs.remove(&file)?;
    fault
}

/// What logrotate has against a staged file; without logrotate nobody reads it.
fn logrotate(
    guest: &mut Guest,
    path: &GuestPath,
    staged: &str,
) -> Result<Option<String>, GuestError> {
    if guest.fs.stat(judge::LOGROTATE)?.is_none() {
        return Ok(None);
    }
    let argv = [judge::LOGROTATE, judge::DEBUG, staged];
    let said = guest.system.run(&Command::new(&argv, LIMIT))?.text.replace(staged, path.as_str());
    let lines = judge::complaints_of_logrotate(&said, path.as_str());
    Ok((!lines.is_empty()).then(|| format!("`{path}`: {}", lines.join(" / "))))
}

fn lack_of_mounts(
    guest: &mut Guest,
    path: &GuestPath,
    unit: &[u8],
) -> Result<Option<String>, GuestError> {
    let text = String::from_utf8_lossy(unit);
    if !NEEDS_MOUNTS.iter().any(|key| text.contains(key)) {
        return Ok(None);
    }
    let probe = ["systemd-run", "--wait", "-q", "--collect", "-p", "SetCredential=probe:x", "true"];
    let fault = ask(guest, path, &probe)?;
    Ok(fault.map(|fault| format!("{fault}; credentials need a container with nesting=1")))
}

/// The drop-in beside a stub of its unit, in a folder of its own: systemd reads `NAME.d/` there, too.
fn drop_in(
    guest: &mut Guest,
    tx: &TxId,
    path: &GuestPath,
    (folder, unit, bytes): (&str, &str, &[u8]),
) -> Result<Option<String>, GuestError> {
    let own = format!("{STATE}/.tmp-drop-in-{tx}");
    fs::mkdir_all(guest.fs, &format!("{own}/{folder}"), 0o700)?;
    let (stub, file) = (format!("{own}/{unit}"), format!("{own}/{folder}/{}", path.file_name()));
    guest.fs.write(&stub, &mut judge::STUB.as_bytes(), 0o600, Sync::Later)?;
    guest.fs.write(&file, &mut &bytes[..], 0o600, Sync::Later)?;
    let fault = verify(guest, path, &stub, &file);
    fs::remove_tree(guest.fs, &own)?;
    fault
}

/// What systemd has against a staged file when it reads this unit.
fn verify(
    guest: &mut Guest,
    path: &GuestPath,
    unit: &str,
    staged: &str,
) -> Result<Option<String>, GuestError> {
    let argv = [&["systemd-analyze"][..], &judge::VERIFY, &[unit]].concat();
    let output = guest.system.run(&Command::new(&argv, LIMIT))?;
    let lines = judge::complaints(&output.text, path.as_str());
    let told = lines.join(" / ").replace(staged, path.as_str());
    Ok((!lines.is_empty()).then(|| format!("`{path}`: {told}")))
}
