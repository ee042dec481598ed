//! Secret files: put together by the operator, written whole under the version's name, readable by who must read them.

use super::account::Accounts;
use super::error::GuestError;
use super::fs::{GuestFs, Sync, mkdir_all, remove_tree, split};
use super::generation::secrets_path;
use super::store;
use crate::model::layout::STATE;
use crate::model::protocol::{Done, SecretFile};
use crate::model::{GuestPath, SecretsVersion, TxId};
use std::collections::BTreeMap;

/// Readers reach their file by its whole name; nobody lists the folder.
const FOLDER_MODE: u32 = 0o711;

/// Writes one version of the secret files. There already, as they should be: nothing.
pub fn write(
    fs: &mut dyn GuestFs,
    tx: &TxId,
    version: SecretsVersion,
    files: &BTreeMap<GuestPath, SecretFile>,
) -> Result<Done, GuestError> {
    let folder = secrets_path(version);
    if fs.stat(&folder)?.is_some() && are_there(fs, &folder, files)? {
        return Ok(Done { already: true });
    }
    let accounts = Accounts::read(fs)?;
    let all = format!("{STATE}/secrets");
    mkdir_all(fs, &all, FOLDER_MODE)?;
    let staged = format!("{all}/.tmp-{version}-{tx}");
    remove_tree(fs, &staged)?;
    fs.mkdir(&staged, FOLDER_MODE)?;
    for (path, file) in files {
        let ids = accounts.ids(&file.access)?;
        if file.access.mode.is_world_readable() {
            return Err(GuestError::Unfit(format!("`{path}` holds secrets, and all may read it")));
        }
        let at = format!("{staged}{path}");
        mkdir_below(fs, &staged, split(&at).0)?;
        fs.write(&at, &mut file.text.as_bytes(), 0o600, Sync::Now)?;
        fs.set_access(&at, ids)?;
    }
    fs.sync_all(&staged)?;
    store::publish(fs, &staged, &folder)?;
    Ok(Done { already: false })
}

/// Whether nobody has changed these files, nor taken one away.
fn are_there(
    fs: &mut dyn GuestFs,
    folder: &str,
    files: &BTreeMap<GuestPath, SecretFile>,
) -> Result<bool, GuestError> {
    for (path, file) in files {
        let at = format!("{folder}{path}");
        let is_file = fs.stat(&at)?.is_some_and(|stat| stat.size == file.text.len() as u64);
        if !is_file || fs.read(&at)? != file.text.as_bytes() {
            return Ok(false);
        }
    }
    Ok(true)
}

fn mkdir_below(fs: &mut dyn GuestFs, root: &str, folder: &str) -> Result<(), GuestError> {
    if folder.len() <= root.len() {
        return Ok(());
    }
    mkdir_below(fs, root, split(folder).0)?;
    Ok(fs.mkdir(folder, FOLDER_MODE)?)
}
