//! What somebody's hand has changed since the live generation was made live: files, units, the kernel's rules.

use super::account::Accounts;
use super::error::GuestError;
use super::fs::{GuestFs, Kind, Stat};
use super::generation::secrets_path;
use super::system::{Rules, UnitReport};
use super::{Guest, down, drop_ins, firewall, journal, keys, release, secrets, store};
use crate::model::{
    Digest, Entry, EntryPath, FILE_BYTES_MAX, Generation, GuestPath, Ledger, Manifest, Placed,
    RuntimeDrift, Switch, UnitName,
};
use std::collections::{BTreeMap, BTreeSet};

/// The tree of the live bundle, and what should be in it.
pub struct Tree {
    pub digest: Digest,
    pub manifest: Manifest,
    /// The folder of the live secret files, and what they were.
    secrets: String,
    secret_files: Ledger,
}

impl Tree {
    /// A tree whose manifest is damaged tells nothing.
    pub fn live(fs: &mut dyn GuestFs, live: Option<&Generation>) -> Option<Self> {
        let live = live?;
        let digest = live.digest?;
        let manifest = store::manifest(fs, &digest).ok()?;
        let secret_files = secrets::ledger(fs, live.secrets).ok()?.unwrap_or_default();
        Some(Self { digest, manifest, secrets: secrets_path(live.secrets), secret_files })
    }

    /// Units that the live generation starts.
    pub fn started(tree: Option<&Self>, ledger: &Ledger) -> BTreeSet<UnitName> {
        down::started(ledger, tree.map(|tree| &tree.manifest))
    }

    pub fn entry(&self, path: &GuestPath) -> Option<&Entry> {
        self.manifest.entries.get(&EntryPath::of_overlay(path))
    }

    /// What somebody wrote through a link into the store, as most editors do, and where that is.
    fn written(
        &self,
        fs: &mut dyn GuestFs,
        accounts: &Accounts,
        path: &GuestPath,
        placed: &Placed,
    ) -> Result<Option<(String, String)>, GuestError> {
        let (Placed::Link { .. }, Some(entry)) = (placed, self.entry(path)) else {
            return Ok(None);
        };
        let (at, access, hash) = match (entry, self.secret_files.paths.get(path)) {
            (Entry::File { access, bytes, .. }, _) => {
                (store::copy_source(&self.digest, path), access, bytes.sha256)
            }
            (Entry::Secret { access, .. }, Some(Placed::Copy { sha256, .. })) => {
                (format!("{}{path}", self.secrets), access, *sha256)
            }
            _ => return Ok(None),
        };
        let what = match fs.stat(&at)? {
            None => Some("its file is gone from the store".to_owned()),
            Some(stat) if !is_file_of(fs, &at, stat, hash)? => {
                Some("other bytes, written through its link".to_owned())
            }
            Some(stat) if accounts.ids(access).ok() != Some(stat.ids) => {
                Some(format!("{} through its link", accounts.words(stat.ids)))
            }
            Some(_) => None,
        };
        Ok(what.map(|what| (what, at)))
    }
}

/// What is bigger than any file of a bundle need not be read.
fn is_file_of(
    fs: &mut dyn GuestFs,
    at: &str,
    stat: Stat,
    hash: Digest,
) -> Result<bool, GuestError> {
    let may_be = stat.kind == Kind::File && stat.size <= FILE_BYTES_MAX;
    Ok(may_be && Digest::of(&fs.read(at)?) == hash)
}

/// What somebody changed by hand of what a switch goes over: the paths, each twice, as what is kept goes by one and is at the
/// other.
pub fn at_paths_of(
    fs: &mut dyn GuestFs,
    switch: &Switch,
    owned: &Ledger,
) -> Result<Vec<(String, String)>, GuestError> {
    let placement = &switch.placement;
    let accounts = Accounts::read(fs)?;
    let mut changed = Vec::new();
    for path in placement.place.keys().chain(&placement.remove) {
        let is_changed = match owned.paths.get(path) {
            Some(placed) => instead(fs, &accounts, path.as_str(), placed)?.is_some(),
            // A link by which somebody masked or enabled a unit leaves, or a drop-in of others, and is in no ledger.
            None => placement.remove.contains(path),
        };
        if is_changed {
            changed.push((path.to_string(), path.to_string()));
        }
    }
    Ok(changed)
}

/// What somebody wrote through links into the store: the paths of the links, and where the bytes are.
pub fn written(
    fs: &mut dyn GuestFs,
    live: Option<&Generation>,
    owned: &Ledger,
) -> Result<Vec<(String, String)>, GuestError> {
    let Some(tree) = Tree::live(fs, live) else { return Ok(Vec::new()) };
    let accounts = Accounts::read(fs)?;
    let mut written = Vec::new();
    for (path, placed) in &owned.paths {
        let found = tree.written(fs, &accounts, path, placed)?;
        written.extend(found.map(|(_, at)| (path.to_string(), at)));
    }
    Ok(written)
}

/// What runs otherwise than the live generation has it, as it is now.
pub fn runtime_now(
    guest: &mut Guest,
    live: &Generation,
    ledger: &Ledger,
) -> Result<RuntimeDrift, GuestError> {
    let started = Tree::started(Tree::live(guest.fs, Some(live)).as_ref(), ledger);
    let names: Vec<UnitName> = started.iter().cloned().collect();
    let (reports, rules) = (guest.system.units(&names)?, guest.system.save_firewall()?);
    runtime(guest, live, (ledger, &started), &reports, &rules)
}

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
    let drop_ins = drop_ins::look(guest.fs, ledger, started)?;
    Ok(RuntimeDrift {
        units: down::down(guest.fs, ledger, started, reports)?,
        drop_ins: drop_ins.own,
        enabled: drop_ins.enabled,
        others: drop_ins.others,
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
    tree: Option<&Tree>,
) -> Result<BTreeMap<GuestPath, String>, GuestError> {
    let mut drift = BTreeMap::new();
    if ledger.paths.is_empty() {
        return Ok(drift);
    }
    let accounts = Accounts::read(fs)?;
    for (path, placed) in &ledger.paths {
        let instead = match (instead(fs, &accounts, path.as_str(), placed)?, tree) {
            (None, Some(tree)) => tree.written(fs, &accounts, path, placed)?.map(|(what, _)| what),
            (instead, _) => instead,
        };
        drift.extend(instead.map(|instead| (path.clone(), instead)));
    }
    Ok(drift)
}

/// What is at a path instead of what the ledger says; none when all is well.
pub fn instead(
    fs: &mut dyn GuestFs,
    accounts: &Accounts,
    at: &str,
    placed: &Placed,
) -> Result<Option<String>, GuestError> {
    let Some(stat) = fs.stat(at)? else { return Ok(Some("nothing is there".to_owned())) };
    let kind_is = |kind: Kind| stat.kind == kind;
    Ok(match placed {
        Placed::Link { target } if kind_is(Kind::Link) => {
            let found = fs.read_link(at)?;
            (found != *target).then(|| format!("a link to `{found}`"))
        }
        Placed::Copy { sha256, access } if kind_is(Kind::File) => {
            if !is_file_of(fs, at, stat, *sha256)? {
                Some("a file with other bytes".to_owned())
            } else if accounts.ids(access).ok() != Some(stat.ids) {
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
            (accounts.ids(access).ok() != Some(stat.ids))
                .then(|| format!("mode {mode:04o} or another owner"))
        }
        _ => Some(format!("a {:?}", stat.kind).to_lowercase()),
    })
}
