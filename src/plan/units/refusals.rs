//! Units that nobody stops or starts by name, because their own text refuses it (systemd.unit(5)). A restart is both, and an
//! undo does the reverse of a switch: begun once, either would be refused for ever. So they are left alone, and with them
//! what they would go down with.

use super::{Unit, UnitChange, UnitDecision, dependents::is_tied, is_active};
use crate::{
    model::{GuestPath, UnitName, protocol::UnitState},
    plan::unit_file::UnitFile,
};
use std::collections::{BTreeMap, BTreeSet};

const START: &str = "RefuseManualStart";
const STOP: &str = "RefuseManualStop";

/// The key by which a unit with this text refuses.
pub fn refusal(text: &UnitFile) -> Option<&'static str> {
    [START, STOP].into_iter().find(|key| text.flag("Unit", key) == Some(true))
}

/// The units of a generation, and their texts.
#[derive(Clone, Copy)]
pub struct Generation<'g> {
    pub units: &'g BTreeMap<UnitName, Unit>,
    pub texts: &'g BTreeMap<GuestPath, String>,
}

impl<'g> Generation<'g> {
    fn texts(self) -> impl Iterator<Item = (&'g UnitName, UnitFile)> {
        self.units.iter().map(move |(name, unit)| (name, unit.text(self.texts)))
    }
}

/// What runs and refuses, in either generation: a switch stops by the old text, and its undo by the new one.
pub struct Refusals<'g> {
    generations: [Generation<'g>; 2],
    keys: BTreeMap<&'g UnitName, &'static str>,
    states: &'g BTreeMap<UnitName, UnitState>,
}

impl<'g> Refusals<'g> {
    pub fn of(generations: [Generation<'g>; 2], states: &'g BTreeMap<UnitName, UnitState>) -> Self {
        let texts = generations.into_iter().flat_map(Generation::texts);
        let running = texts.filter(|(name, _)| is_active(states, name));
        let keys = running.filter_map(|(name, text)| Some((name, refusal(&text)?))).collect();
        Self { generations, keys, states }
    }

    /// Takes back every decision that would be refused.
    pub fn hold(&self, decided: &mut BTreeMap<UnitName, UnitChange>) {
        use UnitDecision::{LeftAlone, Reload, Restart, Start, Stop, StopThenStart};
        for (name, change) in decided {
            let reason = match change.decision {
                Reload | LeftAlone => None,
                Start => self.refuses_start(name).then(|| format!("it says {START}")),
                Restart | StopThenStart | Stop => self.reason(name),
            };
            if let Some(reason) = reason {
                change.decision = LeftAlone;
                change.causes.push(reason);
            }
        }
    }

    /// Why a unit cannot go down: it refuses that, or something that would go down with it does.
    pub fn reason(&self, name: &UnitName) -> Option<String> {
        if self.keys.is_empty() {
            return None;
        }
        let (mut seen, mut next) = (BTreeSet::new(), vec![name]);
        while let Some(down) = next.pop() {
            match self.keys.get(down) {
                Some(key) if down == name => return Some(format!("it says {key}")),
                Some(key) => {
                    return Some(format!("{down} would go down with it, and says {key}"));
                }
                None if seen.insert(down) => next.extend(self.tied_to(down)),
                None => {}
            }
        }
        None
    }

    fn refuses_start(&self, name: &UnitName) -> bool {
        let [_, new] = self.generations;
        let text = new.units.get(name).map(|unit| unit.text(new.texts));
        text.is_some_and(|text| text.flag("Unit", START) == Some(true))
    }

    fn tied_to(&self, down: &UnitName) -> impl Iterator<Item = &'g UnitName> {
        let texts = self.generations.into_iter().flat_map(Generation::texts);
        let tied = texts.filter(move |(_, text)| is_tied(text, down));
        tied.map(|(name, _)| name).filter(|name| is_active(self.states, name))
    }
}
