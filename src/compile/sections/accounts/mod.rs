//! `users` and `groups`: accounts by sysusers.d and tmpfiles.d, keys and sudo as root's own files.

pub mod debian;
mod sudo;

use super::{apt, homes::Home, overlay::Overlay, ssh_keys};
use crate::{
    compile::{
        report::{Code, Mistake},
        source::At,
        view::{Located, View},
    },
    model::{AccountName, GuestPath, Mode, Owner},
};
use std::{collections::BTreeMap, fmt::Write as _};

pub fn add(stack: &View<'_>, keys: &BTreeMap<String, String>, overlay: &mut Overlay) {
    let mut numbers = BTreeMap::new();
    add_groups(stack, &mut numbers, overlay);
    for ((name, at, _), (_, view)) in stack.entries("users").zip(stack.tables("users")) {
        let Some(user) = own_name(&view, name, at, "user") else { continue };
        let number = number(&view, "uid", &mut numbers);
        add_account(&view, &user, number.as_deref(), overlay);
        add_keys(&view, &user, keys, overlay);
        if let Some(text) = sudo::read(&view, &user) {
            let what = format!("what `{user}` may do as root");
            apt::need_package(stack, at, &what, &["sudo", "sudo-ldap"]);
            let path = format!("/etc/sudoers.d/stackc-{user}");
            let mode = "0440".parse().expect("four octal digits");
            overlay.add_text(&path, mode, text, at, &view);
        }
    }
}

/// A name that Debian does not use for an account itself.
fn own_name(view: &View<'_>, name: &str, at: At, what: &str) -> Option<AccountName> {
    let own = view.lowering.parse::<AccountName>(name, at)?;
    if debian::is_everywhere(name) {
        let title = format!("`{name}` is an account of the system");
        let help = match what {
            "group" => "take it out: it is there, and `users.NAME.groups` may name it",
            _ => "declare a user of your own",
        };
        view.report(Mistake::new(Code::SystemAccount, at, title).help(help));
        return None;
    }
    Some(own)
}

/// The number of an account, as sysusers.d wants it; none when it has a mistake. A user's number is its own group's too.
fn number(view: &View<'_>, key: &str, numbers: &mut BTreeMap<u32, At>) -> Option<String> {
    let Some(node) = view.node(key) else {
        return (!view.table.contains_key(key)).then(|| "-".to_owned());
    };
    let number = view.number(key)?.value;
    if let Some(first) = numbers.insert(number, node.at) {
        let title = format!("two accounts have the number {number}");
        let mistake =
            Mistake::new(Code::DeclaredTwice, node.at, title).also(first, "the other one");
        view.report(mistake.help("give one of them another number; a user's is its group's too"));
        return None;
    }
    Some(number.to_string())
}

fn add_groups(stack: &View<'_>, numbers: &mut BTreeMap<u32, At>, overlay: &mut Overlay) {
    let mut text = String::new();
    let users: BTreeMap<_, _> = stack.entries("users").map(|(name, at, _)| (name, at)).collect();
    for ((name, at, _), (_, view)) in stack.entries("groups").zip(stack.tables("groups")) {
        let Some(group) = own_name(&view, name, at, "group") else { continue };
        if let Some(user) = users.get(name).copied() {
            let title = format!("the user `{name}` has its own group of this name");
            let mistake = Mistake::new(Code::DeclaredTwice, at, title).also(user, "the user");
            view.report(
                mistake.help("take the group out, and give the user a `uid` if the number matters"),
            );
        } else if let Some(number) = number(&view, "gid", numbers) {
            writeln!(text, "g {group} {number}").expect("text takes all");
        }
    }
    if let (false, Some((_, at, _))) = (text.is_empty(), stack.entries("groups").next()) {
        overlay.add_text("/etc/sysusers.d/stackc.conf", Mode::FILE, text, at, stack);
    }
}

/// systemd-sysusers makes the account, systemd-tmpfiles its home: neither is undone, both can be run again.
fn add_account(view: &View<'_>, user: &AccountName, number: Option<&str>, overlay: &mut Overlay) {
    let (comment, home, shell) = (comment(view, user), home(view, user), shell(view));
    let groups = view.parsed_texts::<Owner>("groups");
    let (Some(number), Some(comment), Some(home), Some(shell)) = (number, comment, home, shell)
    else {
        return;
    };
    let home_field = specifiers_escaped(home.path.as_str());
    let mut text = format!(
        "u {user} {number} \"{}\" {home_field} {}\n",
        specifiers_escaped(&comment),
        specifiers_escaped(shell.as_str())
    );
    for group in groups {
        writeln!(text, "m {user} {}", group.value).expect("text takes all");
    }
    let path = format!("/etc/sysusers.d/stackc-{user}.conf");
    overlay.add_text(&path, Mode::FILE, text, view.at, view);
    let path = format!("/etc/tmpfiles.d/stackc-{user}.conf");
    let text = format!("d {home_field} 0750 {user} {user} -\n");
    overlay.add_text(&path, Mode::FILE, text, view.at, view);
    overlay.homes.push(home);
}

/// `%` begins a specifier. Source: sysusers.d(5), tmpfiles.d(5).
fn specifiers_escaped(text: &str) -> String {
    text.replace('%', "%%")
}

fn comment(view: &View<'_>, user: &AccountName) -> Option<String> {
    let Some(comment) = view.text("comment") else {
        return (!view.table.contains_key("comment")).then(|| user.to_string());
    };
    let refused = |c: char| c.is_control() || "\"\\:".contains(c);
    if comment.value.contains(refused) {
        let title = "a user's comment cannot have quotes, backslashes, colons or line feeds";
        let help = "leave them out: `/etc/passwd` has no form for them";
        view.report(Mistake::new(Code::BadComment, comment.at, title).help(help));
        return None;
    }
    Some(comment.value)
}

fn home(view: &View<'_>, user: &AccountName) -> Option<Home> {
    if view.table.contains_key("home") {
        let home = plain_path(view, "home", Code::BadHome)?;
        return Some(Home { path: home.value, at: home.at });
    }
    Some(Home { path: format!("/home/{user}").parse().expect("a path"), at: view.at })
}

fn shell(view: &View<'_>) -> Option<GuestPath> {
    if view.table.contains_key("shell") {
        return plain_path(view, "shell", Code::BadValue).map(|shell| shell.value);
    }
    Some("/bin/bash".parse().expect("a path"))
}

/// A path that stands in `/etc/passwd` and in lines of fields alike without quotes.
fn plain_path(view: &View<'_>, key: &str, code: Code) -> Option<Located<GuestPath>> {
    let path = view.parsed::<GuestPath>(key)?;
    let refused = |c: char| c.is_whitespace() || ":\"'\\".contains(c);
    if path.value.as_str().contains(refused) {
        let title = format!("`{}` has no exact form in `/etc/passwd`", path.value);
        let help = "use a path without blanks, colons, quotes and backslashes";
        view.report(Mistake::new(code, path.at, title).help(help));
        return None;
    }
    Some(path)
}

fn add_keys(
    view: &View<'_>,
    user: &AccountName,
    keys: &BTreeMap<String, String>,
    overlay: &mut Overlay,
) {
    let (mut text, mut seen) = (String::new(), BTreeMap::new());
    for file in view.texts("keys") {
        for line in ssh_keys::read(view, &file.value, file.at, keys).unwrap_or_default() {
            if let Some(first) = seen.insert(ssh_keys::identity(&line).to_owned(), file.at) {
                let title = format!("`{}` has a key that `{user}` has already", file.value);
                let mistake = Mistake::new(Code::DeclaredTwice, file.at, title);
                let mistake = if first == file.at { mistake } else { mistake.also(first, "here") };
                view.report(mistake.help("keep it in one file, and on one line"));
                continue;
            }
            writeln!(text, "{line}").expect("text takes all");
        }
    }
    if !text.is_empty() {
        let path = format!("/etc/ssh/authorized_keys.d/{user}");
        overlay.add_text(&path, Mode::FILE, text, view.at, view);
    }
}
