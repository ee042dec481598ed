//! What apt and dpkg mean when they fail: one sentence, the lines that show it, and what to do next.

use crate::guest::error::GuestError;
use crate::guest::fs::GuestFs;
use crate::guest::system::Output;
use std::fmt;

/// What went wrong, as far as apt's own words tell.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Trouble {
    NoRoom,
    /// Somebody else is installing: the process, and its program where it is told.
    Locked {
        process: Option<u32>,
        program: Option<String>,
    },
    NoPackage {
        name: String,
    },
    NoVersion {
        name: String,
        version: String,
    },
    Script {
        name: String,
        script: String,
    },
    Unmet,
    Held,
    WrongHash,
    Malformed,
    Unsigned,
    Missing,
    Unreachable,
    Interrupted,
    TooSlow,
    Other,
}

/// Signs of a trouble, the one that others follow from first.
const SIGNS: [(&str, Trouble); 23] = [
    ("No space left on device", Trouble::NoRoom),
    ("You don't have enough free space in", Trouble::NoRoom),
    ("very bad inconsistent state", Trouble::Interrupted),
    ("Held packages were changed", Trouble::Held),
    ("you have held broken packages", Trouble::Unmet),
    ("unmet dependencies", Trouble::Unmet),
    ("dependency problems prevent configuration", Trouble::Unmet),
    ("Hash Sum mismatch", Trouble::WrongHash),
    ("File has unexpected size", Trouble::WrongHash),
    ("The list of sources could not be read", Trouble::Malformed),
    ("Malformed entry", Trouble::Malformed),
    ("Malformed stanza", Trouble::Malformed),
    ("Invalid record in the preferences file", Trouble::Malformed),
    ("is not signed", Trouble::Unsigned),
    ("NO_PUBKEY", Trouble::Unsigned),
    ("signatures were invalid", Trouble::Unsigned),
    ("404  Not Found", Trouble::Missing),
    ("File not found - ", Trouble::Missing),
    ("does not have a Release file", Trouble::Missing),
    ("Could not resolve", Trouble::Unreachable),
    ("onnection refused", Trouble::Unreachable),
    ("Could not connect", Trouble::Unreachable),
    ("dpkg was interrupted", Trouble::Interrupted),
];

impl fmt::Display for Trouble {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.what())
    }
}

impl Trouble {
    pub fn of(output: &Output) -> Self {
        let text = &output.text;
        let special = [locked(text), script(text), version(text), package(text)];
        if text.contains("No space left on device") {
            return Self::NoRoom;
        }
        if let Some(special) = special.into_iter().flatten().next() {
            return special;
        }
        let sign = SIGNS.into_iter().find(|(sign, _)| text.contains(sign));
        match (sign, output.code) {
            (Some((_, trouble)), _) => trouble,
            (None, None) => Self::TooSlow,
            (None, Some(_)) => Self::Other,
        }
    }

    /// The package that apt knows more about.
    pub fn package(&self) -> Option<&str> {
        match self {
            Self::NoPackage { name } | Self::NoVersion { name, .. } => Some(name),
            _ => None,
        }
    }

    fn what(&self) -> String {
        match self {
            Self::NoRoom => "there is not enough room for the packages".to_owned(),
            Self::Locked { process, program } => holder(*process, program.as_deref()),
            Self::NoPackage { name } => format!("no source of the guest has a package `{name}`"),
            Self::NoVersion { name, version } => {
                format!("no source of the guest has version {version} of `{name}`")
            }
            Self::Script { name, script } => {
                format!("the {script} script of the package `{name}` failed")
            }
            Self::Unmet => "packages depend on what cannot be installed".to_owned(),
            Self::Held => "a package would change that somebody has put on hold".to_owned(),
            Self::WrongHash => "what was downloaded is not what the source's index says".to_owned(),
            Self::Malformed => "apt cannot read its own sources or preferences".to_owned(),
            Self::Unsigned => "a source is not signed by a key that the guest trusts".to_owned(),
            Self::Missing => {
                "a source does not have an index or a package that it should have".to_owned()
            }
            Self::Unreachable => "a source of packages does not answer".to_owned(),
            Self::Interrupted => "dpkg was interrupted, and could not go on".to_owned(),
            Self::TooSlow => "installing packages takes too long".to_owned(),
            Self::Other => "packages cannot be installed".to_owned(),
        }
    }

    fn next(&self) -> &'static str {
        match self {
            Self::NoRoom => "free some (`stackc gc`), or set a larger `disk_gib`",
            Self::Locked { .. } => "wait until it is done, or end it",
            Self::NoPackage { .. } => {
                "mend the name in `packages`, or add the source that has it to `apt.sources`"
            }
            Self::NoVersion { .. } => {
                "ask for a version that is there, with `*` for the part that may change"
            }
            Self::Script { .. } => {
                "mend what it complains of on the guest; the same command again goes on from here"
            }
            Self::Unmet => {
                "see which versions the lines below name, and what `apt.pins` says of them"
            }
            Self::Held => "`apt-mark unhold` it on the guest, or take it out of `packages`",
            Self::WrongHash | Self::Missing => {
                "the source is being updated, or is broken: try again in a while, or use another mirror"
            }
            Self::Malformed => "mend the file that the lines below name",
            Self::Unsigned => "give the source its `signed_by` in `apt.sources`",
            Self::Unreachable => {
                "check the address in `apt.sources`, and the guest's network and DNS"
            }
            Self::Interrupted => "run `dpkg --configure -a` on the guest, and see what it says",
            Self::TooSlow => "the same command again goes on; check the source's speed",
            Self::Other => "see apt's own words below",
        }
    }

    /// The trouble as what is told. `more` is what else is known of it.
    pub fn error(&self, step: &str, output: &Output, more: Vec<String>) -> GuestError {
        let mut tail = vec![format!("`{step}` said:")];
        tail.extend(telling_lines(output));
        tail.extend(more);
        GuestError::Packages { what: self.what(), next: self.next(), tail }
    }
}

fn holder(process: Option<u32>, program: Option<&str>) -> String {
    let who = match (program, process) {
        (Some(program), Some(process)) => format!("`{program}` (process {process})"),
        (None, Some(process)) => format!("process {process}"),
        _ => "another program".to_owned(),
    };
    format!("{who} is installing packages on the guest")
}

/// Who holds a lock of apt's or dpkg's. apt names the program, dpkg the process alone.
fn locked(text: &str) -> Option<Trouble> {
    let line = text.lines().find(|line| {
        line.contains("Could not get lock") || line.contains("lock was locked by another process")
    })?;
    let number = |after: &str| {
        let digits = line.split_once(after)?.1;
        digits.split(|c: char| !c.is_ascii_digit()).next()?.parse().ok()
    };
    let process = number("held by process ").or_else(|| number("with pid "));
    let program = line.split_once('(').filter(|_| line.contains("held by process "));
    let program = program.and_then(|(_, rest)| Some(rest.split_once(')')?.0.to_owned()));
    Some(Trouble::Locked { process, program })
}

/// `installed foo package post-installation script subprocess returned error exit status 1`, or `new foo package …`.
fn script(text: &str) -> Option<Trouble> {
    let line = text.lines().find(|line| line.contains(" script subprocess "))?;
    let (name, rest) = line.trim().split_once(' ')?.1.split_once(" package ")?;
    let (script, _) = rest.split_once(" script subprocess ")?;
    Some(Trouble::Script { name: name.to_owned(), script: script.to_owned() })
}

fn version(text: &str) -> Option<Trouble> {
    let rest = text.split_once("E: Version '")?.1;
    let (version, rest) = rest.split_once("' for '")?;
    let (name, _) = rest.split_once("' was not found")?;
    Some(Trouble::NoVersion { name: name.to_owned(), version: version.to_owned() })
}

fn package(text: &str) -> Option<Trouble> {
    let located = text.lines().find_map(|line| line.strip_prefix("E: Unable to locate package "));
    let candidate = || {
        let rest = text.split_once("E: Package '")?.1;
        Some(rest.split_once("' has no installation candidate")?.0)
    };
    let name = located.or_else(candidate)?.trim();
    Some(Trouble::NoPackage { name: name.to_owned() })
}

/// The program of a process that dpkg only numbers.
pub fn with_program(fs: &mut dyn GuestFs, trouble: Trouble) -> Trouble {
    match trouble {
        Trouble::Locked { process: Some(process), program: None } => {
            // It may have ended since: then its number is all that is known.
            let name = fs.read(&format!("/proc/{process}/comm")).ok();
            let name = name.map(|name| String::from_utf8_lossy(&name).trim().to_owned());
            Trouble::Locked { process: Some(process), program: name }
        }
        other => other,
    }
}

/// The lines that say what was wrong, and the last ones.
fn telling_lines(output: &Output) -> Vec<String> {
    // dpkg says why in the next line.
    let mut is_reason = false;
    let is_telling = |line: &&str| {
        let error = line.starts_with(['E', 'W']) && line[1..].starts_with(':');
        let reason = std::mem::replace(&mut is_reason, line.starts_with("dpkg: error"));
        error || is_reason || reason || line.contains(" : Depends: ")
    };
    let mut lines: Vec<String> =
        output.text.lines().filter(is_telling).map(ToOwned::to_owned).collect();
    let tail = output.tail(15);
    lines.extend(tail.into_iter().filter(|line| !lines.contains(line)).collect::<Vec<_>>());
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(text: &str) -> Trouble {
        Trouble::of(&Output { code: Some(100), text: text.to_owned() })
    }

    #[test]
    fn who_holds_the_lock_is_read_from_apt_and_from_dpkg() {
        let apt = "E: Could not get lock /var/lib/dpkg/lock-frontend. It is held by process 4711 (unattended-upgr)\n                   E: Unable to acquire the dpkg frontend lock (/var/lib/dpkg/lock-frontend), is another process using it?";
        let program = Some("unattended-upgr".to_owned());
        assert_eq!(of(apt), Trouble::Locked { process: Some(4711), program });
        let dpkg = "dpkg: error: dpkg frontend lock was locked by another process with pid 12\n                    Note: removing the lock file is always wrong, can damage the locked area";
        assert_eq!(of(dpkg), Trouble::Locked { process: Some(12), program: None });
    }

    #[test]
    fn the_cause_is_told_and_not_what_follows_from_it() {
        let script = "installed shop package post-installation script subprocess";
        let room = format!(
            "tar: ./x: Cannot write: No space left on device\ndpkg: error processing package shop (--configure):\n {script} returned error exit status 2"
        );
        assert_eq!(of(&room), Trouble::NoRoom);
        let (name, script_name) = ("shop".to_owned(), "post-installation".to_owned());
        let failed = format!(
            "dpkg: error processing package shop (--configure):\n {script} returned error exit status 2"
        );
        assert_eq!(of(&failed), Trouble::Script { name, script: script_name });
        let gone = "E: Failed to fetch http://deb/pool/jq.deb  404  Not Found [IP: 10.0.0.1 80]\nE: Unable to fetch some archives, maybe run apt-get update or try with --fix-missing?";
        assert_eq!(of(gone), Trouble::Missing);
        assert_eq!(
            of("Err:1 http://deb ./ Packages\n  Could not resolve 'deb'"),
            Trouble::Unreachable
        );
        let (name, version) = ("jq".to_owned(), "9".to_owned());
        assert_eq!(
            of("E: Version '9' for 'jq' was not found"),
            Trouble::NoVersion { name, version }
        );
        let half = "dpkg: error processing package shop (--configure):\n package is in a very bad inconsistent state; you should\n reinstall it before attempting configuration\ndpkg: dependency problems prevent configuration of app:";
        assert_eq!(of(half), Trouble::Interrupted);
        let lines = half.to_owned() + &"\nmore".repeat(30);
        let lines = telling_lines(&Output { code: Some(1), text: lines });
        assert!(lines[1].contains("inconsistent state"), "{lines:?}");
        assert_eq!(of("E: something else"), Trouble::Other);
        assert_eq!(Trouble::of(&Output::default()), Trouble::TooSlow);
    }
}
