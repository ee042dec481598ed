//! The file, its rights and its tables.

use super::VaultError;
use crate::model::{Digest, SecretName, SecretTags, SecretValue};
use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;
use std::{
    collections::{BTreeMap, BTreeSet},
    fs::OpenOptions,
    io::{self, Read},
    os::unix::fs::{MetadataExt, OpenOptionsExt},
    path::{Path, PathBuf},
};
use toml::de::{DeTable, DeValue};

/// Where the tag key stands in the file: it is no secret of any stack.
const TAG_KEY: &str = "tag_key";
/// More than any set of passwords and keys; a file beyond it is a mistake.
const FILE_BYTES_MAX: u64 = 4 << 20;

/// The secrets of a workspace, in memory.
pub struct Secrets {
    path: PathBuf,
    values: BTreeMap<SecretName, SecretValue>,
    tag_key: Option<[u8; 32]>,
}

impl Secrets {
    /// Reads a file of nested tables; `[shop.dev] database_url = "…"` is the secret `shop/dev/database_url`.
    ///
    /// # Errors
    /// When the file is not the caller's own or others can read it, and at the first line that is no secret.
    pub fn load(path: &Path) -> Result<Self, VaultError> {
        let text = read_private(path)?;
        let fault = |at: usize, fault: String| VaultError::Fault {
            path: path.to_owned(),
            line: text[..at.min(text.len())].matches('\n').count() + 1,
            fault,
        };
        let table = DeTable::parse(&text).map_err(|error| {
            let at = error.span().map_or(0, |span| span.start);
            fault(at, error.message().to_owned())
        })?;
        let mut values = BTreeMap::new();
        collect(table.get_ref(), "", &mut values).map_err(|(at, text)| fault(at, text))?;
        let tag_key = match values.remove(TAG_KEY) {
            None => None,
            Some((at, value)) => Some(parse_key(&value).ok_or_else(|| {
                fault(
                    at,
                    "`tag_key` must be 64 hexadecimal digits, the output of: openssl rand -hex 32"
                        .to_owned(),
                )
            })?),
        };
        let named = values.into_iter().map(|(name, (at, value))| {
            let name: SecretName = name.parse().map_err(|e| fault(at, format!("{e}")))?;
            Ok((name, value))
        });
        Ok(Self {
            path: path.to_owned(),
            values: named.collect::<Result<_, VaultError>>()?,
            tag_key,
        })
    }

    /// A secret's value.
    pub fn value(&self, name: &SecretName) -> Result<&SecretValue, VaultError> {
        self.values.get(name).ok_or_else(|| self.missing(vec![name.clone()]))
    }

    /// Names every secret that is not there, at once.
    pub fn require(&self, names: &BTreeSet<SecretName>) -> Result<(), VaultError> {
        let absent: Vec<_> =
            names.iter().filter(|n| !self.values.contains_key(n)).cloned().collect();
        if absent.is_empty() { Ok(()) } else { Err(self.missing(absent)) }
    }

    /// The tags of these secrets: HMAC-SHA-256 under the tag key over the name, a zero byte and the value.
    pub fn tags(&self, names: &BTreeSet<SecretName>) -> Result<SecretTags, VaultError> {
        self.require(names)?;
        if names.is_empty() {
            return Ok(SecretTags::new());
        }
        let key = self.tag_key.ok_or_else(|| VaultError::NoTagKey { path: self.path.clone() })?;
        names.iter().map(|name| Ok((name.clone(), tag(&key, name, self.value(name)?)))).collect()
    }

    fn missing(&self, names: Vec<SecretName>) -> VaultError {
        VaultError::Missing { path: self.path.clone(), names }
    }
}

fn tag(key: &[u8; 32], name: &SecretName, value: &SecretValue) -> Digest {
    let mut mac = Hmac::<Sha256>::new_from_slice(key).expect("HMAC takes keys of any length");
    mac.update(name.as_str().as_bytes());
    mac.update(&[0]);
    mac.update(value.expose().as_bytes());
    let bytes = mac.finalize().into_bytes();
    let hex: Vec<String> = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
    hex.concat().parse().expect("32 bytes in hex are a digest")
}

fn read_private(path: &Path) -> Result<String, VaultError> {
    let cannot = |cause: io::Error| match cause.kind() {
        io::ErrorKind::NotFound => VaultError::Absent { path: path.to_owned() },
        _ => VaultError::Read { path: path.to_owned(), cause },
    };
    let no_follow =
        i32::try_from((rustix::fs::OFlags::NOFOLLOW | rustix::fs::OFlags::NONBLOCK).bits())
            .expect("open flags fit an int");
    let mut file =
        OpenOptions::new().read(true).custom_flags(no_follow).open(path).map_err(cannot)?;
    let found = file.metadata().map_err(cannot)?;
    if !found.is_file() {
        return Err(VaultError::NotAFile { path: path.to_owned() });
    }
    let you = rustix::process::geteuid().as_raw();
    if found.uid() != you {
        return Err(VaultError::Owner { path: path.to_owned(), owner: found.uid(), you });
    }
    if found.mode() & 0o077 != 0 {
        return Err(VaultError::Mode { path: path.to_owned(), mode: found.mode() & 0o7777 });
    }
    if found.len() > FILE_BYTES_MAX {
        return Err(cannot(io::Error::new(io::ErrorKind::FileTooLarge, "it is bigger than 4 MiB")));
    }
    let mut text = String::new();
    file.read_to_string(&mut text).map_err(cannot)?;
    Ok(text)
}

type Found = BTreeMap<String, (usize, SecretValue)>;

fn collect(table: &DeTable<'_>, above: &str, found: &mut Found) -> Result<(), (usize, String)> {
    for (key, value) in table {
        let at = key.span().start;
        let name = if above.is_empty() {
            key.get_ref().to_string()
        } else {
            format!("{above}/{}", key.get_ref())
        };
        match value.get_ref() {
            DeValue::Table(inner) => collect(inner, &name, found)?,
            DeValue::String(text) => {
                if found.insert(name.clone(), (at, SecretValue::new(text.to_string()))).is_some() {
                    return Err((at, format!("`{name}` stands here a second time; keep one")));
                }
            }
            _ => {
                return Err((
                    at,
                    format!(
                        "`{name}` is neither a string nor a table; write \"…\" around its value"
                    ),
                ));
            }
        }
    }
    Ok(())
}

fn parse_key(value: &SecretValue) -> Option<[u8; 32]> {
    let hex = value.expose();
    if hex.len() != 64 || !hex.bytes().all(|b| b.is_ascii_hexdigit()) {
        return None;
    }
    let mut key = [0; 32];
    for (n, byte) in key.iter_mut().enumerate() {
        *byte = u8::from_str_radix(&hex[2 * n..2 * n + 2], 16).ok()?;
    }
    Some(key)
}
