//! Which paths of a guest a bundle may own, and how a file gets there.

use super::folders;
use crate::model::{FileClass, GuestPath};
use std::{collections::BTreeSet, sync::LazyLock};
use unicode_normalization::is_nfc;

/// Conffiles of a minimal guest of Debian 12: dpkg deletes or overwrites what stands in their place. Source: `dpkg-query -W -f '${Conffiles}'`, and what packages keep by ucf(1).
static CONFFILES: LazyLock<BTreeSet<&str>> =
    LazyLock::new(|| include_str!("conffiles.txt").lines().collect());

/// What boot or login reads must be there even when `/var/lib/stackc` is not. Source: reliability study of Debian 12, table
/// of consumers: a dangling link stops sshd, and takes sudo's rights away.
const COPIED: [&str; 14] = [
    "/etc/ssh/",
    "/etc/sudoers.d/",
    "/etc/pam.d/",
    "/etc/security/",
    "/etc/fstab",
    "/etc/nsswitch.conf",
    "/etc/host.conf",
    "/etc/systemd/system.conf.d/",
    "/etc/systemd/logind.conf.d/",
    "/etc/locale.conf",
    "/etc/default/locale",
    "/etc/timezone",
    "/etc/localtime",
    "/etc/machine-info",
];

/// What to do instead of writing an account file.
const ACCOUNTS: &str = "all accounts of the guest are in it; declare yours in `users`";

/// Where nothing of a bundle belongs, with the reason.
const FOREIGN: [(&str, &str); 27] = [
    ("/var/lib/stackc", "it is stackc's own state"),
    ("/usr/local/lib/stackc", "it is stackc's own state"),
    ("/proc", "it is the kernel's"),
    ("/sys", "it is the kernel's"),
    ("/dev", "it is the kernel's"),
    ("/run", "it is empty after each boot; declare a tmpfiles.d file"),
    ("/var/run", "it is `/run`, empty after each boot; declare a tmpfiles.d file"),
    ("/var/lock", "it is in `/run`, empty after each boot; declare a tmpfiles.d file"),
    ("/tmp", "it is emptied by others"),
    ("/etc/mtab", "it is the kernel's"),
    ("/boot", "it is the boot loader's"),
    ("/root", "it is root's home; put keys into `access.admin_keys`"),
    ("/etc/passwd", ACCOUNTS),
    ("/etc/group", ACCOUNTS),
    ("/etc/shadow", ACCOUNTS),
    ("/etc/gshadow", ACCOUNTS),
    ("/etc/subuid", ACCOUNTS),
    ("/etc/subgid", ACCOUNTS),
    ("/etc/machine-id", "it names one guest; systemd makes it"),
    ("/etc/ssh/sshd_not_to_be_run", "while it is there, sshd does not start"),
    ("/etc/ld.so.preload", "a fault in it stops every program, the way back included"),
    ("/var/spool/cron/crontabs", "cron reads no links there; declare jobs in `cron`"),
    ("/var/lib/dpkg", "it is dpkg's; declare packages"),
    ("/etc/systemd/system/stackc-recover.service", "it is the guest's way back after a power cut"),
    ("/etc/systemd/system/ssh.service", "it is the way in; write a drop-in in `ssh.service.d`"),
    ("/etc/systemd/system/sshd.service", "it is the way in; write a drop-in in `ssh.service.d`"),
    ("/home", "what users own is no part of a bundle; declare the user in `users`"),
];

/// Paths that are links on Debian since 12: a bundle names the place itself.
const MERGED: [&str; 5] = ["/bin", "/sbin", "/lib", "/lib32", "/lib64"];

/// What Proxmox writes anew at each start of a container. Source: pve-container, `PVE/LXC/Setup/Debian.pm`.
const REWRITTEN: [&str; 4] =
    ["/etc/hosts", "/etc/hostname", "/etc/resolv.conf", "/etc/network/interfaces"];

/// How a file gets to its path when nobody says otherwise.
pub fn class_of(path: &GuestPath) -> FileClass {
    let copied = COPIED.iter().any(|start| match start.strip_suffix('/') {
        Some(_) => path.as_str().starts_with(start),
        None => path.as_str() == *start,
    });
    if copied { FileClass::Copied } else { FileClass::Linked }
}

/// The longest path that a bundle owns: with the folder of the bundle before it, here and on the guest, it must stay below
/// `PATH_MAX`.
const OWNED_BYTES_MAX: usize = 3072;

/// Why a bundle may not own a path: the sentence, and what to do instead.
pub fn refusal(path: &GuestPath) -> Option<(String, String)> {
    let text = path.as_str();
    let refuse = |why: &str, help: &str| Some((format!("`{text}` {why}"), help.to_owned()));
    if text.len() > OWNED_BYTES_MAX {
        let title = "a path with its bundle's folder before it is too long to be opened";
        return Some((title.to_owned(), format!("write it with at most {OWNED_BYTES_MAX} bytes")));
    }
    if !is_nfc(text) {
        return refuse("is not in Unicode normal form C", "write it with composed letters");
    }
    if let Some((_, why)) = FOREIGN.iter().find(|(folder, _)| is_at_or_below(text, folder)) {
        // What can be done in its place stands behind a semicolon.
        let help = if why.contains(';') { "" } else { "; take the entry out" };
        return refuse("cannot be part of a bundle", &format!("{why}{help}"));
    }
    if text.starts_with("/etc/ssh/ssh_host_") {
        let why = "the guest makes its own, by which operators know it; take the entry out";
        return refuse("cannot be part of a bundle", why);
    }
    if let Some(folder) = MERGED.iter().find(|folder| is_at_or_below(text, folder)) {
        return refuse(
            "lies behind a link",
            &format!("write `/usr{folder}` instead of `{folder}`"),
        );
    }
    if is_at_or_below(text, "/usr") && !is_at_or_below(text, "/usr/local") {
        return refuse(
            "belongs to the guest's packages",
            "use `/usr/local`, or a package of your own",
        );
    }
    let is_ufws = text == "/etc/default/ufw" || is_at_or_below(text, "/etc/ufw");
    if is_ufws && !text.starts_with("/etc/ufw/applications.d/") {
        return refuse(
            "belongs to ufw",
            "say it in `[firewall]`: stackc sets the keys and the rules",
        );
    }
    if REWRITTEN.contains(&text) || is_at_or_below(text, "/etc/systemd/network") {
        return refuse(
            "is written anew by Proxmox at each start of the container",
            "set the name, address, gateway and nameserver of the guest instead",
        );
    }
    if is_conffile(path) {
        return refuse(
            "is a configuration file of a Debian package, which dpkg would fight over",
            "use the package's `.d` folder, or a unit's drop-in",
        );
    }
    named_badly(path)
}

/// Folders that every guest has and others live in: no entry's, and no user's home.
const SHARED: [&str; 13] = [
    "/etc",
    "/home",
    "/media",
    "/mnt",
    "/opt",
    "/srv",
    "/usr",
    "/usr/local",
    "/var",
    "/var/cache",
    "/var/lib",
    "/var/log",
    "/var/spool",
];

/// Whether sshd or sudo reads it: they read nothing at all, or grant nothing, when one file is not there.
pub fn decides_on_logins(path: &GuestPath) -> bool {
    ["/etc/ssh", "/etc/sudoers.d"].iter().any(|folder| is_at_or_below(path.as_str(), folder))
}

/// Whether a minimal guest has a configuration file.
pub fn is_conffile(path: &GuestPath) -> bool {
    CONFFILES.contains(path.as_str())
}

/// Whether packages of Debian keep configuration files in a folder, or below it.
pub fn holds_conffiles(folder: &GuestPath) -> bool {
    CONFFILES
        .iter()
        .any(|file| file.len() > folder.as_str().len() && is_at_or_below(file, folder.as_str()))
}

/// Whether a folder is not a bundle's to own.
pub fn is_shared(path: &GuestPath) -> bool {
    SHARED.contains(&path.as_str())
}

/// Why a path cannot be a user's home.
pub fn home_refusal(path: &GuestPath) -> Option<&'static str> {
    let text = path.as_str();
    let foreign = FOREIGN.iter().filter(|(folder, _)| *folder != "/home");
    let taken = |folder: &&str| is_at_or_below(text, folder) || is_at_or_below(folder, text);
    let mut taken_by = foreign.filter(|(folder, _)| taken(folder)).map(|(_, why)| *why);
    if is_shared(path) || folders::is_debians(path) {
        Some("others live in this folder")
    } else if MERGED.iter().any(|folder| is_at_or_below(text, folder)) {
        Some("it lies behind a link")
    } else {
        taken_by.next()
    }
}

/// What is on a fresh guest, and a mount's empty volume would hide.
const ON_FRESH_GUESTS: [(&str, &str); 5] = [
    ("/etc", "the guest's configuration is there"),
    ("/usr", "the guest's programs are there"),
    ("/var/lib/apt", "apt's own state is there"),
    ("/var/lib/systemd", "systemd's own state is there"),
    ("/var/tmp", "it is emptied by others"),
];

/// Why nothing may be mounted at a path.
pub fn mount_refusal(path: &GuestPath) -> Option<&'static str> {
    let text = path.as_str();
    if MERGED.iter().any(|folder| is_at_or_below(text, folder)) {
        return Some("it lies behind a link");
    }
    let of_fresh = ON_FRESH_GUESTS.iter().filter(|_| !text.starts_with("/usr/local/"));
    let foreign = FOREIGN.iter().filter(|(folder, _)| *folder != "/home");
    let taken =
        |(folder, _): &&(&str, &str)| is_at_or_below(text, folder) || is_at_or_below(folder, text);
    of_fresh.chain(foreign).find(taken).map(|(_, why)| *why)
}

/// Folders whose readers skip files in silence for their names.
fn named_badly(path: &GuestPath) -> Option<(String, String)> {
    let (text, name) = (path.as_str(), path.file_name());
    let plain = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_';
    let skipped = (text.starts_with("/etc/sudoers.d/")
        && (name.contains('.') || name.ends_with('~')))
        || (is_in_crons(text) && !name.chars().all(plain));
    skipped.then(|| {
        let title = format!("`{text}` would be skipped in silence for its name");
        (title, "use letters, digits, `-` and `_` only".to_owned())
    })
}

/// Whether it is a file of one of cron's folders: not such a folder, and not `cron.allow`.
fn is_in_crons(path: &str) -> bool {
    path.strip_prefix("/etc/cron.").is_some_and(|rest| rest.contains('/'))
}

pub fn is_at_or_below(path: &str, folder: &str) -> bool {
    path.strip_prefix(folder).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn path(text: &str) -> GuestPath {
        text.parse().expect("a path")
    }

    /// The rows of the reliability study's table of consumers (§4.4) in its order; none is refused.
    const TABLE: [(&str, Option<FileClass>); 36] = {
        use FileClass::{Copied, Linked};
        [
            ("/etc/systemd/system/x.service", Some(Linked)),
            ("/etc/systemd/system/nginx.service.d/10-x.conf", Some(Linked)),
            ("/etc/sudoers.d/x", Some(Copied)),
            ("/etc/cron.d/x", Some(Linked)),
            ("/etc/cron.daily/x", Some(Linked)),
            ("/etc/ufw/user.rules", None),
            ("/etc/ufw/user6.rules", None),
            ("/etc/ufw/applications.d/x", Some(Linked)),
            ("/etc/ssh/sshd_config.d/10-x.conf", Some(Copied)),
            ("/etc/ssh/authorized_keys.d/x", Some(Copied)),
            ("/etc/logrotate.d/x", Some(Linked)),
            ("/etc/apt/sources.list.d/x.sources", Some(Linked)),
            ("/etc/apt/apt.conf.d/x", Some(Linked)),
            ("/etc/apt/preferences.d/x", Some(Linked)),
            ("/etc/apt/keyrings/x.asc", Some(Linked)),
            ("/etc/sysctl.d/x.conf", Some(Linked)),
            ("/etc/tmpfiles.d/x.conf", Some(Linked)),
            ("/etc/sysusers.d/x.conf", Some(Linked)),
            ("/etc/systemd/journald.conf.d/x.conf", Some(Linked)),
            ("/etc/profile.d/x.sh", Some(Linked)),
            ("/etc/ld.so.conf.d/x.conf", Some(Linked)),
            ("/usr/local/share/ca-certificates/x.crt", Some(Linked)),
            ("/etc/hosts", None),
            ("/etc/resolv.conf", None),
            ("/etc/hostname", None),
            ("/etc/fstab", Some(Copied)),
            ("/etc/pam.d/x", Some(Copied)),
            ("/etc/nsswitch.conf", Some(Copied)),
            ("/etc/passwd", None),
            ("/etc/network/interfaces", None),
            ("/etc/ssh/sshd_config", None),        // a conffile
            ("/etc/default/locale", Some(Copied)), // from here on: whatever else boot or login needs
            ("/etc/timezone", Some(Copied)),
            ("/etc/systemd/logind.conf.d/x.conf", Some(Copied)),
            ("/srv/app/.env.dev", Some(Linked)), // and what neither reads
            ("/etc/timezone2", Some(Linked)),
        ]
    };

    #[test]
    fn each_consumer_of_a_file_gets_the_class_that_it_was_measured_to_stand() {
        for (text, class) in TABLE {
            let path = path(text);
            let found = refusal(&path).is_none().then(|| class_of(&path));
            assert_eq!(found, class, "{text}");
        }
    }

    #[test]
    fn paths_that_others_own_are_refused() {
        for text in [
            "/var/lib/stackc",
            "/var/lib/stackc/x",
            "/proc/x",
            "/lib/x",
            "/etc/ufw/user.rules",
            "/etc/default/ufw",
            "/etc/hosts",
            "/etc/ssh/sshd_config",
            "/etc/sudoers.d/a.b",
            "/etc/cron.d/a.b",
            "/srv/o\u{308}",
            "/home/x/y",
            "/etc/passwd",
            "/etc/ld.so.preload",
            "/etc/mtab",
            "/etc/ssh/ssh_host_ed25519_key",
            "/etc/ssh/sshd_not_to_be_run",
            "/var/run/x",
            "/var/lock/x",
            "/usr/bin/systemctl",
            "/etc/systemd/system/ssh.service",
            "/etc/systemd/system/stackc-recover.service",
        ] {
            assert!(refusal(&path(text)).is_some(), "{text}");
        }
        for text in ["/var/lib/stackc2", "/etc/cron.d/app_job", "/etc/cron.allow", "/srv/\u{f6}"] {
            assert!(refusal(&path(text)).is_none(), "{text}");
        }
    }
}
