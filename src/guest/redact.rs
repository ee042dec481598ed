//! Secret values hidden in what leaves the guest: logs of builds, migrations and units may quote them.

use super::error::GuestError;
use super::fs::{GuestFs, Kind};
use super::store;
use crate::model::layout::STATE;
use crate::model::protocol::Refusal;
use crate::model::{Entry, EntryPath, Manifest, Part};
use std::collections::BTreeSet;

/// Shorter ones would hide half of every log, and are no secrets.
const CHARS_MIN: usize = 4;
const HIDDEN: &str = "[secret]";
/// Stands for lines in which no value can be hidden, because they cannot be known.
const KEPT_BACK: &str = "the log stays on the guest: its secret files cannot be read, so that their values cannot be hidden in it";

/// Values to hide. Not `Debug`: it holds them.
#[derive(Default)]
pub struct SecretValues {
    values: BTreeSet<String>,
}

impl SecretValues {
    pub fn of<'v>(values: impl Iterator<Item = &'v String>) -> Self {
        let mut secrets = Self::default();
        for value in values {
            secrets.add(value);
            // As SQL quotes it.
            secrets.add(&value.replace('\'', "''"));
        }
        secrets
    }

    /// Every value in every secret file of the guest, of whatever version.
    pub fn on_guest(fs: &mut dyn GuestFs) -> Result<Self, GuestError> {
        let manifests = manifests(fs)?;
        let mut secrets = Self::default();
        for version in fs.list(&format!("{STATE}/secrets"))? {
            secrets.add_files(fs, &format!("{STATE}/secrets/{version}"), "", &manifests)?;
        }
        Ok(secrets)
    }

    fn add_files(
        &mut self,
        fs: &mut dyn GuestFs,
        folder: &str,
        below: &str,
        manifests: &[Manifest],
    ) -> Result<(), GuestError> {
        for name in fs.list(&format!("{folder}{below}"))? {
            let path = format!("{below}/{name}");
            let at = format!("{folder}{path}");
            match fs.stat(&at)?.map(|stat| stat.kind) {
                Some(Kind::Directory) => self.add_files(fs, folder, &path, manifests)?,
                Some(Kind::File) => {
                    self.add_file(&path, &String::from_utf8_lossy(&fs.read(&at)?), manifests);
                }
                _ => {}
            }
        }
        Ok(())
    }

    /// The values in a file, by each manifest that describes it; all of its lines when none does.
    fn add_file(&mut self, path: &str, text: &str, manifests: &[Manifest]) {
        let described = manifests.iter().filter_map(|manifest| {
            let path: EntryPath = format!("rootfs{path}").parse().ok()?;
            match manifest.entries.get(&path)? {
                Entry::Secret { parts, .. } => values(parts, text),
                _ => None,
            }
        });
        let mut values: Vec<String> = described.flatten().collect();
        if values.is_empty() {
            let lines = text.lines();
            values =
                lines.map(|line| line.split_once('=').map_or(line, |(_, v)| v).into()).collect();
        }
        for value in &values {
            self.add(value);
            self.add(url_password(value).unwrap_or_default());
        }
    }

    /// A value of many lines is shown in many lines.
    fn add(&mut self, value: &str) {
        let lines = value.lines().map(str::trim);
        let long = lines.filter(|line| line.chars().count() >= CHARS_MIN);
        self.values.extend(long.map(ToOwned::to_owned));
    }

    /// The text with every value hidden; one that is part of another does not show the rest of it.
    pub fn hide(&self, text: &str) -> String {
        let mut values: Vec<&String> = self.values.iter().collect();
        values.sort_by_key(|value| std::cmp::Reverse(value.len()));
        values.iter().fold(text.to_owned(), |text, value| text.replace(value.as_str(), HIDDEN))
    }
}

/// A refusal as it may leave the guest.
pub fn refusal(fs: &mut dyn GuestFs, refusal: Refusal) -> Refusal {
    Refusal { details: lines(fs, refusal.details), ..refusal }
}

/// Log lines as they may leave the guest; one line instead of them when the values to hide cannot be read.
pub fn lines(fs: &mut dyn GuestFs, lines: Vec<String>) -> Vec<String> {
    if lines.is_empty() {
        return lines;
    }
    match SecretValues::on_guest(fs) {
        Ok(secrets) => lines.iter().map(|line| secrets.hide(line)).collect(),
        Err(_) => vec![KEPT_BACK.to_owned()],
    }
}

/// Manifests of the store. A damaged tree tells nothing; the files that it described are hidden whole.
fn manifests(fs: &mut dyn GuestFs) -> Result<Vec<Manifest>, GuestError> {
    let names = fs.list(&format!("{STATE}/store"))?;
    let digests = names.iter().filter_map(|name| name.parse().ok());
    Ok(digests.filter_map(|digest| store::manifest(fs, &digest).ok()).collect())
}

/// The secret values in a text that these parts made; none when they made another.
fn values(parts: &[Part], text: &str) -> Option<Vec<String>> {
    let mut rest = text;
    let mut values = Vec::new();
    for (number, part) in parts.iter().enumerate() {
        match part {
            Part::Literal(literal) => rest = rest.strip_prefix(literal.as_str())?,
            Part::Secret(_) => {
                let end = match parts.get(number + 1) {
                    Some(Part::Literal(next)) => rest.find(next.as_str())?,
                    _ => rest.len(),
                };
                values.push(rest[..end].to_owned());
                rest = &rest[end..];
            }
            Part::Variable { key, .. } => {
                let quoted = rest.strip_prefix(key.as_str())?.strip_prefix('=')?;
                let (value, after) = unquote(quoted)?;
                values.push(value);
                rest = after;
            }
        }
    }
    Some(values)
}

/// The password in a URL: drivers quote it alone. Source: RFC 3986 §3.2.1.
fn url_password(value: &str) -> Option<&str> {
    let (_, rest) = value.split_once("://")?;
    let authority = rest.split(['/', '?', '#']).next()?;
    let (user, _) = authority.rsplit_once('@')?;
    user.split_once(':').map(|(_, password)| password)
}

/// The value that an env file's line holds, and what follows the line.
fn unquote(text: &str) -> Option<(String, &str)> {
    if let Some(text) = text.strip_prefix('\'') {
        let (value, rest) = text.split_once('\'')?;
        return Some((value.to_owned(), rest.strip_prefix('\n').unwrap_or(rest)));
    }
    let Some(text) = text.strip_prefix('"') else {
        let (value, rest) = text.split_once('\n').unwrap_or((text, ""));
        return Some((value.to_owned(), rest));
    };
    let mut value = String::new();
    let mut chars = text.char_indices();
    while let Some((at, c)) = chars.next() {
        match c {
            '"' => {
                let rest = &text[at + 1..];
                return Some((value, rest.strip_prefix('\n').unwrap_or(rest)));
            }
            '\\' => value.push(chars.next()?.1),
            c => value.push(c),
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    fn variable(key: &str) -> Part {
        let secret = "app/secret".parse().expect("it is a secret's name");
        Part::Variable { key: key.to_owned(), secret }
    }

    #[test]
    fn values_are_read_back_from_an_env_file_and_settings_are_not() {
        let parts = [Part::Literal("PORT=3000\n".to_owned()), variable("A"), variable("B")];
        let text = "PORT=3000\nA='it is $5'\nB=\"a\\\"b\nc\\\\d\"\n";
        let values = values(&parts, text).expect("the parts made it");
        assert_eq!(values, ["it is $5", "a\"b\nc\\d"]);
    }

    #[test]
    fn values_are_hidden_wherever_they_stand_and_in_every_line() {
        let passwords =
            ["swordfish".to_owned(), "swordfish-2".to_owned(), "key 1\nkey 2".to_owned()];
        let secrets = SecretValues::of(passwords.iter());
        assert_eq!(
            secrets.hide("at 'swordfish-2' and swordfish: key 2"),
            "at '[secret]' and [secret]: [secret]"
        );
    }

    #[test]
    fn a_file_that_no_manifest_describes_is_hidden_whole() {
        let mut secrets = SecretValues::default();
        let text = "URL=postgres://app:canary-1@db/app\ncanary-2\n";
        secrets.add_file("/etc/app/env", text, &[]);
        assert_eq!(secrets.hide("canary-1, canary-2, db"), "[secret], [secret], db");
    }
}
