//! A unit of the overlay, as its file says it.

use super::{Written, places, spelled};
use crate::{
    compile::{
        sections::overlay::{Item, Overlay},
        source::{At, Files},
    },
    model::{GuestPath, UnitLine, UnitName, unit_commands, unit_lines},
};

/// Where units of the administrator are.
pub const UNITS: &str = "/etc/systemd/system/";

/// A unit's file, or a drop-in of one.
pub struct Unit {
    pub name: UnitName,
    pub path: GuestPath,
    pub is_drop_in: bool,
    /// Whether all of the unit is here: no drop-in, and no unit some of which is told to be wrong.
    pub is_whole: bool,
    pub at: At,
    pub lines: Vec<(At, UnitLine)>,
}

/// A directive of a unit.
#[derive(Clone, Copy)]
pub struct Directive<'u> {
    pub at: At,
    pub section: &'u str,
    pub key: &'u str,
    pub value: &'u str,
}

impl Unit {
    /// What its file says; a directive without a value takes back what was said before, and is none.
    pub fn directives(&self) -> impl Iterator<Item = Directive<'_>> {
        self.assignments().filter(|directive| !directive.value.is_empty())
    }

    /// The same with those that have no value.
    pub fn assignments(&self) -> impl Iterator<Item = Directive<'_>> {
        self.lines.iter().filter_map(|(at, line)| match line {
            UnitLine::Directive { section, key, value } => {
                Some(Directive { at: *at, section, key, value })
            }
            UnitLine::Section { .. } | UnitLine::Neither => None,
        })
    }

    /// How many programs a service runs by a key: a line may have several, and an empty one takes back those before it.
    pub fn programs(&self, key: &str) -> usize {
        let lines = self.assignments().filter(|d| d.section == "Service" && d.key == key);
        lines.fold(0, |count, d| match unit_commands(d.value) {
            _ if d.value.is_empty() => 0,
            commands => count + commands.map_or(1, |commands| commands.len()),
        })
    }

    /// The last value of a key.
    pub fn last(&self, section: &str, key: &str) -> Option<Directive<'_>> {
        self.directives().filter(|d| d.section == section && d.key == key).last()
    }

    /// Whether only its instances can be started: systemd.unit(5).
    pub fn is_template(&self) -> bool {
        self.name.is_template()
    }

    pub fn is_a(&self, suffix: &str) -> bool {
        self.name.as_str().ends_with(suffix)
    }

    /// The service that a socket or timer starts; none of a socket that starts one for each connection.
    pub fn starts(&self) -> Option<(At, UnitName)> {
        let (section, key, suffix) = if self.is_a(".timer") {
            ("Timer", "Unit", ".timer")
        } else if self.is_a(".socket") {
            ("Socket", "Service", ".socket")
        } else {
            return None;
        };
        if let Some(named) = self.last(section, key) {
            return Some((named.at, named.value.parse().ok()?));
        }
        let accepts = self.last("Socket", "Accept").and_then(|d| spelled::boolean(d.value));
        let template = if accepts == Some(true) { "@" } else { "" };
        let stem = self.name.as_str().strip_suffix(suffix)?;
        Some((self.at, format!("{stem}{template}.service").parse().ok()?))
    }
}

/// Every unit and drop-in of the overlay, those included that were written as files.
pub fn gather(overlay: &Overlay, written: &Written, files: &Files) -> Vec<Unit> {
    let unit = |(path, (item, at)): (&GuestPath, &(Item, At))| {
        let Item::File { bytes, .. } = item else { return None };
        let (name, is_drop_in) = unit_of(path)?;
        let text = String::from_utf8_lossy(bytes);
        let source = overlay.sources.get(path).copied();
        let places = match written.places.get(path) {
            Some(places) => places,
            None => &places::of_text(files, (source, *at), &text),
        };
        let place = |n: usize| places.get(n).copied().unwrap_or(*at);
        let lines = unit_lines(&text).into_iter().enumerate();
        let lines = lines.map(|(n, (_, line))| (place(n), line)).collect();
        let is_whole = !is_drop_in && !written.partial.contains(path);
        Some(Unit { name, path: path.clone(), is_drop_in, is_whole, at: *at, lines })
    };
    overlay.items.iter().filter_map(unit).collect()
}

/// The unit whose file this is, and whether it is a drop-in.
fn unit_of(path: &GuestPath) -> Option<(UnitName, bool)> {
    let rest = path.as_str().strip_prefix(UNITS)?;
    match rest.split_once('/') {
        None => Some((rest.parse().ok()?, false)),
        Some((folder, file)) => {
            let is_conf = file.strip_suffix(".conf").is_some_and(|name| !name.contains('/'));
            let name = folder.strip_suffix(".d").filter(|_| is_conf)?;
            Some((name.parse().ok()?, true))
        }
    }
}
