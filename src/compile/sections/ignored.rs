//! Files that their readers leave out for their owner or their mode, with a line in a log that nobody reads.
//!
//! Source: sudo 1.9.13, `sudo_secure_fd`; logrotate 3.21, `readConfigFile`, tried; run-parts(8).

use super::overlay::{Item, Overlay};
use crate::{
    compile::{
        report::{Code, Mistake},
        source::At,
        view::View,
    },
    model::{Access, GuestPath},
};

/// Folders whose files run-parts(8) runs, if they may be executed.
const OF_SCRIPTS: [&str; 5] = [
    "/etc/cron.daily/",
    "/etc/cron.hourly/",
    "/etc/cron.monthly/",
    "/etc/cron.weekly/",
    "/etc/update-motd.d/",
];

/// Reports files of `files` that nobody reads; tables of cron have rules of their own.
pub fn check(stack: &View<'_>, overlay: &Overlay) {
    for (path, (item, at)) in &overlay.items {
        let (Item::File { access, .. } | Item::Secret { access, .. }) = item else { continue };
        if let Some((reader, why, help)) = reason(path, access) {
            report(stack, path, (reader, why, help), *at);
        }
        if let Item::File { bytes, .. } = item
            && ends_its_first_line_badly(bytes)
        {
            let title = format!(
                "`{path}` cannot run: the kernel takes the carriage return of its first line for part of the program's name"
            );
            let help = "save the text with line feeds alone";
            stack.report(Mistake::new(Code::NotExecutable, *at, title).help(help));
        }
    }
}

fn ends_its_first_line_badly(bytes: &[u8]) -> bool {
    let first = bytes.split(|byte| *byte == b'\n').next().unwrap_or_default();
    first.starts_with(b"#!") && first.ends_with(b"\r")
}

type Reason = (&'static str, &'static str, &'static str);

fn report(stack: &View<'_>, path: &GuestPath, (reader, why, help): Reason, at: At) {
    let title = format!("{reader} would leave out `{path}`: {why}");
    stack.report(Mistake::new(Code::IgnoredFile, at, title).help(help));
}

fn reason(path: &GuestPath, access: &Access) -> Option<Reason> {
    let text = path.as_str();
    let is_roots = access.owner.as_str() == "root";
    let group_writes = access.mode.bits() & 0o020 != 0;
    let is_in = |folder: &str| text.starts_with(folder);
    let not_roots = |reader| (reader, "it is not root's", "leave `owner` out");
    let of_group = |reader| (reader, "a group may write to it", "write a mode such as \"0640\"");
    match () {
        () if is_in("/etc/sudoers.d/") && !is_roots => Some(not_roots("sudo")),
        () if is_in("/etc/logrotate.d/") && !is_roots => Some(not_roots("logrotate")),
        () if is_in("/etc/sudoers.d/") && group_writes => {
            // Root's own group may.
            (access.group.as_str() != "root").then(|| of_group("sudo"))
        }
        () if is_in("/etc/logrotate.d/") && group_writes => Some(of_group("logrotate")),
        () if OF_SCRIPTS.into_iter().any(is_in) && !access.mode.is_executable() => {
            Some(("run-parts", "nobody may execute it", "write `mode = \"0755\"`"))
        }
        () => None,
    }
}
