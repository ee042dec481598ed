//! The rows of those who log in, in the files of accounts. Other rows are nobody's business here.

use super::super::error::GuestError;
use super::super::fs::GuestFs;
use super::part::{Texts, write};
use crate::model::Digest;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// Where a row for each account says who it is, and whether and how it may log in.
const ACCOUNTS: [&str; 2] = ["/etc/passwd", "/etc/shadow"];

/// Hashes of rows by account, by file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Rows {
    rows: BTreeMap<String, BTreeMap<String, Digest>>,
}

impl Rows {
    pub fn look(
        fs: &mut dyn GuestFs,
        is_known: &dyn Fn(&str) -> bool,
        texts: &mut Texts,
    ) -> Result<Self, GuestError> {
        let mut rows = BTreeMap::new();
        for file in ACCOUNTS {
            let text = read(fs, file)?;
            let known = text.lines().filter(|row| is_known(name_in(row)));
            let known = known.map(|row| (name_in(row).to_owned(), texts.add(row)));
            rows.insert(file.to_owned(), known.collect());
        }
        Ok(Self { rows })
    }

    /// Files in which a row is not as it was.
    pub fn differences(&self, fs: &mut dyn GuestFs) -> Result<Vec<String>, GuestError> {
        let mut changed = Vec::new();
        for (file, rows) in &self.rows {
            let text = read(fs, file)?;
            let first = |name: &str| text.lines().find(|row| name_in(row) == name);
            let is_same = |(name, hash): (&String, &Digest)| {
                first(name).is_some_and(|row| Digest::of(row.as_bytes()) == *hash)
            };
            if !rows.iter().all(is_same) {
                changed.push(file.clone());
            }
        }
        Ok(changed)
    }

    /// Brings back the rows of a file; false when it is no file of accounts.
    pub fn restore(
        &self,
        fs: &mut dyn GuestFs,
        file: &str,
        texts: &Texts,
    ) -> Result<bool, GuestError> {
        let Some(rows) = self.rows.get(file) else { return Ok(false) };
        let rows: Vec<&str> =
            rows.values().map(|hash| texts.get(*hash)).collect::<Result<_, _>>()?;
        let text = with_rows(&read(fs, file)?, &rows);
        let ids = fs.stat(file)?.map(|stat| stat.ids);
        write(fs, file, &text, ids)?;
        Ok(true)
    }

    pub fn has(&self, file: &str) -> bool {
        self.rows.contains_key(file)
    }
}

fn read(fs: &mut dyn GuestFs, path: &str) -> Result<String, GuestError> {
    match fs.stat(path)? {
        Some(_) => Ok(String::from_utf8_lossy(&fs.read(path)?).into_owned()),
        None => Ok(String::new()),
    }
}

fn name_in(row: &str) -> &str {
    row.split(':').next().unwrap_or_default()
}

/// The text with these rows; every other row stays.
fn with_rows(text: &str, rows: &[&str]) -> String {
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
        let rows = ["ops:x:9::::::", "root:*:1::::::"];
        let changed = "root:!:1::::1::\nsvc:new:2::::::\n";
        assert_eq!(with_rows(changed, &rows), "root:*:1::::::\nsvc:new:2::::::\nops:x:9::::::\n");
        let same = "ops:x:9::::::\nroot:*:1::::::\n";
        assert_eq!(with_rows(same, &rows), same);
    }
}
