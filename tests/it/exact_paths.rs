//! What a plan makes of each path outside of what stackc keeps: the picture before, changed by what the plan says.

use crate::{
    exact_accounts::{self, Accounts},
    exact_packages,
    exact_picture::{KEPT, Lines, Picture},
    exact_rules,
    exact_said::Said,
};
use serde_json::Value;
use stackc::model::{
    Access, Bundle, Digest, Encoder, Entry, FileClass, GuestPath, Part, TmpfilesLine, layout,
};

/// ufw's files that stackc changes.
const OF_UFW: [&str; 4] =
    [layout::USER_RULES, layout::USER6_RULES, layout::UFW_CONF, layout::UFW_DEFAULTS];

/// What a transition is to lead to.
pub struct Wanted<'a> {
    pub said: &'a Said,
    /// None for the guest as it was found.
    pub bundle: Option<&'a Bundle>,
    /// The value of the one secret that the definitions name.
    pub secret: &'a str,
}

/// Every line that the plan leads to.
pub fn expected(wanted: &Wanted<'_>, before: &Picture, after: &Picture) -> Lines {
    let mut lines = before.lines();
    if wanted.said.is_nothing() {
        return lines;
    }
    exact_packages::expect(&mut lines, wanted, before, after);
    let accounts = Accounts::of(after);
    if wanted.said.steps.contains_key("accounts") {
        exact_accounts::expect(&mut lines, wanted, before, after);
        make_folders(&mut lines, wanted, &accounts);
    }
    leave(&mut lines, wanted, before);
    come(&mut lines, wanted, &accounts, before);
    firewall(&mut lines, wanted, before);
    if wanted.bundle.is_none() {
        leave_folders(&mut lines, before);
    }
    lines
}

/// Folders of the bundle's lines of tmpfiles.d, where nothing is: those of `/run` are not looked at.
fn make_folders(lines: &mut Lines, wanted: &Wanted<'_>, accounts: &Accounts) {
    let files = wanted.bundle.into_iter().flat_map(|bundle| &bundle.files);
    let files = files.filter(|(path, _)| path.as_str().starts_with("rootfs/etc/tmpfiles.d/"));
    let text: String = files.map(|(_, bytes)| String::from_utf8_lossy(bytes)).collect();
    for line in text.lines() {
        let Some(line) = TmpfilesLine::of(line).filter(TmpfilesLine::makes) else { continue };
        let path = line.path().expect("the definitions write paths out");
        if line.kind() == "d" && !path.starts_with("/run/") && !lines.contains_key(&path) {
            let field = |number| line.field(number).unwrap_or("root");
            let mode = u32::from_str_radix(line.field(2).unwrap_or("0755"), 8).expect("octal");
            let folder = accounts.line(mode, field(3), field(4), "folder");
            lines.insert(path, folder);
        }
    }
}

/// Paths with a `-`: what was found there returns, or nothing is there; a folder stays while something else is in it.
fn leave(lines: &mut Lines, wanted: &Wanted<'_>, before: &Picture) {
    let gone = wanted.said.files.iter().rev().filter(|(_, sign)| **sign == '-');
    for (path, _) in gone {
        give_back(lines, path, before);
    }
}

fn give_back(lines: &mut Lines, path: &str, before: &Picture) {
    let found = before.paths.get(&format!("{KEPT}/found{path}"));
    if let Some(found) = found {
        lines.insert(path.to_owned(), found.to_string());
    } else if is_empty(lines, path) {
        lines.remove(path);
    }
}

/// Paths with a `+` or a `~`: what the bundle has there, in folders that are made to hold it.
fn come(lines: &mut Lines, wanted: &Wanted<'_>, accounts: &Accounts, before: &Picture) {
    let come = wanted.said.files.iter().filter(|(_, sign)| **sign != '-');
    for (path, _) in come.filter(|(path, _)| !exact_packages::is_of_apt(path)) {
        // The guest as it was found is in no bundle: what it had there comes back.
        let Some(bundle) = wanted.bundle else {
            give_back(lines, path, before);
            continue;
        };
        let path: GuestPath = path.parse().expect("a plan names paths of guests");
        let entries = bundle.manifest.overlay();
        let entry = entries.filter(|(at, _)| *at == path).map(|(_, entry)| entry).next();
        let entry = entry.unwrap_or_else(|| panic!("{path} is planned, and not in the bundle"));
        hold(lines, path.as_str());
        lines.insert(path.to_string(), line(&path, entry, wanted.secret, accounts));
    }
}

/// The folders above a path.
fn hold(lines: &mut Lines, path: &str) {
    let mut folder = path;
    while let Some((above, _)) = folder.rsplit_once('/').filter(|(above, _)| !above.is_empty()) {
        lines.entry(above.to_owned()).or_insert_with(|| "0755 0:0 folder".to_owned());
        folder = above;
    }
}

fn line(path: &GuestPath, entry: &Entry, secret: &str, accounts: &Accounts) -> String {
    let file = |access: &Access, sha256: Digest| {
        let (owner, group) = (access.owner.as_str(), access.group.as_str());
        accounts.line(access.mode.bits(), owner, group, &format!("file {sha256}"))
    };
    match entry {
        Entry::Document(_) => panic!("{path} is a document"),
        Entry::File { class: FileClass::Copied, access, bytes, .. } => file(access, bytes.sha256),
        Entry::File { class: FileClass::Linked, access, bytes, .. } => {
            let link = format!("link to {}{path}", layout::CURRENT_OVERLAY);
            format!("{link}: {}", file(access, bytes.sha256))
        }
        Entry::Secret { access, encoder, parts } => {
            let text = secret_text(*encoder, parts, secret);
            let link = format!("link to {}{path}", layout::CURRENT_SECRETS);
            format!("{link}: {}", file(access, Digest::of(text.as_bytes())))
        }
        Entry::Link { target } => format!("link to {target}"),
        Entry::Directory { access } => {
            let (owner, group) = (access.owner.as_str(), access.group.as_str());
            accounts.line(access.mode.bits(), owner, group, "folder")
        }
    }
}

/// The secret is of letters and digits, which need no quotes in an env file.
fn secret_text(encoder: Encoder, parts: &[Part], secret: &str) -> String {
    assert_ne!(encoder, Encoder::Redis, "the definitions have no Redis");
    let text = |part: &Part| match part {
        Part::Literal(text) => text.clone(),
        Part::Secret(_) => secret.to_owned(),
        Part::Variable { key, .. } => format!("{key}={secret}\n"),
    };
    parts.iter().map(text).collect()
}

/// ufw's own files, where the plan says anything of the firewall: the bundle's rules, and its keys in two files that keep all
/// else.
fn firewall(lines: &mut Lines, wanted: &Wanted<'_>, before: &Picture) {
    if wanted.said.firewall.is_empty() {
        return;
    }
    let Some(bundle) = wanted.bundle else {
        for path in OF_UFW {
            give_back(lines, path, before);
        }
        return;
    };
    let document = |name: &str| bundle.files.iter().find(|(path, _)| path.as_str() == name);
    let rules = [
        ("firewall/user.rules", layout::USER_RULES),
        ("firewall/user6.rules", layout::USER6_RULES),
    ];
    for (name, path) in rules {
        let line = document(name).map(|(_, b)| format!("0640 0:0 file {}", Digest::of(b)));
        lines.extend(line.map(|line| (path.to_owned(), line)));
    }
    // Without one, nothing of the firewall can happen, and each line of it is missed.
    let Some((_, ufw)) = document("firewall/ufw.json") else { return };
    let ufw: Value = serde_json::from_slice(ufw).expect("it is JSON");
    for path in [layout::UFW_CONF, layout::UFW_DEFAULTS] {
        let text = exact_rules::with_settings(path, before.text(path), &ufw);
        let sha256 = Digest::of(text.as_bytes());
        lines.insert(path.to_owned(), format!("0644 0:0 file {sha256}"));
    }
}

/// Folders that were made only to hold what was placed leave with the last of it.
fn leave_folders(lines: &mut Lines, before: &Picture) {
    let found = before.text(&format!("{KEPT}/generations/0/found.json"));
    let found: Value = serde_json::from_str(found).expect("what was found is written down");
    let made = found["kept"]["made"].as_array().expect("it is a list");
    for folder in made.iter().rev().map(|folder| folder.as_str().expect("a path")) {
        if is_empty(lines, folder) {
            lines.remove(folder);
        }
    }
}

fn is_empty(lines: &Lines, folder: &str) -> bool {
    let inside = format!("{folder}/");
    lines.range(inside.clone()..).next().is_none_or(|(next, _)| !next.starts_with(&inside))
}
