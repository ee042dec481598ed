//! Where a rollback goes.

use super::ActivateError;
use crate::model::{Generation, GenerationId, Outcome, protocol::HistoryReply};

/// Chooses: the number asked for, or the live generation's parent. A rollback inherits its target's parent, so that
/// repeating it walks further back.
pub fn rollback_target(
    of: &crate::model::Target,
    history: &HistoryReply,
    asked: Option<GenerationId>,
) -> Result<Generation, ActivateError> {
    let nothing =
        |why: &str| ActivateError::NothingBefore { target: of.clone(), why: why.to_owned() };
    let confirmed = || {
        history.generations.iter().filter(|g| g.outcome == Outcome::Confirmed && g.digest.is_some())
    };
    let live = history.live.ok_or_else(|| nothing("no generation is live"))?;
    let live = history.generations.iter().find(|g| g.number == live);
    let live = live.ok_or_else(|| nothing("the live generation has no record"))?;
    let number = match asked {
        Some(number) => number,
        None => live.parent.ok_or_else(|| nothing("the live generation has no parent"))?,
    };
    if number == GenerationId::FOUND {
        return Err(nothing(match asked {
            Some(_) => {
                "generation 0 is the guest as it was found, and this version cannot go there"
            }
            None => {
                "what was live before is generation 0, the guest as it was found, which holds no bundle"
            }
        }));
    }
    let found = confirmed().find(|g| g.number == number).cloned();
    found.ok_or_else(|| ActivateError::NoGeneration {
        target: of.clone(),
        number,
        known: confirmed().map(|g| g.number).collect(),
    })
}
