//! What a guest keeps of its past, and what it gives up.

use super::{Failed, Found, Stage, look::reached, time};
use crate::model::{
    GenerationId, Target,
    protocol::{Caller, Done, Garbage, GcRequest, Identity, PinRequest, RefusalCode},
};

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
    let (identity, connection) = reached(&keeper.target, found).map_err(Failed::refused)?;
    let caller = keeper.caller(identity, "gc");
    let (keep, packages) = (keeper.keep, keeper.packages);
    let request = GcRequest { caller, keep, packages, approved: approved.cloned() };
    connection.gc(&request).map_err(|error| {
        // What was not refused may have been done in part, or be at work still.
        let refused = error.refusal().is_some_and(|no| no.code != RefusalCode::Failed);
        let stage =
            if refused || approved.is_none() { Stage::Refused } else { Stage::BeforeSwitch };
        Failed { stage, error: error.into() }
    })
}

/// Pins a generation, or lets go of one.
pub fn pin(
    keeper: &Keeper,
    found: &mut Found,
    number: GenerationId,
    pinned: bool,
) -> Result<Done, Failed> {
    let (identity, connection) = reached(&keeper.target, found).map_err(Failed::refused)?;
    let caller = keeper.caller(identity, if pinned { "pin" } else { "unpin" });
    connection.pin(&PinRequest { caller, number, pinned }).map_err(Failed::refused)
}

impl Keeper {
    fn caller(&self, identity: Identity, verb: &str) -> Caller {
        let why = format!("{verb} of {}", self.target);
        Caller { identity, tx: time::new_tx(), who: self.who.clone(), why }
    }
}
