//! What Proxmox reports of a guest.

use super::{
    GuestName, InterfaceName, MountSlot, Network, NodeName, ParseNameError, Startup, Target, Vmid,
};
use serde::{Deserialize, Serialize};
use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
    net::IpAddr,
    str::FromStr,
};

/// Whose guest this is: the last line of its description in Proxmox, `stackc <project>/<env> <uuid>`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Mark {
    pub target: Target,
    /// Drawn when the guest was created; a new guest at the same vmid has another.
    pub uuid: String,
}

impl Mark {
    /// Reads the mark of a description; none when the guest is somebody else's.
    pub fn in_description(description: &str) -> Option<Self> {
        let last = description.lines().rev().find(|line| !line.trim().is_empty())?;
        let mut words = last.split_whitespace();
        let (word, target, uuid) = (words.next()?, words.next()?, words.next()?);
        let (project, env) = target.split_once('/')?;
        let target = Target { project: project.parse().ok()?, env: env.parse().ok()? };
        let hex = uuid.len() == 32 && uuid.bytes().all(|b| b.is_ascii_hexdigit());
        (word == "stackc" && hex && words.next().is_none())
            .then(|| Self { target, uuid: uuid.to_owned() })
    }
}

impl fmt::Display for Mark {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "stackc {} {}", self.target, self.uuid)
    }
}

/// The fingerprint of a guest's ed25519 host key as ssh-keygen(1) prints it: `SHA256:` and 43 characters of base64.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct HostKey(String);

impl HostKey {
    /// The word that its line of the description begins with.
    const LINE: &'static str = "stackc-hostkey ";

    /// Reads the line that stands before the mark.
    pub fn in_description(description: &str) -> Option<Self> {
        description
            .lines()
            .rev()
            .find_map(|line| line.strip_prefix(Self::LINE)?.trim().parse().ok())
    }

    /// Its line of the description.
    pub fn line(&self) -> String {
        format!("{}{}", Self::LINE, self.0)
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for HostKey {
    type Err = ParseNameError;
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let base64 = |b: u8| b.is_ascii_alphanumeric() || b == b'+' || b == b'/';
        let digits =
            text.strip_prefix("SHA256:").filter(|d| d.len() == 43 && d.bytes().all(base64));
        digits.map(|_| Self(text.to_owned())).ok_or_else(|| ParseNameError {
            text: text.to_owned(),
            what: "host key fingerprint",
            rule: "`SHA256:` and 43 characters of base64, as ssh-keygen prints it",
        })
    }
}

impl TryFrom<String> for HostKey {
    type Error = ParseNameError;
    fn try_from(text: String) -> Result<Self, Self::Error> {
        text.parse()
    }
}

impl From<HostKey> for String {
    fn from(key: HostKey) -> Self {
        key.0
    }
}

/// A container as Proxmox has it, in the units of `ProxmoxDocument`.
#[derive(Debug, Clone, PartialEq, Eq)]
#[expect(clippy::struct_excessive_bools, reason = "they are Proxmox's own switches")]
pub struct Container {
    pub vmid: Vmid,
    pub node: NodeName,
    pub running: bool,
    /// None: somebody else's.
    pub mark: Option<Mark>,
    pub host_key: Option<HostKey>,
    /// The description above stackc's own lines.
    pub notes: String,
    /// SHA-1 of the configuration file; a PUT that carries it is refused when somebody else was faster.
    pub config_digest: String,
    pub hostname: Option<GuestName>,
    pub cores: Option<u32>,
    /// As Proxmox writes it, for it may be a fraction; none: no limit.
    pub cpu_limit: Option<String>,
    pub cpu_units: Option<u32>,
    pub memory_mib: u32,
    pub swap_mib: u32,
    pub disk_gib: u32,
    pub storage: String,
    /// Volumes besides the first as Proxmox writes them, by their option.
    pub mounts: BTreeMap<MountSlot, String>,
    /// `net0`.
    pub network: Network,
    pub networks: BTreeMap<InterfaceName, Network>,
    pub nameservers: Vec<IpAddr>,
    pub search_domain: Option<String>,
    pub nesting: bool,
    pub onboot: bool,
    pub startup: Option<Startup>,
    pub protection: bool,
    /// The pool that lists it.
    pub pool: Option<String>,
    pub tags: BTreeSet<String>,
    /// Keys whose value waits for the next start.
    pub pending: BTreeSet<String>,
    /// A lock of Proxmox, such as `backup` or `create`.
    pub lock: Option<String>,
}

impl Container {
    /// Whether its creation came to its end, which leaves the host key's line: without that nobody can log in.
    pub fn is_introduced(&self) -> bool {
        self.host_key.is_some()
    }
}

/// One setting of a guest that is to change.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Setting {
    Hostname(GuestName),
    Cores(u32),
    CpuLimit(String),
    CpuUnits(u32),
    MemoryMib(u32),
    SwapMib(u32),
    OnBoot(bool),
    Startup(Startup),
    Protection(bool),
    Nesting(bool),
    Nameservers(Vec<IpAddr>),
    SearchDomain(String),
    Tags(BTreeSet<String>),
    /// What people read, above stackc's own lines.
    Description(String),
    /// `net0`.
    Network(Network),
    /// A further network; none: it goes.
    Interface(InterfaceName, Option<Network>),
    /// Takes a key away, so that Proxmox's own default holds again.
    Unset(&'static str),
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_mark_is_the_last_line_and_nothing_else() {
        let mark = "stackc shop/dev 0123456789abcdef0123456789abcdef";
        let host_key = format!("stackc-hostkey SHA256:{}", "a".repeat(43));
        let description = format!("our shop\n\n{host_key}\n{mark}\n");
        let found = Mark::in_description(&description).expect("the mark stands there");
        assert_eq!(found.to_string(), mark);
        let key = HostKey::in_description(&description).expect("the key stands there");
        assert_eq!(key.line(), host_key);
        for foreign in ["", "stackc", "stackc shop 0123", &format!("{mark}\nnot ours")] {
            assert_eq!(Mark::in_description(foreign), None, "{foreign:?}");
        }
    }
}
