//! What a plan's step `packages` makes: sources and pins, the files of the packages that come, and what their own programs
//! keep of them.

use crate::{
    exact_paths::Wanted,
    exact_picture::{Lines, Picture, differences},
};
use stackc::model::{AptDocument, Digest, document, pattern::fits};
use std::collections::BTreeSet;

/// Where the lists of packages' files are.
pub const LISTS: &str = "/var/lib/dpkg/info";
/// What an installation changes besides the files of packages, each with its reason.
pub const BESIDE: [(&str, &str); 11] = [
    ("/var/lib/dpkg/*", "dpkg's own records of what is installed"),
    ("/var/lib/apt/*", "apt's own lists and marks"),
    ("/var/cache/apt/*", "what apt keeps of its lists"),
    ("/var/log/apt*", "apt's own log"),
    ("/var/log/dpkg.log", "dpkg's own log"),
    ("/var/log/alternatives.log", "dpkg's own log"),
    ("/etc/rc?.d/*", "a package's own script offers its service to the service manager"),
    ("/var/lib/systemd/deb-systemd-helper-*", "which services packages' own scripts have offered"),
    ("/etc/ld.so.cache", "made anew when a library comes"),
    ("/var/cache/ldconfig/aux-cache", "made anew when a library comes"),
    (
        "/etc/systemd/system/*/50-stackc-package.conf",
        "the condition of a package's unit: docs/packages.md",
    ),
];

/// Whether a path is one of apt's that the bundle's `apt.json` asks for.
pub fn is_of_apt(path: &str) -> bool {
    let folders = ["/etc/apt/sources.list.d/stackc-", "/etc/apt/preferences.d/stackc-"];
    folders.iter().any(|start| path.starts_with(start))
}

pub fn expect(lines: &mut Lines, wanted: &Wanted<'_>, before: &Picture, after: &Picture) {
    for (path, sign) in wanted.said.files.iter().filter(|(path, _)| is_of_apt(path)) {
        if *sign == '-' {
            lines.remove(path);
            continue;
        }
        let apt = apt(wanted);
        let text = *apt.files().get(path).unwrap_or_else(|| panic!("{path} is not in apt.json"));
        lines.insert(path.clone(), format!("0644 0:0 file {}", Digest::of(text.as_bytes())));
    }
    let cause = wanted.said.steps.get("packages");
    if cause.is_some_and(|cause| cause.starts_with("missing: ")) {
        installed(lines, wanted, before, after);
    }
}

fn apt(wanted: &Wanted<'_>) -> AptDocument {
    let files = wanted.bundle.into_iter().flat_map(|bundle| &bundle.files);
    let bytes =
        files.filter(|(name, _)| name.as_str() == document::APT).map(|(_, bytes)| bytes).next();
    bytes.map_or_else(AptDocument::default, |bytes| serde_json::from_slice(bytes).expect("JSON"))
}

/// Packages that come bring what is in their lists, and what is said above; nothing else.
fn installed(lines: &mut Lines, wanted: &Wanted<'_>, before: &Picture, after: &Picture) {
    let (old, new) = (lists(before), lists(after));
    let brought = new.difference(&old).flat_map(|list| after.text(list).lines());
    let brought: BTreeSet<String> = brought.map(merged).collect();
    let of_conditions = |path: &str| is_folder_of_conditions(path, after);
    let found = after.lines();
    for (path, _) in differences(lines, &found) {
        let is_beside = BESIDE.iter().any(|(pattern, _)| fits(pattern, &path));
        let planned = wanted.said.files.contains_key(&path);
        if !planned && (brought.contains(&path) || is_beside || of_conditions(&path)) {
            match found.get(&path) {
                Some(line) => drop(lines.insert(path, line.clone())),
                None => drop(lines.remove(&path)),
            }
        }
    }
}

/// A path of a package's list where Debian has it: `/lib` is a link to `/usr/lib`.
fn merged(path: &str) -> String {
    let moved = ["/bin/", "/sbin/", "/lib/", "/lib64/"].iter().any(|top| path.starts_with(top));
    if moved { format!("/usr{path}") } else { path.to_owned() }
}

fn is_folder_of_conditions(path: &str, after: &Picture) -> bool {
    after.paths.contains_key(&format!("{path}/50-stackc-package.conf"))
}

fn lists(picture: &Picture) -> BTreeSet<&str> {
    picture.texts.keys().filter(|path| path.starts_with(LISTS)).map(String::as_str).collect()
}
