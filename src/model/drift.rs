//! What somebody's hand has changed on a guest since its live generation was made live.

use super::UnitName;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// What runs otherwise than the live generation has it. Files that differ are not of it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RuntimeDrift {
    /// Units that the live generation starts, and that do not run as it has them.
    pub units: BTreeMap<UnitName, Down>,
    /// What the kernel's rules differ in, in words.
    pub firewall: Vec<String>,
}

/// Why a unit does not run, or would not after a boot.
///
/// A unit that was stopped or masked was meant to be: that is drift, over which an activation does not go unasked. One that
/// failed is health: nobody meant it, and nothing of anybody's is lost by starting it again. So a plan starts it, and an
/// activation needs no leave for that; when it fails once more, the switch is undone with its journal as the evidence.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Down {
    Stopped,
    /// By a link to /dev/null where the unit's file would be; it may still run, but for the last time.
    Masked,
    Failed,
}

impl Down {
    /// Whether somebody meant it.
    pub fn by_hand(self) -> bool {
        self != Self::Failed
    }

    pub fn words(self) -> &'static str {
        match self {
            Self::Stopped => "stopped by hand",
            Self::Masked => "masked by hand",
            Self::Failed => "failed",
        }
    }
}

impl RuntimeDrift {
    pub fn is_empty(&self) -> bool {
        self.units.is_empty() && self.firewall.is_empty()
    }

    /// What somebody meant to be so, a sentence each.
    pub fn by_hand(&self) -> Vec<String> {
        let units = self.units.iter().filter(|(_, down)| down.by_hand());
        let units = units.map(|(unit, down)| format!("{unit}: {}", down.words()));
        units.chain(self.firewall.iter().map(|words| format!("firewall: {words}"))).collect()
    }

    /// Units that are down for nobody's wish.
    pub fn failed(&self) -> impl Iterator<Item = &UnitName> {
        self.units.iter().filter(|(_, down)| !down.by_hand()).map(|(unit, _)| unit)
    }
}
