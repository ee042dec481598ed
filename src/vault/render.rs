//! Secret files (class `S`), put together at activation.

use super::{Secrets, VaultError};
use crate::model::{Encoder, Entry, GuestPath, Manifest, Part, SecretName, protocol::SecretFile};
use std::collections::BTreeMap;

/// Every secret file of a bundle, with its text.
///
/// `encode` writes one line of an env file for a key and a value, or says why the value cannot stand there.
pub fn render<E: std::fmt::Display>(
    manifest: &Manifest,
    secrets: &Secrets,
    encode: impl Fn(&str, &str) -> Result<String, E>,
) -> Result<BTreeMap<GuestPath, SecretFile>, VaultError> {
    secrets.require(&manifest.secrets())?;
    let mut files = BTreeMap::new();
    for (path, entry) in manifest.overlay() {
        let Entry::Secret { access, encoder, parts } = entry else { continue };
        let mut text = String::new();
        for part in parts {
            match part {
                Part::Literal(literal) => text.push_str(literal),
                Part::Secret(name) if *encoder == Encoder::Redis => {
                    text.push_str(&redis_argument(secrets.value(name)?.expose()));
                }
                Part::Secret(name) => text.push_str(secrets.value(name)?.expose()),
                Part::Variable { key, secret } => {
                    text.push_str(&variable(&path, key, secret, secrets, &encode)?);
                }
            }
        }
        if *encoder == Encoder::Env && !text.ends_with('\n') && !text.is_empty() {
            text.push('\n');
        }
        files.insert(path, SecretFile { access: access.clone(), text });
    }
    Ok(files)
}

/// A quoted argument, of printable ASCII only. Source: Redis, `sdssplitargs` in src/sds.c.
fn redis_argument(value: &str) -> String {
    let quoted = |byte: u8| match byte {
        b'"' | b'\\' => format!("\\{}", char::from(byte)),
        b' '..=b'~' => char::from(byte).to_string(),
        _ => format!("\\x{byte:02x}"),
    };
    format!("\"{}\"", value.bytes().map(quoted).collect::<String>())
}

fn variable<E: std::fmt::Display>(
    file: &GuestPath,
    key: &str,
    name: &SecretName,
    secrets: &Secrets,
    encode: impl Fn(&str, &str) -> Result<String, E>,
) -> Result<String, VaultError> {
    let line = encode(key, secrets.value(name)?.expose()).map_err(|fault| VaultError::Unfit {
        name: name.clone(),
        file: file.clone(),
        key: key.to_owned(),
        fault: fault.to_string(),
    })?;
    Ok(if line.ends_with('\n') { line } else { format!("{line}\n") })
}

#[cfg(test)]
mod tests {
    use super::redis_argument;

    #[test]
    fn a_password_cannot_leave_its_line_of_redis_configuration() {
        assert_eq!(redis_argument("a\"b\\c\nd\u{f6} e"), r#""a\"b\\c\x0ad\xc3\xb6 e""#);
    }
}
