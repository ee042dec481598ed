//! Property strings, `key=value,…`: how Proxmox writes an option that has parts. Source: `PVE::JSONSchema::parse_property_string`.

use std::{collections::BTreeMap, fmt::Display};

/// The parts of a property string. A first part without a key, such as a volume id, has the empty key.
pub fn parse(text: &str) -> BTreeMap<&str, &str> {
    let parts = text.split(',').map(str::trim).filter(|part| !part.is_empty());
    parts.map(|part| part.split_once('=').unwrap_or(("", part))).collect()
}

/// A property string under construction: what Proxmox puts first, then the other parts sorted by their keys, as it stores
/// them.
#[derive(Debug)]
#[must_use]
pub struct Property {
    first: String,
    rest: BTreeMap<String, String>,
}

impl Property {
    pub fn new(first: impl Into<String>) -> Self {
        Self { first: first.into(), rest: BTreeMap::new() }
    }

    pub fn set(mut self, key: &str, value: impl Display) -> Self {
        self.rest.insert(key.to_owned(), value.to_string());
        self
    }

    /// The same, when there is a value.
    pub fn maybe(self, key: &str, value: Option<impl Display>) -> Self {
        match value {
            Some(value) => self.set(key, value),
            None => self,
        }
    }

    pub fn text(self) -> String {
        let rest = self.rest.iter().map(|(key, value)| format!("{key}={value}"));
        std::iter::once(self.first).chain(rest).collect::<Vec<_>>().join(",")
    }
}

/// A flag as Proxmox writes it.
pub fn digit(on: bool) -> String {
    u8::from(on).to_string()
}
