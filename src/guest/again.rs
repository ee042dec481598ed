//! What an undo that did not succeed has brought about in this boot, so that the next try need not begin anew.

use super::Guest;
use super::fs::{GuestFs, mkdir_all};
use super::kept;
use super::undo::RETRY_AFTER;
use crate::model::{TxId, UnitName};
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;
use std::time::Duration;

/// A boot takes it away: then nothing is up that was.
const FOLDER: &str = "/run/stackc";
/// How far tries come to be apart.
const RETRY_AFTER_MAX: Duration = Duration::from_secs(600);

/// What earlier tries came to.
#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Tried {
    /// When the first one failed, in milliseconds since boot.
    since_ms: Option<u64>,
    /// Paths that could not be brought back when these units came up.
    wrong: Vec<String>,
    up: BTreeSet<UnitName>,
    /// Units that came up when other paths were wrong than now.
    #[serde(skip)]
    stale: BTreeSet<UnitName>,
}

impl Tried {
    /// Of what cannot be read nothing is known, which costs one more restart.
    pub fn read(fs: &mut dyn GuestFs, tx: &TxId) -> Self {
        kept::find(fs, &path(tx)).ok().flatten().unwrap_or_default()
    }

    /// Whether the unit has come up, with its files as they are now.
    pub fn is_up(&self, unit: &UnitName) -> bool {
        self.up.contains(unit)
    }

    /// Whether the unit has come up, with other files than now.
    pub fn is_stale(&self, unit: &UnitName) -> bool {
        self.stale.contains(unit)
    }

    pub fn comes_up(&mut self, unit: &UnitName) {
        self.up.insert(unit.clone());
    }

    /// Says which paths are wrong now. What has come up with others has read what was not as before.
    pub fn has_files(&mut self, wrong: Vec<String>) {
        if wrong != self.wrong {
            self.wrong = wrong;
            self.stale = std::mem::take(&mut self.up);
        }
    }

    /// Keeps it for the next try. What cannot be kept costs one more restart, and no more.
    pub fn keep(mut self, guest: &mut Guest, tx: &TxId) {
        let now = u64::try_from(guest.system.uptime().as_millis()).unwrap_or(u64::MAX);
        self.since_ms.get_or_insert(now);
        let made = mkdir_all(guest.fs, FOLDER, 0o755);
        drop(made.and_then(|()| kept::put(guest.fs, &path(tx), &self, 0o600)));
    }

    /// Nothing more is tried. The next boot takes away what cannot be removed.
    pub fn forget(self, fs: &mut dyn GuestFs, tx: &TxId) {
        if self.since_ms.is_some() {
            drop(fs.remove(&path(tx)));
        }
    }
}

fn path(tx: &TxId) -> String {
    format!("{FOLDER}/back-{tx}.json")
}

/// When to try again: as long after now as it has failed for, within bounds.
pub fn retry_after(guest: &mut Guest, tx: &TxId) -> Duration {
    let since = Tried::read(guest.fs, tx).since_ms.map(Duration::from_millis);
    let failing = since.map(|since| guest.system.uptime().saturating_sub(since));
    failing.unwrap_or_default().clamp(RETRY_AFTER, RETRY_AFTER_MAX)
}
