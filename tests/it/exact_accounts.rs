//! What a plan's step `accounts` makes: the users and groups that the bundle names and the guest lacks.

use crate::{
    exact_paths::Wanted,
    exact_picture::{Lines, Picture},
};
use std::collections::{BTreeMap, BTreeSet};

/// Tables of accounts, a line each, its first field the name.
const TABLES: [&str; 6] =
    ["/etc/passwd", "/etc/group", "/etc/shadow", "/etc/gshadow", "/etc/subuid", "/etc/subgid"];

/// Numbers of accounts by name.
pub struct Accounts {
    users: BTreeMap<String, u32>,
    groups: BTreeMap<String, u32>,
}

impl Accounts {
    pub fn of(picture: &Picture) -> Self {
        let numbers = |table: &str| {
            let fields =
                picture.text(table).lines().map(|line| line.split(':').collect::<Vec<_>>());
            fields
                .filter_map(|fields| Some((fields[0].to_owned(), fields.get(2)?.parse().ok()?)))
                .collect()
        };
        Self { users: numbers("/etc/passwd"), groups: numbers("/etc/group") }
    }

    /// A path's line, of these owners.
    pub fn line(&self, mode: u32, owner: &str, group: &str, what: &str) -> String {
        let number = |accounts: &BTreeMap<String, u32>, name: &str| {
            accounts.get(name).map_or_else(|| format!("no `{name}`"), ToString::to_string)
        };
        let (uid, gid) = (number(&self.users, owner), number(&self.groups, group));
        format!("{mode:04o} {uid}:{gid} {what}")
    }
}

/// The tables may get lines of accounts that the bundle names, and nothing else; each keeps a copy of what it was.
pub fn expect(lines: &mut Lines, wanted: &Wanted<'_>, before: &Picture, after: &Picture) {
    let named = named(wanted);
    for table in TABLES {
        let (old, new) = (before.text(table), after.text(table));
        if old == new || !only_named(old, new, &named) {
            continue;
        }
        let copy = format!("{table}-");
        lines.extend(lines.get(table).map(|line| (copy, line.clone())));
        let seen = after.paths.get(table).expect("it has a text");
        lines.insert(table.to_owned(), seen.to_string());
    }
}

/// Users and groups in the bundle's lines of sysusers.d.
fn named(wanted: &Wanted<'_>) -> BTreeSet<String> {
    let files = wanted.bundle.into_iter().flat_map(|bundle| &bundle.files);
    let files = files.filter(|(path, _)| path.as_str().starts_with("rootfs/etc/sysusers.d/"));
    let text: String = files.map(|(_, bytes)| String::from_utf8_lossy(bytes)).collect();
    let words = text.lines().map(|line| line.split_whitespace().collect::<Vec<_>>());
    words
        .filter(|words| matches!(words.first(), Some(&("u" | "g" | "m"))))
        .flat_map(|words| {
            let names = if words[0] == "m" { &words[1..3] } else { &words[1..2] };
            names.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>()
        })
        .collect()
}

/// Whether every line that differs is of one of these names.
fn only_named(old: &str, new: &str, named: &BTreeSet<String>) -> bool {
    let lines = |text: &str| text.lines().map(str::to_owned).collect::<BTreeSet<_>>();
    let (old, new) = (lines(old), lines(new));
    let is_named = |line: &String| line.split(':').next().is_some_and(|name| named.contains(name));
    old.symmetric_difference(&new).all(is_named)
}

#[test]
fn a_line_of_an_account_that_no_bundle_names_is_found() {
    let named = BTreeSet::from(["deploy".to_owned()]);
    let old = "root:x:0:0::/root:/bin/sh\n";
    assert!(only_named(old, &format!("{old}deploy:x:999:999::/:/bin/sh\n"), &named));
    assert!(!only_named(old, &format!("{old}other:x:999:999::/:/bin/sh\n"), &named));
    assert!(!only_named(old, &old.replace("/bin/sh", "/bin/bash"), &named));
}
