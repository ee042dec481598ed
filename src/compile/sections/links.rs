//! `links`.

use super::{
    overlay::{Item, Overlay},
    place,
};
use crate::{
    compile::{
        report::{Code, Mistake},
        view::View,
    },
    model::GuestPath,
};
use std::collections::BTreeSet;

/// The longest target of a link, in bytes. Source: `symlink(2)`, `PATH_MAX` with its final NUL.
const TARGET_BYTES_MAX: usize = 4095;

/// How many links Linux follows. Source: `MAXSYMLINKS` in linux/namei.h.
const LINKS_MAX: usize = 40;

/// Adds symlinks.
pub fn add(stack: &View<'_>, overlay: &mut Overlay) {
    for (_, view) in stack.tables("links") {
        link(&view, overlay);
    }
}

fn link(view: &View<'_>, overlay: &mut Overlay) {
    let target = target(view);
    let (Some(path), Some(target)) = (view.need::<GuestPath>("path"), target) else { return };
    if place::decides_on_logins(&path.value) {
        let title = format!("`{}` decides on logins and cannot be a link", path.value);
        let help = "write the file itself, in `files`: a link to nothing stops sshd or takes sudo's rights away";
        view.report(Mistake::new(Code::LinkAtBoot, path.at, title).help(help));
    } else {
        overlay.add(path.value, Item::Link { target }, path.at, view);
    }
}

fn target(view: &View<'_>) -> Option<String> {
    let target = view.need_text("target")?;
    let (title, help) = if target.value.is_empty() || target.value.chars().any(char::is_control) {
        ("a link needs a target", "write the path that it leads to, on one line")
    } else if target.value.len() > TARGET_BYTES_MAX {
        ("a link's target has at most 4,095 bytes", "name a place with a shorter path")
    } else {
        return Some(target.value);
    };
    view.report(Mistake::new(Code::BadLinkTarget, target.at, title).help(help));
    None
}

/// Reports each circle once, at the first of its links.
pub fn check(stack: &View<'_>, overlay: &Overlay) {
    let mut told: BTreeSet<GuestPath> = BTreeSet::new();
    let links = overlay.items.iter().filter(|(_, (item, _))| matches!(item, Item::Link { .. }));
    for (path, _) in links {
        let circle = circle(overlay, path);
        if !circle.contains(path) || told.contains(path) {
            continue;
        }
        let others: Vec<_> = circle.iter().filter(|other| *other != path).collect();
        let title = match others.first() {
            Some(other) => format!("the link `{path}` leads to `{other}`, and that back to it"),
            None => format!("the link `{path}` leads to itself"),
        };
        let at = |path: &GuestPath| overlay.items[path].1;
        let mistake = Mistake::new(Code::BadLinkTarget, at(path), title);
        let mistake = others.iter().fold(mistake, |m, other| m.also(at(other), "leads back"));
        stack.report(mistake.help("let it lead to a file or a folder"));
        told.extend(circle);
    }
}

/// The links that are followed for ever from a path; none when an end is found.
fn circle(overlay: &Overlay, path: &GuestPath) -> BTreeSet<GuestPath> {
    let (mut at, mut seen) = (path.clone(), Vec::new());
    while let Some((link, next)) = follow(overlay, &at) {
        if seen.len() > 2 * LINKS_MAX {
            return seen.into_iter().skip(LINKS_MAX).collect();
        }
        seen.push(link);
        at = next;
    }
    BTreeSet::new()
}

/// The first link on the way to a path, and the path that is meant through it.
fn follow(overlay: &Overlay, path: &GuestPath) -> Option<(GuestPath, GuestPath)> {
    let text = path.as_str();
    let mut ends = text.match_indices('/').skip(1).map(|(n, _)| n).chain([text.len()]);
    ends.find_map(|end| {
        let link = text[..end].parse::<GuestPath>().ok()?;
        let (Item::Link { target }, _) = overlay.items.get(&link)? else { return None };
        let folder = text[..end].rsplit_once('/').map_or("", |(folder, _)| folder);
        let next = format!("{}{}", absolute(folder, target)?, &text[end..]);
        Some((link, next.parse().ok()?))
    })
}

/// A link's target from the root; none of what leads above it.
fn absolute(folder: &str, target: &str) -> Option<String> {
    let start = if target.starts_with('/') { "" } else { folder };
    let mut parts: Vec<_> = start.split('/').filter(|part| !part.is_empty()).collect();
    for part in target.split('/') {
        match part {
            "" | "." => {}
            ".." => drop(parts.pop()?),
            part => parts.push(part),
        }
    }
    Some(format!("/{}", parts.join("/")))
}
