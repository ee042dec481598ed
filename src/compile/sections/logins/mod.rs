//! What would keep operators from logging in, besides the firewall: sshd's own configuration, what stands before it, and the
//! unit that starts it.

mod config;
mod criteria;
mod keys;
mod masked;
mod ssh_unit;
mod sshd;
mod wrappers;

use super::{overlay::Overlay, units::Unit};
use crate::compile::{
    report::{Code, Mistake},
    source::At,
    view::View,
};
use ipnet::IpNet;
use std::net::IpAddr;

/// Who logs in, from where, by what, and where.
pub struct Login<'a> {
    pub user: &'a str,
    pub own: &'a [IpAddr],
    pub management: &'a [IpNet],
    /// Root's, a line each.
    pub admin_keys: &'a [String],
}

/// Reports what shuts operators out.
pub fn check(stack: &View<'_>, overlay: &Overlay, units: &[Unit], login: &Login<'_>) {
    sshd::check(stack, overlay, login);
    wrappers::check(stack, overlay, login);
    ssh_unit::check(stack, overlay, units, login);
    masked::check(stack, overlay, login);
    check_nologin(stack, overlay, login);
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

fn report(stack: &View<'_>, at: At, what: &str, help: &str) {
    let title = format!("{what} shuts operators out of sshd");
    stack.report(Mistake::new(Code::SshdShutsOut, at, title).help(help));
}
