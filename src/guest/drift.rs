//! What somebody's hand has changed since the live generation was made live: files, units, the kernel's rules.

use super::account::Accounts;
use super::error::GuestError;
use super::fs::{GuestFs, Kind};
use super::system::{Rules, UnitReport};
use super::{Guest, down, firewall, journal, keys, release};
use crate::model::{
    Digest, FILE_BYTES_MAX, Generation, GuestPath, Ledger, Placed, RuntimeDrift, UnitName,
};
use std::collections::{BTreeMap, BTreeSet};

/// What runs otherwise than the live generation has it. While a transaction or a migration is at work, that is its doing.
pub fn runtime(
    guest: &mut Guest,
    live: &Generation,
    (ledger, started): (&Ledger, &BTreeSet<UnitName>),
    reports: &BTreeMap<UnitName, UnitReport>,
    kernel: &Rules,
) -> Result<RuntimeDrift, GuestError> {
    if !journal::pending(guest.fs)?.is_empty() || release::is_migrating(guest.fs)? {
        return Ok(RuntimeDrift::default());
    }
    Ok(RuntimeDrift {
        units: down::down(guest.fs, ledger, started, reports)?,
        firewall: match live.digest {
            Some(digest) => firewall::drift(guest, &digest, kernel)?,
            None => Vec::new(),
        },
    })
}

/// Paths whose state is not what the ledger says: somebody's hand.
pub fn paths(
    fs: &mut dyn GuestFs,
    ledger: &Ledger,
) -> Result<BTreeMap<GuestPath, String>, GuestError> {
    let mut drift = BTreeMap::new();
    if ledger.paths.is_empty() {
        return Ok(drift);
    }
    let accounts = Accounts::read(fs)?;
    for (path, placed) in &ledger.paths {
        let instead = instead(fs, &accounts, path, placed)?;
        drift.extend(instead.map(|instead| (path.clone(), instead)));
    }
    Ok(drift)
}

/// What is at a path instead of what the ledger says; none when all is well.
fn instead(
    fs: &mut dyn GuestFs,
    accounts: &Accounts,
    path: &GuestPath,
    placed: &Placed,
) -> Result<Option<String>, GuestError> {
    let at = path.as_str();
    let Some(stat) = fs.stat(at)? else { return Ok(Some("nothing is there".to_owned())) };
    let kind_is = |kind: Kind| stat.kind == kind;
    Ok(match placed {
        Placed::Link { target } if kind_is(Kind::Link) => {
            let found = fs.read_link(at)?;
            (found != *target).then(|| format!("a link to `{found}`"))
        }
        Placed::Copy { sha256, access } if kind_is(Kind::File) => {
            let ids = accounts.ids(access)?;
            // What is bigger than any file of a bundle need not be read.
            if stat.size > FILE_BYTES_MAX || Digest::of(&fs.read(at)?) != *sha256 {
                Some("a file with other bytes".to_owned())
            } else if stat.ids != ids {
                let (mode, uid, gid) = (stat.ids.mode, stat.ids.uid, stat.ids.gid);
                Some(format!("mode {mode:04o}, owner {uid}:{gid}"))
            } else {
                None
            }
        }
        Placed::Keys { keys: wanted } if kind_is(Kind::File) => {
            let text = String::from_utf8_lossy(&fs.read(at)?).into_owned();
            let found = keys::get(&text, wanted.keys());
            let differs = wanted.iter().find(|(key, value)| found.get(*key) != Some(value));
            differs.map(|(key, _)| match found.get(key) {
                Some(value) => format!("`{key}={value}`"),
                None => format!("no `{key}`"),
            })
        }
        Placed::Directory { access } if kind_is(Kind::Directory) => {
            let mode = stat.ids.mode;
            (stat.ids != accounts.ids(access)?).then(|| format!("mode {mode:04o} or another owner"))
        }
        _ => Some(format!("a {:?}", stat.kind).to_lowercase()),
    })
}
