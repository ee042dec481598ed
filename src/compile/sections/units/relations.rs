//! Units that others name: to be bound to them, to come after them, to be started by them.
//!
//! Of most names nobody can say before the packages are installed whether there is such a unit. What is told here is certain:
//! that nothing on the guest could bring it, or that it is a slip of the pen for one that the bundle makes.

use super::{
    Directive, Packages, Presence, Unit, differ_in_digits, foreign,
    needs::{self, brings},
};
use crate::{
    compile::{
        report::{Code, Mistake},
        schema,
        sections::overlay::{Item, Overlay},
        source::At,
        view::{Located, View},
    },
    model::UnitName,
};
use std::{
    cell::LazyCell,
    collections::{BTreeMap, BTreeSet},
};

/// Without these a unit does not start: systemd.unit(5).
const BINDING: [&str; 3] = ["Requires", "Requisite", "BindsTo"];
/// These mean nothing when the other unit is not there.
const LOOSE: [&str; 8] =
    ["Wants", "After", "Before", "PartOf", "Upholds", "OnFailure", "OnSuccess", "Conflicts"];

pub fn check(
    stack: &View<'_>,
    overlay: &Overlay,
    (units, starters): (&[Unit], &[Located<UnitName>]),
    packages: &Packages,
) {
    let items: BTreeSet<_> =
        overlay.items.keys().filter_map(|path| path.as_str().rsplit('/').next()).collect();
    let is_item = |name: &UnitName| items.contains(name.as_str());
    let missing = |name: &UnitName| Missing::of(name, units, packages).filter(|_| !is_item(name));
    for unit in units {
        let named: Vec<_> = unit.directives().filter(|d| d.section == "Unit").collect();
        let is_named =
            |near: &str| named.iter().any(|d| d.value.split_whitespace().any(|n| n == near));
        for directive in named.iter().filter(|d| is_relation(d.key)) {
            for name in names(*directive) {
                let binds = BINDING.contains(&directive.key);
                if let Some(mask) = needs::mask(overlay, &name).filter(|_| binds) {
                    let title = format!(
                        "`{}` does not start: it needs `{name}`, which is masked",
                        unit.name
                    );
                    let mistake = Mistake::new(Code::UnknownUnit, directive.at, title);
                    let help = "name the unit that runs in its place";
                    stack.report(mistake.also(mask, "masked here").help(help));
                }
                let Some(missing) = missing(&name) else { continue };
                // Who names both means both: one of them may be there.
                let near = missing.near.as_deref().filter(|near| binds || !is_named(near));
                if near.is_some() || binds && missing.is_certain {
                    let title = told(&unit.name, &name, directive.key, binds);
                    report(stack, title, near, directive.at);
                }
            }
        }
    }
    for Located { value: name, at } in starters {
        if let Some(missing) = missing(name) {
            let title = format!("`{name}` starts nothing at boot: {NOBODY}");
            report(stack, title, missing.near.as_deref(), *at);
        }
    }
    for (name, at) in &overlay.logging_units {
        if let Some(missing) = missing(name) {
            let title = format!("`{name}` is never told that its logs were turned: {NOBODY}");
            report(stack, title, missing.near.as_deref(), *at);
        }
    }
}

const NOBODY: &str = "neither the bundle nor a package of it has it";

fn told(unit: &UnitName, name: &UnitName, key: &str, binds: bool) -> String {
    if binds {
        format!("`{unit}` does not start without `{name}`, and {NOBODY}")
    } else {
        format!("`{key}` of `{unit}` names `{name}`, and {NOBODY}")
    }
}

fn is_relation(key: &str) -> bool {
    BINDING.contains(&key) || LOOSE.contains(&key)
}

fn names(directive: Directive<'_>) -> impl Iterator<Item = UnitName> {
    let words = directive.value.split_whitespace().filter(|word| !word.contains('%'));
    words.filter_map(|word| word.parse().ok())
}

fn report(stack: &View<'_>, title: String, near: Option<&str>, at: At) {
    stack.report(Mistake::new(Code::UnknownUnit, at, title).help(help(near)));
}

fn help(near: Option<&str>) -> String {
    near.map_or_else(|| needs::DECLARE.to_owned(), |near| format!("did you mean `{near}`?"))
}

/// A unit that is not on the guest.
pub struct Missing {
    /// The unit that was meant, as it seems.
    near: Option<String>,
    /// Whether nothing on the guest could bring it.
    is_certain: bool,
}

impl Missing {
    /// None of a unit that is there, or may be.
    pub fn of(name: &UnitName, units: &[Unit], packages: &Packages) -> Option<Self> {
        let presence = packages.presence(name);
        if presence == Presence::Here || brings(units, name) {
            return None;
        }
        let (stem, suffix) = name.as_str().rsplit_once('.')?;
        let own = units.iter().filter(|unit| !unit.is_drop_in);
        let own = own.filter_map(|unit| unit.name.as_str().rsplit_once('.'));
        let own = own.filter(|(_, own)| *own == suffix).map(|(stem, _)| stem);
        let targets = foreign::targets().filter(|_| suffix == "target");
        let near = schema::nearest(stem, own.chain(targets))
            .filter(|near| !differ_in_digits(stem, near))
            .map(|near| format!("{near}.{suffix}"));
        let is_certain = presence == Presence::Absent;
        (is_certain || near.is_some()).then_some(Self { near, is_certain })
    }

    pub fn help(&self) -> String {
        help(self.near.as_deref())
    }
}

/// Spans that begin with a start of the unit that the timer starts.
const AFTER_ITS_UNIT: [&str; 2] = ["OnUnitActiveSec", "OnUnitInactiveSec"];

/// Reports timers that count from a start that only they would make: systemd.timer(5).
pub fn check_timers(stack: &View<'_>, overlay: &Overlay, units: &[Unit]) {
    let changed: BTreeSet<_> =
        units.iter().filter(|unit| unit.is_drop_in).map(|unit| &unit.name).collect();
    let words = LazyCell::new(|| Words::of(overlay));
    for timer in units.iter().filter(|unit| unit.is_a(".timer") && unit.is_whole) {
        let is_changed = changed.contains(&timer.name);
        let mut times = timer
            .directives()
            .filter(|d| d.section == "Timer" && (d.key.starts_with("On") && d.key != "OnFailure"));
        let Some(first) = times.next() else { continue };
        let waits = |d: &Directive<'_>| AFTER_ITS_UNIT.contains(&d.key);
        let Some((_, service)) = timer.starts().filter(|_| !is_changed && waits(&first)) else {
            continue;
        };
        if times.all(|d| waits(&d))
            && brings(units, &service)
            && !is_started(stack, overlay, (timer, &service), (units, &words))
        {
            let title = format!(
                "`{}` never fires: it counts from a start of `{service}`, which nothing else starts",
                timer.name
            );
            let help = "add `on_boot_seconds`, or `OnBootSec=…` to its text: from it the first time is counted";
            stack.report(Mistake::new(Code::NoEffect, first.at, title).help(help));
        }
    }
}

/// The words of the bundle's files that may be units, without `.service`, and which files have them.
struct Words<'o>(BTreeMap<String, BTreeSet<&'o str>>);

impl<'o> Words<'o> {
    fn of(overlay: &'o Overlay) -> Self {
        let mut words: BTreeMap<String, BTreeSet<&str>> = BTreeMap::new();
        for (path, (item, _)) in &overlay.items {
            let Item::File { bytes, .. } = item else { continue };
            for word in String::from_utf8_lossy(bytes).split(|c| !is_of_word(c)) {
                let word = word.trim_matches('.');
                let stem = word.strip_suffix(".service").unwrap_or(word);
                if !stem.is_empty() {
                    words.entry(stem.to_owned()).or_default().insert(path.as_str());
                }
            }
        }
        Self(words)
    }

    /// Whether a file other than these may name a service. Of a name with other characters nothing is certain.
    fn name(&self, stem: &str, own: impl Fn(&str) -> bool) -> bool {
        let files = self.0.get(stem);
        !stem.chars().all(is_of_word) || files.is_some_and(|files| files.iter().any(|f| !own(f)))
    }
}

fn is_of_word(c: char) -> bool {
    c.is_ascii_alphanumeric() || "-_.@".contains(c)
}

/// Whether something of the definition names a service, other than itself and its timer: it may start it.
fn is_started(
    stack: &View<'_>,
    overlay: &Overlay,
    (timer, service): (&Unit, &UnitName),
    (units, words): (&[Unit], &Words<'_>),
) -> bool {
    let text = service.as_str();
    let stem = text.strip_suffix(".service").unwrap_or(text);
    let is_other = |unit: &&Unit| unit.name != timer.name && unit.name != *service;
    let by_unit = || {
        let mut others = units.iter().filter(is_other);
        others.any(|unit| unit.starts().is_some_and(|(_, name)| name == *service))
    };
    let own = |path: &str| units.iter().any(|unit| !is_other(&unit) && unit.path.as_str() == path);
    let by_link = || {
        overlay.items.iter().any(|(path, (item, _))| {
            matches!(item, Item::Link { .. }) && path.as_str().rsplit('/').next() == Some(text)
        })
    };
    let by_files = overlay.restart.get(service).is_some_and(|files| !files.is_empty())
        || overlay.reload.contains_key(service);
    by_files
        || stack.entries("hooks").next().is_some()
        || words.name(stem, own)
        || by_link()
        || by_unit()
}
