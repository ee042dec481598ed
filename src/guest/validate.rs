//! Validators of the guest's own tools, run on the staged tree before anything changes.

use super::Guest;
use super::error::GuestError;
use super::fs::Sync;
use super::judge::{self, DropIns, Judge};
use super::store;
use super::system::Command;
use super::{firewall, fs, packages};
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
    let drop_ins = DropIns::among(manifest.overlay().map(|(path, _)| path));
    let conffiles = packages::conffiles(guest.fs)?;
    for (path, entry) in manifest.overlay() {
        if let Some(package) = conffiles.get(path.as_str()) {
            faults.push(format!("`{path}`: a configuration file of the package `{package}`, which dpkg would fight over"));
        }
        if matches!(entry, Entry::File { .. }) {
            let staged = store::copy_source(digest, &path);
            let bytes = guest.fs.read(&staged)?;
            if let Some(judge) = Judge::of(&path, &bytes, &drop_ins) {
                faults.extend(fault(guest, tx, (&path, &staged, &bytes), &judge)?);
            }
            for (shell, job) in judge::jobs(&path, &bytes) {
                faults.extend(ask(guest, &path, &[shell.program(), "-n", "-c", &job])?);
            }
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
    (path, staged, bytes): (&GuestPath, &str, &[u8]),
    judge: &Judge,
) -> Result<Option<String>, GuestError> {
    if matches!(judge, Judge::Unit | Judge::UnitWithDropIns | Judge::DropIn { .. })
        && let Some(fault) = lack_of_mounts(guest, path, bytes)?
    {
        return Ok(Some(fault));
    }
    match judge {
        Judge::Visudo => ask(guest, path, &["visudo", "-c", "-q", "-f", staged]),
        Judge::Sshd => sshd(guest, tx, path, staged),
        Judge::Logrotate => logrotate(guest, judge, path, staged),
        Judge::Shell(shell) => ask(guest, path, &[shell.program(), "-n", staged]),
        Judge::Unit | Judge::UnitWithDropIns => {
            let said = verify(guest, staged)?;
            Ok(told(path, staged, &judge.faults(&said, path.as_str())))
        }
        Judge::DropIn { folder, unit } => {
            let (said, file) = drop_in(guest, tx, path, (folder, unit, bytes))?;
            Ok(told(path, &file, &judge.faults(&said, path.as_str())))
        }
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
    judge: &Judge,
    path: &GuestPath,
    staged: &str,
) -> Result<Option<String>, GuestError> {
    if guest.fs.stat(judge::LOGROTATE)?.is_none() {
        return Ok(None);
    }
    let argv = [judge::LOGROTATE, judge::DEBUG, staged];
    let said = guest.system.run(&Command::new(&argv, LIMIT))?.text.replace(staged, path.as_str());
    Ok(told(path, staged, &judge.faults(&said, path.as_str())))
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

/// What systemd says of the drop-in beside a stub of its unit, in a folder of its own: systemd reads `NAME.d/` there, too.
/// And the drop-in's path there.
fn drop_in(
    guest: &mut Guest,
    tx: &TxId,
    path: &GuestPath,
    (folder, unit, bytes): (&str, &str, &[u8]),
) -> Result<(String, String), GuestError> {
    let own = format!("{STATE}/.tmp-drop-in-{tx}");
    fs::mkdir_all(guest.fs, &format!("{own}/{folder}"), 0o700)?;
    let (stub, file) = (format!("{own}/{unit}"), format!("{own}/{folder}/{}", path.file_name()));
    guest.fs.write(&stub, &mut judge::STUB.as_bytes(), 0o600, Sync::Later)?;
    guest.fs.write(&file, &mut &bytes[..], 0o600, Sync::Later)?;
    let said = verify(guest, &stub);
    fs::remove_tree(guest.fs, &own)?;
    Ok((said?, file))
}

/// What systemd says when it reads this unit.
fn verify(guest: &mut Guest, unit: &str) -> Result<String, GuestError> {
    let argv = [&["systemd-analyze"][..], &judge::VERIFY, &[unit]].concat();
    Ok(guest.system.run(&Command::new(&argv, LIMIT))?.text)
}

/// One line of all that a judge has against a file.
fn told(path: &GuestPath, staged: &str, lines: &[&str]) -> Option<String> {
    let text = lines.join(" / ").replace(staged, path.as_str());
    (!lines.is_empty()).then(|| format!("`{path}`: {text}"))
}
