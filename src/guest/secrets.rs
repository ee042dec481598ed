//! Secret files: put together by the operator, written whole under the version's name, readable by who must read them.

use super::account::Accounts;
use super::error::GuestError;
use super::fs::{GuestFs, Sync, mkdir_all, remove_tree, split};
use super::generation::secrets_path;
use super::{drift, kept, store};
use crate::model::layout::STATE;
use crate::model::protocol::{Done, SecretFile};
use crate::model::{Digest, GuestPath, Ledger, Placed, SecretsVersion, TxId};
use std::collections::BTreeMap;

/// Readers reach their file by its whole name; nobody lists the folder.
const FOLDER_MODE: u32 = 0o711;

/// What the files of a version were when they were written, beside them, and for root alone as they are.
pub const LEDGER: &str = ".ledger.json";

/// What the files of a version should be; none where that is not written down.
pub fn ledger(fs: &mut dyn GuestFs, version: SecretsVersion) -> Result<Option<Ledger>, GuestError> {
    kept::find(fs, &format!("{}/{LEDGER}", secrets_path(version)))
}

/// What is wrong with a version: readers of its links may have written through them, live or not.
pub fn fault(fs: &mut dyn GuestFs, version: SecretsVersion) -> Result<Option<String>, GuestError> {
    let folder = secrets_path(version);
    if fs.stat(&folder)?.is_none() {
        return Ok(Some("they are not there".to_owned()));
    }
    let Some(ledger) = ledger(fs, version)? else {
        return Ok(Some(format!("`{LEDGER}` is not there, which says what they should be")));
    };
    let accounts = Accounts::read(fs)?;
    for (path, placed) in &ledger.paths {
        let instead = drift::instead(fs, &accounts, &format!("{folder}{path}"), placed)?;
        if let Some(instead) = instead {
            return Ok(Some(format!("at `{path}`: {instead}")));
        }
    }
    Ok(None)
}

/// Writes one version of the secret files. There already, as they should be: nothing.
pub fn write(
    fs: &mut dyn GuestFs,
    tx: &TxId,
    version: SecretsVersion,
    files: &BTreeMap<GuestPath, SecretFile>,
) -> Result<Done, GuestError> {
    let wanted = ledger_of(files);
    if ledger(fs, version)?.as_ref() == Some(&wanted) && fault(fs, version)?.is_none() {
        return Ok(Done { already: true });
    }
    let all = format!("{STATE}/secrets");
    mkdir_all(fs, &all, FOLDER_MODE)?;
    let staged = format!("{all}/.tmp-{version}-{tx}");
    remove_tree(fs, &staged)?;
    if let Err(error) = stage(fs, &staged, files, &wanted) {
        // A full disk must not stay full for it. What cannot be removed now goes before the next try.
        drop(remove_tree(fs, &staged));
        return Err(error);
    }
    store::publish(fs, &staged, &secrets_path(version))?;
    Ok(Done { already: false })
}

fn stage(
    fs: &mut dyn GuestFs,
    staged: &str,
    files: &BTreeMap<GuestPath, SecretFile>,
    wanted: &Ledger,
) -> Result<(), GuestError> {
    let accounts = Accounts::read(fs)?;
    fs.mkdir(staged, FOLDER_MODE)?;
    for (path, file) in files {
        let ids = accounts.ids(&file.access)?;
        if file.access.mode.is_world_readable() {
            return Err(GuestError::Unfit(format!("`{path}` holds secrets, and all may read it")));
        }
        let at = format!("{staged}{path}");
        mkdir_below(fs, staged, split(&at).0)?;
        fs.write(&at, &mut file.text.as_bytes(), 0o600, Sync::Now)?;
        fs.set_access(&at, ids)?;
    }
    kept::write(fs, &format!("{staged}/{LEDGER}"), wanted, 0o600)?;
    Ok(fs.sync_all(staged)?)
}

fn ledger_of(files: &BTreeMap<GuestPath, SecretFile>) -> Ledger {
    let placed = |file: &SecretFile| {
        let (sha256, access) = (Digest::of(file.text.as_bytes()), file.access.clone());
        Placed::Copy { sha256, access }
    };
    Ledger { paths: files.iter().map(|(path, file)| (path.clone(), placed(file))).collect() }
}

fn mkdir_below(fs: &mut dyn GuestFs, root: &str, folder: &str) -> Result<(), GuestError> {
    if folder.len() <= root.len() {
        return Ok(());
    }
    mkdir_below(fs, root, split(folder).0)?;
    Ok(fs.mkdir(folder, FOLDER_MODE)?)
}
