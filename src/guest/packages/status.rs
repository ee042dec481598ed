//! What dpkg says is installed, and what depends on what.

use crate::guest::error::GuestError;
use crate::guest::fs::{GuestFs, text};
use crate::model::{PackageName, pattern};
use std::collections::{BTreeMap, BTreeSet};

const STATUS: &str = "/var/lib/dpkg/status";
/// dpkg's own journal: not empty when it was interrupted.
const UPDATES: &str = "/var/lib/dpkg/updates";
/// Three lines each: what is diverted, where to, and for which package.
const DIVERSIONS: &str = "/var/lib/dpkg/diversions";

/// Installed packages by name; and those that are half-installed.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Installed {
    packages: BTreeMap<String, Package>,
    /// In a state that only an interrupted or failed installation leaves.
    half: BTreeSet<String>,
    /// dpkg has not taken its own journal in.
    journal: bool,
}

#[derive(Debug, Default, PartialEq, Eq)]
struct Package {
    version: String,
    size_kib: u64,
    /// Every alternative of `Depends` and `Pre-Depends`.
    depends: Vec<String>,
    provides: Vec<String>,
}

impl Installed {
    pub fn read(fs: &mut dyn GuestFs) -> Result<Self, GuestError> {
        let mut installed = Self::parse(&text(fs, STATUS)?);
        installed.journal = !fs.list(UPDATES)?.is_empty();
        Ok(installed)
    }

    fn parse(status: &str) -> Self {
        let mut installed = Self::default();
        for (name, state, paragraph) in paragraphs(status) {
            match state {
                "installed" => drop(installed.packages.insert(name.to_owned(), package(paragraph))),
                "not-installed" | "config-files" => {}
                _ => drop(installed.half.insert(name.to_owned())),
            }
        }
        installed
    }

    pub fn has(&self, name: &str) -> bool {
        self.packages.contains_key(name)
    }

    /// Whether a package is there in any form: whole, or half-installed.
    pub fn knows(&self, name: &str) -> bool {
        self.has(name) || self.half.contains(name)
    }

    pub fn lacks(&self, name: &PackageName, version: &str) -> bool {
        let found = self.packages.get(name.as_str());
        found.is_none_or(|found| !version.is_empty() && !pattern::fits(version, &found.version))
    }

    /// Whether an installation was interrupted, or has failed.
    pub fn is_half(&self) -> bool {
        self.journal || !self.half.is_empty()
    }

    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.packages.keys().map(String::as_str)
    }

    /// What a package takes on the disk, by its own word.
    pub fn bytes(&self, name: &str) -> u64 {
        self.packages.get(name).map_or(0, |package| package.size_kib * 1024)
    }

    /// These, and all that they depend on. Of alternatives and of packages that provide the same each one counts: rather
    /// one too many.
    pub fn closure<'a>(&'a self, roots: impl Iterator<Item = &'a str>) -> BTreeSet<&'a str> {
        let providers = self.providers();
        let mut found = BTreeSet::new();
        let mut open: Vec<&str> = roots.filter(|name| self.has(name)).collect();
        while let Some(name) = open.pop() {
            if !found.insert(name) {
                continue;
            }
            for wanted in self.packages.get(name).into_iter().flat_map(|package| &package.depends) {
                let own = self.packages.get_key_value(wanted).map(|(name, _)| name.as_str());
                open.extend(own);
                open.extend(providers.get(wanted.as_str()).into_iter().flatten());
            }
        }
        found
    }

    fn providers(&self) -> BTreeMap<&str, Vec<&str>> {
        let mut providers: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
        for (name, package) in &self.packages {
            for provided in &package.provides {
                providers.entry(provided).or_default().push(name);
            }
        }
        providers
    }
}

fn package(paragraph: &str) -> Package {
    let names = |fields: &[&str]| {
        let values = fields.iter().filter_map(|name| field(paragraph, name));
        values.flat_map(relations).collect()
    };
    Package {
        version: field(paragraph, "Version").unwrap_or_default().to_owned(),
        size_kib: field(paragraph, "Installed-Size").and_then(|n| n.parse().ok()).unwrap_or(0),
        depends: names(&["Depends", "Pre-Depends"]),
        provides: names(&["Provides"]),
    }
}

/// The names in a field of relations. Source: Debian policy §7.1.
fn relations(value: &str) -> impl Iterator<Item = String> {
    value.split([',', '|']).filter_map(|relation| {
        let name = relation.trim().split([' ', '(', ':']).next()?;
        (!name.is_empty()).then(|| name.to_owned())
    })
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
    Ok(conffiles_in(&text(fs, STATUS)?, &text(fs, DIVERSIONS)?))
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
        assert!(!installed.is_half());
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
        assert!(Installed::parse(&status).is_half());
    }

    #[test]
    fn what_others_depend_on_is_found_through_alternatives_and_what_is_provided() {
        let package = |name: &str, fields: &str| {
            format!("Package: {name}\nStatus: install ok installed\nVersion: 1\n{fields}\n")
        };
        let status = [
            package("web", "Depends: libweb (>= 2), mta | web-mail\nPre-Depends: base:any\n"),
            package("libweb", ""),
            package("base", "Recommends: extra\n"),
            package("postfix", "Provides: mta (= 3), smtp\n"),
            package("extra", ""),
        ];
        let installed = Installed::parse(&status.join("\n"));
        let found: Vec<_> = installed.closure(["web", "gone"].into_iter()).into_iter().collect();
        assert_eq!(found, ["base", "libweb", "postfix", "web"]);
    }
}
