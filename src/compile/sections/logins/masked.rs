//! Units of Debian that the bundle masks, and without which nobody gets in after the next boot.
//!
//! Source: systemd.unit(5): a link to `/dev/null`, or an empty file, in the place of a unit or of what wants it; bootup(7).

use super::Login;
use crate::compile::{
    report::{Code, Mistake},
    sections::overlay::{Item, Overlay},
    view::View,
};

const UNITS: &str = "/etc/systemd/system/";

/// Units that every guest needs, and what for.
const NEEDED: [(&str, &str); 5] = [
    ("basic.target", "every service waits for it"),
    ("dbus.service", "sessions of users and systemd's own tools talk by it"),
    ("dbus.socket", "sessions of users and systemd's own tools talk by it"),
    ("multi-user.target", "it starts sshd and all other services"),
    ("sysinit.target", "every service waits for it"),
];
/// What containers bring their network up by. Source: pve-container, `PVE/LXC/Setup/Debian.pm`.
const OF_CONTAINERS: (&str, &str) = ("networking.service", "it brings the network up");
/// What starts sshd, unless its socket does.
const OF_SSHD: (&str, &str) = ("multi-user.target.wants/ssh.service", "it starts sshd at boot");
const SOCKET_OF_SSHD: &str = "/etc/systemd/system/sockets.target.wants/ssh.socket";
/// What ends the time at boot in which only root may log in.
const OF_USERS: (&str, &str) =
    ("systemd-user-sessions.service", "nobody but root may log in before it");
const OF_UFW: (&str, &str) = ("ufw.service", "it loads the firewall at boot");

/// Targets that a guest may boot into and then has no sshd.
const WITHOUT_LOGINS: [&str; 14] = [
    "basic.target",
    "emergency.target",
    "exit.target",
    "halt.target",
    "kexec.target",
    "poweroff.target",
    "reboot.target",
    "rescue.target",
    "runlevel0.target",
    "runlevel1.target",
    "runlevel6.target",
    "shutdown.target",
    "soft-reboot.target",
    "sysinit.target",
];

pub fn check(stack: &View<'_>, overlay: &Overlay, login: &Login<'_>) {
    let needed: Vec<_> = NEEDED.into_iter().chain(of_guest(stack, overlay, login)).collect();
    for (path, (item, at)) in &overlay.items {
        let Some(unit) = path.as_str().strip_prefix(UNITS) else { continue };
        let why =
            needed.iter().find(|(name, _)| *name == unit && is_mask(item)).map(|(_, why)| why);
        if let Some(why) = why {
            let title = format!("`{unit}` is masked, and the guest needs it: {why}");
            let help = "take it out; what a unit does is changed by a drop-in, in `drop_ins`";
            stack.report(Mistake::new(Code::MaskedUnit, *at, title).help(help));
        }
        if unit == "default.target" && boots_without_logins(item) {
            let title = "a guest that boots into this target has no sshd";
            let help = "take it out, or lead it to /usr/lib/systemd/system/multi-user.target";
            stack.report(Mistake::new(Code::MaskedUnit, *at, title).help(help));
        }
    }
}

/// What this guest needs besides.
fn of_guest(
    stack: &View<'_>,
    overlay: &Overlay,
    login: &Login<'_>,
) -> Vec<(&'static str, &'static str)> {
    let kind = stack.table("guest").text("kind").map(|kind| kind.value);
    let has_ufw = stack.table("firewall").boolean("enabled") != Some(false);
    let by_socket = overlay.items.keys().any(|path| path.as_str() == SOCKET_OF_SSHD);
    let all = [
        (OF_SSHD, !by_socket),
        (OF_CONTAINERS, kind.is_none_or(|kind| kind == "lxc")),
        (OF_USERS, login.user != "root"),
        (OF_UFW, has_ufw),
    ];
    all.into_iter().filter(|(_, is_so)| *is_so).map(|(needed, _)| needed).collect()
}

fn is_mask(item: &Item) -> bool {
    match item {
        Item::Link { target } => target.ends_with("/dev/null"),
        Item::File { bytes, .. } => bytes.is_empty(),
        Item::Secret { .. } | Item::Directory { .. } => false,
    }
}

fn boots_without_logins(item: &Item) -> bool {
    let Item::Link { target } = item else { return is_mask(item) };
    let name = target.rsplit('/').next().unwrap_or(target);
    is_mask(item) || WITHOUT_LOGINS.contains(&name)
}
