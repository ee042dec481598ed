//! Secret values, told apart from the settings beside them, and hidden wherever they are quoted.

use crate::model::{Encoder, Entry, EntryPath, Manifest, Part};
use std::collections::BTreeSet;

/// Shorter ones would hide half of every log, and are no secrets.
const CHARS_MIN: usize = 4;
const HIDDEN: &str = "[secret]";

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

    /// The values in a file, by each manifest that describes it; all of its lines when none does.
    pub fn add_file(&mut self, path: &str, text: &str, manifests: &[Manifest]) {
        let described = manifests.iter().filter_map(|manifest| {
            let path: EntryPath = format!("rootfs{path}").parse().ok()?;
            match manifest.entries.get(&path)? {
                Entry::Secret { parts, encoder, .. } => values(*encoder, parts, text),
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

/// The secret values in a text that these parts made; none when they made another.
fn values(encoder: Encoder, parts: &[Part], text: &str) -> Option<Vec<String>> {
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
                let value = &rest[..end];
                values.push(if encoder == Encoder::Redis {
                    redis_value(value)?
                } else {
                    value.to_owned()
                });
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

/// The value of a quoted argument of Redis's configuration, as `vault` writes it.
fn redis_value(argument: &str) -> Option<String> {
    let quoted = argument.strip_prefix('"')?.strip_suffix('"')?;
    let (mut bytes, mut rest) = (Vec::new(), quoted.bytes());
    while let Some(byte) = rest.next() {
        if byte != b'\\' {
            bytes.push(byte);
            continue;
        }
        match rest.next()? {
            b'x' => {
                let digits = [rest.next()?, rest.next()?];
                bytes.push(u8::from_str_radix(std::str::from_utf8(&digits).ok()?, 16).ok()?);
            }
            other => bytes.push(other),
        }
    }
    String::from_utf8(bytes).ok()
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
        let values = values(Encoder::Env, &parts, text).expect("the parts made it");
        assert_eq!(values, ["it is $5", "a\"b\nc\\d"]);
    }

    #[test]
    fn a_password_of_redis_is_known_as_what_it_is_and_not_as_it_is_written() {
        let secret = Part::Secret("app/secret".parse().expect("it is a secret's name"));
        let parts =
            [Part::Literal("requirepass ".to_owned()), secret, Part::Literal("\n".to_owned())];
        let text = "requirepass \"a\\\"b\\\\c\\x0ad\\xc3\\xb6\"\n";
        let values = values(Encoder::Redis, &parts, text).expect("the parts made it");
        assert_eq!(values, ["a\"b\\c\nd\u{f6}"]);
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
