//! Jobs: oneshots that something else starts when it is time.

use super::{UnitChange, UnitDecision};
use crate::plan::unit_file::UnitFile;

/// What a change means for a job that is at work: to run it once more would take what it has done, and its time.
pub fn at_work(mut causes: Vec<String>) -> Option<UnitChange> {
    if causes.is_empty() {
        return None;
    }
    causes.push("it is at work, and its next run reads that".to_owned());
    Some(UnitChange { decision: UnitDecision::LeftAlone, causes })
}

/// Whether it is a job that something else starts when it is time: down between its runs.
pub fn ends(text: &UnitFile) -> bool {
    text.value("Service", "Type") == Some("oneshot")
        && text.flag("Service", "RemainAfterExit") != Some(true)
}
