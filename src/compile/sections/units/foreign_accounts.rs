//! What Debian and its packages bring that definitions may name: users and groups.

use super::foreign::{Packages, Presence};

/// Users of a minimal Debian guest with a group of the same name. Source: base-passwd 3.6.1, passwd.master and group.master;
/// those that systemd, dbus, openssh-server and postfix add on Proxmox's template of Debian 12.
const BOTH: [&str; 28] = [
    "root",
    "daemon",
    "bin",
    "sys",
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
    "systemd-network",
    "systemd-resolve",
    "systemd-timesync",
    "systemd-coredump",
    "systemd-oom",
    "messagebus",
    "sshd",
    "postfix",
    "polkitd",
    "uuidd",
    "tcpdump",
    "_chrony",
    "gnats",
];

/// Users whose group is `nogroup`.
const USERS: [&str; 3] = ["nobody", "_apt", "sync"];

/// Groups that are no users in any Debian.
const GROUPS: [&str; 31] = [
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
    "_ssh",
    "crontab",
    "input",
    "kvm",
    "render",
    "netdev",
    "postdrop",
];
/// The same of groups that not every guest has.
const MORE_GROUPS: [&str; 2] = ["sgx", "ssl-cert"];

/// Accounts of other packages that are not named after them.
const ACCOUNTS: [(&str, &[&str]); 7] = [
    ("default-mysql-server", &["mysql"]),
    ("dovecot-core", &["dovenull"]),
    ("exim4-daemon-light", &["Debian-exim"]),
    ("libvirt-daemon-system", &["libvirt-qemu"]),
    ("slapd", &["openldap"]),
    ("squid", &["proxy"]),
    ("tor", &["debian-tor"]),
];

impl Packages {
    /// Whether Debian or a package makes a user.
    pub fn user(&self, name: &str) -> Presence {
        if BOTH.contains(&name) || USERS.contains(&name) || self.first_user.as_deref() == Some(name)
        {
            return Presence::Here;
        }
        if GROUPS.contains(&name) || MORE_GROUPS.contains(&name) {
            return Presence::Absent;
        }
        self.account(name, true)
    }

    /// Whether Debian or a package makes a group.
    pub fn group(&self, name: &str) -> Presence {
        let in_base =
            [&BOTH[..], &GROUPS[..], &MORE_GROUPS[..]].iter().any(|names| names.contains(&name));
        if in_base || self.first_user.as_deref() == Some(name) {
            return Presence::Here;
        }
        if USERS.contains(&name) {
            return Presence::Absent;
        }
        self.account(name, false)
    }

    fn account(&self, name: &str, is_user: bool) -> Presence {
        let (known, others) = self.split();
        let makes = |brought: &super::foreign::Brought| {
            brought.users.contains(&name) || !is_user && brought.groups.contains(&name)
        };
        let bare = name.trim_start_matches('_');
        if known.iter().any(|(_, brought)| makes(brought))
            || others.iter().any(|package| is_named_after(bare, package, &ACCOUNTS))
        {
            Presence::Here
        } else if self.are_known() || known.iter().any(|(package, _)| *package == name) {
            // A package of which all is known takes its own name for no account that another one would make.
            Presence::Absent
        } else {
            Presence::Perhaps
        }
    }
}

/// `redis` and `redis-server` are both of the package `redis-server`, and so is `redis-server-x`.
pub fn is_named_after(name: &str, package: &str, exceptions: &[(&str, &[&str])]) -> bool {
    let begins = |long: &str, short: &str| {
        long.strip_prefix(short).is_some_and(|rest| rest.is_empty() || rest.starts_with('-'))
    };
    let is_listed =
        |(listed, names): &(&str, &[&str])| begins(package, listed) && names.contains(&name);
    begins(package, name) || begins(name, package) || exceptions.iter().any(is_listed)
}
