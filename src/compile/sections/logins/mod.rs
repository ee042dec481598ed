//! What would keep operators from logging in, besides the firewall: sshd's own configuration, what stands before it, the
//! unit that starts it, and what it asks of accounts.

mod accounts;
mod command;
mod config;
mod criteria;
mod keys;
mod listening;
mod masked;
mod ssh_start;
mod ssh_unit;
mod sshd;
mod sudo;
mod wrappers;

use super::{
    overlay::{Item, Overlay},
    units::{self, Makers},
};
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
pub fn check(makers: &Makers<'_>, login: &Login<'_>) {
    let (stack, overlay) = (makers.stack, makers.overlay);
    sshd::check(stack, overlay, login);
    wrappers::check(stack, overlay, login);
    ssh_unit::check(makers, login);
    masked::check(stack, overlay, login);
    accounts::check(stack, overlay, login);
    sudo::check(stack, overlay, login);
}

fn report(stack: &View<'_>, at: At, what: &str, help: &str) {
    let title = format!("{what} shuts operators out of sshd");
    stack.report(Mistake::new(Code::SshdShutsOut, at, title).help(help));
}

/// The text of a file of the bundle.
struct Text<'o> {
    whole: &'o str,
    at: At,
    source: Option<At>,
}

impl<'o> Text<'o> {
    fn lines(&self) -> std::str::Lines<'o> {
        self.whole.lines()
    }

    /// Where a line was written; the file's own place where that cannot be told.
    fn place(&self, stack: &View<'_>, line: &str) -> At {
        units::place_of(stack, self.source, line.trim()).unwrap_or(self.at)
    }
}

/// The file at a path, if it is of the bundle and is text that holds no secret.
fn text_of<'o>(overlay: &'o Overlay, path: &str) -> Option<Text<'o>> {
    let path = path.parse().ok()?;
    let (item, at) = overlay.items.get(&path)?;
    let Item::File { bytes, .. } = item else { return None };
    let whole = std::str::from_utf8(bytes).ok()?;
    Some(Text { whole, at: *at, source: overlay.sources.get(&path).copied() })
}
