//! What Debian and its packages bring that definitions may name: units and accounts.
//!
//! A package says neither in its name's form, so this is a rule with exceptions: most packages name their unit and their user
//! after themselves. What is not known by it is said in `apt.may_start`, or declared.

use crate::model::{AptDocument, UnitName};
use std::collections::BTreeSet;

/// Units of a minimal Debian guest, without their suffix; besides systemd's own. Source: `systemctl list-unit-files` on
/// Proxmox's template of Debian 12.
const BASE_UNITS: [&str; 24] = [
    "apt-daily",
    "apt-daily-upgrade",
    "console-getty",
    "container-getty",
    "cron",
    "dbus",
    "dpkg-db-backup",
    "e2scrub_all",
    "emergency",
    "fstrim",
    "getty",
    "ifupdown-pre",
    "ifupdown-wait-online",
    "logrotate",
    "man-db",
    "networking",
    "postfix",
    "rescue",
    "rsyslog",
    "ssh",
    "sshd",
    "systemd",
    "user",
    "user-runtime-dir",
];

/// Packages whose units have other names.
const UNITS: [(&str, &[&str]); 16] = [
    ("bind9", &["named"]),
    ("containerd.io", &["containerd"]),
    ("docker-ce", &["docker"]),
    ("docker.io", &["docker", "containerd"]),
    ("exim4-daemon-light", &["exim4"]),
    ("libvirt-daemon-system", &["libvirtd"]),
    ("mariadb-server", &["mariadb", "mysql"]),
    ("nfs-kernel-server", &["nfs-server"]),
    ("openssh-server", &["ssh", "sshd"]),
    ("openvpn", &["openvpn-client", "openvpn-server"]),
    ("php-fpm", &["php8.2-fpm", "php8.4-fpm"]),
    ("postgresql", &["postgresql"]),
    ("slapd", &["slapd"]),
    ("snmpd", &["snmpd"]),
    ("strongswan", &["strongswan-starter"]),
    ("wireguard-tools", &["wg-quick"]),
];

/// Accounts of packages that are not named after them.
const ACCOUNTS: [(&str, &[&str]); 14] = [
    ("bind9", &["bind"]),
    ("docker-ce", &["docker"]),
    ("docker.io", &["docker"]),
    ("dovecot-core", &["dovecot", "dovenull"]),
    ("exim4-daemon-light", &["Debian-exim"]),
    ("libvirt-daemon-system", &["libvirt", "libvirt-qemu"]),
    ("mariadb-server", &["mysql"]),
    ("memcached", &["memcache"]),
    ("mosquitto", &["mosquitto"]),
    ("nginx", &["www-data"]),
    ("postgresql", &["postgres"]),
    ("slapd", &["openldap"]),
    ("ssl-cert", &["ssl-cert"]),
    ("tor", &["debian-tor"]),
];

/// Users and groups of a minimal Debian guest. Source: base-passwd 3.6.1, passwd.master and group.master; those that systemd,
/// dbus, cron, openssh-server and postfix add on Proxmox's template of Debian 12.
const BASE_ACCOUNTS: [&str; 59] = [
    "root",
    "daemon",
    "bin",
    "sys",
    "sync",
    "games",
    "man",
    "lp",
    "mail",
    "news",
    "uucp",
    "proxy",
    "www-data",
    "backup",
    "list",
    "irc",
    "_apt",
    "nobody",
    "nogroup",
    "adm",
    "tty",
    "disk",
    "kmem",
    "dialout",
    "fax",
    "voice",
    "cdrom",
    "floppy",
    "tape",
    "sudo",
    "audio",
    "dip",
    "operator",
    "src",
    "shadow",
    "utmp",
    "video",
    "sasl",
    "plugdev",
    "staff",
    "users",
    "systemd-journal",
    "systemd-network",
    "systemd-resolve",
    "systemd-timesync",
    "systemd-coredump",
    "messagebus",
    "sshd",
    "_ssh",
    "crontab",
    "input",
    "kvm",
    "render",
    "sgx",
    "netdev",
    "postfix",
    "postdrop",
    "ssl-cert",
    "systemd-oom",
];

/// The packages of a guest, for what they bring.
pub struct Packages {
    names: BTreeSet<String>,
    may_start: BTreeSet<String>,
}

impl Packages {
    pub fn of(apt: &AptDocument) -> Self {
        let names = apt.packages.keys().map(|name| name.as_str().to_owned()).collect();
        Self { names, may_start: apt.may_start.iter().map(ToString::to_string).collect() }
    }

    /// Whether a unit that the bundle does not bring is on the guest, as far as that can be known.
    pub fn have_unit(&self, unit: &UnitName) -> bool {
        let name = unit.as_str();
        let stem = name.rsplit_once('.').map_or(name, |(stem, _)| stem);
        let stem = stem.split('@').next().unwrap_or(stem);
        let is_systemds = stem.starts_with("systemd-") || name.ends_with(".target");
        is_systemds
            || BASE_UNITS.contains(&stem)
            || self.may_start.contains(name)
            || self.may_start.contains(stem)
            || self.brings(stem, &UNITS)
    }

    /// Whether Debian or a package makes a user or group.
    pub fn have_account(&self, name: &str) -> bool {
        BASE_ACCOUNTS.contains(&name) || self.brings(name.trim_start_matches('_'), &ACCOUNTS)
    }

    /// `redis` and `redis-server` are both of the package `redis-server`, and so is `redis-server-x`.
    fn brings(&self, name: &str, exceptions: &[(&str, &[&str])]) -> bool {
        let begins = |long: &str, short: &str| {
            long.strip_prefix(short).is_some_and(|rest| rest.is_empty() || rest.starts_with('-'))
        };
        self.names.iter().any(|package| {
            let is_listed = |(listed, names): &(&str, &[&str])| {
                begins(package, listed) && names.contains(&name)
            };
            begins(package, name) || begins(name, package) || exceptions.iter().any(is_listed)
        })
    }
}
