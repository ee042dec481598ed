//! What Debian and its packages bring that definitions may name: users and groups.

use super::foreign::{Packages, Presence};
use crate::compile::sections::accounts::debian::{self, Account};

/// Accounts of other packages that are not named after them.
const ACCOUNTS: [(&str, &[&str]); 7] = [
    ("default-mysql-server", &["mysql"]),
    ("dovecot-core", &["dovenull"]),
    ("exim4-daemon-light", &["Debian-exim"]),
    ("libvirt-daemon-system", &["libvirt-qemu"]),
    ("slapd", &["openldap"]),
    ("squid", &["proxy"]),
    ("tor", &["debian-tor"]),
];

impl Packages {
    /// Whether Debian or a package makes a user.
    pub fn user(&self, name: &str) -> Presence {
        self.account(name, Account::User)
    }

    /// Whether Debian or a package makes a group.
    pub fn group(&self, name: &str) -> Presence {
        self.account(name, Account::Group)
    }

    fn account(&self, name: &str, wanted: Account) -> Presence {
        match debian::of(name) {
            _ if self.first_user.as_deref() == Some(name) => Presence::Here,
            Some(account) if account == wanted || account == Account::Both => Presence::Here,
            Some(_) => Presence::Absent,
            None => self.account_of_packages(name, wanted == Account::User),
        }
    }

    fn account_of_packages(&self, name: &str, is_user: bool) -> Presence {
        let (known, others) = self.split();
        let makes = |brought: &super::foreign::Brought| {
            brought.users.contains(&name) || !is_user && brought.groups.contains(&name)
        };
        let bare = name.trim_start_matches('_');
        if known.iter().any(|(_, brought)| makes(brought))
            || others.iter().any(|package| is_named_after(bare, package, &ACCOUNTS))
        {
            Presence::Here
        } else if self.are_known() || known.iter().any(|(package, _)| *package == name) {
            // A package of which all is known takes its own name for no account that another one would make.
            Presence::Absent
        } else {
            Presence::Perhaps
        }
    }
}

/// `redis` and `redis-server` are both of the package `redis-server`, and so is `redis-server-x`.
pub fn is_named_after(name: &str, package: &str, exceptions: &[(&str, &[&str])]) -> bool {
    let begins = |long: &str, short: &str| {
        long.strip_prefix(short).is_some_and(|rest| rest.is_empty() || rest.starts_with('-'))
    };
    let is_listed =
        |(listed, names): &(&str, &[&str])| begins(package, listed) && names.contains(&name);
    begins(package, name) || begins(name, package) || exceptions.iter().any(is_listed)
}
