//! The door: what has to be as it was for a person to get in. What hooks and programs of a new generation do to it is no part of
//! any bundle, and going back takes it back all the same: a guest that is out of reach needs a console.

mod address;
mod answers;
pub mod early;
mod files;
mod listeners;
mod network;
mod nftables;
mod own;
mod part;
pub mod record;
mod rows;
mod texts;
mod ways;

use super::before::Before;
use super::error::GuestError;
use super::fs::Guard;
use super::system::Rules;
use super::{Guest, copies, firewall, journal};
use crate::model::protocol::News;
use crate::model::{Switch, TxId};
use files::{Changed, Files};
use listeners::Listeners;
use network::Network;
use part::Whose;
use serde::{Deserialize, Serialize};
use std::time::Duration;

pub use listeners::is_led;
pub use own::restore as restore_own;
pub use texts::Texts;
pub use ways::Ways;

/// So many rules are told; the copy has all of them.
const RULES_TOLD: usize = 20;
/// Whoever changes accounts holds this. Source: lckpwdf(3).
const ACCOUNTS_LOCK: &str = "/etc/.pwd.lock";
/// How often it is tried, and how long is waited in between: three seconds in all, since the operators wait too.
const LOCK_TRIES: u32 = 60;
const LOCK_ROUND: Duration = Duration::from_millis(50);

/// The door before a switch.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Door {
    pub files: Files,
    pub listeners: Listeners,
    network: Network,
    tables: Option<nftables::Tables>,
    ways: Ways,
}

/// Takes the door down; apart from it the texts of its files, which are only needed to put them back.
pub fn look(guest: &mut Guest) -> Result<(Door, Texts), GuestError> {
    let (files, texts) = Files::look(guest.fs)?;
    let ways = Ways::look(guest.system)?;
    let door = Door {
        files,
        listeners: listeners::look(guest.system)?,
        network: Network::look(guest.system, &ways)?,
        tables: nftables::look(guest.system)?,
        ways,
    };
    Ok((door, texts))
}

/// One way back of a door: whose it is, where it is kept, and what is said of it.
struct Way<'w> {
    tx: &'w TxId,
    /// Where the texts are.
    folder: &'w str,
    /// None before there is a switch, which takes care of its own paths.
    before: Option<&'w Before>,
    told: Vec<String>,
}

impl Way<'_> {
    fn tell(&mut self, what: &str) {
        self.told.push(format!("put back, and no part of the bundle: {what}"));
    }

    /// Says it to whoever called, where there is no undo whose evidence it is.
    fn say(&self, guest: &mut Guest, step: &str) {
        for text in &self.told {
            (guest.news)(News::Event { step, text });
        }
    }
}

/// Puts the kernel's rules back by a switch to the guest as it was found. Rules of others that could not stay are news, and copies
/// of all are kept.
pub fn restore_rules(guest: &mut Guest, tx: &TxId, rules: &Rules) -> Result<(), GuestError> {
    let ways = Ways::look(guest.system)?;
    let mut way = Way { tx, folder: "", before: None, told: Vec::new() };
    let restored = way.restore_rules(guest, rules, &ways, true);
    way.say(guest, "firewall");
    restored
}

/// Opens the door again, whatever else comes back. The first error is returned; what was put back is evidence.
pub fn open(guest: &mut Guest, switch: &Switch, before: &Before) -> Result<(), GuestError> {
    let (tx, folder) = (&switch.tx, journal::folder(&switch.tx));
    let mut way = Way { tx, folder: &folder, before: Some(before), told: Vec::new() };
    let door = record::read(guest.fs, &folder);
    let ways = door.as_ref().ok().and_then(|door| Some(door.as_ref()?.ways.clone()));
    let is_changed = firewall::is_changed(switch);
    let rules = way.restore_rules(guest, &before.rules, &ways.unwrap_or_default(), is_changed);
    let opened = match door {
        Ok(Some(door)) => {
            // A folder that is back may hold files of the switch's own.
            let (changed, others) = way.open_others(guest, &door);
            let own = restore_own(guest.fs, tx, before);
            let reload = *own.as_ref().unwrap_or(&true);
            let heard = listeners::restore(guest, &door.listeners, &changed, reload);
            others.and(own.map(drop)).and(heard)
        }
        door => restore_own(guest.fs, tx, before).and(door).map(drop),
    };
    let noted = journal::note_evidence(guest.fs, tx, way.told);
    rules.and(opened).and(noted)
}

impl Way<'_> {
    /// `own` says whether what is taken back has loaded rules itself.
    fn restore_rules(
        &mut self,
        guest: &mut Guest,
        rules: &Rules,
        ways: &Ways,
        own: bool,
    ) -> Result<(), GuestError> {
        let (firewall::Restored { changed, lost, instead }, restored) =
            firewall::restore(guest, rules, ways, own);
        if lost.is_empty() && (own || !changed) {
            return restored;
        }
        self.tell("the kernel's firewall");
        for rule in lost.iter().take(RULES_TOLD) {
            self.tell(&format!("the firewall, without {rule}"));
        }
        let rules = [("iptables-save", &*instead.v4), ("ip6tables-save", &*instead.v6)];
        self.told.extend(copies::keep_rules(guest.fs, self.tx, &rules));
        restored
    }

    /// All but rules of iptables and the switch's own files; which files were others, and how that went.
    fn open_others(&mut self, guest: &mut Guest, door: &Door) -> (Changed, Result<(), GuestError>) {
        let led = self.open_network(guest, door, false);
        let (changed, restored) = self.put_back(guest, door);
        (changed, led.and(restored))
    }

    /// What leads in. What the kernel refuses is told: who is sent through a network that is not as it was may still be let in.
    fn open_network(
        &mut self,
        guest: &mut Guest,
        door: &Door,
        is_again: bool,
    ) -> Result<(), GuestError> {
        let (network, led) = door.network.restore(guest.system);
        for order in &network.done {
            self.tell(order);
        }
        let refused = network.refused.iter().map(|what| format!("not all of the network: {what}"));
        self.told.extend(refused);
        led.and(self.restore_tables(guest, door, is_again))
    }

    fn restore_tables(
        &mut self,
        guest: &mut Guest,
        door: &Door,
        is_again: bool,
    ) -> Result<(), GuestError> {
        let (tables, restored) = nftables::restore(guest, door.tables.as_ref(), is_again);
        let Some(nftables::Restored { names, refused, instead }) = tables else {
            if restored.is_ok() {
                let told =
                    "nftables' own tables could not be listed, and are as the switch left them";
                self.told.push(told.to_owned());
            }
            return restored;
        };
        for name in &names {
            self.tell(&format!("nftables' table {name}"));
        }
        self.told
            .extend(refused.iter().map(|what| format!("not put back: nftables' table {what}")));
        if !names.is_empty() {
            let rules = [("nft-ruleset", &*instead)];
            self.told.extend(copies::keep_rules(guest.fs, self.tx, &rules));
        }
        restored
    }

    /// Puts the files back that are not as they were, once there are copies of what stands there; which, and how that went.
    fn put_back(&mut self, guest: &mut Guest, door: &Door) -> (Changed, Result<(), GuestError>) {
        let mut changed = door.files.differences(guest.fs, self.before);
        if changed.paths().next().is_none() {
            return (changed, Ok(()));
        }
        for path in changed.paths() {
            self.tell(path);
        }
        for path in &changed.unnamed {
            self.told.push(copies::not_named(path));
        }
        self.copy(guest, door, &changed);
        let restored = record::texts(guest.fs, self.folder).and_then(|texts| {
            let _guard = self.lock_accounts(guest, door, &changed);
            let mut roots = Vec::new();
            for (whose, what) in door.files.restore(guest.fs, &changed, &texts) {
                self.told.push(format!("not put back: {what}"));
                if whose == Whose::Roots {
                    roots.push(what);
                }
            }
            match roots.as_slice() {
                [] => Ok(()),
                roots => {
                    Err(GuestError::Inconsistent(format!("not put back: {}", roots.join("; "))))
                }
            }
        });
        changed.stays = restored.is_err();
        (changed, restored)
    }

    /// Copies what is about to go. Of what a user put there first that of root is copied: there may be no room for theirs.
    fn copy(&mut self, guest: &mut Guest, door: &Door, changed: &Changed) {
        let mut roots = Vec::new();
        for path in changed.roots.iter().filter(|path| door.files.may_be_copied(path)) {
            match copies::files_at(guest.fs, path, door.files.is_cleared(path)) {
                Ok((files, unnamed)) => {
                    roots.extend(files);
                    self.told.extend(unnamed.iter().map(|folder| copies::not_named(folder)));
                }
                Err(error) => self.told.push(copies::not_kept(&error)),
            }
        }
        for paths in [&roots, &changed.users] {
            self.told.extend(copies::keep_taken_back(guest.fs, self.tx, paths));
        }
    }

    /// Keeps `passwd` and the like from the files of accounts while they are written. Nobody's lock stops a way back.
    fn lock_accounts(
        &mut self,
        guest: &mut Guest,
        door: &Door,
        changed: &Changed,
    ) -> Option<Guard> {
        if !changed.roots.iter().any(|path| door.files.is_of_accounts(path)) {
            return None;
        }
        for _ in 0..LOCK_TRIES {
            match guest.fs.lock(ACCOUNTS_LOCK) {
                Ok(Some(guard)) => return Some(guard),
                Ok(None) => guest.system.sleep(LOCK_ROUND),
                Err(error) => {
                    let why = GuestError::from(error).refusal("").message;
                    self.told.push(format!("accounts are put back without their lock: {why}"));
                    return None;
                }
            }
        }
        self.told.push(format!(
            "accounts are put back without their lock: somebody holds `{ACCOUNTS_LOCK}`"
        ));
        None
    }
}

/// Brings back the files alone: at boot, before anybody listens. Beside how that went, what listened then.
pub fn restore_files(
    guest: &mut Guest,
    tx: &TxId,
    before: &Before,
) -> (Listeners, Result<(), GuestError>) {
    let folder = journal::folder(tx);
    let door = match record::read(guest.fs, &folder) {
        Ok(Some(door)) => door,
        Ok(None) => return (Listeners::new(), Ok(())),
        Err(error) => return (Listeners::new(), Err(error)),
    };
    let mut way = Way { tx, folder: &folder, before: Some(before), told: Vec::new() };
    let (_, restored) = way.put_back(guest, &door);
    let noted = journal::note_evidence(guest.fs, tx, way.told);
    (door.listeners, restored.and(noted))
}

/// Refuses a door that is not as it was. What users keep from coming back has been told, and is their own. What leads in is
/// brought back once more: units that ended since may have taken some of it with them.
pub fn verify(guest: &mut Guest, tx: &TxId, before: &Before) -> Result<(), GuestError> {
    let folder = journal::folder(tx);
    let Some(door) = record::read(guest.fs, &folder)? else { return Ok(()) };
    let mut way = Way { tx, folder: &folder, before: Some(before), told: Vec::new() };
    let led = way.open_network(guest, &door, true);
    led.and(journal::note_evidence(guest.fs, tx, way.told))?;
    let mut wrong = door.files.differences(guest.fs, Some(before)).roots;
    let now = listeners::look(guest.system)?;
    wrong.extend(door.listeners.difference(&now).map(ToString::to_string));
    if wrong.is_empty() {
        Ok(())
    } else {
        Err(GuestError::Inconsistent(format!("not as before: {}", wrong.join(", "))))
    }
}
