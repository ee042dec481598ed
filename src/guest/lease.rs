//! Who may change the guest: its identity, the lock while a call runs, the lease between calls.

use super::error::GuestError;
use super::fs::{Guard, GuestFs, mkdir_all};
use super::{Guest, journal, kept};
use crate::model::TxId;
use crate::model::layout::STATE;
use crate::model::protocol::{Caller, Identity, Lease};
use std::time::Duration;

pub const LOCK: &str = "/var/lib/stackc/lock";
const LEASE: &str = "/var/lib/stackc/lease";
const IDENTITY: &str = "/var/lib/stackc/identity";
/// Longer than an operator takes between two calls, shorter than a person's patience after a crash.
const LEASE_SECONDS: u64 = 120;
/// How often a taken lock is tried again.
const LOCK_ROUND: Duration = Duration::from_millis(50);

/// Who the guest is; none on one that stackc has not touched.
pub fn identity(fs: &mut dyn GuestFs) -> Result<Option<Identity>, GuestError> {
    kept::find(fs, IDENTITY)
}

/// Refuses an operator who means another guest. The first contact passes.
pub fn check_identity(fs: &mut dyn GuestFs, wanted: &Identity) -> Result<(), GuestError> {
    let name = |id: &Identity| format!("`{}/{}` ({})", id.project, id.env, id.uuid);
    match identity(fs)? {
        Some(found) if found != *wanted => {
            Err(GuestError::Identity { found: name(&found), wanted: name(wanted) })
        }
        _ => Ok(()),
    }
}

/// Takes the lock, waiting this long for whoever has it.
pub fn lock(guest: &mut Guest, patience: Duration) -> Result<Guard, GuestError> {
    let started = guest.system.uptime();
    loop {
        // Whoever has the lock may be detaching, and take the folder away.
        mkdir_all(guest.fs, STATE, 0o755)?;
        if let Some(guard) = guest.fs.lock(LOCK)? {
            return Ok(guard);
        }
        if guest.system.uptime().saturating_sub(started) >= patience {
            let holder = match lease(guest)? {
                Some(lease) => format!("{} is at work ({})", lease.who, lease.why),
                None => "another call is at work".to_owned(),
            };
            return Err(GuestError::Busy { holder });
        }
        guest.system.sleep(LOCK_ROUND);
    }
}

/// Who had the last lease that was not given back, whether it counts or not.
pub fn last(fs: &mut dyn GuestFs) -> Result<Option<TxId>, GuestError> {
    Ok(kept::find(fs, LEASE)?.map(|lease: Lease| lease.tx))
}

/// The lease that counts now: of this boot, renewed in time, its transaction not over.
pub fn lease(guest: &mut Guest) -> Result<Option<Lease>, GuestError> {
    let Some(lease) = kept::find::<Lease>(guest.fs, LEASE)? else { return Ok(None) };
    let counts = lease.boot_id == guest.system.boot_id()?
        && guest.system.uptime().as_secs() < lease.expires_at_seconds
        && journal::record(guest.fs, &lease.tx)?.is_none();
    Ok(counts.then_some(lease))
}

/// Takes or renews the lease, and makes the first contact's identity the guest's. A lease is one run's, also beside
/// another of the same person: that one takes it over only when it knows that the first is dead.
pub fn enter(guest: &mut Guest, caller: &Caller) -> Result<(), GuestError> {
    check_identity(guest.fs, &caller.identity)?;
    if let Some(lease) = lease(guest)?
        && lease.tx != caller.tx
        && caller.over.as_ref() != Some(&lease.tx)
    {
        let left = lease.expires_at_seconds.saturating_sub(guest.system.uptime().as_secs());
        let holder = format!("{} holds it for another {left} s ({})", lease.who, lease.why);
        return Err(GuestError::Busy { holder });
    }
    if identity(guest.fs)?.is_none() {
        kept::put(guest.fs, IDENTITY, &caller.identity, 0o644)?;
    }
    put(guest, caller)
}

/// The same for one call alone: where there is no room to write the lease, the lock is enough.
pub fn enter_once(guest: &mut Guest, caller: &Caller) -> Result<(), GuestError> {
    match enter(guest, caller) {
        Err(GuestError::Fs(error)) if error.lacks_room() => Ok(()),
        entered => entered,
    }
}

/// Gives a lease its whole time again when a call took the most of it: who waits for the call's end must not come between
/// it and the next one.
pub fn renew(guest: &mut Guest, caller: &Caller) -> Result<(), GuestError> {
    if guest.fs.stat(LEASE)?.is_none() {
        return Ok(());
    }
    let lease: Lease = kept::read(guest.fs, LEASE)?;
    let fades = guest.system.uptime().as_secs() + LEASE_SECONDS / 2 > lease.expires_at_seconds;
    if lease.tx == caller.tx && fades { put(guest, caller) } else { Ok(()) }
}

fn put(guest: &mut Guest, caller: &Caller) -> Result<(), GuestError> {
    let lease = Lease {
        tx: caller.tx.clone(),
        who: caller.who.clone(),
        why: caller.why.clone(),
        boot_id: guest.system.boot_id()?,
        expires_at_seconds: guest.system.uptime().as_secs() + LEASE_SECONDS,
    };
    Ok(kept::put(guest.fs, LEASE, &lease, 0o644)?)
}

/// Takes away a lease that no longer counts: its boot is over.
pub fn end(guest: &mut Guest) -> Result<(), GuestError> {
    match lease(guest)? {
        Some(_) => Ok(()),
        None => Ok(guest.fs.remove(LEASE)?),
    }
}

/// Gives the lease back when the transaction that has it is over.
pub fn leave(guest: &mut Guest, tx: &TxId) -> Result<(), GuestError> {
    match lease(guest)? {
        Some(lease) if lease.tx == *tx => Ok(guest.fs.remove(LEASE)?),
        _ => Ok(()),
    }
}
