//! The two ends of a transaction, each by its decision; any number of times.

use super::error::GuestError;
use super::journal::{self, Reserve};
use super::packages::services;
use super::{Guest, found, generation, place};
use crate::model::{Outcome, Phase, Switch, TxId};

/// The new generation stays.
pub fn confirmed(guest: &mut Guest, tx: &TxId) -> Result<(), GuestError> {
    let switch = journal::switch(guest.fs, tx)?;
    journal::free_reserve(guest.fs, tx, Reserve::ToEnd)?;
    generation::set_outcome(guest.fs, switch.generation.number, Outcome::Confirmed)?;
    place::sweep(guest.fs, &switch)?;
    if switch.generation.digest.is_none() {
        found::leave(guest.fs)?;
    }
    services::forget_prepared(guest.fs)?;
    guest.system.disarm(tx)?;
    journal::close(guest.fs, &switch, Phase::Confirmed)
}

/// The old generation is back, whole.
pub fn undone(guest: &mut Guest, switch: &Switch) -> Result<(), GuestError> {
    journal::free_reserve(guest.fs, &switch.tx, Reserve::ToEnd)?;
    generation::set_outcome(guest.fs, switch.generation.number, Outcome::Undone)?;
    services::forget_prepared(guest.fs)?;
    guest.system.disarm(&switch.tx)?;
    journal::close(guest.fs, switch, Phase::Undone)
}
