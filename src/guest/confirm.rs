//! `confirm`: keeps a switch, by the one decision that cannot be taken twice.

use super::Guest;
use super::error::GuestError;
use super::journal::{self, Decision, Reserve};
use super::{close, undo};
use crate::model::{Nonce, Phase, TxId, TxState};

/// Keeps the switch. Again: the same answer. Too late: the true state, of a guest that has gone back or is about to.
pub fn confirm(guest: &mut Guest, tx: &TxId, nonce: &Nonce) -> Result<TxState, GuestError> {
    if let Some(record) = journal::record(guest.fs, tx)? {
        return Ok(record.state);
    }
    if !journal::is_pending(guest.fs, tx)? {
        return Err(GuestError::UnknownTx { tx: tx.clone() });
    }
    if !same_nonce(&journal::switch(guest.fs, tx)?.nonce, nonce) {
        return Err(GuestError::Nonce);
    }
    if journal::decision(guest.fs, tx)?.is_none() {
        if journal::before(guest.fs, tx)?.boot_id != guest.system.boot_id()? {
            // What was verified does not run any more, and recovery may have put back a part of the old generation.
            return undo::undo(guest, tx, undo::went_down());
        }
        if journal::phase(guest.fs, tx)? != Phase::AwaitingConfirm {
            return journal::state(guest.fs, tx);
        }
    }
    journal::free_reserve(guest.fs, tx, Reserve::ToDecide)?;
    match journal::decide(guest.fs, tx, Decision::Confirmed)? {
        Decision::Confirmed => close::confirmed(guest, tx)?,
        Decision::Undone => undo::after_switch(guest, tx)?,
    }
    journal::state(guest.fs, tx)
}

/// Equal nonces, without telling by time how much of them is equal.
fn same_nonce(left: &Nonce, right: &Nonce) -> bool {
    let (left, right) = (left.0.as_bytes(), right.0.as_bytes());
    left.len() == right.len() && left.iter().zip(right).fold(0, |diff, (l, r)| diff | (l ^ r)) == 0
}
