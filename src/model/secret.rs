//! Secrets in memory: values that nothing prints, and tags that tell two values apart without telling either.

use super::{Digest, SecretName};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// A secret's value. It has neither `Debug` nor `Serialize`, so that no log and no document can hold one by accident.
#[derive(Clone, PartialEq, Eq)]
pub struct SecretValue(String);

impl SecretValue {
    pub fn new(text: String) -> Self {
        Self(text)
    }

    /// The value. Whoever calls this answers for where it goes.
    pub fn expose(&self) -> &str {
        &self.0
    }
}

/// HMAC-SHA-256 of a secret's name and value under a key that stays with the operators.
pub type SecretTag = Digest;

/// Which values of its secrets a generation has: equal tags, equal values.
pub type SecretTags = BTreeMap<SecretName, SecretTag>;

/// The name of one set of secret files on a guest: derived from the tags, so that equal secrets are sent once.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct SecretsVersion(pub Digest);

impl SecretsVersion {
    /// The version for these tags and these files' definition; no secrets make a version too, that of an empty set.
    pub fn of(tags: &SecretTags, manifest: &super::Manifest) -> Self {
        let files: BTreeMap<_, _> = manifest
            .overlay()
            .filter_map(|(path, entry)| match entry {
                super::Entry::Secret { access, encoder, parts } => Some((
                    path,
                    (access.mode, &access.owner, &access.group, *encoder, parts.clone()),
                )),
                _ => None,
            })
            .collect();
        Self(Digest::of(&super::canonical::to_bytes(&(tags, files))))
    }
}

impl std::fmt::Display for SecretsVersion {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.0.fmt(f)
    }
}
