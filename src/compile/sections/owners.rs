//! Users and groups that entries, units and jobs name: somebody has to make each, or the switch stops half way.

use super::{
    databases,
    overlay::{Item, Overlay},
    units::{self, Packages, Presence},
};
use crate::{
    compile::{
        report::{Code, Mistake},
        schema,
        source::At,
        view::{Located, View},
    },
    model::Owner,
};
use std::collections::BTreeSet;

/// Every account that there will be on a guest.
pub struct Accounts<'p> {
    packages: &'p Packages,
    users: BTreeSet<String>,
    groups: BTreeSet<String>,
}

impl<'p> Accounts<'p> {
    /// Those of `users` and `groups`, those that a file of sysusers.d makes, and those of Debian and its packages.
    pub fn of(stack: &View<'_>, overlay: &Overlay, packages: &'p Packages) -> Self {
        let names = |key| stack.entries(key).map(|(name, ..)| name.to_owned());
        // The package that makes it is asked for where the database stands.
        let redis = databases::has_redis(stack).then(|| "redis".to_owned());
        let users: BTreeSet<String> = names("users").chain(redis).collect();
        let groups = users.iter().cloned().chain(names("groups")).collect();
        let mut accounts = Self { packages, users, groups };
        for (path, (item, _)) in &overlay.items {
            if let (true, Item::File { bytes, .. }) =
                (path.as_str().starts_with("/etc/sysusers.d/"), item)
            {
                accounts.add_sysusers(&String::from_utf8_lossy(bytes));
            }
        }
        accounts
    }

    /// Source: sysusers.d(5), TYPE.
    fn add_sysusers(&mut self, text: &str) {
        for line in text.lines() {
            let mut words = line.split_whitespace();
            match (words.next(), words.next()) {
                (Some("u" | "u!"), Some(name)) => {
                    self.users.insert(name.to_owned());
                    self.groups.insert(name.to_owned());
                }
                (Some("g"), Some(name)) => {
                    self.groups.insert(name.to_owned());
                }
                _ => {}
            }
        }
    }

    /// Reports a name that nobody makes, when that is certain or it is nearly one that somebody makes; whether it was told.
    /// A number needs nobody to make it.
    pub fn check(&self, stack: &View<'_>, name: &str, is_user: bool, at: At) -> bool {
        let made = if is_user { &self.users } else { &self.groups };
        let presence = if is_user { self.packages.user(name) } else { self.packages.group(name) };
        let is_number = name.bytes().all(|b| b.is_ascii_digit());
        if is_number || made.contains(name) || presence == Presence::Here {
            return false;
        }
        let near = schema::nearest(name, made.iter().map(String::as_str))
            .filter(|near| presence == Presence::Absent || !units::differ_in_digits(name, near));
        if near.is_none() && presence == Presence::Perhaps {
            return false;
        }
        let (what, table) = if is_user { ("user", "users") } else { ("group", "groups") };
        let table = stack.lowering.files.layer_table(at, table);
        let title = format!("nobody makes the {what} `{name}`");
        let help = match near {
            Some(near) => format!("did you mean `{near}`? Or declare it: `[{table}.{name}]`"),
            None if is_user && self.packages.group(name) == Presence::Here => {
                format!(
                    "`{name}` is a group: name a user, such as one that you declare in `[{table}]`"
                )
            }
            None if !is_user && self.packages.user(name) == Presence::Here => {
                format!("Debian's user `{name}` has no group of its own: write `nogroup`")
            }
            None => format!("declare it, `[{table}.{name}]`, or the package that makes it"),
        };
        stack.report(Mistake::new(Code::UnknownAccount, at, title).help(help));
        true
    }

    /// Owners of entries, users of jobs and hooks, and the owner of the release.
    pub fn check_entries(&self, stack: &View<'_>, overlay: &Overlay) {
        for (item, at) in overlay.items.values() {
            let (Item::File { access, .. }
            | Item::Secret { access, .. }
            | Item::Directory { access }) = item
            else {
                continue;
            };
            let is_told = self.check(stack, access.owner.as_str(), true, *at);
            if !is_told || access.group != access.owner {
                self.check(stack, access.group.as_str(), false, *at);
            }
        }
        for (user, at) in &overlay.cron_users {
            self.check(stack, user.as_str(), true, *at);
        }
        // A new log is of its user and the group of the same name.
        for (user, at) in &overlay.log_users {
            let _ = self.check(stack, user.as_str(), true, *at)
                || self.check(stack, user.as_str(), false, *at);
        }
        let is_name = |user: &Located<String>| user.value.parse::<Owner>().is_ok();
        let hooks = stack.tables("hooks").filter_map(|(_, hook)| hook.text("user"));
        let release = stack.table("release").text("user");
        for user in release.into_iter().chain(hooks).filter(is_name) {
            self.check(stack, &user.value, true, user.at);
        }
    }
}

/// Folders whose files are shown to others, whatever their mode. Source: systemd.exec(5), `Environment=`; cron(8).
const SHOWN: [(&str, &str, &str); 2] = [
    (
        "/etc/systemd/system/",
        "systemd shows every user what a unit says",
        "put them into `env_vars`, or into a file of their own, and name it in `environment_files`",
    ),
    (
        "/etc/cron.d/",
        "cron writes its jobs into the log",
        "put them into `env_vars`, or into a file of their own, and let the job's script read it",
    ),
];

/// Reports secrets that every user of the guest could read.
pub fn check_secrets(stack: &View<'_>, overlay: &Overlay) {
    for (path, (item, at)) in &overlay.items {
        let Item::Secret { access, .. } = item else { continue };
        if let Some((_, why, help)) =
            SHOWN.iter().find(|(folder, ..)| path.as_str().starts_with(folder))
        {
            let title = format!("`{path}` holds secrets, and {why}");
            let at = place_of(stack, *at, &["secrets", "secret"]);
            stack.report(Mistake::new(Code::SecretForAll, at, title).help(*help));
        } else if access.mode.is_world_readable() {
            let title =
                format!("`{path}` holds secrets, and every user of the guest could read it");
            let help = "take the rights of others away, such as with `mode = \"0640\"` and a `group` that reads it";
            let at = place_of(stack, *at, &["mode"]);
            stack.report(Mistake::new(Code::SecretForAll, at, title).help(help));
        }
    }
}

/// Where the first of these keys is written of the entry whose path is written here; the path itself where none is.
fn place_of(stack: &View<'_>, path: At, keys: &[&str]) -> At {
    let mut entries = stack.tables("files").map(|(_, file)| file).chain([stack.table("env_file")]);
    let entry = entries.find(|entry| entry.node("path").is_some_and(|node| node.at == path));
    let node = entry.and_then(|entry| keys.iter().find_map(|key| entry.node(key)));
    node.map_or(path, |node| node.at)
}
