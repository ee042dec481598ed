//! What will stand on a guest: gathered section by section, checked as it comes.

use super::{homes::Home, place};
use crate::{
    compile::{
        report::{Code, Mistake},
        source::At,
        view::{Located, View},
    },
    model::{Access, Encoder, FileClass, GuestPath, Mode, Owner, Part, UnitName, fold_case},
};
use std::collections::{BTreeMap, BTreeSet};

/// One thing of the overlay.
#[derive(Debug, Clone)]
pub enum Item {
    File { class: FileClass, access: Access, bytes: Vec<u8> },
    Secret { access: Access, encoder: Encoder, parts: Vec<Part> },
    Link { target: String },
    Directory { access: Access },
}

impl Item {
    /// How many bytes it brings itself.
    pub fn size(&self) -> u64 {
        match self {
            Self::File { bytes, .. } => bytes.len() as u64,
            Self::Secret { .. } | Self::Link { .. } | Self::Directory { .. } => 0,
        }
    }
}

/// Everything of the overlay, and what units read besides their own text.
#[derive(Debug, Default)]
pub struct Overlay {
    pub items: BTreeMap<GuestPath, (Item, At)>,
    /// Where the texts of `files` were written.
    pub sources: BTreeMap<GuestPath, At>,
    pub restart: BTreeMap<UnitName, BTreeSet<GuestPath>>,
    pub reload: BTreeMap<UnitName, BTreeSet<GuestPath>>,
    /// Units that files name, and where that was written.
    pub named_units: Vec<(UnitName, At)>,
    /// Who runs jobs of cron, and where that was written.
    pub cron_users: Vec<(Owner, At)>,
    /// Units that are told when their logs were turned, where they run.
    pub logging_units: Vec<(UnitName, At)>,
    /// Logs that entries turn.
    pub turned_logs: Vec<Located<String>>,
    /// Whose new logs are, and where that was written.
    pub log_users: Vec<(Owner, At)>,
    /// What users own and no bundle holds.
    pub homes: Vec<Home>,
}

impl Overlay {
    /// Adds an item, unless its path may not be a bundle's or is taken.
    pub fn add(&mut self, path: GuestPath, item: Item, at: At, view: &View<'_>) {
        if let Some((title, help)) = place::refusal(&path) {
            view.report(Mistake::new(Code::ForeignPath, at, title).help(help));
            return;
        }
        if place::is_shared(&path) {
            let title = format!("`{path}` is a folder that others live in");
            let help = "take a path of your own in it";
            view.report(Mistake::new(Code::SharedFolder, at, title).help(help));
            return;
        }
        if let Some((_, first)) = self.items.get(&path) {
            let title = format!("two entries make `{path}`");
            view.report(
                Mistake::new(Code::PathTwice, at, title)
                    .also(*first, "the other one")
                    .help("give one of them another path, or remove it with `false`"),
            );
            return;
        }
        self.items.insert(path, (item, at));
    }

    /// A file as text; the class by its path.
    pub fn add_text(&mut self, path: &str, mode: Mode, text: String, at: At, view: &View<'_>) {
        if let Some(path) = view.lowering.parse::<GuestPath>(path, at) {
            let class = place::class_of(&path);
            let access = Access { mode, owner: root(), group: root() };
            self.add(path, Item::File { class, access, bytes: text.into_bytes() }, at, view);
        }
    }

    /// A symlink.
    pub fn add_link(&mut self, path: &str, target: String, at: At, view: &View<'_>) {
        if let Some(path) = view.lowering.parse::<GuestPath>(path, at) {
            self.add(path, Item::Link { target }, at, view);
        }
    }

    /// Reports what lies below a file, a link or a folder that is not root's alone, and names that differ in case only.
    pub fn check_tree(&self, report: &mut Vec<Mistake>) {
        let mut folded: BTreeMap<String, (&GuestPath, At)> = BTreeMap::new();
        for (path, (_, at)) in &self.items {
            if let Some((other, first)) = folded.insert(fold_case(path.as_str()), (path, *at)) {
                let title =
                    format!("`{path}` and `{other}` are one name where case does not count");
                report.push(
                    Mistake::new(Code::CaseTwins, *at, title)
                        .also(first, "the other one")
                        .help("give one of them another name"),
                );
            }
            for parent in parents(path) {
                let Some((item, above)) = self.items.get(&parent) else { continue };
                let mistake = match item {
                    Item::Directory { access } if is_roots_alone(access) => continue,
                    Item::Directory { .. } => below_anothers_folder(path, &parent, *at),
                    _ => {
                        let title =
                            format!("`{path}` lies below `{parent}`, which is no directory");
                        let help = "give one of the two another path";
                        Mistake::new(Code::BelowAFile, *at, title).help(help)
                    }
                };
                report.push(mistake.also(*above, "made here"));
            }
        }
    }
}

pub fn is_roots_alone(access: &Access) -> bool {
    access.owner == root() && !access.mode.is_shared()
}

/// Whoever may write to a folder can put a link in the place of what root keeps in it (design.md §7).
fn below_anothers_folder(path: &GuestPath, folder: &GuestPath, at: At) -> Mistake {
    let title = format!("`{path}` lies in `{folder}`, whose users could replace it");
    let help = "put it elsewhere, or make the folder root's, with a mode such as 0755";
    Mistake::new(Code::BelowAnothersFolder, at, title).help(help)
}

pub fn parents(path: &GuestPath) -> impl Iterator<Item = GuestPath> {
    let text = path.as_str();
    let slashes = text.match_indices('/').skip(1).map(|(n, _)| n);
    slashes.filter_map(|n| text[..n].parse().ok())
}

/// Whether an entry's name can be part of the name of its file; its reader skips any other in silence.
pub fn is_named_well(view: &View<'_>, name: &str, at: At, reader: &str) -> bool {
    let plain = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_';
    let is_well = !name.is_empty() && name.chars().all(plain);
    if !is_well {
        let title = format!("{reader} would skip the file of `{name}` for its name");
        view.report(
            Mistake::new(Code::BadName, at, title).help("use letters, digits, `-` and `_`"),
        );
    }
    is_well
}

pub fn root() -> Owner {
    "root".parse().expect("root is a user name")
}

/// Owner, group and mode of an entry; the group is the owner's own when it is not said.
pub fn access(view: &View<'_>, mode: Mode) -> Option<Access> {
    let owner = optional(view, "owner", root);
    let group = optional(view, "group", || owner.clone().unwrap_or_else(root));
    let mode = optional(view, "mode", || mode).filter(|mode| is_safe(view, *mode));
    Some(Access { mode: mode?, owner: owner?, group: group? })
}

/// Whether nobody but owner and group may write; reported when not.
fn is_safe(view: &View<'_>, mode: Mode) -> bool {
    let is_safe = mode.bits() & 0o002 == 0;
    if !is_safe {
        let at = view.node("mode").map_or(view.at, |node| node.at);
        let help = "take the last `2` away; give a group that may write, such as 0775";
        let title = format!("with mode {mode} everybody on the guest could write to it");
        view.report(Mistake::new(Code::WritableByAll, at, title).help(help));
    }
    is_safe
}

/// A key's value, or the default when the key is not there; none when it is there and wrong.
pub fn optional<T: std::str::FromStr<Err: std::fmt::Display>>(
    view: &View<'_>,
    key: &str,
    default: impl FnOnce() -> T,
) -> Option<T> {
    if view.table.contains_key(key) {
        view.parsed(key).map(|located: Located<T>| located.value)
    } else {
        Some(default())
    }
}
