//! What Debian and its packages bring that definitions may name: units.
//!
//! Of the packages in `packages.txt` all is known. Of any other, a package says neither in its name's form, so that is a rule
//! with exceptions: most packages name their unit and their user after themselves.

use super::{directives::Systemd, foreign_accounts::is_named_after};
use crate::{
    compile::sections::guest::{Debian, Image},
    model::{AptDocument, GuestKind, ProxmoxDocument, UnitName},
};
use std::{
    collections::{BTreeMap, BTreeSet},
    sync::LazyLock,
};

/// Units of a minimal Debian guest, without their suffix, besides those whose name begins with `systemd-`. Source:
/// `systemctl list-unit-files` on Proxmox's template of Debian 12 and on one of mmdebstrap.
const BASE_UNITS: [&str; 49] = [
    "apt-daily",
    "apt-daily-upgrade",
    "autovt",
    "console-getty",
    "container-getty",
    "cron",
    "dbus",
    "dbus-org.freedesktop.hostname1",
    "dbus-org.freedesktop.locale1",
    "dbus-org.freedesktop.login1",
    "dbus-org.freedesktop.timedate1",
    "debug-shell",
    "dev-hugepages",
    "dev-mqueue",
    "dpkg-db-backup",
    "e2scrub",
    "e2scrub_all",
    "e2scrub_reap",
    "emergency",
    "fstrim",
    "getty",
    "getty-static",
    "ifupdown-pre",
    "ifupdown-wait-online",
    "kmod",
    "kmod-static-nodes",
    "logrotate",
    "man-db",
    "modprobe",
    "networking",
    "pam_namespace",
    "postfix",
    "proc-sys-fs-binfmt_misc",
    "procps",
    "quotaon",
    "rc-local",
    "rescue",
    "rsyslog",
    "serial-getty",
    "ssh",
    "sshd",
    "sys-fs-fuse-connections",
    "sys-kernel-config",
    "sys-kernel-debug",
    "sys-kernel-tracing",
    "syslog",
    "systemd",
    "user",
    "user-runtime-dir",
];

/// Units of other packages that are not named after them.
const UNITS: [(&str, &[&str]); 6] = [
    ("containerd.io", &["containerd"]),
    ("default-mysql-server", &["mariadb", "mysql"]),
    ("libvirt-daemon-system", &["libvirtd"]),
    ("nfs-kernel-server", &["nfs-server"]),
    ("php-fpm", &["php8.2-fpm", "php8.4-fpm"]),
    ("wireguard", &["wg-quick"]),
];

/// Packages with units of which none listens, but sshd.
const QUIET: [&str; 10] = [
    "certbot",
    "cron",
    "ffmpeg",
    "imagemagick",
    "logrotate",
    "openssh-server",
    "procps",
    "sudo",
    "ufw",
    "unattended-upgrades",
];

/// What a package brings of which all is known.
#[derive(Default)]
pub struct Brought {
    units: Vec<&'static str>,
    pub users: Vec<&'static str>,
    pub groups: Vec<&'static str>,
}

static KNOWN: LazyLock<BTreeMap<&'static str, Brought>> = LazyLock::new(|| {
    let lines = include_str!("packages.txt").lines().filter(|line| !line.starts_with('#'));
    let entry = |line: &'static str| {
        let mut fields = line.split('|').map(|field| field.split_whitespace().collect::<Vec<_>>());
        let package = line.split(' ').next().unwrap_or(line);
        let mut next = || fields.next().unwrap_or_default();
        let (_, units, users, groups) = (next(), next(), next(), next());
        (package, Brought { units, users, groups })
    };
    lines.map(entry).collect()
});

/// What is said of a name that no definition makes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Presence {
    Here,
    /// A package or an image of which not all is known may bring it.
    Perhaps,
    Absent,
}

/// The packages of a guest, for what they bring.
pub struct Packages {
    names: BTreeSet<String>,
    may_start: BTreeSet<String>,
    /// Whether all packages are Debian's own.
    is_debians: bool,
    /// Whether Debian's own image is below them.
    is_base_known: bool,
    /// The newest that it may have.
    pub systemd: Systemd,
    /// Whom cloud-init lets in.
    pub first_user: Option<String>,
}

impl Packages {
    pub fn of(apt: &AptDocument, guest: Option<&ProxmoxDocument>) -> Self {
        let names = apt.packages.keys().map(|name| name.as_str().to_owned()).collect();
        let image = Image::of(guest);
        let first_user = guest.and_then(|guest| match &guest.kind {
            GuestKind::Lxc(_) => None,
            GuestKind::Qemu(machine) => Some(machine.user.to_string()),
        });
        // A later systemd is among what is brought back to an older Debian.
        let is_later = || apt.sources.values().any(|text| text.contains("backports"));
        let is_oldest = image.debian == Some(Debian::Twelve) && !is_later();
        Self {
            names,
            may_start: apt.may_start.iter().map(ToString::to_string).collect(),
            is_debians: apt.sources.is_empty(),
            is_base_known: image.is_plain,
            first_user,
            systemd: if is_oldest { Systemd::V252 } else { Systemd::V257 },
        }
    }

    /// Whether all that the guest has besides its definition is known.
    pub fn are_known(&self) -> bool {
        let all = || self.names.iter().all(|name| KNOWN.contains_key(name.as_str()));
        self.is_debians && self.is_base_known && all()
    }

    /// Whether image and packages are all Debian's own.
    pub fn are_debians(&self) -> bool {
        self.is_debians && self.is_base_known
    }

    /// Whether one of them may bring a server that listens besides what the bundle runs.
    pub fn may_listen(&self) -> bool {
        let (known, others) = self.split();
        let is_quiet =
            |name: &str, brought: &Brought| brought.units.is_empty() || QUIET.contains(&name);
        !others.is_empty() || known.iter().any(|(name, brought)| !is_quiet(name, brought))
    }

    /// Whether one of them is such a package.
    pub fn any(&self, is_it: impl Fn(&str) -> bool) -> bool {
        self.names.iter().any(|package| is_it(package))
    }

    /// Whether a package, or what it keeps, may have a name.
    pub fn may_be_named(&self, name: &str) -> bool {
        let unit = format!("{name}.service").parse::<UnitName>();
        self.any(|package| package.contains(name) || name.contains(package))
            || self.user(name) == Presence::Here
            || unit.is_ok_and(|unit| self.have_unit(&unit))
    }

    /// Whether the guest's definition names a package.
    pub fn declare(&self, package: &str) -> bool {
        self.names.contains(package)
    }

    /// Packages of which all is known, and the names of the others.
    pub fn split(&self) -> (Vec<(&str, &'static Brought)>, Vec<&str>) {
        let (mut known, mut others) = (Vec::new(), Vec::new());
        for name in &self.names {
            match KNOWN.get(name.as_str()).filter(|_| self.is_debians) {
                Some(brought) => known.push((name.as_str(), brought)),
                None => others.push(name.as_str()),
            }
        }
        (known, others)
    }

    /// Whether a unit that the bundle does not bring is on the guest, as far as that can be known.
    pub fn have_unit(&self, unit: &UnitName) -> bool {
        let name = unit.as_str();
        let stem = name.rsplit_once('.').map_or(name, |(stem, _)| stem);
        let stem = stem.split('@').next().unwrap_or(stem);
        let is_systemds = stem.starts_with("systemd-") || name.ends_with(".target");
        let by_table = || {
            self.names
                .iter()
                .filter_map(|name| KNOWN.get(name.as_str()))
                .any(|brought| brought.units.contains(&stem))
        };
        is_systemds
            || BASE_UNITS.contains(&stem)
            || self.may_start.contains(name)
            || self.may_start.contains(stem)
            || by_table()
            || self.split().1.iter().any(|package| is_named_after(stem, package, &UNITS))
    }

    /// The same of a unit of which it must be certain that it is not there.
    pub fn presence(&self, unit: &UnitName) -> Presence {
        // Slices, mounts and the like are made from other things than files of units.
        let suffixes = [".service", ".socket", ".timer", ".path"];
        let is_a_file = suffixes.iter().any(|suffix| unit.as_str().ends_with(suffix));
        match unit.as_str().strip_suffix(".target") {
            // No package of which all is known brings one.
            Some(stem) if targets().all(|target| target != stem) && self.are_known() => {
                Presence::Absent
            }
            Some(stem) if targets().all(|target| target != stem) => Presence::Perhaps,
            _ if self.have_unit(unit) => Presence::Here,
            _ if is_a_file && self.are_known() => Presence::Absent,
            _ => Presence::Perhaps,
        }
    }
}

/// Targets of systemd and of a minimal guest, without their suffix. Source: `.target` files of systemd 252 and 257, of
/// openssh-server and of cloud-init.
pub fn targets<'t>() -> impl Iterator<Item = &'t str> {
    let all: &'t str = include_str!("targets.txt");
    all.lines()
}

/// Whether two names differ in nothing but digits: `app1` and `app2` are no slip of each other.
pub fn differ_in_digits(one: &str, two: &str) -> bool {
    let bare = |text: &str| text.replace(|c: char| c.is_ascii_digit(), "");
    bare(one) == bare(two)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_line_of_the_table_has_four_fields_and_a_package_of_its_own() {
        let text = include_str!("packages.txt");
        let lines: Vec<_> = text.lines().filter(|line| !line.starts_with('#')).collect();
        assert!(lines.iter().all(|line| line.split('|').count() == 4), "{lines:?}");
        assert!(lines.is_sorted() && lines.len() == KNOWN.len());
    }
}
