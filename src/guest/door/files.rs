//! The files of the door, kept in full: a second name would change with a file that is written in place.

use super::super::account::{Accounts, User};
use super::super::before::Before;
use super::super::error::GuestError;
use super::super::fs::{GuestFs, Kind, remove_tree, split};
use super::super::place;
use super::part::{Part, Texts};
use super::rows::Rows;
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
/// Where accounts have their keys, a file each.
const KEYS: &str = "/etc/ssh/authorized_keys.d";
/// Private keys of the host, of which no copy outlives the transaction.
const HOST_KEYS: &str = "/etc/ssh/ssh_host_";

/// The door's files before a switch.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Files {
    /// What is at each path, but for what the switch itself places or takes away. One that was asked for and is not there is listed.
    parts: BTreeMap<String, Part>,
    rows: Rows,
}

impl Files {
    /// What there is, and apart from it the texts, which may be secrets.
    pub fn look(fs: &mut dyn GuestFs, before: &Before) -> Result<(Self, Texts), GuestError> {
        let people = people(fs)?;
        let mut taken = Taken::default();
        for path in PATHS {
            taken.take(fs, path, before)?;
        }
        for user in people.values() {
            taken.take_home(fs, &user.home, before)?;
        }
        let Taken { parts, mut texts } = taken;
        let rows = Rows::look(fs, &|name| people.contains_key(name), &mut texts)?;
        Ok((Self { parts, rows }, texts))
    }

    /// Brings back these paths, which are not as they were.
    pub fn restore(
        &self,
        fs: &mut dyn GuestFs,
        changed: &[String],
        texts: &Texts,
    ) -> Result<(), GuestError> {
        for path in changed {
            if !self.rows.restore(fs, path, texts)? {
                match self.parts.get(path) {
                    Some(part) => part.put(fs, path, texts)?,
                    None => remove_tree(fs, path)?,
                }
            }
            let folder = split(path).0;
            if fs.stat(folder)?.is_some() {
                fs.sync_dir(folder)?;
            }
        }
        Ok(())
    }

    /// Paths that are not as they were, folders before what is in them.
    pub fn differences(
        &self,
        fs: &mut dyn GuestFs,
        before: &Before,
    ) -> Result<Vec<String>, GuestError> {
        let mut now = Taken::default();
        for path in PATHS {
            now.take(fs, path, before)?;
        }
        for path in self.parts.keys() {
            if !now.parts.contains_key(path) {
                now.add(fs, path)?;
            }
        }
        let mut changed: Vec<String> = now
            .parts
            .into_iter()
            .filter(|(path, now)| self.is_other(path, now))
            .map(|(p, _)| p)
            .collect();
        changed.extend(self.rows.differences(fs)?);
        Ok(changed)
    }

    /// Whether a copy of it may stay when it is taken back: not of what logs somebody in by itself.
    pub fn may_be_copied(&self, path: &str) -> bool {
        let is_public = path.rsplit('.').next() == Some("pub");
        let is_host_key = path.starts_with(HOST_KEYS) && !is_public;
        !is_host_key && !self.rows.has(path)
    }

    fn is_other(&self, path: &str, now: &Part) -> bool {
        match self.parts.get(path) {
            None => *now != Part::Absent,
            Some(Part::Other) => *now == Part::Absent,
            Some(was) => was != now,
        }
    }
}

/// What is at paths as they are looked at.
#[derive(Default)]
struct Taken {
    parts: BTreeMap<String, Part>,
    texts: Texts,
}

impl Taken {
    fn add(&mut self, fs: &mut dyn GuestFs, path: &str) -> Result<bool, GuestError> {
        let stat = fs.stat(path)?;
        let part = Part::of(fs, path, stat, &mut self.texts)?;
        self.parts.insert(path.to_owned(), part);
        Ok(stat.is_some_and(|stat| stat.kind == Kind::Directory))
    }

    fn take(
        &mut self,
        fs: &mut dyn GuestFs,
        path: &str,
        before: &Before,
    ) -> Result<(), GuestError> {
        if is_the_switchs(path, before) {
            return Ok(());
        }
        if self.add(fs, path)? {
            for name in fs.list(path)? {
                self.take(fs, &format!("{path}/{name}"), before)?;
            }
        }
        Ok(())
    }

    /// Of a home itself only who may write to it is the door's.
    fn take_home(
        &mut self,
        fs: &mut dyn GuestFs,
        home: &str,
        before: &Before,
    ) -> Result<(), GuestError> {
        // A home behind a symlink, or none, is nothing that we follow.
        let Ok(Some(stat)) = fs.stat(home) else { return Ok(()) };
        if stat.kind != Kind::Directory || home == "/" || is_the_switchs(home, before) {
            return Ok(());
        }
        self.add(fs, home)?;
        OF_HOME.iter().try_for_each(|name| self.take(fs, &format!("{home}/{name}"), before))
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
