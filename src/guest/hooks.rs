//! Hooks: commands of the definitions around a switch.

use super::Guest;
use super::account::as_user;
use super::child::MARK;
use super::error::GuestError;
use super::kept;
use super::system::{Command, succeed};
use super::{store, watch};
use crate::model::protocol::Done;
use crate::model::{
    Digest, Entry, EntryPath, GuestPath, Hook, HooksDocument, Switch, TxId, document,
};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::time::Duration;

/// Which hooks before a switch have run, or may be running.
const RECORD: &str = "/var/lib/stackc/hooks.json";

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Record {
    tx: TxId,
    digest: Digest,
    /// Whether all of them were well. Else their call is at work, or died.
    done: bool,
}

/// Runs what comes before the switch. A transaction whose hooks were all well runs none of them again.
pub fn before_switch(guest: &mut Guest, tx: &TxId, digest: &Digest) -> Result<Done, GuestError> {
    let hooks: HooksDocument =
        store::document(guest.fs, digest, document::HOOKS)?.unwrap_or_default();
    let known = record(guest)?.is_some_and(|r| r.done && r.tx == *tx && r.digest == *digest);
    if known || hooks.before_switch.is_empty() {
        return Ok(Done { already: true });
    }
    write(guest, tx, digest, false)?;
    let ran = run(guest, tx, &hooks.before_switch, Some(digest));
    if ran.is_err() {
        end(guest, tx)?;
        guest.fs.remove(RECORD)?;
    }
    ran?;
    write(guest, tx, digest, true)?;
    Ok(Done { already: false })
}

/// Runs what comes when the new generation's units are up.
pub fn after_switch(guest: &mut Guest, switch: &Switch) -> Result<(), GuestError> {
    run(guest, &switch.tx, &switch.hooks, switch.generation.digest.as_ref())
}

/// Kills hooks whose call died before the switch, so that they do not run beside the next ones.
pub fn end_dead(guest: &mut Guest) -> Result<(), GuestError> {
    match record(guest)? {
        Some(Record { tx, done: false, .. }) => {
            end(guest, &tx)?;
            Ok(guest.fs.remove(RECORD)?)
        }
        _ => Ok(()),
    }
}

/// Kills whatever hooks of a transaction have left running.
pub fn end(guest: &mut Guest, tx: &TxId) -> Result<(), GuestError> {
    Ok(guest.system.end_all_in(&mark(tx))?)
}

/// A folder that is nobody's: a hook works in `/`, and is found by this.
fn mark(tx: &TxId) -> String {
    format!("/var/lib/stackc/hooks/{tx}")
}

fn record(guest: &mut Guest) -> Result<Option<Record>, GuestError> {
    if guest.fs.stat(RECORD)?.is_none() {
        return Ok(None);
    }
    kept::read(guest.fs, RECORD).map(Some)
}

fn write(guest: &mut Guest, tx: &TxId, digest: &Digest, done: bool) -> Result<(), GuestError> {
    let record = Record { tx: tx.clone(), digest: *digest, done };
    Ok(kept::put(guest.fs, RECORD, &record, 0o600)?)
}

/// Runs hooks in the order of their names, up to the first that fails. Of a program that the bundle brings, the copy in
/// its tree runs: before the switch the path still leads to the old one.
fn run(
    guest: &mut Guest,
    tx: &TxId,
    hooks: &BTreeMap<String, Hook>,
    digest: Option<&Digest>,
) -> Result<(), GuestError> {
    for (name, hook) in hooks {
        (guest.news)(super::News::Event { step: "hooks", text: name });
        let limit = Duration::from_secs(hook.timeout_seconds.into());
        let mut argv = hook.argv.clone();
        if let (Some(program), Some(digest)) = (argv.first_mut(), digest) {
            *program = program_of(guest, digest, program)?;
        }
        let words: Vec<&str> = argv.iter().map(String::as_str).collect();
        let mut command = as_user(guest.fs, &hook.user, Command::new(&words, limit))?;
        command.environment.insert(MARK.to_owned(), mark(tx));
        command.folder = Some("/".to_owned());
        let output = watch::run(guest, &command)?;
        succeed(&command, output)
            .map_err(|error| GuestError::step(&format!("hook {name}"), &error))?;
    }
    Ok(())
}

fn program_of(guest: &mut Guest, digest: &Digest, program: &str) -> Result<String, GuestError> {
    let Ok(path) = program.parse::<GuestPath>() else { return Ok(program.to_owned()) };
    let manifest = store::manifest(guest.fs, digest)?;
    Ok(match manifest.entries.get(&EntryPath::of_overlay(&path)) {
        Some(Entry::File { .. }) => store::copy_source(digest, &path),
        _ => program.to_owned(),
    })
}
