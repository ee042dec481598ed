//! The files of the door, kept in full: a second name would change with a file that is written in place.

use super::super::account::{Accounts, User};
use super::super::before::Before;
use super::super::error::GuestError;
use super::super::fs::{GuestFs, Ids, Kind, Stat, Sync, mkdir_all, remove_tree, split};
use super::super::place;
use crate::model::TxId;
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};

/// What sshd, PAM, sudo and the firewall read, at their start or at each login. Sources: sshd(8), pam.conf(5), `dpkg -L`.
const PATHS: [&str; 23] = [
    "/etc/bash.bashrc",
    "/etc/default/ssh",
    "/etc/default/ufw",
    "/etc/environment",
    "/etc/hosts.allow",
    "/etc/hosts.deny",
    "/etc/nologin",
    "/etc/pam.d",
    "/etc/profile",
    "/etc/security",
    "/etc/ssh",
    "/etc/sudoers",
    "/etc/sudoers.d",
    "/etc/systemd/system/ssh.service",
    "/etc/systemd/system/ssh.service.d",
    "/etc/systemd/system/ssh.socket",
    "/etc/systemd/system/ssh.socket.d",
    "/etc/ufw",
    "/run/nologin",
    "/run/systemd/system/ssh.service",
    "/run/systemd/system/ssh.service.d",
    "/run/systemd/system/ssh.socket",
    "/run/systemd/system/ssh.socket.d",
];
/// The same of somebody's home.
const OF_HOME: [&str; 4] = [".bash_profile", ".bashrc", ".profile", ".ssh"];
/// Where a row for each account says who it is, and whether and how it may log in.
const ACCOUNTS: [&str; 2] = ["/etc/passwd", "/etc/shadow"];
/// Where accounts have their keys, a file each.
const KEYS: &str = "/etc/ssh/authorized_keys.d";
/// What is longer is no configuration, such as sshd's moduli, and is not kept.
const TEXT_BYTES_MAX: u64 = 64 << 10;

/// The door's files before a switch.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Files {
    /// What is at each path, but for what the switch itself places or takes away. One that was asked for and is not there is listed.
    parts: BTreeMap<String, Part>,
    /// Rows of those who log in, by file.
    rows: BTreeMap<String, BTreeSet<String>>,
}

/// What is at a path.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase", deny_unknown_fields)]
enum Part {
    Absent,
    File {
        uid: u32,
        gid: u32,
        mode: u32,
        text: String,
    },
    Link {
        target: String,
    },
    Directory {
        uid: u32,
        gid: u32,
        mode: u32,
    },
    /// Too long, no text, or a device: whatever it is, it stays.
    Other,
}

impl Part {
    fn of(fs: &mut dyn GuestFs, path: &str, stat: Option<Stat>) -> Result<Self, GuestError> {
        let Some(stat) = stat else { return Ok(Self::Absent) };
        let Ids { uid, gid, mode } = stat.ids;
        Ok(match stat.kind {
            Kind::Link => Self::Link { target: fs.read_link(path)? },
            Kind::Directory => Self::Directory { uid, gid, mode },
            Kind::File if stat.size <= TEXT_BYTES_MAX => match String::from_utf8(fs.read(path)?) {
                Ok(text) => Self::File { uid, gid, mode, text },
                Err(_) => Self::Other,
            },
            Kind::File | Kind::Special => Self::Other,
        })
    }

    fn put(&self, fs: &mut dyn GuestFs, path: &str) -> Result<(), GuestError> {
        let is_folder = fs.stat(path)?.is_some_and(|stat| stat.kind == Kind::Directory);
        if !(is_folder && matches!(self, Self::Directory { .. } | Self::Other)) {
            remove_tree_if(fs, path, is_folder)?;
        }
        mkdir_all(fs, split(path).0, 0o755)?;
        match *self {
            Self::Absent => Ok(fs.remove(path)?),
            Self::Link { ref target } => {
                fs.remove(path)?;
                Ok(fs.symlink(target, path)?)
            }
            Self::Directory { uid, gid, mode } => {
                fs.mkdir(path, mode)?;
                Ok(fs.set_access(path, Ids { uid, gid, mode })?)
            }
            Self::File { uid, gid, mode, ref text } => {
                write(fs, path, text, Some(Ids { uid, gid, mode }))
            }
            Self::Other => Ok(()),
        }
    }
}

fn remove_tree_if(fs: &mut dyn GuestFs, path: &str, is_folder: bool) -> Result<(), GuestError> {
    if is_folder { Ok(remove_tree(fs, path)?) } else { Ok(()) }
}

impl Files {
    pub fn look(fs: &mut dyn GuestFs, before: &Before) -> Result<Self, GuestError> {
        let people = people(fs)?;
        let mut parts = BTreeMap::new();
        for path in PATHS {
            take(fs, path, before, &mut parts)?;
        }
        for user in people.values() {
            take_home(fs, &user.home, before, &mut parts)?;
        }
        let mut rows = BTreeMap::new();
        for file in ACCOUNTS {
            let text = read(fs, file)?;
            let known = text.lines().filter(|row| people.contains_key(name_in(row)));
            rows.insert(file.to_owned(), known.map(str::to_owned).collect());
        }
        Ok(Self { parts, rows })
    }

    /// Brings back what is not as it was; its paths.
    pub fn restore(
        &self,
        fs: &mut dyn GuestFs,
        before: &Before,
    ) -> Result<Vec<String>, GuestError> {
        let changed = self.differences(fs, before)?;
        for path in &changed {
            match (self.rows.get(path), self.parts.get(path)) {
                (Some(rows), _) => restore_rows(fs, path, rows)?,
                (None, Some(part)) => part.put(fs, path)?,
                (None, None) => remove_tree(fs, path)?,
            }
            let folder = split(path).0;
            if fs.stat(folder)?.is_some() {
                fs.sync_dir(folder)?;
            }
        }
        Ok(changed)
    }

    /// Paths that are not as they were, folders before what is in them.
    pub fn differences(
        &self,
        fs: &mut dyn GuestFs,
        before: &Before,
    ) -> Result<Vec<String>, GuestError> {
        let mut now = BTreeMap::new();
        for path in PATHS {
            take(fs, path, before, &mut now)?;
        }
        for path in self.parts.keys() {
            if !now.contains_key(path) {
                let stat = fs.stat(path)?;
                now.insert(path.clone(), Part::of(fs, path, stat)?);
            }
        }
        let mut changed: Vec<String> = now
            .into_iter()
            .filter(|(path, now)| self.is_other(path, now))
            .map(|(p, _)| p)
            .collect();
        for (file, rows) in &self.rows {
            let text = read(fs, file)?;
            if with_rows(&text, rows) != text {
                changed.push(file.clone());
            }
        }
        Ok(changed)
    }

    fn is_other(&self, path: &str, now: &Part) -> bool {
        match self.parts.get(path) {
            None => *now != Part::Absent,
            Some(Part::Other) => *now == Part::Absent,
            Some(was) => was != now,
        }
    }
}

/// Those who log in: root, and who has a file of keys.
fn people(fs: &mut dyn GuestFs) -> Result<BTreeMap<String, User>, GuestError> {
    let mut names: BTreeSet<String> = fs.list(KEYS)?.into_iter().collect();
    names.insert("root".to_owned());
    let accounts = Accounts::read(fs)?;
    let user = |name: &String| accounts.user(&name.parse().ok()?).ok().cloned();
    Ok(names
        .into_iter()
        .filter_map(|name| Some((user(&name)?, name)))
        .map(|(u, n)| (n, u))
        .collect())
}

fn take(
    fs: &mut dyn GuestFs,
    path: &str,
    before: &Before,
    parts: &mut BTreeMap<String, Part>,
) -> Result<(), GuestError> {
    if is_the_switchs(path, before) {
        return Ok(());
    }
    let stat = fs.stat(path)?;
    parts.insert(path.to_owned(), Part::of(fs, path, stat)?);
    if stat.is_some_and(|stat| stat.kind == Kind::Directory) {
        for name in fs.list(path)? {
            take(fs, &format!("{path}/{name}"), before, parts)?;
        }
    }
    Ok(())
}

/// Of a home itself only who may write to it is the door's.
fn take_home(
    fs: &mut dyn GuestFs,
    home: &str,
    before: &Before,
    parts: &mut BTreeMap<String, Part>,
) -> Result<(), GuestError> {
    // A home behind a symlink, or none, is nothing that we follow.
    let Ok(Some(stat)) = fs.stat(home) else { return Ok(()) };
    if stat.kind != Kind::Directory || home == "/" || is_the_switchs(home, before) {
        return Ok(());
    }
    parts.insert(home.to_owned(), Part::of(fs, home, Some(stat))?);
    OF_HOME.iter().try_for_each(|name| take(fs, &format!("{home}/{name}"), before, parts))
}

/// Whether going back takes care of a path by itself.
fn is_the_switchs(path: &str, before: &Before) -> bool {
    let placed = path.parse().is_ok_and(|path| before.paths.contains_key(&path));
    // What is prepared beside its path is named after us.
    placed || before.created.contains(path) || path.contains(".stackc-")
}

/// Brings back the switch's own files of the door, apart from all others; whether one was another.
pub fn restore_own(fs: &mut dyn GuestFs, tx: &TxId, before: &Before) -> Result<bool, GuestError> {
    let is_door = |path: &str| {
        let below = PATHS.iter().filter_map(|door| path.strip_prefix(door));
        below.into_iter().any(|rest| rest.is_empty() || rest.starts_with('/'))
    };
    let (mut changed, mut first) = (false, Ok(()));
    for (path, found) in before.paths.iter().filter(|(path, _)| is_door(path.as_str())) {
        let was = fs.stat(path.as_str())?;
        let restored = place::restore(fs, tx, path, *found);
        if fs.stat(path.as_str())? != was {
            changed = true;
            fs.sync_dir(split(path.as_str()).0)?;
        }
        first = first.and(restored);
    }
    first.map(|()| changed)
}

fn read(fs: &mut dyn GuestFs, path: &str) -> Result<String, GuestError> {
    match fs.stat(path)? {
        Some(_) => Ok(String::from_utf8_lossy(&fs.read(path)?).into_owned()),
        None => Ok(String::new()),
    }
}

/// Puts a text there whole or not at all, with its owner and mode from the first moment on.
fn write(fs: &mut dyn GuestFs, path: &str, text: &str, ids: Option<Ids>) -> Result<(), GuestError> {
    let fresh = format!("{path}.stackc-door.tmp");
    fs.write(&fresh, &mut text.as_bytes(), 0o600, Sync::Now)?;
    if let Some(ids) = ids {
        fs.set_access(&fresh, ids)?;
    }
    Ok(fs.rename(&fresh, path)?)
}

fn restore_rows(
    fs: &mut dyn GuestFs,
    file: &str,
    rows: &BTreeSet<String>,
) -> Result<(), GuestError> {
    let text = with_rows(&read(fs, file)?, rows);
    let ids = fs.stat(file)?.map(|stat| stat.ids);
    write(fs, file, &text, ids)
}

fn name_in(row: &str) -> &str {
    row.split(':').next().unwrap_or_default()
}

/// The text with these rows; every other row stays.
fn with_rows(text: &str, rows: &BTreeSet<String>) -> String {
    let mut lines: Vec<&str> = text.lines().collect();
    for row in rows {
        match lines.iter().position(|line| name_in(line) == name_in(row)) {
            Some(at) => lines[at] = row,
            None => lines.push(row),
        }
    }
    lines.iter().flat_map(|line| [line, "\n"]).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_of_who_logs_in_come_back_and_those_of_others_stay() {
        let rows = BTreeSet::from(["root:*:1::::::".to_owned(), "ops:x:9::::::".to_owned()]);
        let changed = "root:!:1::::1::\nsvc:new:2::::::\n";
        assert_eq!(with_rows(changed, &rows), "root:*:1::::::\nsvc:new:2::::::\nops:x:9::::::\n");
        let same = "ops:x:9::::::\nroot:*:1::::::\n";
        assert_eq!(with_rows(same, &rows), same);
    }
}
