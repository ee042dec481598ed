//! `hooks.json`: commands around a switch. Absent when there are none.

use super::Owner;
use serde::{Deserialize, Serialize};
use std::{collections::BTreeMap, time::Duration};

/// Commands by name, in whose order they run: on each switch to a generation that has them, a rollback to it included,
/// and never on the way back of a switch that is undone.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct HooksDocument {
    /// Run when all is prepared: a failure leaves everything as it is.
    pub before_switch: BTreeMap<String, Hook>,
    /// Run when the units are up, before the probes: a failure undoes the switch.
    pub after_switch: BTreeMap<String, Hook>,
}

/// One command, run in `/` with an environment of its own.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Hook {
    /// The program's absolute path, and its arguments.
    pub argv: Vec<String>,
    pub user: Owner,
    /// After this all that it started is killed.
    pub timeout_seconds: u32,
}

impl Hook {
    /// How long all of these may take, one after the other.
    pub fn limit_of(hooks: &BTreeMap<String, Self>) -> Duration {
        Duration::from_secs(hooks.values().map(|hook| u64::from(hook.timeout_seconds)).sum())
    }
}
