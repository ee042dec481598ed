//! A unit's text as the service manager reads it: the file, then its drop-ins in order of their names (systemd.unit(5)).

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
        let mut section = String::new();
        for line in logical_lines(text) {
            if let Some(name) = line.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')) {
                name.clone_into(&mut section);
            } else if let Some((key, value)) = line.split_once('=') {
                let keys = self.sections.entry(section.clone()).or_default();
                let values = keys.entry(key.trim().to_owned()).or_default();
                match value.trim() {
                    "" => values.clear(),
                    value => values.push(value.to_owned()),
                }
            }
        }
    }

    pub(super) fn values(&self, section: &str, key: &str) -> &[String] {
        self.sections.get(section).and_then(|keys| keys.get(key)).map_or(&[], Vec::as_slice)
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

/// Lines without comments and blanks, a trailing backslash joining a line to the next.
fn logical_lines(text: &str) -> Vec<String> {
    let mut lines = Vec::new();
    let mut open = String::new();
    for line in text.lines() {
        let trimmed = line.trim();
        if trimmed.starts_with(['#', ';']) || (trimmed.is_empty() && open.is_empty()) {
            continue;
        }
        if let Some(part) = trimmed.strip_suffix('\\') {
            open.push_str(part);
            open.push(' ');
            continue;
        }
        open.push_str(trimmed);
        lines.push(std::mem::take(&mut open));
    }
    if !open.is_empty() {
        lines.push(open);
    }
    lines
}
