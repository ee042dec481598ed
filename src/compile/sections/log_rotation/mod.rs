//! `log_rotation`: files of `/etc/logrotate.d`. Source: logrotate(8), logrotate.conf(5).

mod twins;

pub use twins::check;

use super::{
    apt,
    overlay::{self, Item, Overlay},
};
use crate::{
    compile::{
        report::{Code, Mistake},
        view::{Located, View},
    },
    model::{Access, GuestPath, Mode, Owner, StartableUnit},
};
use std::fmt::Write as _;

/// How many old logs stay when nobody says it: two months of weeks.
const KEEP: u32 = 8;

pub fn add(stack: &View<'_>, overlay: &mut Overlay) {
    for ((name, at, _), (_, view)) in
        stack.entries("log_rotation").zip(stack.tables("log_rotation"))
    {
        let paths = paths(&view);
        overlay.turned_logs.extend(paths.iter().cloned());
        if !overlay::is_named_well(&view, name, at, "logrotate") {
            continue;
        }
        if let Some(text) = text(&view, &paths, overlay) {
            let user = view.parsed::<Owner>("user");
            overlay.log_users.extend(user.map(|user| (user.value, user.at)));
            let reload = view.parsed_texts::<StartableUnit>("reload");
            overlay
                .logging_units
                .extend(reload.into_iter().map(|unit| (unit.value.into(), unit.at)));
            let path = format!("/etc/logrotate.d/stackc-{name}");
            overlay.add_text(&path, Mode::FILE, text, at, &view);
        }
    }
    if let Some((_, at, _)) = stack.entries("log_rotation").next() {
        apt::need_package(stack, at, "`log_rotation`", &["logrotate"]);
    }
}

/// Absolute paths and globs that logrotate reads as they are.
fn paths(view: &View<'_>) -> Vec<Located<String>> {
    view.need_node("paths");
    let mut paths = view.parsed_texts::<GuestPath>("paths");
    paths.retain(|path| {
        // It looks for the brace before it looks at quotes.
        let is_well = !path.value.as_str().contains(['{', '}', '"', '\'', '\\']);
        if !is_well {
            let title = format!("`{}` has a character that logrotate cannot be told", path.value);
            let help = "leave out braces, quotes and backslashes; `?` stands for any one character";
            view.report(Mistake::new(Code::BadLogPath, path.at, title).help(help));
        }
        is_well
    });
    paths.into_iter().map(|path| Located { value: path.value.to_string(), at: path.at }).collect()
}

fn text(view: &View<'_>, paths: &[Located<String>], overlay: &Overlay) -> Option<String> {
    let intervals = [("day", "daily"), ("week", "weekly"), ("month", "monthly")];
    let every = view.word_or("every", &intervals, "weekly");
    let keep = view.number_or("keep", KEEP);
    let max_mib = view.number("max_mib");
    let reload = view.parsed_texts::<StartableUnit>("reload");
    if !are_of_one_user(view, paths, overlay) {
        return None;
    }
    let folder = paths.first().and_then(|path| folder_of(&path.value, overlay));
    let turned = turned(view, folder)?;
    let mut lines: Vec<String> = folder
        .map(|access| {
            let comment = "# The folder is not root's, so root does not turn logs in it.";
            vec![comment.to_owned(), format!("su {} {}", access.owner, access.group)]
        })
        .unwrap_or_default();
    lines.extend([every?.to_owned(), format!("rotate {}", keep?)]);
    lines.extend(max_mib.map(|size| format!("maxsize {}M", size.value)));
    let compresses = view.boolean("compress").unwrap_or(true);
    lines.extend(
        if compresses { &["compress", "delaycompress"][..] } else { &["nocompress"] }
            .iter()
            .map(|&l| l.to_owned()),
    );
    lines.extend([turned, "missingok".to_owned(), "notifempty".to_owned()]);
    if !reload.is_empty() {
        lines.extend(reloading(&reload));
    }
    let named: Vec<_> = paths.iter().map(|path| quoted(&path.value)).collect();
    if named.is_empty() {
        return None;
    }
    let mut text = format!("{} {{\n", named.join(" "));
    for line in lines {
        writeln!(text, "    {line}").expect("text takes all");
    }
    Some(text + "}\n")
}

fn quoted(path: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "/._-*?[]".contains(c);
    if path.chars().all(plain) { path.to_owned() } else { format!("\"{path}\"") }
}

/// Whether the folders of an entry's logs have one owner: logrotate works as one user at a time.
fn are_of_one_user(view: &View<'_>, paths: &[Located<String>], overlay: &Overlay) -> bool {
    let mut folders = paths.iter().map(|path| (folder_of(&path.value, overlay), path.at));
    let Some((first, at)) = folders.next() else { return true };
    let Some((_, other)) = folders.find(|(access, _)| *access != first) else { return true };
    let title = "the logs of an entry lie in folders of different users";
    let mistake = Mistake::new(Code::KeysExclude, other, title).also(at, "another folder");
    view.report(mistake.help("make it an entry for each folder"));
    false
}

/// The folder of a log when the bundle makes it, and it is not root's alone.
fn folder_of<'o>(path: &str, overlay: &'o Overlay) -> Option<&'o Access> {
    let folder: GuestPath = path.rsplit_once('/')?.0.parse().ok()?;
    match &overlay.items.get(&folder)?.0 {
        Item::Directory { access } if !overlay::is_roots_alone(access) => Some(access),
        _ => None,
    }
}

/// What becomes of the log that is turned; none is a mistake.
fn turned(view: &View<'_>, folder: Option<&Access>) -> Option<String> {
    let copies = view.node("copy").filter(|_| view.boolean("copy") == Some(true));
    let for_new = ["user", "mode"].iter().find_map(|key| Some((*key, view.node(key)?)));
    if let (Some(copy), Some((key, node))) = (copies, for_new) {
        let title = format!("`{key}` is for a new log, and `copy` makes none");
        let mistake = Mistake::new(Code::KeysExclude, node.at, title).also(copy.at, "`copy`");
        view.report(mistake.help("take one of the two out"));
        return None;
    }
    if copies.is_some() {
        return Some("copytruncate".to_owned());
    }
    if !view.table.contains_key("user") {
        return match for_new {
            Some(_) => view.need_text("user").map(|user| user.value),
            None => Some("nocreate".to_owned()),
        };
    }
    let user = view.parsed::<Owner>("user")?;
    let mode =
        overlay::optional::<Mode>(view, "mode", || "0640".parse().expect("four octal digits"))?;
    if folder.is_some_and(|access| access.owner != user.value) {
        let title = format!("the folder's owner cannot make a log of `{}`", user.value);
        let help = "give the folder to the same user, or to root with a mode such as 0755";
        view.report(Mistake::new(Code::KeysExclude, user.at, title).help(help));
        return None;
    }
    Some(format!("create {mode} {user} {user}", user = user.value))
}

/// Once for all logs of an entry, and only units that run: a reload of one that is down fails, and the rotation with it.
fn reloading(units: &[Located<StartableUnit>]) -> Vec<String> {
    let reload = |unit: &Located<StartableUnit>| {
        // A backslash is the shell's unless it is quoted.
        let unit = unit.value.as_str();
        let unit = if unit.contains('\\') { format!("'{unit}'") } else { unit.to_owned() };
        format!("    if systemctl --quiet is-active {unit}; then systemctl reload {unit}; fi")
    };
    let mut lines = vec!["sharedscripts".to_owned(), "postrotate".to_owned()];
    lines.extend(units.iter().map(reload));
    lines.push("endscript".to_owned());
    lines
}
