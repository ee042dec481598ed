//! The rows of those who log in, in the files of accounts. Other rows are nobody's business here.

use super::super::account::User;
use super::super::error::GuestError;
use super::super::fs::{GuestFs, Ids, mkdir_all, remove_tree, split};
use super::part::{Part, write};
use super::texts::{Texts, unfit};
use crate::model::Digest;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// Where a row for each account says who it is, and whether and how it may log in.
const ACCOUNTS: [&str; 2] = ["/etc/passwd", "/etc/shadow"];
/// Where a row for each group says who is in it, as sshd and sudo may ask.
const GROUPS: [&str; 2] = ["/etc/group", "/etc/gshadow"];
/// As whom sshd talks to those who are not in yet. Source: sshd(8).
const SSHD: &[u8] = b"sshd";
/// Every one of the files has a row of this name.
const ROOT: &[u8] = b"root";

/// A file of accounts.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Table {
    /// The file as a whole, which is only needed when there is none any more.
    whole: Part,
    /// Hashes of rows by account.
    rows: BTreeMap<String, Digest>,
}

/// The files that there are.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Rows {
    tables: BTreeMap<String, Table>,
}

impl Rows {
    /// Takes the rows down. What there is no room for is told by its file's name.
    pub fn look(
        fs: &mut dyn GuestFs,
        people: &BTreeMap<String, User>,
        texts: &mut Texts,
    ) -> Result<Self, GuestError> {
        let mut tables = BTreeMap::new();
        for file in ACCOUNTS.into_iter().chain(GROUPS) {
            let (whole, text) = match Part::of(fs, file)? {
                Some((Part::Absent, _)) => continue,
                Some((whole @ Part::File { sha256, .. }, text)) if texts.add(sha256, &text) => {
                    (whole, text)
                }
                _ => return Err(unfit(file)),
            };
            let is_group = GROUPS.contains(&file);
            let is_known = |row: &&[u8]| {
                is_one_of(name_in(row), people) || is_group && is_group_of(row, people)
            };
            let mut rows = BTreeMap::new();
            for row in lines(&text).filter(is_known) {
                // The first of two by a name counts, for getpwnam(3) too. One that is no text is nobody's.
                let Ok(name) = std::str::from_utf8(name_in(row)) else { continue };
                let hash = Digest::of(row);
                rows.entry(name.to_owned()).or_insert(hash);
                if !texts.add(hash, row) {
                    return Err(unfit(file));
                }
            }
            tables.insert(file.to_owned(), Table { whole, rows });
        }
        Ok(Self { tables })
    }

    /// Files that are none any more, have other owners, or in which a row is not as it was.
    pub fn differences(&self, fs: &mut dyn GuestFs) -> Vec<String> {
        let mut changed = Vec::new();
        for (file, table) in &self.tables {
            let same = match Part::of(fs, file) {
                Ok(Some((now, text))) => access(&now) == access(&table.whole) && table.is_in(&text),
                _ => false,
            };
            if !same {
                changed.push(file.clone());
            }
        }
        changed
    }

    /// Brings back the rows of a file of accounts.
    pub fn restore(
        &self,
        fs: &mut dyn GuestFs,
        file: &str,
        texts: &Texts,
    ) -> Result<(), GuestError> {
        let Some(Table { whole: Part::File { uid, gid, mode, sha256 }, rows }) =
            self.tables.get(file)
        else {
            return Ok(());
        };
        let rows: Vec<&[u8]> =
            rows.values().map(|hash| texts.get(*hash)).collect::<Result<_, _>>()?;
        let has_root = |text: &Vec<u8>| lines(text).any(|row| name_in(row) == ROOT);
        let text = match Part::of(fs, file) {
            Ok(Some((Part::File { .. }, text))) if has_root(&text) => text,
            // Nobody could log in, nor anything start, by these rows alone; what was emptied is no file of accounts either.
            found => {
                if !matches!(found, Ok(Some((Part::File { .. }, _)))) {
                    remove_tree(fs, file)?;
                }
                mkdir_all(fs, split(file).0, 0o755)?;
                texts.get(*sha256)?.to_vec()
            }
        };
        write(fs, file, &with_rows(&text, &rows), Ids { uid: *uid, gid: *gid, mode: *mode })
    }

    pub fn has(&self, file: &str) -> bool {
        self.tables.contains_key(file)
    }
}

impl Table {
    fn is_in(&self, text: &[u8]) -> bool {
        self.rows.iter().all(|(name, hash)| {
            let first = lines(text).find(|row| name_in(row) == name.as_bytes());
            first.is_some_and(|row| Digest::of(row) == *hash)
        })
    }
}

fn access(part: &Part) -> Option<[u32; 3]> {
    match *part {
        Part::File { uid, gid, mode, .. } => Some([uid, gid, mode]),
        _ => None,
    }
}

fn lines(text: &[u8]) -> impl Iterator<Item = &[u8]> {
    text.split(|byte| *byte == b'\n').filter(|line| !line.is_empty())
}

fn fields(row: &[u8]) -> impl Iterator<Item = &[u8]> {
    row.split(|byte| *byte == b':')
}

fn name_in(row: &[u8]) -> &[u8] {
    fields(row).next().unwrap_or_default()
}

fn is_one_of(name: &[u8], people: &BTreeMap<String, User>) -> bool {
    name == SSHD || people.keys().any(|person| person.as_bytes() == name)
}

/// Whether somebody of them is in a group: as their own, or among its members, which are the last field.
fn is_group_of(row: &[u8], people: &BTreeMap<String, User>) -> bool {
    let members = fields(row).last().unwrap_or_default().split(|byte| *byte == b',');
    let number = fields(row).nth(2).and_then(|gid| std::str::from_utf8(gid).ok()?.parse().ok());
    members.into_iter().any(|name| is_one_of(name, people))
        || people.values().any(|user| Some(user.gid) == number)
}

/// The text with these rows; every other row stays.
fn with_rows(text: &[u8], rows: &[&[u8]]) -> Vec<u8> {
    let mut all: Vec<&[u8]> = lines(text).collect();
    for row in rows {
        match all.iter().position(|line| name_in(line) == name_in(row)) {
            Some(at) => all[at] = row,
            None => all.push(row),
        }
    }
    all.iter().flat_map(|line| [line, &b"\n"[..]].concat()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn people() -> BTreeMap<String, User> {
        let user = |gid| User { uid: gid, gid, home: String::new() };
        [("root", 0), ("ops", 1000)].map(|(name, gid)| (name.to_owned(), user(gid))).into()
    }

    #[test]
    fn rows_of_who_logs_in_come_back_and_those_of_others_stay_whatever_bytes_they_have() {
        let rows: [&[u8]; 2] = [b"ops:x:9::::::", b"root:*:1::::::"];
        let changed = b"root:!:1::::1::\nsvc:\xff:2::::::\n";
        let back = b"root:*:1::::::\nsvc:\xff:2::::::\nops:x:9::::::\n";
        assert_eq!(with_rows(changed, &rows), back);
        let same = b"ops:x:9::::::\nroot:*:1::::::\n";
        assert_eq!(with_rows(same, &rows), same);
    }

    #[test]
    fn groups_are_known_by_their_members_and_by_those_whose_own_they_are() {
        let of = |row: &str| is_group_of(row.as_bytes(), &people());
        let known = ["root:x:0:", "sudo:x:27:app,ops", "team:x:1000:"];
        assert_eq!(known.map(of), [true; 3]);
        assert_eq!(["app:x:998:app", "adm:x:4:syslog,opsx", ""].map(of), [false; 3]);
    }
}
