//! Users and groups by name, read from the guest's own files: a static program has no name service.

use super::error::GuestError;
use super::fs::{GuestFs, Ids};
use super::system::Command;
use crate::model::{Access, Owner};
use std::collections::BTreeMap;

/// The guest's local users and groups.
#[derive(Debug, Clone, Default)]
pub struct Accounts {
    users: BTreeMap<String, User>,
    groups: BTreeMap<String, u32>,
}

/// A line of /etc/passwd.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct User {
    pub uid: u32,
    pub gid: u32,
    pub home: String,
}

impl Accounts {
    pub fn read(fs: &mut dyn GuestFs) -> Result<Self, GuestError> {
        let passwd = fs.read("/etc/passwd")?;
        let group = fs.read("/etc/group")?;
        Ok(Self::parse(&String::from_utf8_lossy(&passwd), &String::from_utf8_lossy(&group)))
    }

    /// Lines that are not accounts are passed over, as getpwent(3) does.
    fn parse(passwd: &str, group: &str) -> Self {
        let user = |line: &str| {
            let fields: Vec<&str> = line.split(':').collect();
            let home = fields.get(5)?.to_string();
            let user = User { uid: fields[2].parse().ok()?, gid: fields[3].parse().ok()?, home };
            Some((fields[0].to_owned(), user))
        };
        let group_of = |line: &str| {
            let fields: Vec<&str> = line.split(':').collect();
            Some((fields[0].to_owned(), fields.get(2)?.parse().ok()?))
        };
        Self {
            users: passwd.lines().filter_map(user).collect(),
            groups: group.lines().filter_map(group_of).collect(),
        }
    }

    pub fn user(&self, name: &Owner) -> Result<&User, GuestError> {
        let unknown = || GuestError::Owner { what: "user", name: name.to_string() };
        self.users.get(name.as_str()).ok_or_else(unknown)
    }

    pub fn into_users(self) -> BTreeMap<String, User> {
        self.users
    }

    /// The numbers for an access by name. An unknown name is refused: it never becomes root.
    pub fn ids(&self, access: &Access) -> Result<Ids, GuestError> {
        let unknown = || GuestError::Owner { what: "group", name: access.group.to_string() };
        let gid = *self.groups.get(access.group.as_str()).ok_or_else(unknown)?;
        Ok(Ids { uid: self.user(&access.owner)?.uid, gid, mode: access.mode.bits() })
    }
}

impl Accounts {
    /// Mode and owners in words: names, where the guest has them.
    pub fn words(&self, ids: Ids) -> String {
        let user = self.users.iter().find(|(_, user)| user.uid == ids.uid);
        let group = self.groups.iter().find(|(_, gid)| **gid == ids.gid);
        let user = user.map_or_else(|| ids.uid.to_string(), |(name, _)| name.clone());
        let group = group.map_or_else(|| ids.gid.to_string(), |(name, _)| name.clone());
        format!("{:04o} {user}:{group}", ids.mode)
    }
}

/// The command as a user's login runs it.
pub fn as_user(
    fs: &mut dyn GuestFs,
    name: &Owner,
    command: Command,
) -> Result<Command, GuestError> {
    let User { home, gid, .. } = Accounts::read(fs)?.user(name)?.clone();
    let name = name.to_string();
    let mut command = Command { user: Some(name.clone()), group: Some(gid), ..command };
    for (key, value) in [("HOME", home), ("USER", name.clone()), ("LOGNAME", name)] {
        command.environment.insert(key.to_owned(), value);
    }
    Ok(command)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn accounts() -> Accounts {
        Accounts::parse(
            "root:x:0:0:root:/root:/bin/bash\nbroken\napp:x:998:997::/srv/app:/bin/sh\n",
            "root:x:0:\napp:x:997:root\n",
        )
    }

    fn access(owner: &str, group: &str) -> Access {
        let name = |text: &str| text.parse().expect("it is a name");
        Access { mode: crate::model::Mode::FILE, owner: name(owner), group: name(group) }
    }

    #[test]
    fn names_become_the_guests_numbers() {
        let ids = accounts().ids(&access("app", "root")).expect("both are known");
        assert_eq!(ids, Ids { uid: 998, gid: 0, mode: 0o644 });
    }

    #[test]
    fn an_unknown_name_never_becomes_root() {
        let error = accounts().ids(&access("app", "ghost")).expect_err("no such group");
        assert_eq!(
            error.to_string(),
            "the guest has no group `ghost`; the bundle's sysusers files make it, or a package"
        );
        assert!(accounts().ids(&access("ghost", "root")).is_err());
    }
}
