//! A unit's text as the service manager reads it: the file, then its drop-ins in order of their names (systemd.unit(5)).

use crate::model::{UnitLine, unit_lines};
use std::collections::BTreeMap;

/// Sections, keys and each key's values in order.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct UnitFile {
    sections: BTreeMap<String, BTreeMap<String, Vec<String>>>,
}

impl UnitFile {
    /// Reads a unit file and its drop-ins. An empty value takes back what was said before.
    pub(super) fn parse<'a>(texts: impl IntoIterator<Item = &'a str>) -> Self {
        let mut unit = Self::default();
        for text in texts {
            unit.read(text);
        }
        for keys in unit.sections.values_mut() {
            keys.retain(|_, values| !values.is_empty());
        }
        unit.sections.retain(|_, keys| !keys.is_empty());
        unit
    }

    fn read(&mut self, text: &str) {
        for (_, line) in unit_lines(text) {
            let UnitLine::Directive { section, key, value } = line else { continue };
            let values = self.sections.entry(section).or_default().entry(key).or_default();
            if value.is_empty() {
                values.clear();
            } else {
                values.push(value);
            }
        }
    }

    pub(super) fn values(&self, section: &str, key: &str) -> &[String] {
        self.sections.get(section).and_then(|keys| keys.get(key)).map_or(&[], Vec::as_slice)
    }

    /// The words of all values of these keys: names of units, mostly.
    pub(super) fn names<'t>(
        &'t self,
        section: &'t str,
        keys: &'t [&str],
    ) -> impl Iterator<Item = &'t str> {
        let values = keys.iter().flat_map(move |key| self.values(section, key));
        values.flat_map(|value| value.split_whitespace())
    }

    /// The last value of a key that has one.
    pub(super) fn value(&self, section: &str, key: &str) -> Option<&str> {
        self.values(section, key).last().map(String::as_str)
    }

    /// A switch of the unit, as systemd spells booleans.
    pub(super) fn flag(&self, section: &str, key: &str) -> Option<bool> {
        match self.value(section, key)? {
            "1" | "yes" | "y" | "true" | "t" | "on" => Some(true),
            _ => Some(false),
        }
    }

    /// Every `(section, key)` whose values differ; `[Install]` never matters to what runs.
    pub(super) fn differences(&self, other: &Self) -> Vec<(String, String)> {
        let keys = |unit: &Self| -> Vec<(String, String)> {
            let sections = unit.sections.iter().filter(|(name, _)| *name != "Install");
            sections.flat_map(|(s, keys)| keys.keys().map(|k| (s.clone(), k.clone()))).collect()
        };
        let mut all = keys(self);
        all.extend(keys(other));
        all.sort();
        all.dedup();
        all.retain(|(s, k)| self.values(s, k) != other.values(s, k));
        all
    }
}
