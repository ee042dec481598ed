//! Validators of the guest's own tools, run on the staged tree before anything changes.

use super::Guest;
use super::error::GuestError;
use super::fs::Sync;
use super::judge::{self, DropIns, Judge};
use super::store;
use super::system::Command;
use super::{firewall, fs, generation, packages};
use crate::model::layout::STATE;
use crate::model::protocol::Done;
use crate::model::{Digest, Entry, GuestPath, Manifest, TxId};
use std::time::Duration;

const LIMIT: Duration = Duration::from_secs(20);
/// Units that one call of systemd-analyze reads: a process for each would take most of the time of a validation, and of
/// what a process says only so much is kept.
const UNITS_AT_ONCE: usize = 20;
/// What a unit's directives need of the guest: one credential needs one mount, which a container may be refused.
const NEEDS_MOUNTS: [&str; 2] = ["LoadCredential", "SetCredential"];

/// Judges the staged files; every fault is told at once.
pub fn validate(guest: &mut Guest, tx: &TxId, digest: &Digest) -> Result<Done, GuestError> {
    let manifest = store::verify(guest.fs, digest)?;
    let mut faults = firewall::validate(guest, digest)?;
    let drop_ins = DropIns::among(manifest.overlay().map(|(path, _)| path));
    faults.extend(conffiles(guest, &manifest)?);
    let mut units = Vec::new();
    for (path, entry) in manifest.overlay() {
        if matches!(entry, Entry::File { .. }) {
            let staged = store::copy_source(digest, &path);
            let bytes = guest.fs.read(&staged)?;
            for (shell, job) in judge::jobs(&path, &bytes) {
                faults.extend(ask(guest, &path, &[shell.program(), "-n", "-c", &job])?);
            }
            let Some(judge) = Judge::of(&path, &bytes, &drop_ins) else { continue };
            let found = fault(guest, tx, (&path, &staged, &bytes), &judge)?;
            if found.is_none() && matches!(judge, Judge::Unit | Judge::UnitWithDropIns) {
                units.push((path, staged, judge));
            }
            faults.extend(found);
        }
    }
    for units in units.chunks(UNITS_AT_ONCE) {
        faults.extend(of_units(guest, units)?);
    }
    if faults.is_empty() {
        Ok(Done { already: false })
    } else {
        Err(GuestError::Invalid { count: faults.len(), faults })
    }
}

/// Files of packages that the bundle has as well. What some generation of the guest owns is let pass: a way back must not
/// depend on what a package brought since.
fn conffiles(guest: &mut Guest, manifest: &Manifest) -> Result<Vec<String>, GuestError> {
    let of_packages = packages::conffiles(guest.fs)?;
    let of_package = |path: GuestPath| Some((of_packages.get(path.as_str())?.clone(), path));
    let mut found: Vec<_> = manifest.overlay().filter_map(|(path, _)| of_package(path)).collect();
    let generations = if found.is_empty() { Vec::new() } else { generation::numbers(guest.fs)? };
    for number in generations {
        let ledger = generation::ledger(guest.fs, number)?;
        found.retain(|(_, path)| !ledger.paths.contains_key(path));
    }
    let told = |(package, path)| {
        format!(
            "`{path}`: a configuration file of the package `{package}`, which dpkg would fight over"
        )
    };
    Ok(found.into_iter().map(told).collect())
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
        Judge::Logrotate => logrotate(guest, tx, judge, (path, bytes)),
        Judge::Shell(shell) => ask(guest, path, &[shell.program(), "-n", staged]),
        // All of them are judged together.
        Judge::Unit | Judge::UnitWithDropIns => Ok(None),
        Judge::DropIn { folder, unit } => {
            let (said, file) = drop_in(guest, tx, path, (folder, unit, bytes))?;
            Ok(told(path, &file, &judge.faults(&said, path.as_str())))
        }
    }
}

/// What systemd has against some units, each by its own lines.
fn of_units(
    guest: &mut Guest,
    units: &[(GuestPath, String, Judge)],
) -> Result<Vec<String>, GuestError> {
    let staged: Vec<&str> = units.iter().map(|(_, staged, _)| staged.as_str()).collect();
    let said = verify(guest, &staged)?;
    let fault = |(path, staged, judge): &(GuestPath, String, Judge)| {
        told(path, staged, &judge.faults(&said, path.as_str()))
    };
    Ok(units.iter().filter_map(fault).collect())
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
    tx: &TxId,
    judge: &Judge,
    (path, bytes): (&GuestPath, &[u8]),
) -> Result<Option<String>, GuestError> {
    if guest.fs.stat(judge::LOGROTATE)?.is_none() {
        return Ok(None);
    }
    let file = format!("{STATE}/.tmp-logrotate-{tx}");
    guest.fs.write(&file, &mut &judge::for_logrotate(bytes)[..], 0o600, Sync::Later)?;
    let said = guest.system.run(&Command::new(&[judge::LOGROTATE, judge::DEBUG, &file], LIMIT));
    guest.fs.remove(&file)?;
    let said = said?.text.replace(&file, path.as_str());
    Ok(told(path, &file, &judge.faults(&said, path.as_str())))
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
    let said = verify(guest, &[&stub]);
    fs::remove_tree(guest.fs, &own)?;
    Ok((said?, file))
}

/// What systemd says when it reads these units.
fn verify(guest: &mut Guest, units: &[&str]) -> Result<String, GuestError> {
    let argv = [&["systemd-analyze"][..], &judge::VERIFY, units].concat();
    Ok(guest.system.run(&Command::new(&argv, LIMIT))?.text)
}

/// One line of all that a judge has against a file.
fn told(path: &GuestPath, staged: &str, lines: &[&str]) -> Option<String> {
    let text = lines.join(" / ").replace(staged, path.as_str());
    (!lines.is_empty()).then(|| format!("`{path}`: {text}"))
}
