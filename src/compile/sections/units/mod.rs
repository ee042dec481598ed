//! `services`, `sockets`, `timers` and `drop_ins`: units as their keys or their text say, and what is wrong with them.

mod calendar;
mod content;
pub mod cron;
mod cron_table;
mod days;
mod directives;
mod foreign;
mod foreign_accounts;
mod inputs;
mod lines;
mod lint;
mod listens;
mod low_ports;
mod makers;
mod needs;
mod order;
mod paths;
mod places;
mod probed;
mod relations;
mod socket_address;
mod spelled;
mod structured;
mod unit;
pub mod writer;

pub use calendar::comes;
pub use foreign::{Packages, Presence, differ_in_digits};
pub use inputs::{Inputs, inputs};
pub use lint::{check_nesting, program};
pub use makers::Makers;
pub use needs::programs;
pub use places::place_of;
pub use spelled::{boolean, is_mode, is_span};
pub use unit::{Directive, Unit, gather};

use super::{overlay::Overlay, ports, variables};
use crate::{
    compile::{
        report::{Code, Mistake},
        source::At,
        view::{Located, View},
    },
    model::{GuestPath, Mode, UnitName},
};
use content::{Content, content};
use std::collections::{BTreeMap, BTreeSet};
use unit::UNITS;

/// A sort of unit that definitions have keys for.
struct Sort {
    key: &'static str,
    suffix: &'static str,
    section: &'static str,
    /// What starts it at boot when nobody says.
    target: &'static str,
}

const SORTS: [Sort; 3] = [
    Sort { key: "services", suffix: ".service", section: "Service", target: "multi-user.target" },
    Sort { key: "sockets", suffix: ".socket", section: "Socket", target: "sockets.target" },
    Sort { key: "timers", suffix: ".timer", section: "Timer", target: "timers.target" },
];

/// What the overlay does not keep of units: how they were written.
#[derive(Default)]
pub struct Written {
    /// The place of each line of a file.
    places: BTreeMap<GuestPath, Vec<At>>,
    /// Units that lack what was told to be wrong with them.
    partial: BTreeSet<GuestPath>,
    /// Files that units are said to read.
    reads: Vec<Located<GuestPath>>,
    /// Units that are said to start others.
    starters: Vec<Located<UnitName>>,
}

/// A unit of the definitions, before it is one of the overlay.
struct Made<'a> {
    view: View<'a>,
    target: &'static str,
    unit: Unit,
    content: Content,
}

/// Adds units with the links that start them at boot, drop-ins, and jobs of cron.
pub fn add(stack: &View<'_>, overlay: &mut Overlay) -> Written {
    let (mut made, mut written) = (Vec::new(), Written::default());
    for sort in &SORTS {
        for (name, view) in stack.tables(sort.key) {
            if let Some(sort) = SORTS.iter().find(|sort| name.ends_with(sort.suffix)) {
                let title = format!("the name of a unit stands here without its `{}`", sort.suffix);
                let stem = name.trim_end_matches(sort.suffix);
                let table = view.lowering.files.layer_table(view.at, sort.key);
                let help = format!("write it as `[{table}.{stem}]`");
                view.report(Mistake::new(Code::BadName, view.at, title).help(help));
                continue;
            }
            let name = format!("{name}{}", sort.suffix);
            if let Some(name) = view.lowering.parse::<UnitName>(&name, view.at) {
                made.extend(make(view, sort, name));
            }
        }
    }
    let started: BTreeSet<_> = made.iter().filter_map(|m| Some(m.unit.starts()?.1)).collect();
    for Made { view, target, unit, .. } in &made {
        enable(view, unit, (target, &started), overlay);
        written.starters.extend(view.parsed_texts::<UnitName>("wanted_by"));
        let read = view.parsed_texts::<GuestPath>("reads");
        let files = overlay.restart.entry(unit.name.clone()).or_default();
        files.extend(read.iter().map(|path| path.value.clone()));
        written.reads.extend(read);
    }
    made.extend(stack.tables("drop_ins").filter_map(|(name, view)| drop_in(name, view)));
    for Made { view, unit, content, .. } in made {
        overlay.add_text(unit.path.as_str(), Mode::FILE, content.text, unit.at, &view);
        written.partial.extend(content.is_partial.then(|| unit.path.clone()));
        let places = unit.lines.into_iter().map(|(at, _)| at);
        written.places.insert(unit.path, places.collect());
    }
    for (name, view) in stack.tables("cron") {
        cron::add(name, &view, overlay);
    }
    written
}

fn make<'a>(view: View<'a>, sort: &Sort, name: UnitName) -> Option<Made<'a>> {
    let path = format!("{UNITS}{name}").parse().expect("a unit's name is a component");
    let (content, lines) = content(&view, &[], || {
        structured::lines(&view, sort.section, name.as_str().contains("@."))
    })?;
    let unit = Unit { name, path, is_drop_in: false, is_whole: true, at: view.at, lines };
    Some(Made { view, target: sort.target, unit, content })
}

fn drop_in<'a>(name: &str, view: View<'a>) -> Option<Made<'a>> {
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_.".contains(c);
    if !name.chars().all(plain) || name.is_empty() {
        let title = format!("`{name}` is no name of a drop-in");
        let help =
            "use letters, digits, `-`, `_` and `.`: drop-ins are read in the order of their names";
        view.report(Mistake::new(Code::BadName, view.at, title).help(help));
        return None;
    }
    let unit = view.need::<UnitName>("unit")?;
    let path = format!("{UNITS}{}.d/{name}.conf", unit.value);
    let path = view.lowering.parse::<GuestPath>(&path, view.at)?;
    let sections = lint::sections_of(&unit.value);
    let (content, lines) = content(&view, &["unit"], || structured::drop_in(&view, &sections))?;
    let name = unit.value;
    let unit = Unit { name, path, is_drop_in: true, is_whole: false, at: unit.at, lines };
    Some(Made { view, target: "", unit, content })
}

/// Units are wanted by the target of their sort, unless the author says otherwise, or a socket or timer starts them; an
/// empty list is nobody.
fn enable(
    view: &View<'_>,
    unit: &Unit,
    (target, started): (&str, &BTreeSet<UnitName>),
    overlay: &mut Overlay,
) {
    let targets: Vec<Located<UnitName>> = if view.table.contains_key("wanted_by") {
        view.parsed_texts("wanted_by")
    } else if started.contains(&unit.name) || unit.is_template() {
        Vec::new()
    } else {
        vec![Located { value: target.parse().expect("a target"), at: view.at }]
    };
    for target in targets {
        let link = format!("{UNITS}{}.wants/{}", target.value, unit.name);
        overlay.add_link(&link, format!("../{}", unit.name), view.at, view);
    }
}

/// Variables that everybody may read, by the key `environment`.
fn variables(view: &View<'_>) -> Vec<(String, Located<String>)> {
    let mut found = Vec::new();
    for (name, at, node) in view.entries("environment") {
        let value = variables::plain(view.lowering, node);
        if variables::is_name(view, name, at) {
            found.extend(value.map(|value| (name.to_owned(), Located { value, at: node.at })));
        }
    }
    found
}

/// Reports what systemd would refuse, ignore or not find.
pub fn check(makers: &Makers<'_>, written: &Written) {
    let Makers { stack, overlay, units, packages, .. } = *makers;
    for unit in units {
        lint::check(stack, unit, packages.systemd);
    }
    let databases = ports::of_databases(stack, overlay, &["postgresql", "mariadb", "redis"]);
    listens::check(stack, units, &databases);
    if !packages.may_listen() {
        probed::check(stack, overlay, units, &databases);
        low_ports::check(stack, overlay, units);
    }
    needs::check(makers);
    relations::check(stack, overlay, (units, &written.starters), packages);
    order::check(stack, overlay, units);
    relations::check_timers(stack, overlay, units);
    for path in written.reads.iter().filter(|path| !overlay.items.contains_key(&path.value)) {
        let title = format!("the bundle has no `{}` whose change could restart it", path.value);
        let help = "declare the file, or leave it out";
        stack.report(Mistake::new(Code::NoEffect, path.at, title).help(help));
    }
}
