//! `users`: accounts by sysusers.d and tmpfiles.d, keys and sudo as root's own files.

use super::{
    homes::Home,
    overlay::{Overlay, optional},
    public_key,
};
use crate::{
    compile::{
        report::{Code, Mistake},
        source::At,
        view::View,
    },
    model::{GuestPath, Mode, Owner},
};
use std::{collections::BTreeMap, fmt::Write as _};

/// Names of accounts that Debian itself makes.
const SYSTEM: [&str; 4] = ["root", "nobody", "daemon", "www-data"];

pub fn add(stack: &View<'_>, keys: &BTreeMap<String, String>, overlay: &mut Overlay) {
    for (name, view) in stack.tables("users") {
        let Some(user) = view.lowering.parse::<Owner>(name, view.at) else { continue };
        if SYSTEM.contains(&name) {
            let title = format!("`{name}` is an account of the system");
            view.report(
                Mistake::new(Code::SystemAccount, view.at, title)
                    .help("declare a user of your own"),
            );
            continue;
        }
        add_account(&view, &user, overlay);
        add_keys(&view, &user, keys, overlay);
        if view.boolean("sudo") == Some(true) {
            let text = format!("{user} ALL=(ALL:ALL) NOPASSWD: ALL\n");
            let path = format!("/etc/sudoers.d/stackc-{user}");
            overlay.add_text(&path, mode("0440"), text, view.at, &view);
        }
    }
}

fn mode(text: &str) -> Mode {
    text.parse().expect("four octal digits")
}

/// systemd-sysusers makes the account, systemd-tmpfiles its home: neither is undone, both can be run again.
fn add_account(view: &View<'_>, user: &Owner, overlay: &mut Overlay) {
    let home = home(view, user);
    let shell: Option<GuestPath> = optional(view, "shell", || "/bin/bash".parse().expect("a path"));
    let comment = view.text("comment").map_or_else(|| user.to_string(), |text| text.value);
    if comment.contains(['"', '\\', ':', '\n']) {
        let title = "a user's comment cannot have quotes, backslashes, colons or line feeds";
        view.report(Mistake::new(Code::BadComment, view.at, title).help("use other words"));
        return;
    }
    let (Some(home), Some(shell)) = (home, shell) else { return };
    let mut text = format!("u {user} - \"{comment}\" {} {shell}\n", home.path);
    for group in view.parsed_texts::<Owner>("groups") {
        writeln!(text, "m {user} {}", group.value).expect("text takes all");
    }
    let path = format!("/etc/sysusers.d/stackc-{user}.conf");
    overlay.add_text(&path, Mode::FILE, text, view.at, view);
    let path = format!("/etc/tmpfiles.d/stackc-{user}.conf");
    let text = format!("d {} 0750 {user} {user} -\n", home.path);
    overlay.add_text(&path, Mode::FILE, text, view.at, view);
    overlay.homes.push(home);
}

fn home(view: &View<'_>, user: &Owner) -> Option<Home> {
    if view.table.contains_key("home") {
        let home = view.parsed("home")?;
        return Some(Home { path: home.value, at: home.at });
    }
    Some(Home { path: format!("/home/{user}").parse().expect("a path"), at: view.at })
}

fn add_keys(view: &View<'_>, user: &Owner, keys: &BTreeMap<String, String>, overlay: &mut Overlay) {
    let mut text = String::new();
    for file in view.texts("keys") {
        if let Some(lines) = public_keys(view, &file.value, file.at, keys) {
            for line in lines {
                writeln!(text, "{line}").expect("text takes all");
            }
        }
    }
    if !text.is_empty() {
        let path = format!("/etc/ssh/authorized_keys.d/{user}");
        overlay.add_text(&path, Mode::FILE, text, view.at, view);
    }
}

/// The keys of a file of the workspace, a line each.
pub fn public_keys(
    view: &View<'_>,
    file: &str,
    at: At,
    keys: &BTreeMap<String, String>,
) -> Option<Vec<String>> {
    let Some(text) = keys.get(file) else {
        let title = format!("there is no file `{file}`");
        let known: Vec<_> = keys.keys().map(String::as_str).collect();
        let help = if known.is_empty() {
            "put public keys into the workspace's folder `keys`".to_owned()
        } else {
            format!("the files there are {}", known.join(", "))
        };
        view.report(Mistake::new(Code::MissingFile, at, title).help(help));
        return None;
    };
    let lines =
        text.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#'));
    let lines: Vec<_> = lines.map(str::to_owned).collect();
    let is_key = |line: &String| public_key::is_one(line);
    if lines.is_empty() || !lines.iter().all(is_key) {
        let title = format!("`{file}` has a line that is no public key of OpenSSH");
        view.report(
            Mistake::new(Code::BadPublicKey, at, title)
                .help("put one key a line, as `ssh-keygen` writes it"),
        );
        return None;
    }
    Some(lines)
}
