//! What a guest keeps of its past, and what it gives up.

use super::{
    ActivateError, Failed, Found, Stage,
    look::{claim, reached},
    time,
};
use crate::model::{
    GenerationId, Target, TxId,
    protocol::{Caller, Done, Garbage, GcRequest, Identity, PinRequest, RefusalCode},
};
use crate::remote::RemoteError;

/// Who asks whose guest.
#[derive(Debug, Clone)]
pub struct Keeper {
    pub target: Target,
    /// `user@host` of the operator.
    pub who: String,
    /// How many confirmed generations stay besides those that cannot go.
    pub keep: u32,
    /// Whether packages are collected too.
    pub packages: bool,
}

/// Looks for what no kept generation needs; removes it when it is all in `approved`.
///
/// # Errors
/// When something has come since that was not approved, or somebody is at work on the guest.
pub fn gc(
    keeper: &Keeper,
    found: &mut Found,
    approved: Option<&Garbage>,
) -> Result<Garbage, Failed> {
    let over = keeper.claim(found).map_err(Failed::refused)?;
    let (identity, connection) = reached(&keeper.target, found).map_err(Failed::refused)?;
    let caller = keeper.caller(identity, "gc", over);
    let (keep, packages) = (keeper.keep, keeper.packages);
    let request = GcRequest { caller, keep, packages, approved: approved.cloned() };
    connection.gc(&request).map_err(|error| {
        if approved.is_none() { Failed::refused(error) } else { ended_early(error) }
    })
}

/// What was not refused may have been done in part, or be at work still.
fn ended_early(error: RemoteError) -> Failed {
    let refused = error.refusal().is_some_and(|no| no.code != RefusalCode::Failed);
    let stage = if refused { Stage::Refused } else { Stage::BeforeSwitch };
    Failed { stage, error: error.into() }
}

/// Pins a generation, or lets go of one.
pub fn pin(
    keeper: &Keeper,
    found: &mut Found,
    number: GenerationId,
    pinned: bool,
) -> Result<Done, Failed> {
    let over = keeper.claim(found).map_err(Failed::refused)?;
    let (identity, connection) = reached(&keeper.target, found).map_err(Failed::refused)?;
    let caller = keeper.caller(identity, if pinned { "pin" } else { "unpin" }, over);
    connection.pin(&PinRequest { caller, number, pinned }).map_err(ended_early)
}

impl Keeper {
    fn claim(&self, found: &Found) -> Result<Option<TxId>, ActivateError> {
        claim(&self.target, &self.who, found.guest.as_ref())
    }

    fn caller(&self, identity: Identity, verb: &str, over: Option<TxId>) -> Caller {
        let why = time::since_now(&format!("{verb} of {}", self.target));
        Caller { identity, tx: time::new_tx(), who: self.who.clone(), why, over }
    }
}
