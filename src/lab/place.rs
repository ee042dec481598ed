//! Where a lab is, and what others need to know of it.

use super::LabError;
use camino::{Utf8Path, Utf8PathBuf};
use ipnet::Ipv4Net;
use serde::{Deserialize, Serialize};
use std::{collections::BTreeMap, fmt, net::Ipv4Addr, str::FromStr};

/// A lab's name. Its bridge is `lab-<name>`, which Linux allows 15 bytes (`IFNAMSIZ`), so a name has at most 11.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct LabName(String);

/// Text that is not a lab's name.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "`{text}` is not a lab name: use a lower-case letter, then up to 10 lower-case letters, digits or `-`"
)]
pub struct ParseLabNameError {
    pub text: String,
}

impl LabName {
    /// What a lab is called unless told otherwise.
    pub const USUAL: &str = "lab";

    /// The name as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    pub(super) fn bridge(&self) -> String {
        format!("lab-{}", self.0)
    }
}

impl Default for LabName {
    fn default() -> Self {
        Self(Self::USUAL.to_owned())
    }
}

impl FromStr for LabName {
    type Err = ParseLabNameError;
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let word = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
        let valid = (1..=11).contains(&text.len())
            && text.starts_with(|c: char| c.is_ascii_lowercase())
            && text.chars().all(word);
        valid
            .then(|| Self(text.to_owned()))
            .ok_or_else(|| ParseLabNameError { text: text.to_owned() })
    }
}

impl TryFrom<String> for LabName {
    type Error = ParseLabNameError;
    fn try_from(text: String) -> Result<Self, Self::Error> {
        text.parse()
    }
}

impl From<LabName> for String {
    fn from(name: LabName) -> Self {
        name.0
    }
}

impl fmt::Display for LabName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Where labs are, each in a folder of its name.
pub(super) const USUAL_STATES: &str = "/var/lib/stackc-lab";

/// The file in a lab's state that describes it.
pub(super) const DESCRIPTION: &str = "lab.json";

/// The folders of a lab. Guests' root is uid 100000 outside, so every parent must let others pass (mode `o+x`).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Place {
    pub name: LabName,
    /// The lab's own state; gone after `down`.
    pub state: Utf8PathBuf,
    /// Bases, shared by all labs, one folder for each recipe.
    pub cache: Utf8PathBuf,
}

impl Place {
    /// The usual place of the lab of this name.
    pub fn usual(name: LabName) -> Self {
        let state = Utf8Path::new(USUAL_STATES).join(name.as_str());
        Self { name, state, cache: "/var/cache/stackc/lab".into() }
    }

    /// The environment variables that name this lab to `stackc lab`.
    pub fn environment(&self) -> [(&'static str, String); 3] {
        [
            ("STACKC_LAB_NAME", self.name.to_string()),
            ("STACKC_LAB_STATE", self.state.to_string()),
            ("STACKC_LAB_CACHE", self.cache.to_string()),
        ]
    }

    /// Refuses paths for which mount options and LXC's configuration have no quoting.
    pub(super) fn check(&self) -> Result<(), LabError> {
        let plain = |c: char| c.is_ascii_alphanumeric() || "/-_.".contains(c);
        let usable = |path: &Utf8Path| path.is_absolute() && path.as_str().chars().all(plain);
        match [&self.state, &self.cache].into_iter().find(|path| !usable(path)) {
            Some(path) => Err(LabError::UnusablePath { path: path.clone() }),
            None => Ok(()),
        }
    }

    /// The options that name this lab to `stackc lab`, each with a space before it; none for the usual lab.
    pub fn options(&self) -> String {
        let usual = Self::usual(self.name.clone());
        let options = [
            ("name", self.name.as_str(), LabName::USUAL),
            ("state", self.state.as_str(), usual.state.as_str()),
            ("cache", self.cache.as_str(), usual.cache.as_str()),
        ];
        let unusual = options.into_iter().filter(|(_, is, usual)| is != usual);
        unusual.flat_map(|(option, is, _)| [" --", option, " ", is]).collect()
    }

    pub(super) fn description(&self) -> Utf8PathBuf {
        self.state.join(DESCRIPTION)
    }
}

/// A lab as others see it: `<state>/lab.json`, mode 0600 because of the token.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Lab {
    pub name: LabName,
    /// Base URL of the API, `https://127.0.0.1:PORT`.
    pub url: String,
    /// PEM file of the CA that signed the API's certificate.
    pub ca_file: Utf8PathBuf,
    /// The API token, `root@pam!stackc=UUID`.
    pub token: String,
    /// The one node.
    pub node: String,
    /// Where guests' disks are said to be.
    pub storage: String,
    /// Volume id of the template that definitions for this lab name.
    pub template: String,
    /// The bridge's name in the API.
    pub bridge: String,
    /// The guests' network.
    pub subnet: Ipv4Net,
    /// The operator's own address in it, which is the guests' gateway too.
    pub gateway: Ipv4Addr,
    /// The bridge's name on this machine.
    pub host_bridge: String,
    /// A private key that every new guest lets in as root, and that workspaces have; `.pub` beside it.
    pub admin_key: Utf8PathBuf,
    pub state: Utf8PathBuf,
    /// The bases that guests can be laid over, by the volume id of the template that each stands for.
    pub bases: BTreeMap<String, Utf8PathBuf>,
    /// The size of each guest's disk, a file system of its own; none: all write to this machine's.
    #[serde(default)]
    pub disk_mib: Option<u32>,
}

impl Lab {
    pub(super) fn port(&self) -> u16 {
        let port = self.url.rsplit(':').next().and_then(|port| port.parse().ok());
        port.expect("`up` writes the URL with a port")
    }

    pub(super) fn guests(&self) -> Utf8PathBuf {
        self.state.join("guests")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lab_is_named_by_the_options_that_differ_from_the_usual() {
        let mut place = Place::usual("lab".parse().expect("a name"));
        assert_eq!(place.options(), "");
        place = Place::usual("demo".parse().expect("a name"));
        place.state = "/dev/shm/x".into();
        assert_eq!(place.options(), " --name demo --state /dev/shm/x");
    }
}
