//! `drift`: what stackc placed and what is there now, at each path that somebody changed. Bounded, and with secrets hidden.

use super::account::Accounts;
use super::drift::Tree;
use super::error::GuestError;
use super::fs::{GuestFs, Kind, Stat};
use super::secret_values::SecretValues;
use super::{Guest, drift, generation, keys, lease, redact, store};
use crate::model::{
    Bytes, DriftReply, DriftRequest, DriftedPath, Entry, FILE_BYTES_MAX, GuestPath, Ledger, Placed,
    RuntimeDrift, Sight, Sighted,
};
use std::collections::{BTreeMap, BTreeSet};

/// The longest text that is told.
const TEXT_BYTES_MAX: u64 = 64 << 10;
/// The most text of all paths together.
const TEXTS_BYTES_MAX: u64 = 1 << 20;

pub fn look(guest: &mut Guest, request: &DriftRequest) -> Result<DriftReply, GuestError> {
    lease::check_identity(guest.fs, &request.identity)?;
    let Some(number) = generation::live(guest.fs)? else {
        let (paths, runtime) = (BTreeMap::new(), RuntimeDrift::default());
        return Ok(DriftReply { live: None, paths, runtime });
    };
    let live = generation::read(guest.fs, number)?;
    let ledger = generation::ledger(guest.fs, number)?;
    let runtime = drift::runtime_now(guest, &live, &ledger)?;
    let tree = Tree::live(guest.fs, Some(&live));
    let drifted = drift::paths(guest.fs, &ledger, tree.as_ref())?;
    if drifted.is_empty() && runtime.drop_ins.is_empty() {
        return Ok(DriftReply { live: Some(live), paths: BTreeMap::new(), runtime });
    }
    let mut looker = Looker {
        tree,
        accounts: Accounts::read(guest.fs)?,
        secrets: redact::values(guest.fs)?,
        room: TEXTS_BYTES_MAX,
    };
    let mut paths = looker.all(guest.fs, &ledger, drifted)?;
    for (path, unit) in &runtime.drop_ins {
        let what = format!("a drop-in of others for {unit}");
        let found = looker.of_others(guest.fs, path)?;
        paths.insert(path.clone(), DriftedPath { what, placed: Sight::nothing(), found });
    }
    Ok(DriftReply { live: Some(live), paths, runtime })
}

/// What others have at paths that a bundle is to take.
pub fn foreign(
    fs: &mut dyn GuestFs,
    paths: &BTreeSet<GuestPath>,
    owned: &Ledger,
) -> Result<BTreeMap<GuestPath, Sight>, GuestError> {
    let mut found = Vec::new();
    for path in paths.iter().filter(|path| !owned.paths.contains_key(*path)) {
        found.extend(fs.stat(path.as_str())?.map(|_| path));
    }
    if found.is_empty() {
        return Ok(BTreeMap::new());
    }
    let (accounts, secrets) = (Accounts::read(fs)?, redact::values(fs)?);
    let mut looker = Looker { tree: None, accounts, secrets, room: TEXTS_BYTES_MAX };
    let mut seen = BTreeMap::new();
    for path in found {
        seen.insert(path.clone(), looker.of_others(fs, path)?);
    }
    Ok(seen)
}

/// What it takes to look at paths.
struct Looker {
    /// The live bundle's; none when nothing is live.
    tree: Option<Tree>,
    accounts: Accounts,
    secrets: SecretValues,
    /// Bytes of text that may still be told.
    room: u64,
}

impl Looker {
    fn all(
        &mut self,
        fs: &mut dyn GuestFs,
        ledger: &Ledger,
        drifted: BTreeMap<GuestPath, String>,
    ) -> Result<BTreeMap<GuestPath, DriftedPath>, GuestError> {
        let mut found = BTreeMap::new();
        for (path, what) in drifted {
            let Some(placed) = ledger.paths.get(&path) else { continue };
            let what = self.secrets.hide(&what);
            let there = self.there(fs, &path, Some(placed))?;
            let placed = self.placed(fs, &path, placed)?;
            found.insert(path, DriftedPath { what, placed, found: there });
        }
        Ok(found)
    }

    /// What others have at a path. Who keeps a file from others' eyes keeps it from ours.
    fn of_others(&mut self, fs: &mut dyn GuestFs, path: &GuestPath) -> Result<Sight, GuestError> {
        match fs.stat(path.as_str())? {
            Some(Stat { kind: Kind::File, ids, .. }) if ids.mode & 0o004 == 0 => {
                Ok(Sight { access: Some(self.accounts.words(ids)), content: Sighted::Secret })
            }
            _ => self.there(fs, path, None),
        }
    }

    /// What stackc placed: the file itself where a link goes into the store.
    fn placed(
        &mut self,
        fs: &mut dyn GuestFs,
        path: &GuestPath,
        placed: &Placed,
    ) -> Result<Sight, GuestError> {
        Ok(match placed {
            Placed::Directory { access } => Sight::of_access(access, Sighted::Directory),
            Placed::Keys { keys } => {
                Sight { access: None, content: Sighted::Keys { keys: keys.clone() } }
            }
            Placed::Copy { access, .. } => Sight::of_access(access, self.in_tree(fs, path)?),
            Placed::Link { target } => match self.entry(path) {
                Some(Entry::File { access, .. }) => {
                    Sight::of_access(&access.clone(), self.in_tree(fs, path)?)
                }
                Some(Entry::Secret { access, .. }) => Sight::of_access(access, Sighted::Secret),
                _ => Sight { access: None, content: Sighted::Link { target: target.clone() } },
            },
        })
    }

    fn entry(&self, path: &GuestPath) -> Option<&Entry> {
        self.tree.as_ref()?.entry(path)
    }

    fn is_secret(&self, path: &GuestPath) -> bool {
        matches!(self.entry(path), Some(Entry::Secret { .. }))
    }

    /// A file of the bundle; by size and hash when somebody wrote through its link.
    fn in_tree(&mut self, fs: &mut dyn GuestFs, path: &GuestPath) -> Result<Sighted, GuestError> {
        let Some(tree) = &self.tree else { return Ok(Sighted::Nothing) };
        let (at, entry) = (store::copy_source(&tree.digest, path), tree.entry(path).cloned());
        let found = match fs.stat(&at)? {
            Some(stat) if stat.size <= FILE_BYTES_MAX => Some(Bytes::of(&fs.read(&at)?)),
            _ => None,
        };
        match (entry, found) {
            (Some(Entry::File { bytes, .. }), found) if found != Some(bytes) => {
                Ok(Sighted::Bytes { size: bytes.size, sha256: bytes.sha256 })
            }
            (_, Some(Bytes { size, .. })) => self.file(fs, &at, size),
            (_, None) => Ok(Sighted::Nothing),
        }
    }

    /// What a link that is as it was placed leads to in the store.
    fn through(
        &mut self,
        fs: &mut dyn GuestFs,
        path: &GuestPath,
    ) -> Result<Option<Sight>, GuestError> {
        let Some(tree) = &self.tree else { return Ok(None) };
        let at = store::copy_source(&tree.digest, path);
        let Some(stat) = fs.stat(&at)? else { return Ok(Some(Sight::nothing())) };
        let access = Some(self.accounts.words(stat.ids));
        Ok(Some(Sight { access, content: self.file(fs, &at, stat.size)? }))
    }

    /// What is there now.
    fn there(
        &mut self,
        fs: &mut dyn GuestFs,
        path: &GuestPath,
        placed: Option<&Placed>,
    ) -> Result<Sight, GuestError> {
        let at = path.as_str();
        let Some(Stat { kind, ids, size, .. }) = fs.stat(at)? else { return Ok(Sight::nothing()) };
        let access = || Some(self.accounts.words(ids));
        Ok(match (kind, placed) {
            (Kind::Link, _) => {
                let target = fs.read_link(at)?;
                let is_placed = placed == Some(&Placed::Link { target: target.clone() });
                if self.is_secret(path) {
                    return Ok(Sight { access: None, content: Sighted::Secret });
                }
                if is_placed && let Some(sight) = self.through(fs, path)? {
                    return Ok(sight);
                }
                let target = self.secrets.hide(&target);
                Sight { access: None, content: Sighted::Link { target } }
            }
            (Kind::Directory, _) => Sight { access: access(), content: Sighted::Directory },
            (Kind::Special, _) => Sight { access: access(), content: Sighted::Special },
            (Kind::File, Some(Placed::Keys { keys: wanted })) => {
                let text = String::from_utf8_lossy(&fs.read(at)?).into_owned();
                let keys = keys::get(&text, wanted.keys());
                let hidden = keys.into_iter().map(|(key, value)| (key, self.secrets.hide(&value)));
                Sight { access: None, content: Sighted::Keys { keys: hidden.collect() } }
            }
            (Kind::File, _) if self.is_secret(path) => {
                Sight { access: access(), content: Sighted::Secret }
            }
            (Kind::File, _) => Sight { access: access(), content: self.file(fs, at, size)? },
        })
    }

    fn file(&mut self, fs: &mut dyn GuestFs, at: &str, size: u64) -> Result<Sighted, GuestError> {
        if size > FILE_BYTES_MAX {
            return Ok(Sighted::Big { size });
        }
        let bytes = fs.read(at)?;
        Ok(match Sighted::of_bytes(&bytes, TEXT_BYTES_MAX.min(self.room)) {
            Sighted::Text(text) => {
                self.room -= bytes.len() as u64;
                Sighted::Text(self.secrets.hide(&text))
            }
            other => other,
        })
    }
}
