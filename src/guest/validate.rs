//! Validators of the guest's own tools, run on the staged tree before anything changes.

use super::Guest;
use super::error::GuestError;
use super::fs::Sync;
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
    let text = guest.fs.read(staged)?;
    let text = String::from_utf8_lossy(&text);
    let at = path.as_str();
    if at.starts_with("/etc/sudoers.d/") {
        return ask(guest, path, &["visudo", "-c", "-q", "-f", staged]);
    }
    if at.starts_with("/etc/ssh/sshd_config.d/") {
        return sshd(guest, tx, path, staged);
    }
    if text.starts_with("#!/bin/sh") || text.starts_with("#!/bin/bash") {
        let shell = text.lines().next().unwrap_or_default().trim_start_matches("#!");
        let shell = shell.split(' ').next().unwrap_or("/bin/sh").to_owned();
        return ask(guest, path, &[&shell, "-n", staged]);
    }
    if at.starts_with("/etc/systemd/system/") {
        return unit(guest, path, staged, &text);
    }
    Ok(None)
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

/// What `systemd-analyze verify` says of a unit's own text. It exits with 0 for unknown keys, and complains of programs and
/// units that only the switch brings.
pub fn complaints<'a>(said: &'a str, unit: &str) -> Vec<&'a str> {
    let words = [
        "Unknown",
        "Failed to parse",
        "Invalid",
        "Missing '='",
        "Assignment outside",
        "has fatal error",
    ];
    let line_of_text = format!("{unit}:");
    let has_number = |line: &str| {
        let rest = line.split_once(&line_of_text).map(|(_, rest)| rest);
        rest.is_some_and(|rest| rest.starts_with(|c: char| c.is_ascii_digit()))
    };
    let about_text = |line: &&str| {
        has_number(line) || line.contains(unit) && words.iter().any(|word| line.contains(word))
    };
    said.lines().filter(about_text).collect()
}

fn unit(
    guest: &mut Guest,
    path: &GuestPath,
    staged: &str,
    text: &str,
) -> Result<Option<String>, GuestError> {
    if NEEDS_MOUNTS.iter().any(|key| text.contains(key)) {
        let probe =
            ["systemd-run", "--wait", "-q", "--collect", "-p", "SetCredential=probe:x", "true"];
        if let Some(fault) = ask(guest, path, &probe)? {
            return Ok(Some(format!("{fault}; credentials need a container with nesting=1")));
        }
    }
    if !path.as_str()["/etc/systemd/system/".len()..].contains('/') {
        let argv = ["systemd-analyze", "verify", "--man=no", "--recursive-errors=no", staged];
        let output = guest.system.run(&Command::new(&argv, LIMIT))?;
        let lines = complaints(&output.text, path.file_name());
        return Ok((!lines.is_empty()).then(|| format!("`{path}`: {}", lines.join(" / "))));
    }
    Ok(None)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_systemd_says_of_a_line_counts_and_what_the_switch_brings_does_not() {
        let of_text = [
            "/tmp/x/d.service:4: WorkingDirectory= path is not absolute: rel",
            "d.service: Unit configuration has fatal error, unit will not be started.",
            "/tmp/x/d.service:7: Unknown key name 'Foo' in section 'Service', ignoring.",
        ];
        let of_others = [
            "d.service: Command /srv/app/run is not executable: No such file or directory",
            "/lib/systemd/system/other.service:3: Unknown key name 'Bar'",
        ];
        let said = of_text.iter().chain(&of_others).copied().collect::<Vec<_>>().join("\n");
        assert_eq!(complaints(&said, "d.service"), of_text);
    }
}
