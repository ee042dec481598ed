//! Names: each a string that is valid because it exists.

use serde::{Deserialize, Serialize};
use std::fmt;

/// A name that breaks the rule of its kind.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{text}` is not a {what}: {rule}")]
pub struct ParseNameError {
    /// What was written.
    pub text: String,
    /// What it was meant to be.
    pub what: &'static str,
    /// The rule, as a sentence that says how to fix it.
    pub rule: &'static str,
}

macro_rules! names {
    ($($(#[$doc:meta])* $name:ident, $what:literal, $rule:expr, $form:expr, $valid:expr;)*) => {$(
        $(#[$doc])*
        #[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
        #[serde(try_from = "String", into = "String")]
        pub struct $name(String);

        impl $name {
            /// The rule as a regular expression of the whole text, for JSON Schema; what it cannot say it lets through.
            pub const FORM: &str = $form;

            /// The name as text.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl std::str::FromStr for $name {
            type Err = ParseNameError;
            fn from_str(text: &str) -> Result<Self, Self::Err> {
                let valid: fn(&str) -> bool = $valid;
                if valid(text) {
                    Ok(Self(text.to_owned()))
                } else {
                    Err(ParseNameError { text: text.to_owned(), what: $what, rule: $rule })
                }
            }
        }

        impl TryFrom<String> for $name {
            type Error = ParseNameError;
            fn try_from(text: String) -> Result<Self, Self::Error> {
                text.parse()
            }
        }

        impl From<$name> for String {
            fn from(name: $name) -> Self {
                name.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }
    )*};
}

/// Forms that names have in common, as literals for `concat!`.
macro_rules! label {
    () => {
        "[A-Za-z0-9]([A-Za-z0-9-]{0,61}[A-Za-z0-9])?"
    };
}
macro_rules! storage {
    () => {
        "[A-Za-z][A-Za-z0-9_.-]{0,126}[A-Za-z0-9]"
    };
}
macro_rules! unit_sorts {
    ($between:literal) => {
        concat!(
            "service",
            $between,
            "socket",
            $between,
            "timer",
            $between,
            "path",
            $between,
            "target",
            $between,
            "mount",
            $between,
            "automount",
            $between,
            "swap",
            $between,
            "slice"
        )
    };
}
macro_rules! refused_in_branches {
    () => {
        r"\x00-\x20\x7f-\x9f~^:?*\[\\"
    };
}

names! {
    /// A project: the stem of `stacks/<project>.toml`.
    ProjectName, "project name",
    "use a letter, then up to 31 letters, digits, `-` or `_`; `site`, `lock`, `vault` and `secrets` are taken",
    r"[A-Za-z][A-Za-z0-9_-]{0,31}",
    |t| word(t, 32, "-_") && starts_with_letter(t) && !["site", "lock", "vault", "secrets"].contains(&t);
    /// An environment of a project: `dev`, `qa`, `prod`, or another.
    EnvName, "name for an env", "use a lower-case letter, then up to 31 lower-case letters, digits or `-`",
    r"[a-z][a-z0-9-]{0,31}",
    |t| word(t, 32, "-") && starts_with_letter(t) && lower(t);
    /// A folder of `templates/`.
    KindName, "kind name", "use a lower-case letter, then up to 31 lower-case letters, digits or `-`",
    r"[a-z][a-z0-9-]{0,31}",
    |t| word(t, 32, "-") && starts_with_letter(t) && lower(t);
    /// A guest's host name: one label. Source: RFC 1123 §2.1; `hostname` in pve-container.
    GuestName, "guest name", "use 1 to 63 letters, digits or `-`, with a letter or digit at both ends",
    label!(),
    |t| word(t, 63, "-") && !t.starts_with('-') && !t.ends_with('-');
    /// A Proxmox host.
    NodeName, "node name", "use 1 to 63 letters, digits or `-`, with a letter or digit at both ends",
    label!(),
    |t| word(t, 63, "-") && !t.starts_with('-') && !t.ends_with('-');
    /// A storage of Proxmox. Source: `pve-storage-id` in pve-common, `PVE/JSONSchema.pm`.
    StorageName, "storage of Proxmox", "use 2 or more letters, digits, `-`, `_` or `.`, first a letter, last a letter or digit",
    storage!(),
    storage;
    /// A container template: a volume of a storage. Source: `ostemplate` in pve-container, `PVE/API2/LXC.pm`.
    TemplateVolume, "container template", "write STORAGE:vztmpl/FILE, as `pveam list STORAGE` shows it",
    concat!(storage!(), r":vztmpl/[A-Za-z0-9_.+~-]{1,255}"),
    |t| t.split_once(":vztmpl/").is_some_and(|(s, file)| storage(s) && word(file, 255, "-_.+~"));
    /// A cloud image: a volume of a storage. Source: `import-from` in qemu-server, `PVE/API2/Qemu.pm`.
    ImageVolume, "cloud image", "write STORAGE:import/FILE, with a file that ends in .qcow2, .raw or .vmdk",
    concat!(storage!(), r":import/([A-Za-z0-9_.+~-]{1,249}\.qcow2|[A-Za-z0-9_.+~-]{1,250}\.vmdk|[A-Za-z0-9_.+~-]{1,251}\.raw)"),
    |t| t.split_once(":import/").is_some_and(|(s, file)| storage(s) && word(file, 255, "-_.+~")
        && [".qcow2", ".raw", ".vmdk"].iter().any(|end| file.strip_suffix(end).is_some_and(|stem| !stem.is_empty())));
    /// A further network of a guest. The number is also that of its option in Proxmox, so that no other network changes
    /// when one comes or goes. Proxmox unplugs only those below 10 from a running container.
    InterfaceName, "network besides the first", "its name is eth1 to eth9, and says which option of Proxmox it is: net1 to net9",
    "eth[1-9]",
    |t| t.strip_prefix("eth").is_some_and(|n| slot(n, 1, 9));
    /// A mounted volume of a container, by its option in Proxmox. Source: `MAX_MOUNT_POINTS` in pve-container, `LXC/Config.pm`.
    MountSlot, "mount", "its name is its option in Proxmox, mp0 to mp255",
    "mp([0-9]|[1-9][0-9]|1[0-9]{2}|2[0-4][0-9]|25[0-5])",
    |t| t.strip_prefix("mp").is_some_and(|n| slot(n, 0, 255));
    /// A further disk of a virtual machine, by its option in Proxmox.
    DiskSlot, "disk besides the first", "its name is its option in Proxmox, scsi1 to scsi30",
    "scsi([1-9]|[12][0-9]|30)",
    |t| t.strip_prefix("scsi").is_some_and(|n| slot(n, 1, 30));
    /// A CPU type of qemu-server, or one of the cluster's own (`custom-…`).
    CpuType, "CPU type", "use letters, digits, `-`, `_` or `.`, such as x86-64-v2-AES or host",
    r"[A-Za-z0-9][A-Za-z0-9_.-]{0,39}",
    |t| word(t, 40, "-_.") && t.starts_with(|c: char| c.is_ascii_alphanumeric());
    /// A DNS domain. Source: RFC 1123 §2.1.
    DomainName, "domain", "write labels of letters, digits and `-` joined by `.`, such as example.org",
    concat!(label!(), r"(\.", label!(), ")*"),
    |t| t.len() <= 253 && t.split('.').all(|label| word(label, 63, "-") && !label.starts_with('-') && !label.ends_with('-'));
    /// A bridge of a Proxmox host; nothing in it ends the option that it is put into. Source: `pve-bridge-id`, as above.
    BridgeName, "bridge", "write its name, such as vmbr0: 1 to 15 letters, digits, `-`, `_` or `.`",
    r"[A-Za-z0-9_.-]{1,15}",
    |t| word(t, 15, "-_.");
    /// A resource pool of Proxmox. Source: `pve-poolid` in pve-access-control, `PVE/AccessControl.pm`.
    PoolName, "pool of Proxmox", "use letters, digits, `-`, `_` or `.`; a pool in a pool is written PARENT/CHILD",
    r"[A-Za-z0-9_.-]{1,128}(/[A-Za-z0-9_.-]{1,128}){0,2}",
    |t| t.split('/').count() <= 3 && t.split('/').all(|part| word(part, 128, "-_."));
    /// A user or group that is on a guest, whoever made it: `Debian-exim`, `_apt`. Source: adduser.conf(5), `SYS_NAME_REGEX`.
    Owner, "user or group name", "use a letter or `_`, then up to 31 letters, digits, `-` or `_`",
    r"[A-Za-z_][A-Za-z0-9_-]{0,31}",
    |t| word(t, 32, "-_") && t.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_');
    /// A user or group that a definition makes. Source: adduser.conf(5), `NAME_REGEX`.
    AccountName, "name for a user or group", "use a lower-case letter or `_`, then up to 31 lower-case letters, digits, `-` or `_`",
    r"[a-z_][a-z0-9_-]{0,31}",
    |t| word(t, 32, "-_") && lower(t) && t.starts_with(|c: char| c.is_ascii_lowercase() || c == '_');
    /// A Debian package. Source: Debian policy §5.6.1.
    PackageName, "package name", "use 2 or more lower-case letters, digits, `+`, `-` or `.`, first a letter or digit",
    r"[a-z0-9][a-z0-9+.-]{1,127}",
    |t| t.len() >= 2 && word(t, 128, "+-.") && lower(t) && t.starts_with(|c: char| c.is_ascii_alphanumeric());
    /// A systemd unit with its suffix; the root's own are the only ones that begin with `-`. Source: systemd.unit(5).
    UnitName, "unit name",
    concat!("use letters, digits or `:-_.@\\`, then one of .", unit_sorts!(" ."), " .device .scope"),
    concat!(r"[A-Za-z0-9_][A-Za-z0-9:_.@\\-]*\.(", unit_sorts!("|"), r"|device|scope)|-\.(mount|slice)"),
    |t| unit(t, &STARTABLE) || unit(t, &["device", "scope"]);
    /// A unit that can be started: others appear by themselves.
    StartableUnit, "unit that can be started",
    concat!("use letters, digits or `:-_.@\\`, then one of .", unit_sorts!(" .")),
    concat!(r"[A-Za-z0-9_][A-Za-z0-9:_.@\\-]*\.(", unit_sorts!("|"), r")|-\.(mount|slice)"),
    |t| unit(t, &STARTABLE);
    /// A service as packages start it: an init script, or a unit. Source: invoke-rc.d(8).
    ServiceName, "name of a service", "use letters, digits or `-_.@`, first a letter",
    r"[A-Za-z][A-Za-z0-9_.@-]{0,254}",
    |t| word(t, 255, "-_.@") && starts_with_letter(t);
    /// A branch of a git repository. Source: git-check-ref-format(1), `--branch`.
    BranchName, "branch name",
    "git takes no spaces, control characters, `~^:?*[\\`, `..` or `@{`, no part that is empty, begins with `.` or ends in `.lock`, and no `-` first",
    concat!("[^-./", refused_in_branches!(), "][^./", refused_in_branches!(), r"]*(\.?/[^./", refused_in_branches!(), r"]+|\.[^./", refused_in_branches!(), "]+)*"),
    branch;
    /// A secret: words joined by `/`, by custom `project/env/name`.
    SecretName, "secret name", "use words of letters, digits, `-` or `_`, joined by `/`",
    r"[A-Za-z0-9_-]{1,64}(/[A-Za-z0-9_-]{1,64})*",
    |t| t.len() <= 128 && !t.is_empty() && t.split('/').all(|w| word(w, 64, "-_"));
    /// A database or a role of PostgreSQL or MariaDB that needs no quoting; an instance of Redis.
    DatabaseName, "database name", "use a lower-case letter, then up to 62 lower-case letters, digits or `_`",
    r"[a-z][a-z0-9_]{0,62}",
    |t| word(t, 63, "_") && starts_with_letter(t) && lower(t);
}

/// The longest branch name: a file of that name must fit below `refs/heads`.
const BRANCH_BYTES_MAX: usize = 200;

fn word(text: &str, max: usize, also: &str) -> bool {
    !text.is_empty()
        && text.len() <= max
        && text.chars().all(|c| c.is_ascii_alphanumeric() || also.contains(c))
}

/// The sorts of units that can be started.
const STARTABLE: [&str; 9] =
    ["service", "socket", "timer", "path", "target", "mount", "automount", "swap", "slice"];

fn unit(text: &str, sorts: &[&str]) -> bool {
    let begins_well = |c: char| c.is_ascii_alphanumeric() || c == '_';
    let is_well =
        |(stem, sort): (&str, &str)| sorts.contains(&sort) && stem.starts_with(begins_well);
    ["-.mount", "-.slice"].contains(&text)
        || word(text, 255, ":-_.@\\") && text.rsplit_once('.').is_some_and(is_well)
}

fn storage(text: &str) -> bool {
    text.len() >= 2
        && word(text, 128, "-_.")
        && starts_with_letter(text)
        && text.ends_with(|c: char| c.is_ascii_alphanumeric())
}

fn branch(text: &str) -> bool {
    let refused = |c: char| c.is_control() || " ~^:?*[\\".contains(c);
    let part = |part: &str| {
        !part.is_empty() && !part.starts_with('.') && part.strip_suffix(".lock").is_none()
    };
    text.len() <= BRANCH_BYTES_MAX
        && !text.contains(refused)
        && !["..", "@{"].iter().any(|pair| text.contains(pair))
        && !["@", "HEAD"].contains(&text)
        && !text.starts_with('-')
        && !text.ends_with('.')
        && text.split('/').all(part)
}

/// Whether a text is a number of this range as a computer writes it.
fn slot(text: &str, low: u8, high: u8) -> bool {
    text.parse::<u8>().is_ok_and(|n| (low..=high).contains(&n) && n.to_string() == text)
}

impl UnitName {
    /// Whether it is a template, of which nothing runs and nothing can be asked.
    pub fn is_template(&self) -> bool {
        self.0.contains("@.")
    }

    /// The template of an instance. Source: systemd.unit(5).
    pub fn template(&self) -> Option<Self> {
        let (stem, sort) = self.0.rsplit_once('.')?;
        let (name, instance) = stem.split_once('@')?;
        (!instance.is_empty()).then(|| Self(format!("{name}@.{sort}")))
    }
}

impl From<StartableUnit> for UnitName {
    fn from(unit: StartableUnit) -> Self {
        Self(unit.0)
    }
}

impl InterfaceName {
    /// Its option in Proxmox.
    pub fn slot(&self) -> String {
        self.as_str().replace("eth", "net")
    }

    /// The interface of an option.
    pub fn of_slot(slot: &str) -> Option<Self> {
        format!("eth{}", slot.strip_prefix("net")?).parse().ok()
    }
}

fn starts_with_letter(text: &str) -> bool {
    text.starts_with(|c: char| c.is_ascii_alphabetic())
}

fn lower(text: &str) -> bool {
    !text.contains(|c: char| c.is_ascii_uppercase())
}

/// One project in one env: what a bundle is for.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Target {
    pub project: ProjectName,
    pub env: EnvName,
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.project, self.env)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_branch_name_is_one_that_git_takes() {
        for text in ["main", "feature/x-1", "v1.2", "a@b", "\u{fc}ber", "x.lock.y", "#1"] {
            assert!(text.parse::<BranchName>().is_ok(), "{text}");
        }
        let refused = [
            "", "-x", "a b", "a..b", "a@{1}", "@", "HEAD", "a.", ".a", "a/.b", "a//b", "/a", "a/",
            "x.lock", "x.lock/y", "a~1", "a^", "a:b", "a?", "a*", "a[", "a\\b", "a\nb", "a\u{7f}",
        ];
        for text in refused {
            assert!(text.parse::<BranchName>().is_err(), "{text:?}");
        }
        assert!("x".repeat(BRANCH_BYTES_MAX + 1).parse::<BranchName>().is_err());
    }
}
