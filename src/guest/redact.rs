//! What leaves the guest, with its secret values hidden: logs of builds, migrations and units may quote them.

use super::error::GuestError;
use super::fs::{GuestFs, Kind};
use super::secret_values::SecretValues;
use super::{secrets, store};
use crate::model::Manifest;
use crate::model::layout::STATE;
use crate::model::protocol::Refusal;

/// Stands for lines in which no value can be hidden, because they cannot be known.
const KEPT_BACK: &str = "the log stays on the guest: its secret files cannot be read, so that their values cannot be hidden in it";

/// A refusal as it may leave the guest.
pub fn refusal(fs: &mut dyn GuestFs, refusal: Refusal) -> Refusal {
    Refusal { details: lines(fs, refusal.details), ..refusal }
}

/// Log lines as they may leave the guest; one line instead of them when the values to hide cannot be read.
pub fn lines(fs: &mut dyn GuestFs, lines: Vec<String>) -> Vec<String> {
    if lines.is_empty() {
        return lines;
    }
    match values(fs) {
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

/// Every value in every secret file of the guest, of whatever version.
pub fn values(fs: &mut dyn GuestFs) -> Result<SecretValues, GuestError> {
    let manifests = manifests(fs)?;
    let mut found = SecretValues::default();
    for version in fs.list(&format!("{STATE}/secrets"))? {
        let folder = format!("{STATE}/secrets/{version}");
        add_files(fs, &folder, "", &manifests, &mut found)?;
    }
    Ok(found)
}

fn add_files(
    fs: &mut dyn GuestFs,
    folder: &str,
    below: &str,
    manifests: &[Manifest],
    found: &mut SecretValues,
) -> Result<(), GuestError> {
    for name in fs.list(&format!("{folder}{below}"))? {
        let path = format!("{below}/{name}");
        let at = format!("{folder}{path}");
        match fs.stat(&at)?.map(|stat| stat.kind) {
            // It says nothing of what is in the files.
            Some(Kind::File) if below.is_empty() && name == secrets::LEDGER => {}
            Some(Kind::Directory) => add_files(fs, folder, &path, manifests, found)?,
            Some(Kind::File) => {
                found.add_file(&path, &String::from_utf8_lossy(&fs.read(&at)?), manifests);
            }
            _ => {}
        }
    }
    Ok(())
}
