//! What stackc keeps for itself: exactly what a plan's steps have to add to it, and nothing else.

use crate::{
    exact_paths::Wanted,
    exact_picture::{KEPT, Picture, Seen, is_kept},
};
use stackc::model::{Digest, Entry};
use std::collections::{BTreeMap, BTreeSet};

/// Which hooks before a switch have run.
const HOOKS: &str = "/hooks.json";
/// Files in a generation's folder.
const GENERATION: [&str; 2] = ["generation.json", "ledger.json"];

/// Paths there, each with what is seen.
fn kept(picture: &Picture) -> BTreeMap<&str, &Seen> {
    let kept = picture.paths.iter().filter(|(path, _)| is_kept(path));
    kept.map(|(path, seen)| (path.strip_prefix(KEPT).expect("it is kept"), seen)).collect()
}

pub fn faults(wanted: &Wanted<'_>, before: &Picture, after: &Picture) -> Vec<String> {
    let (old, new) = (kept(before), kept(after));
    let came: BTreeSet<&str> = new.keys().filter(|p| !old.contains_key(**p)).copied().collect();
    let mut faults = Vec::new();
    faults.extend(wanted.said.foreign.iter().filter_map(|path| not_kept(path, before, after)));
    let may_change = changes(wanted);
    for (path, seen) in &old {
        let is_found = path.strip_prefix("/found").is_some_and(|p| wanted.said.foreign.contains(p));
        let now = new.get(path);
        if now != Some(seen) && !may_change.contains(path) && !is_found {
            let now = now.map_or_else(|| "nothing".to_owned(), ToString::to_string);
            faults.push(format!("{KEPT}{path} was {seen}, and is {now}"));
        }
    }
    let mut added = Added { wanted, after, came };
    faults.extend(added.all());
    faults.extend(added.came.iter().map(|path| format!("nobody planned {KEPT}{path}")));
    faults
}

/// A path whose file is not kept as it was.
fn not_kept(path: &str, before: &Picture, after: &Picture) -> Option<String> {
    let kept = format!("{KEPT}/found{path}");
    let (was, is) = (before.paths.get(path), after.paths.get(&kept));
    (was.is_none() || was != is)
        .then(|| format!("{kept} is not what was at {path}: {was:?}, {is:?}"))
}

/// What may be another afterwards.
fn changes(wanted: &Wanted<'_>) -> BTreeSet<&'static str> {
    if wanted.said.is_nothing() {
        return BTreeSet::new();
    }
    let notes = [("packages", "/packages.json"), ("hooks", HOOKS)];
    let notes = notes.into_iter().filter(|(step, _)| wanted.said.steps.contains_key(*step));
    let always = ["/current", "/lease", "/generations/0/found.json"];
    always.into_iter().chain(notes.map(|(_, path)| path)).collect()
}

/// What came, taken away piece by piece as it is explained.
struct Added<'a> {
    wanted: &'a Wanted<'a>,
    after: &'a Picture,
    came: BTreeSet<&'a str>,
}

impl Added<'_> {
    fn all(&mut self) -> Vec<String> {
        let said = self.wanted.said;
        if said.is_nothing() {
            return Vec::new();
        }
        if said.steps.contains_key("hooks") {
            self.came.remove(HOOKS);
        }
        let mut faults = self.generation();
        faults.extend(self.one("/history/", ".json"));
        faults.extend(self.tree());
        faults.extend(self.below("/secrets/", said.steps.contains_key("secrets")));
        for path in &said.foreign {
            self.came.remove(format!("/found{path}").as_str());
        }
        // The folders that hold those.
        let folder = |path: &&str| {
            let seen = &self.after.paths[&format!("{KEPT}{path}")];
            !(path.starts_with("/found") && seen.to_string() == "0700 0:0 folder")
        };
        self.came.retain(folder);
        faults
    }

    fn take(&mut self, path: &str) -> Option<String> {
        (!self.came.remove(path)).then(|| format!("there is no new {KEPT}{path}"))
    }

    /// The next number's folder, whole, and live.
    fn generation(&mut self) -> Vec<String> {
        let folder = format!("/generations/{}", self.after.generation());
        let mut paths = vec![folder.clone()];
        paths.extend(GENERATION.map(|name| format!("{folder}/{name}")));
        if let Some(bundle) = self.wanted.bundle {
            paths.extend(["tree", "secrets"].map(|name| format!("{folder}/{name}")));
            let tree = format!("../../store/{}", bundle.digest);
            let found = self.after.link(&format!("{KEPT}{folder}/tree")).unwrap_or_default();
            if found != tree {
                return vec![format!("{folder}/tree leads to {found}, and not {tree}")];
            }
        }
        let packages = format!("{folder}/packages");
        self.came.retain(|path| !path.starts_with(&packages));
        paths.iter().filter_map(|path| self.take(path)).collect()
    }

    /// One new file of this folder.
    fn one(&mut self, start: &str, end: &str) -> Option<String> {
        let is_one = |path: &&str| path.starts_with(start) && path.ends_with(end);
        let names: Vec<&str> = self.came.iter().copied().filter(is_one).collect();
        self.came.retain(|path| !is_one(path));
        (names.len() != 1).then(|| format!("{KEPT}{start}*{end} got {names:?}, and not one more"))
    }

    /// The bundle's tree, file by file, when the plan sends it.
    fn tree(&mut self) -> Vec<String> {
        let Some(bundle) = self.wanted.bundle else { return Vec::new() };
        if !self.wanted.said.steps.contains_key("send") {
            return Vec::new();
        }
        let top = format!("/store/{}", bundle.digest);
        let mut faults = Vec::new();
        for (path, bytes) in &bundle.files {
            let path = format!("{top}/{path}");
            faults.extend(self.take(&path));
            let seen = self.after.paths.get(&format!("{KEPT}{path}")).map(ToString::to_string);
            let sha256 = Digest::of(bytes).to_string();
            if !seen.is_some_and(|seen| seen.ends_with(&sha256)) {
                faults.push(format!("{path} is not the bundle's"));
            }
        }
        faults.extend(self.take(&format!("{top}/manifest.json")));
        for (path, entry) in &bundle.manifest.entries {
            let Entry::Link { target } = entry else { continue };
            let path = format!("{top}/{path}");
            faults.extend(self.take(&path));
            if self.after.link(&format!("{KEPT}{path}")) != Some(target.as_str()) {
                faults.push(format!("{path} does not lead to {target}"));
            }
        }
        let folder = |path: &&str| {
            path.starts_with(&top) && self.after.paths[&format!("{KEPT}{path}")].is_folder()
        };
        self.came.retain(|path| !folder(path));
        faults
    }

    /// One new folder with what is in it, or none.
    fn below(&mut self, start: &str, is_planned: bool) -> Option<String> {
        let name = |path: &str| path.strip_prefix(start)?.split('/').next().map(str::to_owned);
        let names: BTreeSet<String> = self.came.iter().filter_map(|path| name(path)).collect();
        self.came.retain(|path| !path.starts_with(start));
        let planned = usize::from(is_planned);
        (names.len() != planned).then(|| format!("{KEPT}{start} got {names:?}, and not {planned}"))
    }
}
