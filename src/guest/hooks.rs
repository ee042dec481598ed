//! Hooks: commands of the definitions around a switch.

use super::Guest;
use super::account::as_user;
use super::child::MARK;
use super::door::early;
use super::error::GuestError;
use super::kept;
use super::system::{Alarm, Command, succeed};
use super::{lease, recover, store, undo, watch};
use crate::model::protocol::Done;
use crate::model::{
    Digest, Entry, EntryPath, GuestPath, HealthDocument, Hook, HooksDocument, Switch, TxId,
    document,
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
    let hooks = of(guest, digest)?;
    if hooks.before_switch.is_empty() || have_run(guest, tx, digest)? {
        return Ok(Done { already: true });
    }
    let confirm = confirm_time(guest, digest)?;
    take_back(guest)?;
    // What a reboot leaves of hooks, recovery takes back.
    recover::install(guest)?;
    write(guest, tx, digest, false)?;
    early::keep(guest, tx, Hook::limit_of(&hooks.before_switch) + confirm)?;
    let ran = run(guest, tx, &hooks.before_switch, Some(digest));
    if let Err(error) = ran {
        take_back(guest)?;
        return Err(error);
    }
    early::await_begin(guest, tx, confirm)?;
    write(guest, tx, digest, true)?;
    Ok(Done { already: false })
}

/// How long the switch is waited for when the hooks are over: as long as its confirm will be.
fn confirm_time(guest: &mut Guest, digest: &Digest) -> Result<Duration, GuestError> {
    let health: Option<HealthDocument> = store::document(guest.fs, digest, document::HEALTH)?;
    let health = health.ok_or_else(|| GuestError::Unfit("the bundle has no health.json".into()))?;
    Ok(Duration::from_secs(health.confirm_seconds.into()))
}

fn of(guest: &mut Guest, digest: &Digest) -> Result<HooksDocument, GuestError> {
    Ok(store::document(guest.fs, digest, document::HOOKS)?.unwrap_or_default())
}

fn have_run(guest: &mut Guest, tx: &TxId, digest: &Digest) -> Result<bool, GuestError> {
    let ran = record(guest)?.is_some_and(|r| r.done && r.tx == *tx && r.digest == *digest);
    // Who died while they were taken back may have left the record, and has forgotten the way in.
    Ok(ran && early::tx(guest)?.as_ref() == Some(tx))
}

/// Refuses a switch whose hooks have not run, or were taken back since.
pub fn check_ran(guest: &mut Guest, switch: &Switch) -> Result<(), GuestError> {
    let Some(digest) = switch.generation.digest else { return Ok(()) };
    if of(guest, &digest)?.before_switch.is_empty() || have_run(guest, &switch.tx, &digest)? {
        return Ok(());
    }
    let why =
        "the hooks before the switch have not run, or what they did to the way in was taken back";
    Err(GuestError::Unfit(format!("{why}; activate again")))
}

/// Takes back what hooks did to the way in before a switch that does not come.
pub fn take_back(guest: &mut Guest) -> Result<(), GuestError> {
    let Some(Record { tx, done, .. }) = record(guest)? else { return early::take_back(guest) };
    if done && early::tx(guest)?.is_none() {
        return Ok(());
    }
    // What cannot be ended keeps nothing from coming back.
    let ended = end(guest, &tx);
    early::take_back(guest)?;
    ended?;
    Ok(guest.fs.remove(RECORD)?)
}

/// The alarm of a preparation rings: its switch has not begun in time. Who was cut off never comes back: what fails is tried
/// again, the wait for the lock too.
pub fn by_alarm(guest: &mut Guest, tx: &TxId, patience: Duration) -> Result<(), GuestError> {
    let open = |guest: &mut Guest| {
        let _guard = lease::lock(guest, patience)?;
        if early::tx(guest)?.as_ref() != Some(tx) {
            return Ok(());
        }
        // What began the switch may have died before that had an alarm of its own.
        undo::after_switch(guest, tx)?;
        take_back(guest)
    };
    undo::ring(guest, open, |guest| Ok(guest.system.arm(tx, Alarm::Reopen, undo::RETRY_AFTER)?))
}

/// Runs what comes when the new generation's units are up.
pub fn after_switch(guest: &mut Guest, switch: &Switch) -> Result<(), GuestError> {
    run(guest, &switch.tx, &switch.hooks, switch.generation.digest.as_ref())
}

/// Ends hooks whose call died before the switch, so that they do not run beside the next ones.
pub fn end_dead(guest: &mut Guest) -> Result<(), GuestError> {
    match record(guest)? {
        Some(Record { done: false, .. }) => take_back(guest),
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
