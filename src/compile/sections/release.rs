//! `release`: the app's checkout, how it is built, and its links in `/srv/app`.

use super::{
    overlay::{Item, Overlay, optional},
    place::is_at_or_below,
    units::{self, Unit},
};
use crate::{
    compile::{
        lock::Pinned,
        report::{Code, Mistake},
        source::At,
        view::{Located, View},
    },
    model::{
        Access, EntryPath, GuestPath, Mode, Owner, ReleaseCommand, ReleaseDocument, UnitName,
        layout,
    },
};
use std::collections::{BTreeMap, BTreeSet};

/// Where the app's folders are linked.
const APP: &str = "/srv/app";
/// How long a command may take when nobody says.
const TIMEOUT_SECONDS: u32 = 600;
/// Releases that stay besides the live one when nobody says.
const KEEP: u32 = 3;

/// Where the app comes from.
pub struct Origin {
    pub repo: String,
    pub branch: String,
    pub pin: Option<Pinned>,
}

/// Reports an app that is to be built, and is to come from nowhere.
pub fn check_repo_is_named(stack: &View<'_>, project: At) {
    let release = stack.table("release");
    let needs_it = ["folders", "build", "migrate", "shared"];
    if needs_it.iter().any(|key| release.node(key).is_some()) {
        let title = "`repo` is missing: the kind builds an app from a repository";
        let help = "add `repo = \"…\"` here, and a `branch` to each env";
        stack.report(Mistake::new(Code::MissingKey, project, title).help(help));
    }
}

/// Reads the release; none when the guest has no app or the definition has mistakes.
pub fn read(
    stack: &View<'_>,
    origin: Option<Origin>,
    env_file: Option<GuestPath>,
) -> Option<ReleaseDocument> {
    let origin = origin?;
    let view = stack.table("release");
    let user = view.need::<Owner>("user");
    let (build, migrate) = (commands(&view, "build"), commands(&view, "migrate"));
    let build_env = build_env(&view);
    let shared = relative_paths(&view, "shared");
    let subfolder = folder(&view, "subfolder");
    let pin = origin.pin;
    let keep = view.number_or("keep", KEEP);
    Some(ReleaseDocument {
        repo: origin.repo,
        branch: origin.branch,
        commit: pin.as_ref()?.commit.clone(),
        tree: pin.as_ref()?.tree.clone(),
        subfolder: subfolder?,
        user: user?.value,
        build: build?,
        migrate: migrate?,
        build_env,
        tools: view.texts("tools").into_iter().map(|tool| tool.value).collect(),
        shared: shared?,
        stop_for_migrate: view.boolean("stop_for_migrate").unwrap_or(false),
        env_file,
        keep: keep?,
    })
}

/// A folder within the release; its top when it is empty or not said.
fn folder(view: &View<'_>, key: &str) -> Option<String> {
    match view.text(key) {
        Some(text) if text.value.is_empty() => Some(text.value),
        Some(text) => is_relative(view, &text).then_some(text.value),
        None => (!view.table.contains_key(key)).then(String::new),
    }
}

/// The commands of a list, in its order; none when one has a mistake.
pub fn commands(view: &View<'_>, key: &str) -> Option<Vec<ReleaseCommand>> {
    let commands: Vec<_> = view.list(key).iter().map(command).collect();
    commands.into_iter().collect()
}

fn command(view: &View<'_>) -> Option<ReleaseCommand> {
    let folder = folder(view, "folder");
    let run = view.need_text("run").filter(|run| is_one_line(view, run));
    let timeout = view.number_or("timeout_seconds", TIMEOUT_SECONDS);
    Some(ReleaseCommand { folder: folder?, run: run?.value, timeout_seconds: timeout? })
}

fn is_one_line(view: &View<'_>, run: &Located<String>) -> bool {
    let (title, help) = if run.value.trim().is_empty() {
        ("this command is empty", "write a line of shell, or take the command out")
    } else if run.value.contains('\n') {
        ("a command of a release is one line of shell", "put more into a script of the app")
    } else {
        return true;
    };
    view.report(Mistake::new(Code::NotOneLine, run.at, title).help(help));
    false
}

fn build_env(view: &View<'_>) -> BTreeMap<String, String> {
    let mut all = BTreeMap::new();
    for (key, at, node) in view.entries("build_env") {
        let value = super::variables::plain(view.lowering, node);
        if super::variables::is_name(view, key, at) {
            all.extend(value.map(|value| (key.to_owned(), value)));
        }
    }
    all
}

fn relative_paths(view: &View<'_>, key: &str) -> Option<Vec<String>> {
    let texts = view.texts(key);
    let valid = texts.iter().filter(|text| is_relative(view, text)).count();
    (valid == texts.len()).then(|| texts.into_iter().map(|text| text.value).collect())
}

/// Reports shared paths that are told already, and those by which a release would change the one that runs: a path that is
/// shared is one folder for all releases, while they are built as well.
pub fn check_shared(stack: &View<'_>, units: &[Unit]) {
    let view = stack.table("release");
    let shared = view.texts("shared");
    let folders = view.texts("folders");
    let is_shared = |folder: &Located<String>| shared.iter().any(|s| s.value == folder.value);
    let all_are_shared = !folders.is_empty() && folders.iter().all(is_shared);
    for (n, path) in shared.iter().enumerate() {
        check_against_shared(&view, path, (&shared[..n], &shared[n + 1..]));
        let mistake = if let Some((at, program, unit)) = program_in(&path.value, units) {
            let title = format!("`{}` is shared, and `{unit}` runs `{program}`", path.value);
            Mistake::new(Code::SharedRelease, path.at, title).also(at, "run here")
        } else if let Some(at) = build_in(&view, &path.value, &folders) {
            let title = format!("`{}` is shared, and a release is built in it", path.value);
            Mistake::new(Code::SharedRelease, path.at, title).also(at, "built here")
        } else if all_are_shared && is_in_any(&path.value, &folders) {
            let title = format!("`{}` is shared, and `{APP}` links nothing else", path.value);
            Mistake::new(Code::SharedRelease, path.at, title)
        } else {
            continue;
        };
        view.report(mistake.label("one for all releases").help(
            "share only what the app writes, such as a folder of uploads; a build would change the release that runs, and no rollback brings that one back",
        ));
    }
}

fn check_against_shared(
    view: &View<'_>,
    path: &Located<String>,
    (before, after): (&[Located<String>], &[Located<String>]),
) {
    let same = before.iter().find(|other| other.value == path.value);
    let is_outer = |other: &&Located<String>| {
        other.value != path.value && is_at_or_below(&path.value, &other.value)
    };
    let outer = || before.iter().chain(after).find(is_outer);
    let (other, title) = match same {
        Some(same) => (same, format!("`{}` is shared twice", path.value)),
        None => match outer() {
            Some(outer) => {
                (outer, format!("`{}` is shared with all of `{}`", path.value, outer.value))
            }
            None => return,
        },
    };
    view.report(
        Mistake::new(Code::DeclaredTwice, path.at, title)
            .also(other.at, "shared here")
            .help("take one of them out"),
    );
}

fn is_in_any(path: &str, folders: &[Located<String>]) -> bool {
    folders.iter().any(|folder| is_at_or_below(path, &folder.value))
}

/// A program of the shared path that a unit runs, by the app's links.
fn program_in<'u>(path: &str, units: &'u [Unit]) -> Option<(At, GuestPath, &'u UnitName)> {
    let shared = format!("{APP}/{path}");
    units.iter().find_map(|unit| {
        let programs = unit
            .directives()
            .flat_map(|d| units::programs(d).into_iter().map(move |program| (d.at, program)));
        let mut held = programs.filter(|(_, program)| is_at_or_below(program.as_str(), &shared));
        held.next().map(|(at, program)| (at, program, &unit.name))
    })
}

/// Where a command builds in a shared path that the app's links lead to.
fn build_in(view: &View<'_>, path: &str, folders: &[Located<String>]) -> Option<At> {
    if !is_in_any(path, folders) {
        return None;
    }
    let built = view.list("build");
    let mut built = built.iter().filter_map(|command| command.text("folder"));
    built.find(|folder| is_at_or_below(&folder.value, path)).map(|folder| folder.at)
}

/// Paths within a release follow the rule of paths within a bundle.
fn is_relative(view: &View<'_>, text: &Located<String>) -> bool {
    view.lowering.parse::<EntryPath>(&text.value, text.at).is_some()
}

/// Links the app's folders into `/srv/app`, which stays root's; the links.
pub fn add_links(stack: &View<'_>, overlay: &mut Overlay) -> BTreeSet<GuestPath> {
    let view = stack.table("release");
    let mut links = BTreeSet::new();
    let folders = view.texts("folders");
    if let Some(first) = folders.first() {
        add_app_folder(&view, first.at, overlay);
    }
    for folder in folders {
        let plain = |c: char| c.is_ascii_alphanumeric() || "-_".contains(c);
        if folder.value.is_empty() || !folder.value.chars().all(plain) {
            let title = format!("`{}` is no folder's name", folder.value);
            view.report(
                Mistake::new(Code::BadName, folder.at, title)
                    .help("use letters, digits, `-` and `_`"),
            );
            // What the app has there is no further mistake.
            if folder.value.parse::<EntryPath>().is_err() {
                continue;
            }
        }
        let link = format!("{APP}/{}", folder.value);
        let target = format!("{}/{}", layout::CURRENT_RELEASE, folder.value);
        overlay.add_link(&link, target, folder.at, &view);
        links.extend(link.parse::<GuestPath>());
    }
    links
}

fn add_app_folder(view: &View<'_>, at: At, overlay: &mut Overlay) {
    let (owner, group) = (super::overlay::root(), super::overlay::root());
    let access = Access { mode: Mode::DIRECTORY, owner, group };
    overlay.add(APP.parse().expect("a path"), Item::Directory { access }, at, view);
}

/// The user of the release, for what only needs that.
pub fn user(stack: &View<'_>) -> Option<Owner> {
    optional(&stack.table("release"), "user", super::overlay::root)
}
