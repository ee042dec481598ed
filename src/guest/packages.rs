//! Packages, installed beside what runs: services that they bring wait for the switch.

use super::Guest;
use super::error::GuestError;
use super::fs::{FsError, GuestFs, Sync, mkdir_all, replace, split};
use super::system::{Command, Output};
use super::watch;
use super::{generation, store};
use crate::model::protocol::{Done, News};
use crate::model::{
    AptDocument, Digest, GenerationId, PackageName, ServiceName, document, pattern,
};
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

const STATUS: &str = "/var/lib/dpkg/status";
/// dpkg's own journal: not empty when it was interrupted.
const UPDATES: &str = "/var/lib/dpkg/updates";
/// Three lines each: what is diverted, where to, and for which package.
const DIVERSIONS: &str = "/var/lib/dpkg/diversions";
/// Asked by invoke-rc.d before any package starts a service. Source: /usr/share/doc/init-system-helpers.
const POLICY: &str = "/usr/sbin/policy-rc.d";
/// Where a policy of the guest's own waits meanwhile.
const POLICY_FOUND: &str = "/usr/sbin/policy-rc.d.stackc-found";
const POLICY_MARK: &str = "# Written by stackc while packages are installed.";
/// An install of some hundred packages takes half a minute; a slow mirror takes its time.
const APT_LIMIT: Duration = Duration::from_secs(1800);

/// Installed packages by name, with their versions; and whether some package is half-installed.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Installed {
    versions: BTreeMap<String, String>,
    half: bool,
}

impl Installed {
    pub fn read(fs: &mut dyn GuestFs) -> Result<Self, GuestError> {
        if fs.stat(STATUS)?.is_none() {
            return Ok(Self::default());
        }
        let mut installed = Self::parse(&String::from_utf8_lossy(&fs.read(STATUS)?));
        installed.half |= !fs.list(UPDATES)?.is_empty();
        Ok(installed)
    }

    fn parse(status: &str) -> Self {
        let mut installed = Self::default();
        for (name, state, paragraph) in paragraphs(status) {
            match state {
                "installed" => {
                    let version = field(paragraph, "Version").unwrap_or_default();
                    installed.versions.insert(name.to_owned(), version.to_owned());
                }
                "not-installed" | "config-files" => {}
                _ => installed.half = true,
            }
        }
        installed
    }

    pub fn has(&self, name: &str) -> bool {
        self.versions.contains_key(name)
    }

    fn lacks(&self, name: &PackageName, version: &str) -> bool {
        let found = self.versions.get(name.as_str());
        found.is_none_or(|found| !version.is_empty() && !pattern::fits(version, found))
    }
}

/// dpkg's packages, each with its state and with all that it says of it.
fn paragraphs(status: &str) -> impl Iterator<Item = (&str, &str, &str)> {
    status.split("\n\n").filter_map(|paragraph| {
        let state = field(paragraph, "Status")?.split(' ').next_back()?;
        Some((field(paragraph, "Package")?, state, paragraph))
    })
}

fn field<'a>(paragraph: &'a str, name: &str) -> Option<&'a str> {
    paragraph.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(": "))
}

/// The configuration files of installed packages, each with its package. dpkg replaces or removes them, and writes through a
/// link into the store; one that is diverted, or that its package no longer brings, it leaves alone.
pub fn conffiles(fs: &mut dyn GuestFs) -> Result<BTreeMap<String, String>, GuestError> {
    let mut read = |path| match fs.stat(path)? {
        Some(_) => Ok::<_, GuestError>(String::from_utf8_lossy(&fs.read(path)?).into_owned()),
        None => Ok(String::new()),
    };
    Ok(conffiles_in(&read(STATUS)?, &read(DIVERSIONS)?))
}

fn conffiles_in(status: &str, diversions: &str) -> BTreeMap<String, String> {
    let diverted: BTreeSet<&str> = diversions.lines().step_by(3).collect();
    let mut found = BTreeMap::new();
    for (name, _, paragraph) in paragraphs(status).filter(|(_, state, _)| *state == "installed") {
        let lines = paragraph.lines().skip_while(|line| *line != "Conffiles:").skip(1);
        for line in lines.map_while(|line| line.strip_prefix(' ')) {
            // The path, its sum, and a word for what the package no longer brings.
            if let [path, _] = line.split(' ').collect::<Vec<_>>()[..]
                && !diverted.contains(path)
            {
                found.insert(path.to_owned(), name.to_owned());
            }
        }
    }
    found
}

/// Installs what the bundle's `apt.json` names and the guest lacks.
pub fn install(guest: &mut Guest, digest: &Digest) -> Result<Done, GuestError> {
    let apt: AptDocument = store::document(guest.fs, digest, document::APT)?.unwrap_or_default();
    set_sources(guest.fs, &apt)?;
    let installed = Installed::read(guest.fs)?;
    let missing: Vec<String> = apt
        .packages
        .iter()
        .filter(|(name, version)| installed.lacks(name, version))
        .map(|(name, version)| match version.as_str() {
            "" => name.to_string(),
            version => format!("{name}={version}"),
        })
        .collect();
    if missing.is_empty() && !installed.half {
        release_services(guest.fs)?;
        return Ok(Done { already: true });
    }
    hold_services(guest.fs, &apt.may_start)?;
    let done = repair_and_install(guest, installed.half, &missing);
    release_services(guest.fs)?;
    done.map(|()| Done { already: false })
}

fn repair_and_install(guest: &mut Guest, half: bool, missing: &[String]) -> Result<(), GuestError> {
    if half {
        tell(guest, "an earlier installation was interrupted: finishing it");
        apt(guest, &["dpkg", "--configure", "-a", "--force-confold"])?;
    }
    if missing.is_empty() {
        return Ok(());
    }
    let lock = "DPkg::Lock::Timeout=60";
    tell(guest, "reading the package lists");
    apt(guest, &["apt-get", "-q", "-o", lock, "update"])?;
    tell(guest, &format!("installing {}", missing.join(" ")));
    let mut argv = vec!["apt-get", "-q", "-y", "--no-install-recommends", "-o", lock];
    argv.extend(["-o", "Dpkg::Options::=--force-confdef"]);
    argv.extend(["-o", "Dpkg::Options::=--force-confold"]);
    // Whoever names a version, or pins one above 1000, means it, also when a newer one is there: a rollback does.
    argv.extend(["--allow-downgrades", "install", "--"]);
    argv.extend(missing.iter().map(String::as_str));
    apt(guest, &argv)
}

fn tell(guest: &mut Guest, text: &str) {
    (guest.news)(News::Event { step: "packages", text });
}

fn apt(guest: &mut Guest, argv: &[&str]) -> Result<(), GuestError> {
    let mut command = Command::new(argv, APT_LIMIT);
    for (key, value) in
        [("DEBIAN_FRONTEND", "noninteractive"), ("NEEDRESTART_SUSPEND", "1"), ("TERM", "dumb")]
    {
        command.environment.insert(key.to_owned(), value.to_owned());
    }
    let output = watch::run(guest, &command)?;
    // `apt-get update` warns, and succeeds, when a source could not be read: then its packages are the old ones.
    let unread = argv.ends_with(&["update"]) && output.text.contains("\nW: Failed to fetch");
    if output.code == Some(0) && !unread {
        return Ok(());
    }
    Err(GuestError::Step { step: argv.join(" "), tail: telling_lines(&output) })
}

/// The lines that say what was wrong, and the last ones.
fn telling_lines(output: &Output) -> Vec<String> {
    let errors = output
        .text
        .lines()
        .filter(|line| line.starts_with(['E', 'W']) && line[1..].starts_with(':'));
    let mut lines: Vec<String> = errors.map(ToOwned::to_owned).collect();
    let tail = output.tail(15);
    lines.extend(tail.into_iter().filter(|line| !lines.contains(line)).collect::<Vec<_>>());
    lines
}

/// Where a bundle's sources and pins stand, with the beginning and the end of the names of their files.
const SOURCES: [&str; 3] = ["/etc/apt/sources.list.d", "stackc-", ".sources"];
const PINS: [&str; 3] = ["/etc/apt/preferences.d", "stackc-", ""];

/// Puts back what apt reads for a generation: an undone switch leaves no source or pin of the other one.
pub fn restore_sources(fs: &mut dyn GuestFs, generation: GenerationId) -> Result<(), GuestError> {
    let digest = match generation {
        GenerationId::FOUND => None,
        number => generation::read(fs, number)?.digest,
    };
    let apt: Option<AptDocument> = match digest {
        Some(digest) => store::document(fs, &digest, document::APT)?,
        None => None,
    };
    set_sources(fs, &apt.unwrap_or_default())
}

/// Makes exactly these the sources and pins of stackc; whoever dies in between does it again. Others' files stay.
fn set_sources(fs: &mut dyn GuestFs, apt: &AptDocument) -> Result<(), GuestError> {
    set_files(fs, SOURCES, &apt.sources)?;
    set_files(fs, PINS, &apt.pins)
}

fn set_files(
    fs: &mut dyn GuestFs,
    [folder, start, end]: [&str; 3],
    texts: &BTreeMap<String, String>,
) -> Result<(), GuestError> {
    for (name, text) in texts {
        if name.is_empty() || !name.chars().all(|c| c.is_ascii_alphanumeric() || "-_".contains(c)) {
            return Err(GuestError::Unfit(format!("`{name}` is no name for a file of apt")));
        }
        let path = format!("{folder}/{start}{name}{end}");
        let there = fs.stat(&path)?.is_some() && fs.read(&path)? == text.as_bytes();
        if !there {
            mkdir_all(fs, folder, 0o755)?;
            replace(fs, &path, text.as_bytes(), 0o644)?;
        }
    }
    let found = fs.list(folder)?;
    let name_of = |file: &str| file.strip_prefix(start)?.strip_suffix(end).map(str::to_owned);
    let is_left = |file: &&String| name_of(file).is_some_and(|name| !texts.contains_key(&name));
    let left: Vec<&String> = found.iter().filter(is_left).collect();
    for file in &left {
        fs.remove(&format!("{folder}/{file}"))?;
    }
    if !left.is_empty() {
        fs.sync_dir(folder)?;
    }
    Ok(())
}

/// Holds back every service that a package would start, but those that may.
fn hold_services(fs: &mut dyn GuestFs, may_start: &[ServiceName]) -> Result<(), GuestError> {
    let names: BTreeSet<&ServiceName> = may_start.iter().collect();
    let case = |name: &&ServiceName| format!("  {name}|{name}.service) exit 0 ;;\n");
    let cases = names.iter().map(case).collect::<Vec<_>>().concat();
    let script =
        format!("#!/bin/sh\n{POLICY_MARK}\ncase \"$1\" in\n{cases}  *) exit 101 ;;\nesac\n");
    release_services(fs)?;
    if fs.stat(POLICY)?.is_some() {
        fs.rename(POLICY, POLICY_FOUND)?;
    }
    mkdir_all(fs, split(POLICY).0, 0o755)?;
    fs.write(&format!("{POLICY}.new"), &mut script.as_bytes(), 0o755, Sync::Now)?;
    fs.rename(&format!("{POLICY}.new"), POLICY)?;
    Ok(fs.sync_dir(split(POLICY).0)?)
}

/// Takes our hold away, and puts back what was there before it. Left over, it would keep every later service down.
pub fn release_services(fs: &mut dyn GuestFs) -> Result<(), GuestError> {
    let is_ours = |bytes: &[u8]| String::from_utf8_lossy(bytes).contains(POLICY_MARK);
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
        Some(stat) if stat.kind == super::fs::Kind::File => fs.read(path),
        _ => Ok(Vec::new()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const STATUS: &str = "Package: jq\nStatus: install ok installed\nVersion: 1.6-2\n\nPackage: old\nStatus: deinstall ok config-files\nVersion: 1\n";

    #[test]
    fn the_status_file_tells_what_is_installed_at_which_version() {
        let installed = Installed::parse(STATUS);
        let name = |text: &str| text.parse().expect("it is a package");
        for version in ["", "1.6-2", "1.6-*", "1.*"] {
            assert!(!installed.lacks(&name("jq"), version), "{version}");
        }
        for (package, version) in [("jq", "1.7-1"), ("jq", "1.7-*"), ("jq", "1.6"), ("old", "")] {
            assert!(installed.lacks(&name(package), version), "{package} {version}");
        }
        assert!(!installed.half);
    }

    #[test]
    fn only_what_dpkg_would_still_write_is_a_configuration_file_of_a_package() {
        let status = "Package: jq\nStatus: install ok installed\nConffiles:\n /etc/jq 0a1\n \
                      /etc/jq.d/a 0a2\n /etc/jq.old 0a3 obsolete\n /etc/jq.away 0a4\nDescription: x\n \
                      /etc/none 0a5\n\nPackage: old\nStatus: deinstall ok config-files\n\
                      Conffiles:\n /etc/old 0a6\n";
        let diversions = "/etc/jq.away\n/etc/jq\n:\n";
        let found = conffiles_in(status, diversions);
        let of_jq = ["/etc/jq", "/etc/jq.d/a"].map(|path| (path.to_owned(), "jq".to_owned()));
        assert_eq!(found, BTreeMap::from(of_jq));
    }

    #[test]
    fn an_interrupted_installation_is_seen() {
        let status = format!("{STATUS}\nPackage: nginx\nStatus: install ok half-configured\n");
        assert!(Installed::parse(&status).half);
    }
}
