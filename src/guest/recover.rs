//! Recovery at boot, before anything reads what it puts back (lxc.md §4).

use super::Guest;
use super::before::Before;
use super::door::early;
use super::error::GuestError;
use super::fs::{GuestFs, mkdir_all, replace, split, text};
use super::journal::{self, Decision, Reserve};
use super::system::{Alarm, UnitJob, UnitReport};
use super::units::Downtime;
use super::{close, door, down, generation, hooks, lease, packages, place, sweep, undo, way_back};
use crate::model::{Ledger, Phase, Switch, TxId, UnitName};
use std::collections::BTreeSet;
use std::time::Duration;

const UNIT: &str = "/etc/systemd/system/stackc-recover.service";
const WANTED: &str = "/etc/systemd/system/sysinit.target.wants/stackc-recover.service";
/// When the whole is tried again after a recovery that failed: the guest is up then, and jobs can be waited for.
const RETRY_AFTER: Duration = Duration::from_secs(20);
/// Units that let a person in. At boot they read files of the door, which have to be back by then.
const DOOR_UNITS: [&str; 6] = [
    "ssh.service",
    "ssh.socket",
    "ufw.service",
    "nftables.service",
    "netfilter-persistent.service",
    "networking.service",
];

/// The unit that runs `recover`, as measured in lxc.md §4: ordering before sysinit.target covers every unit with
/// default dependencies, those without are named. `systemd-sysusers` is left out: a cycle when `/var` is mounted. Besides an
/// open transaction it looks for what only a reboot in the middle leaves: units that a migration stopped, services held
/// back for an installation, the lease of whoever was preparing, the way in from before their hooks. `recover-ended` runs
/// however it ended, by its time limit too.
fn unit_text(program: &str) -> String {
    let door = DOOR_UNITS.join(" ");
    format!(
        "[Unit]
Description=Go back from a stackc switch that a reboot interrupted
DefaultDependencies=no
RequiresMountsFor=/var/lib/stackc /etc /usr/local
After=systemd-remount-fs.service
Before=sysinit.target network-pre.target systemd-sysctl.service systemd-tmpfiles-setup.service {door} cron.service shutdown.target
Conflicts=shutdown.target
ConditionDirectoryNotEmpty=|/var/lib/stackc/tx
ConditionPathExists=|/var/lib/stackc/migrating.json
ConditionPathExists=|/usr/sbin/policy-rc.d
ConditionPathExists=|/var/lib/stackc/lease
ConditionPathExists=|/var/lib/stackc/way-in

[Service]
Type=oneshot
TimeoutStartSec=180
ExecStart={program} recover
ExecStopPost={program} recover-ended

[Install]
WantedBy=sysinit.target
"
    )
}

/// Installs the unit, a regular file that is part of no generation. Installed already: nothing. It is for the next boot,
/// which reads it from the disk: what runs now need not load it.
pub fn install(guest: &mut Guest) -> Result<(), GuestError> {
    let unit = unit_text(&guest.system.program()?);
    if unit_text_there(guest.fs)? == unit && guest.fs.stat(WANTED)?.is_some() {
        return Ok(());
    }
    for path in [UNIT, WANTED] {
        mkdir_all(guest.fs, split(path).0, 0o755)?;
    }
    replace(guest.fs, UNIT, unit.as_bytes(), 0o644)?;
    guest.fs.symlink("../stackc-recover.service", WANTED)?;
    Ok(guest.fs.sync_dir(split(WANTED).0)?)
}

/// Takes the unit away again. Gone already: nothing.
pub fn uninstall(guest: &mut Guest) -> Result<(), GuestError> {
    for path in [WANTED, UNIT] {
        let folder = split(path).0;
        guest.fs.remove(path)?;
        if guest.fs.stat(folder)?.is_some() {
            guest.fs.sync_dir(folder)?;
        }
    }
    place::remove_or_leave(guest.fs, split(WANTED).0)?;
    Ok(guest.system.daemon_reload()?)
}

/// The unit as it stands; empty before the first switch.
pub fn unit_text_there(fs: &mut dyn GuestFs) -> Result<String, GuestError> {
    Ok(text(fs, UNIT)?)
}

/// Ends every transaction that the last boot left open: by its decision, or by going back.
pub fn recover(guest: &mut Guest) -> Result<(), GuestError> {
    let boot_id = guest.system.boot_id()?;
    let mut first = Ok(());
    for tx in journal::pending(guest.fs)? {
        let recovered = recover_one(guest, &tx, &boot_id);
        first = first.and(recovered);
    }
    first.and(sweep::sweep(guest))?;
    end_preparation(guest)
}

/// What was prepared when the guest went down has no owner any more. Only its packages' sources are where others look, and
/// what its hooks did to the way in.
fn end_preparation(guest: &mut Guest) -> Result<(), GuestError> {
    if lease::lease(guest)?.is_some() {
        return Ok(());
    }
    hooks::take_back(guest)?;
    packages::forget_sources(guest.fs)?;
    lease::end(guest)
}

fn recover_one(guest: &mut Guest, tx: &TxId, boot_id: &str) -> Result<(), GuestError> {
    let before = journal::before(guest.fs, tx)?;
    if before.boot_id == boot_id {
        // No reboot: whoever holds the transaction, or its alarm, is still there.
        return Ok(());
    }
    if journal::decision(guest.fs, tx)? == Some(Decision::Confirmed) {
        return close::confirmed(guest, tx);
    }
    let switch = journal::switch(guest.fs, tx)?;
    journal::free_reserve(guest.fs, tx, Reserve::ToDecide)?;
    if journal::count_recovery(guest.fs, tx)? > journal::RECOVERIES_MAX {
        return hold(guest, &switch, &before);
    }
    let Err(error) = go_back(guest, &switch, &before) else { return Ok(()) };
    // What keeps the whole from going back need not keep a person out.
    if let Err(also) = open_door(guest, &switch, &before) {
        let told = format!("the way in is not as before: {}", also.refusal("").message);
        journal::note_evidence(guest.fs, tx, vec![told])?;
    }
    Err(error)
}

/// Runs when `recover` is over, however: what it could not bring to an end gets its door back at least, and is tried
/// again as a whole when the guest is up. A retry that only finds the end of a transaction does nothing.
pub fn ended(guest: &mut Guest) -> Result<(), GuestError> {
    let boot_id = guest.system.boot_id()?;
    let mut first = Ok(());
    for tx in journal::pending(guest.fs)? {
        first = first.and(open_again(guest, &tx, &boot_id));
    }
    // What hooks before a switch did that never began has no transaction, and its own alarms went with the last boot.
    if let Some(tx) = early::tx_before_boot(guest)? {
        guest.system.arm(&tx, Alarm::Reopen, RETRY_AFTER)?;
    }
    first
}

fn open_again(guest: &mut Guest, tx: &TxId, boot_id: &str) -> Result<(), GuestError> {
    let before = journal::before(guest.fs, tx)?;
    let is_held = journal::recoveries(guest.fs, tx)? > journal::RECOVERIES_MAX;
    if before.boot_id == boot_id || is_held {
        return Ok(());
    }
    // The alarm first: a door that does not open is one more reason for it.
    guest.system.arm(tx, Alarm::Retry, RETRY_AFTER)?;
    // The old door in the new generation is no state to confirm.
    let decided = journal::decide(guest.fs, tx, Decision::Undone);
    if let Ok(Decision::Confirmed) = decided {
        return Ok(());
    }
    let switch = journal::switch(guest.fs, tx)?;
    open_door(guest, &switch, &before)?;
    decided.map(drop)
}

/// Too many boots did not finish: only the door is opened, what the switch would have run stays down, and a person is
/// waited for.
fn hold(guest: &mut Guest, switch: &Switch, before: &Before) -> Result<(), GuestError> {
    open_door(guest, switch, before)?;
    for unit in before.units.keys().filter(|unit| !is_door_unit(unit)) {
        // Queued only: what has begun to start is stopped, what has not never starts.
        drop(guest.system.job(UnitJob::StopLater, unit));
    }
    journal::set_phase(guest.fs, &switch.tx, Phase::Inconsistent)?;
    Err(GuestError::Inconsistent(format!(
        "transaction `{}` was not undone in {} boots",
        switch.tx,
        journal::RECOVERIES_MAX
    )))
}

/// Files and `current` back; then the service manager, which loaded the new generation's units before we could run,
/// reads again and starts what the old generation has enabled. The kernel's rules come from the files, after us.
fn go_back(guest: &mut Guest, switch: &Switch, before: &Before) -> Result<(), GuestError> {
    let tx = &switch.tx;
    if journal::decide(guest.fs, tx, Decision::Undone)? == Decision::Confirmed {
        return close::confirmed(guest, tx);
    }
    // What cannot be told keeps nothing from coming back: what is decided is what counts. Nobody takes room at this time.
    let noted = note(guest.fs, tx).or_else(|_| {
        journal::free_reserve(guest.fs, tx, Reserve::ToEnd)?;
        note(guest.fs, tx)
    });
    place::back(guest.fs, switch, before)?;
    way_back::verify_files(guest, switch, before)?;
    // What cannot be put back of the door must not keep down what the old generation runs: it is tried again when it is up.
    let (listeners, door) = door::restore_files(guest, tx, before);
    let owned = generation::ledger(guest.fs, switch.from)?;
    guest.system.daemon_reload()?;
    for unit in enabled_before(switch, before, &owned).union(&listeners) {
        // The job is only queued: a unit that cannot start must not keep the others down.
        drop(guest.system.job(UnitJob::StartLater, unit));
    }
    door?;
    close::undone(guest, switch)?;
    noted
}

/// How long units were down is not known: the clock that counts has begun anew.
fn note(fs: &mut dyn GuestFs, tx: &TxId) -> Result<(), GuestError> {
    journal::note_failure(fs, tx, &undo::went_down())?;
    journal::set_phase(fs, tx, Phase::Undoing)?;
    journal::note_downtime(fs, tx, &Downtime::default())
}

/// Units that the old generation's own links want, and those that it ran and the switch touched.
fn enabled_before(switch: &Switch, before: &Before, owned: &Ledger) -> BTreeSet<UnitName> {
    let mut units = down::enabled(owned);
    let undo = &switch.undo_units;
    let touched = undo.restart.iter().chain(&undo.start).chain(&undo.reload);
    let ran = |unit: &&UnitName| before.units.get(*unit).is_some_and(UnitReport::is_active);
    units.extend(touched.filter(ran).cloned());
    units
}

fn is_door_unit(unit: &UnitName) -> bool {
    DOOR_UNITS.contains(&unit.as_str())
}

/// Copies back alone what must be right for a person to get in.
fn open_door(guest: &mut Guest, switch: &Switch, before: &Before) -> Result<(), GuestError> {
    let own = door::restore_own(guest.fs, &switch.tx, before);
    let (_, others) = door::restore_files(guest, &switch.tx, before);
    own.map(drop).and(others)
}
