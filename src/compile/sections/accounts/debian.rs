//! Accounts that a guest has without any package of its definition.

use std::{collections::BTreeMap, sync::LazyLock};

/// What a name is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Account {
    User,
    Group,
    /// A user with a group of the same name.
    Both,
}

/// Each with whether every image has it.
static ACCOUNTS: LazyLock<BTreeMap<&str, (Account, bool)>> = LazyLock::new(|| {
    let lines = include_str!("debian.txt").lines().filter(|line| !line.starts_with('#'));
    let entry = |line: &'static str| {
        let mut words = line.split(' ');
        let (name, account) = (words.next()?, account(words.next()?)?);
        Some((name, (account, words.next().is_none())))
    };
    lines.filter_map(entry).collect()
});

fn account(word: &str) -> Option<Account> {
    match word {
        "user" => Some(Account::User),
        "group" => Some(Account::Group),
        "both" => Some(Account::Both),
        _ => None,
    }
}

/// The account of a name.
pub fn of(name: &str) -> Option<Account> {
    ACCOUNTS.get(name).map(|(account, _)| *account)
}

/// Whether every guest has it, so that no definition makes it.
pub fn is_everywhere(name: &str) -> bool {
    ACCOUNTS.get(name).is_some_and(|(_, is_everywhere)| *is_everywhere)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_line_of_the_table_is_read() {
        let lines = include_str!("debian.txt").lines().filter(|line| !line.starts_with('#'));
        let names: Vec<_> = lines.filter_map(|line| line.split(' ').next()).collect();
        assert!(names.is_sorted() && names.len() == ACCOUNTS.len(), "{names:?}");
        assert_eq!(of("nobody"), Some(Account::User));
        assert!(is_everywhere("www-data") && !is_everywhere("postfix"));
    }
}
