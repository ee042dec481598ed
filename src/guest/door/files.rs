//! The files of the door, kept in full: a second name would change with a file that is written in place.

use super::super::account::{Accounts, User};
use super::super::before::Before;
use super::super::error::GuestError;
use super::super::fs::{GuestFs, Ids, Kind, split};
use super::part::{Part, Whose};
use super::rows::Rows;
use super::texts::{Texts, unfit};
use crate::model::{GuestPath, Placement, Switch};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};

/// What sshd, PAM, sudo, the firewall and the network read, at their start, at each login or at boot: what is not read again
/// until then shuts out later. Sources: sshd(8), pam.conf(5), interfaces(5), systemd.network(5), `dpkg -L`.
const PATHS: [&str; 35] = [
    "/etc/bash.bashrc",
    "/etc/default/ssh",
    "/etc/default/ufw",
    "/etc/environment",
    "/etc/hosts.allow",
    "/etc/hosts.deny",
    "/etc/iptables",
    "/etc/network",
    "/etc/nftables.conf",
    "/etc/nologin",
    "/etc/nsswitch.conf",
    "/etc/pam.d",
    "/etc/profile",
    "/etc/security",
    "/etc/ssh",
    "/etc/sudoers",
    "/etc/sudoers.d",
    "/etc/systemd/network",
    "/etc/systemd/system/default.target",
    "/etc/systemd/system/multi-user.target.wants/networking.service",
    "/etc/systemd/system/multi-user.target.wants/ssh.service",
    "/etc/systemd/system/networking.service",
    "/etc/systemd/system/sockets.target.wants/ssh.socket",
    "/etc/systemd/system/ssh.service",
    "/etc/systemd/system/ssh.service.d",
    "/etc/systemd/system/ssh.socket",
    "/etc/systemd/system/ssh.socket.d",
    "/etc/systemd/system/sshd.service",
    "/etc/systemd/system/systemd-networkd.service",
    "/etc/ufw",
    NO_LOGIN,
    "/run/systemd/system/ssh.service",
    "/run/systemd/system/ssh.service.d",
    "/run/systemd/system/ssh.socket",
    "/run/systemd/system/ssh.socket.d",
];
/// While a guest boots or goes down systemd has this there by itself, and brought back it would shut out whoever is not root.
const NO_LOGIN: &str = "/run/nologin";
/// Folders on the way to these and to the programs themselves: who may pass. What else is in them is not the door's.
const FOLDERS: [&str; 12] = [
    "/",
    "/etc",
    "/etc/default",
    "/etc/systemd",
    "/etc/systemd/system",
    "/home",
    "/run",
    "/usr",
    "/usr/bin",
    "/usr/lib",
    "/usr/sbin",
    "/var",
];
/// The same of somebody's home: what sshd and a shell read there.
const OF_HOME: [&str; 4] = [".bash_login", ".bash_profile", ".bashrc", ".profile"];
const SSH_OF_HOME: &str = ".ssh";
/// Keys first.
const OF_SSH: [&str; 4] = ["authorized_keys", "authorized_keys2", "environment", "rc"];
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
    /// Paths among them in homes, where users change what they like.
    users: BTreeSet<String>,
    rows: Rows,
}

/// Paths that are not as they were, folders before what is in them.
#[derive(Default)]
pub struct Changed {
    pub roots: Vec<String>,
    pub users: Vec<String>,
    /// Folders among them with names that are no text: no copy can be made by them.
    pub unnamed: Vec<String>,
    /// Whether what stands there of root's could not all be put back.
    pub stays: bool,
}

impl Files {
    /// What there is, and apart from it the texts, which may be secrets.
    ///
    /// # Errors
    /// When something of root's own cannot be kept.
    pub fn look(fs: &mut dyn GuestFs) -> Result<(Self, Texts), GuestError> {
        let people = people(fs)?;
        let mut taken = Taken::default();
        for path in FOLDERS {
            // One that is missing is nobody's way, and a symlink's own owner is nobody's matter.
            if fs.stat(path)?.is_some_and(|stat| stat.kind == Kind::Directory) {
                taken.add(fs, path, Whose::Roots)?;
            }
        }
        for path in PATHS {
            if path != NO_LOGIN || fs.stat(path)?.is_none() {
                taken.take(fs, path)?;
            }
        }
        let rows = Rows::look(fs, &people, &mut taken.texts)?;
        // Root's first: nobody's own files take the room away from what has to be kept.
        let (roots, users): (Vec<_>, Vec<_>) = people.values().partition(|user| user.uid == 0);
        for user in roots.into_iter().chain(users) {
            taken.take_home(fs, user)?;
        }
        let Taken { parts, users, texts } = taken;
        Ok((Self { parts, users, rows }, texts))
    }

    /// Brings back paths that the switch is about to take over: it goes back to what it finds there.
    pub fn restore_placed(
        &self,
        fs: &mut dyn GuestFs,
        switch: &Switch,
        texts: &Texts,
    ) -> Result<(), GuestError> {
        let Placement { place, remove } = &switch.placement;
        let is_placed = |path: &str| {
            let path = path.parse::<GuestPath>();
            path.is_ok_and(|path| place.contains_key(&path) || remove.contains(&path))
        };
        let changed = self.differences(fs, None).roots;
        let mut placed = changed.iter().filter(|path| is_placed(path) && !self.rows.has(path));
        placed.try_for_each(|path| self.restore_one(fs, path, texts, Whose::Roots))
    }

    /// Leaves to the switch what going back takes care of by itself.
    pub fn leave_to(&mut self, before: &Before) {
        self.parts.retain(|path, _| !is_the_switchs(path, Some(before)));
    }

    /// Brings back paths that are not as they were; what went wrong at which.
    pub fn restore(
        &self,
        fs: &mut dyn GuestFs,
        changed: &Changed,
        texts: &Texts,
    ) -> Vec<(Whose, String)> {
        let roots = changed.roots.iter().map(|path| (Whose::Roots, path));
        let users = changed.users.iter().map(|path| (Whose::Users, path));
        let mut failed = Vec::new();
        for (whose, path) in roots.chain(users) {
            if let Err(error) = self.restore_one(fs, path, texts, whose) {
                failed.push((whose, format!("`{path}`: {}", error.refusal("").message)));
            }
        }
        failed
    }

    fn restore_one(
        &self,
        fs: &mut dyn GuestFs,
        path: &str,
        texts: &Texts,
        whose: Whose,
    ) -> Result<(), GuestError> {
        match self.parts.get(path) {
            _ if self.rows.has(path) => self.rows.restore(fs, path, texts)?,
            // What it holds is others': it is never made anew.
            Some(&Part::Directory { uid, gid, mode }) if FOLDERS.contains(&path) => {
                fs.set_access(path, Ids { uid, gid, mode })?;
            }
            Some(part) => {
                part.put(fs, path, texts, whose)?;
                if part.is_directory() && is_door(path) {
                    fs.remove_unnamed(path)?;
                }
            }
            None => Part::Absent.put(fs, path, texts, whose)?,
        }
        let folder = split(path).0;
        match fs.stat(folder)? {
            // Owner and mode, too: they were set after the file's own fsync.
            Some(stat) if stat.kind == Kind::Directory => Ok(fs.sync_all(folder)?),
            _ => Ok(()),
        }
    }

    /// What is not as it was. Whatever cannot be looked at is not.
    pub fn differences(&self, fs: &mut dyn GuestFs, before: Option<&Before>) -> Changed {
        let mut changed = Changed::default();
        for (path, was) in &self.parts {
            let now = Part::of(fs, path).ok().flatten().map(|(part, _)| part);
            let is_folder = was.is_directory() && now.as_ref().is_some_and(Part::is_directory);
            let is_walked = is_folder && is_door(path);
            let names = if is_walked { fs.list_text(path).ok() } else { Some((Vec::new(), false)) };
            let is_same = names.as_ref().is_some_and(|names| !names.1) && now.as_ref() == Some(was);
            let (names, has_unnamed) = names.unwrap_or_default();
            if has_unnamed {
                changed.unnamed.push(path.clone());
            }
            match self.users.contains(path) {
                _ if is_same => {}
                true => changed.users.push(path.clone()),
                false => changed.roots.push(path.clone()),
            }
            let extra = names.into_iter().map(|name| format!("{path}/{name}"));
            let is_extra =
                |path: &String| !self.parts.contains_key(path) && !is_the_switchs(path, before);
            changed.roots.extend(extra.filter(is_extra));
        }
        changed.roots.extend(self.rows.differences(fs));
        changed
    }

    /// Whether a copy of it may stay when it is taken back: not of what logs somebody in by itself.
    pub fn may_be_copied(&self, path: &str) -> bool {
        let is_public = path.rsplit('.').next() == Some("pub");
        let is_host_key = path.starts_with(HOST_KEYS) && !is_public;
        !is_host_key && !self.rows.has(path)
    }

    pub fn is_of_accounts(&self, path: &str) -> bool {
        self.rows.has(path)
    }

    /// Whether all that is below a path goes when it comes back.
    pub fn is_cleared(&self, path: &str) -> bool {
        !self.parts.get(path).is_some_and(Part::is_directory)
    }
}

impl Changed {
    pub fn paths(&self) -> impl Iterator<Item = &String> {
        self.roots.iter().chain(&self.users)
    }
}

/// What is at paths as they are looked at.
#[derive(Default)]
struct Taken {
    parts: BTreeMap<String, Part>,
    users: BTreeSet<String>,
    texts: Texts,
}

impl Taken {
    /// Keeps what is at a path. What users have there that cannot be kept is passed over.
    fn add(&mut self, fs: &mut dyn GuestFs, path: &str, whose: Whose) -> Result<(), GuestError> {
        let found = match Part::of(fs, path) {
            Err(error) if whose == Whose::Roots => return Err(error),
            found => found.ok().flatten(),
        };
        let kept = found.filter(|(part, text)| match part {
            Part::File { sha256, .. } => self.texts.add(*sha256, text),
            _ => true,
        });
        match (kept, whose) {
            (None, Whose::Roots) => return Err(unfit(path)),
            (None, Whose::Users) => {}
            (Some((part, _)), _) => {
                self.parts.insert(path.to_owned(), part);
                if whose == Whose::Users {
                    self.users.insert(path.to_owned());
                }
            }
        }
        Ok(())
    }

    fn take(&mut self, fs: &mut dyn GuestFs, path: &str) -> Result<(), GuestError> {
        if is_ours(path) {
            return Ok(());
        }
        self.add(fs, path, Whose::Roots)?;
        if self.parts[path].is_directory() {
            for name in fs.list(path)? {
                self.take(fs, &format!("{path}/{name}"))?;
            }
        }
        Ok(())
    }

    /// Of a home itself only who may write to it is the door's.
    fn take_home(&mut self, fs: &mut dyn GuestFs, user: &User) -> Result<(), GuestError> {
        let home = &user.home;
        // A home behind a symlink, or none, is nothing that we follow.
        let Ok(Some(stat)) = fs.stat(home) else { return Ok(()) };
        if stat.kind != Kind::Directory || home == "/" {
            return Ok(());
        }
        let whose = if user.uid == 0 { Whose::Roots } else { Whose::Users };
        self.add(fs, home, whose)?;
        for name in OF_HOME {
            self.add(fs, &format!("{home}/{name}"), whose)?;
        }
        let ssh = format!("{home}/{SSH_OF_HOME}");
        // One that is made meanwhile keeps nobody out, and is not ours to remove.
        if !matches!(fs.stat(&ssh), Ok(None)) {
            self.add(fs, &ssh, whose)?;
        }
        // Behind a symlink of a user's own is nothing that we follow either.
        if self.parts.get(&ssh).is_none_or(Part::is_directory) {
            for name in OF_SSH {
                self.add(fs, &format!("{ssh}/{name}"), whose)?;
            }
        }
        Ok(())
    }
}

/// Those who log in: root, who has a file of keys, and who has keys at home, as on a guest that stackc has not been to.
fn people(fs: &mut dyn GuestFs) -> Result<BTreeMap<String, User>, GuestError> {
    let mut names: BTreeSet<String> = fs.list(KEYS)?.into_iter().collect();
    names.insert("root".to_owned());
    let mut people = Accounts::read(fs)?.into_users();
    people.retain(|name, user| {
        let keys = format!("{}/{SSH_OF_HOME}/{}", user.home, OF_SSH[0]);
        names.contains(name) || matches!(fs.stat(&keys), Ok(Some(_)))
    });
    Ok(people)
}

/// Whether going back takes care of a path by itself.
fn is_the_switchs(path: &str, before: Option<&Before>) -> bool {
    let is_its = |before: &Before| {
        let placed = path.parse().is_ok_and(|path| before.paths.contains_key(&path));
        placed || before.created.contains(path)
    };
    is_ours(path) || before.is_some_and(is_its)
}

/// What is prepared beside its path is named after us, and hidden: nothing that reads whole folders takes it for its own.
fn is_ours(path: &str) -> bool {
    let name = split(path).1;
    name.starts_with(".stackc-") && name.strip_suffix(".tmp").is_some()
}

fn is_at_or_below(path: &str, folder: &str) -> bool {
    path.strip_prefix(folder).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}

pub fn is_door(path: &str) -> bool {
    PATHS.iter().any(|door| is_at_or_below(path, door))
}
