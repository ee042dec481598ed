//! What sshd asks of the accounts that log in: the databases of names, and PAM.

use super::{Login, report, text_of};
use crate::compile::{sections::overlay::Overlay, view::View};

pub fn check(stack: &View<'_>, overlay: &Overlay, login: &Login<'_>) {
    check_nologin(stack, overlay, login);
    check_names(stack, overlay);
    for stage in ["account", "session"] {
        check_pam(stack, overlay, stage);
    }
}

/// Source: `pam_nologin(8)`, which Debian's `/etc/pam.d/sshd` asks.
fn check_nologin(stack: &View<'_>, overlay: &Overlay, login: &Login<'_>) {
    let file = overlay.items.iter().find(|(path, _)| path.as_str() == "/etc/nologin");
    if let (Some((_, (_, at))), true) = (file, login.user != "root") {
        let what = "`/etc/nologin`, while it is there,";
        let help = "take it out, or let operators log in as root: it lets nobody else in";
        report(stack, *at, what, help);
    }
}

/// Where root is known: its own file, or systemd, which makes it up. Source: `nsswitch.conf(5)`, `nss-systemd(8)`.
const KNOW_ROOT: [&str; 4] = ["files", "compat", "db", "systemd"];

fn check_names(stack: &View<'_>, overlay: &Overlay) {
    let Some(text) = text_of(overlay, "/etc/nsswitch.conf") else { return };
    let mut passwd = text.lines().filter(|line| line.trim_start().starts_with("passwd:"));
    let knows = |line: &str| line.split_whitespace().any(|word| KNOW_ROOT.contains(&word));
    if let Some(line) = passwd.next_back().filter(|line| !knows(line)) {
        let help = "let `files` stand first, where root and the users of the bundle are";
        report(stack, text.place(stack, line), &format!("`{}`", line.trim()), help);
    }
}

/// A stage of PAM that denies whatever follows. Source: `pam.d(5)`, `pam_deny(8)`.
fn check_pam(stack: &View<'_>, overlay: &Overlay, stage: &str) {
    let Some(text) = text_of(overlay, &format!("/etc/pam.d/common-{stage}")) else { return };
    let words = |line: &str| line.split_whitespace().map(str::to_owned).collect::<Vec<_>>();
    let leads = |word: &String| word == stage || word == "@include";
    let is_module = |line: &&str| words(line).first().is_some_and(leads);
    let first = text.lines().find(is_module);
    let denies = |line: &&str| {
        let words = words(line);
        let [_, control, module, ..] = words.as_slice() else { return false };
        ["required", "requisite"].contains(&control.as_str()) && module.ends_with("pam_deny.so")
    };
    if let Some(line) = first.filter(denies) {
        let help = "leave the file to Debian, or let `pam_unix.so` stand before it";
        report(stack, text.place(stack, line), &format!("`{}`", line.trim()), help);
    }
}
