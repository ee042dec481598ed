//! What happened to each unit of a guest between two pictures, against what a plan says.

use crate::{
    exact_said::Said,
    exact_volatile::{is_restless, is_volatile_unit},
};
use std::collections::{BTreeMap, BTreeSet};

/// What is asked of the service manager about every unit that it knows.
pub const PROPERTIES: &str =
    "Id,LoadState,ActiveState,SubState,MainPID,InvocationID,StateChangeTimestampMonotonic";

/// A unit as the service manager has it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Unit {
    pub active: String,
    pub sub: String,
    pub pid: String,
    /// Another one each time that it is started.
    pub invocation: String,
    /// When its state was last another one, a reload's included.
    pub changed: String,
}

/// What happened to a unit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Happened {
    Nothing,
    Reloaded,
    Restarted,
    Started,
    Stopped,
}

impl Happened {
    fn word(self) -> &'static str {
        match self {
            Self::Nothing => "left alone",
            Self::Reloaded => "reloaded, or changed by itself",
            Self::Restarted => "restarted",
            Self::Started => "started",
            Self::Stopped => "stopped",
        }
    }

    /// What a plan's word means.
    fn planned(word: &str) -> Self {
        match word {
            "leave" => Self::Nothing,
            "reload" => Self::Reloaded,
            "restart" | "stop+start" => Self::Restarted,
            "start" => Self::Started,
            "stop" => Self::Stopped,
            _ => panic!("no plan has the word `{word}`"),
        }
    }

    /// Only services are reloaded; other units' states also follow what they start, and some are set anew.
    fn between(name: &str, before: &Unit, after: &Unit) -> Self {
        let is_reloaded = name.ends_with(".service") && !is_restless(name);
        let ran_anew = before.invocation != after.invocation;
        match (before.is_up(), after.is_up()) {
            // A oneshot that ran anew and ended.
            (true, false) if ran_anew && after.active == "inactive" => Self::Restarted,
            (true, false) => Self::Stopped,
            (false, true) => Self::Started,
            // One that ran and ended meanwhile; one that the service manager forgot did not.
            (false, false) if ran_anew && !after.invocation.is_empty() => Self::Started,
            (false, false) => Self::Nothing,
            (true, true) if ran_anew => Self::Restarted,
            (true, true) if before == after || !is_reloaded => Self::Nothing,
            (true, true) => Self::Reloaded,
        }
    }
}

impl Unit {
    fn is_up(&self) -> bool {
        !matches!(self.active.as_str(), "inactive" | "failed" | "")
    }
}

/// Reads what `systemctl show` prints of many units.
pub fn read(text: &str) -> BTreeMap<String, Unit> {
    let unit = |block: &str| {
        let said: BTreeMap<&str, &str> =
            block.lines().filter_map(|line| line.split_once('=')).collect();
        let text = |key: &str| said.get(key).copied().unwrap_or_default().to_owned();
        let unit = Unit {
            active: text("ActiveState"),
            sub: text("SubState"),
            pid: text("MainPID"),
            invocation: text("InvocationID"),
            changed: text("StateChangeTimestampMonotonic"),
        };
        (text("Id"), unit)
    };
    text.split("\n\n").filter(|block| !block.trim().is_empty()).map(unit).collect()
}

/// Units to which something else happened than the plan says.
pub fn faults(
    said: &Said,
    before: &BTreeMap<String, Unit>,
    after: &BTreeMap<String, Unit>,
) -> Vec<String> {
    let names: BTreeSet<&String> =
        before.keys().chain(after.keys()).chain(said.units.keys()).collect();
    let unknown = Unit::default();
    let of =
        |units: &BTreeMap<String, Unit>, name: &str| units.get(name).unwrap_or(&unknown).clone();
    let fault = |name: &String| {
        let planned = said.units.get(name).map(|word| Happened::planned(word));
        if planned.is_none() && is_volatile_unit(name) {
            return None;
        }
        let planned = planned.unwrap_or(Happened::Nothing);
        let (before, after) = (of(before, name), of(after, name));
        let happened = Happened::between(name, &before, &after);
        let (planned_word, word) = (planned.word(), happened.word());
        (happened != planned).then(|| {
            format!("{name} was to be {planned_word}, and was {word}: {before:?} → {after:?}")
        })
    };
    names.into_iter().filter_map(fault).collect()
}
