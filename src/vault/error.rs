//! What can be wrong with secrets. No message shows a value.

use crate::model::{GuestPath, SecretName};
use std::{io, path::PathBuf};

#[derive(Debug, thiserror::Error)]
pub enum VaultError {
    #[error("there is no `{path}` with the secrets; make it with: install -m 600 /dev/null {path}")]
    Absent { path: PathBuf },
    #[error("cannot read the secrets in `{path}`")]
    Read {
        path: PathBuf,
        #[source]
        cause: io::Error,
    },
    #[error("`{path}` is no regular file; secrets are read from one only")]
    NotAFile { path: PathBuf },
    #[error(
        "`{path}` has mode {mode:04o}, so others can get at the secrets; fix it with: chmod 600 {path}"
    )]
    Mode { path: PathBuf, mode: u32 },
    #[error(
        "`{path}` belongs to user {owner}, not to you (user {you}); fix it with: chown {you} {path}"
    )]
    Owner { path: PathBuf, owner: u32, you: u32 },
    #[error("{path}:{line}: {fault}")]
    Fault { path: PathBuf, line: usize, fault: String },
    #[error(
        "`{path}` has no `tag_key`, the key under which secrets are compared; add at its top: tag_key = \"…\" with the output of: openssl rand -hex 32"
    )]
    NoTagKey { path: PathBuf },
    #[error("`{path}` lacks {}", list(names))]
    Missing { path: PathBuf, names: Vec<SecretName> },
    #[error(
        "the value of the secret `{name}` cannot stand in the env file `{file}` as `{key}`: {fault}"
    )]
    Unfit { name: SecretName, file: GuestPath, key: String, fault: String },
}

/// The missing names, each as the line that would add it.
fn list(names: &[SecretName]) -> String {
    let lines = names.iter().map(|name| match name.as_str().rsplit_once('/') {
        Some((table, key)) => format!("`{name}` (in [{}]: {key} = \"…\")", table.replace('/', ".")),
        None => format!("`{name}` ({name} = \"…\" at the top)"),
    });
    lines.collect::<Vec<_>>().join(", ")
}
