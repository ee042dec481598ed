//! Folders of Debian and of declared databases: their rights are not a bundle's to change.

use super::{
    overlay::{Item, Overlay},
    place,
    units::{Packages, Presence},
};
use crate::{
    compile::{
        report::{Code, Mistake},
        source::At,
        view::View,
    },
    model::{Access, GuestPath, Mode},
};

/// Folders of a minimal guest besides those that hold configuration files of packages; all are root's, 0755. Source:
/// `dpkg -L` on Debian 12.
const OF_DEBIAN: [&str; 39] = [
    "/etc/apt/apt.conf.d",
    "/etc/apt/auth.conf.d",
    "/etc/apt/keyrings",
    "/etc/apt/preferences.d",
    "/etc/apt/sources.list.d",
    "/etc/binfmt.d",
    "/etc/ca-certificates",
    "/etc/dbus-1",
    "/etc/dbus-1/session.d",
    "/etc/dbus-1/system.d",
    "/etc/modprobe.d",
    "/etc/modules-load.d",
    "/etc/network",
    "/etc/network/if-down.d",
    "/etc/network/if-post-down.d",
    "/etc/network/if-pre-up.d",
    "/etc/network/if-up.d",
    "/etc/network/interfaces.d",
    "/etc/profile.d",
    "/etc/ssh/authorized_keys.d",
    "/etc/ssh/ssh_config.d",
    "/etc/ssh/sshd_config.d",
    "/etc/ssl/certs",
    "/etc/systemd/system",
    "/etc/systemd/user",
    "/etc/sysusers.d",
    "/etc/tmpfiles.d",
    "/usr/local/bin",
    "/usr/local/etc",
    "/usr/local/lib",
    "/usr/local/sbin",
    "/usr/local/share",
    "/var/cache/apt",
    "/var/lib/apt",
    "/var/lib/dbus",
    "/var/lib/misc",
    "/var/lib/pam",
    "/var/lib/systemd",
    "/var/log/apt",
];

/// Folders whose own rights no entry can have: they are sticky, belong to a group, or are secret.
const SPECIAL: [&str; 7] = [
    "/etc/ssl/private",
    "/var/lib/private",
    "/var/local",
    "/var/log/journal",
    "/var/mail",
    "/var/spool/cron/crontabs",
    "/var/tmp",
];

/// Folders that only root reads, where less than Debian's rights does no harm.
const OF_ROOT: [&str; 6] = [
    "/etc/cron.d",
    "/etc/cron.daily",
    "/etc/cron.hourly",
    "/etc/cron.monthly",
    "/etc/cron.weekly",
    "/etc/sudoers.d",
];

/// What servers keep, by the account that they run as.
const OF_SERVERS: [(&str, &str); 3] =
    [("/var/lib/mysql", "mysql"), ("/var/lib/postgresql", "postgres"), ("/var/lib/redis", "redis")];

/// Whether Debian itself has a folder.
pub fn is_debians(path: &GuestPath) -> bool {
    let text = path.as_str();
    OF_DEBIAN.contains(&text) || SPECIAL.contains(&text) || place::holds_conffiles(path)
}

/// Reports rights with which Debian's own parts, or a server, would no longer work.
pub fn check(stack: &View<'_>, overlay: &Overlay, packages: &Packages) {
    for (path, (item, at)) in &overlay.items {
        let Item::Directory { access } = item else { continue };
        let server = OF_SERVERS.iter().find(|(folder, _)| *folder == path.as_str());
        match server {
            Some((_, account)) if packages.user(account) == Presence::Here => {
                check_server(stack, path, access, account, *at);
            }
            _ if is_debians(path) => check_debians(stack, path, access, *at),
            _ => {}
        }
    }
}

fn check_debians(stack: &View<'_>, path: &GuestPath, access: &Access, at: At) {
    let text = path.as_str();
    let is_roots = access.owner.as_str() == "root" && access.group.as_str() == "root";
    let is_closed = OF_ROOT.contains(&text) && access.mode.bits() | 0o755 == 0o755;
    let is_same = access.mode == Mode::DIRECTORY || is_closed;
    if !SPECIAL.contains(&text) && is_roots && is_same {
        return;
    }
    let title = format!("`{text}` is a folder of Debian, whose rights its own parts need");
    let help = if SPECIAL.contains(&text) {
        "take it out: it is there, with rights of its own"
    } else {
        "take it out, or leave it root's with mode 0755, as Debian has it"
    };
    let label = format!("with {} here", said(access));
    stack.report(Mistake::new(Code::SharedFolder, at, title).label(label).help(help));
}

fn check_server(stack: &View<'_>, path: &GuestPath, access: &Access, account: &str, at: At) {
    if access.owner.as_str() == account && access.mode.bits() & 0o700 == 0o700 {
        return;
    }
    let title = format!("`{path}` is what a server keeps, which runs as `{account}`");
    let help = format!("take it out, or leave it to `owner = \"{account}\"`, who reads and writes");
    let label = format!("with {} here", said(access));
    stack.report(Mistake::new(Code::SharedFolder, at, title).label(label).help(help));
}

fn said(access: &Access) -> String {
    format!("{}:{} and {}", access.owner, access.group, access.mode)
}
