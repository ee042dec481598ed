//! What units need of the guest besides systemd: the services that they start, accounts, files.

use super::{
    Directive, Unit, cron_table, lint, makers::Makers, paths, relations::Missing, spelled,
    unit::UNITS,
};
use crate::{
    compile::{
        report::{Code, Mistake},
        sections::{
            overlay::{Item, Overlay},
            owners, tmpfiles,
        },
        source::At,
        view::View,
    },
    model::{GuestPath, UnitName, unit_commands, unit_words},
};
use std::collections::BTreeSet;

/// What helps against a unit that nobody makes.
pub const DECLARE: &str = "declare it, or the package that brings it; a unit that is not named after its package stands in `apt.may_start`";

pub fn check(makers: &Makers<'_>) {
    let Makers { stack, overlay, units, packages, .. } = *makers;
    for (unit, at) in named_units(stack, overlay, units) {
        if let Some(mask) = mask(overlay, &unit) {
            let title = format!("`{unit}` is masked on this guest: it never runs");
            let mistake = Mistake::new(Code::UnknownUnit, at, title).also(mask, "masked here");
            stack.report(mistake.help("name the unit that runs in its place"));
        } else if let Some(missing) = Missing::of(&unit, units, packages) {
            let title = format!("neither the bundle nor a package of it has the unit `{unit}`");
            stack.report(Mistake::new(Code::UnknownUnit, at, title).help(missing.help()));
        }
    }
    let accounts = owners::Accounts::of(stack, overlay, packages);
    let dynamic: BTreeSet<_> =
        units.iter().filter(|unit| makes_its_user(unit)).map(|unit| &unit.name).collect();
    for unit in units {
        let is_dynamic = dynamic.contains(&unit.name);
        for directive in unit.directives() {
            check_account(stack, &accounts, is_dynamic, directive);
        }
        check_files(makers, unit);
        check_folders(makers, unit);
    }
    check_commands(makers);
    accounts.check_entries(stack, overlay);
    tmpfiles::check(stack, overlay, &accounts);
    cron_table::check(stack, overlay, &accounts);
}

/// Where the bundle masks a unit.
pub fn mask(overlay: &Overlay, unit: &UnitName) -> Option<At> {
    let (item, at) = overlay.items.get(&format!("{UNITS}{unit}").parse::<GuestPath>().ok()?)?;
    matches!(item, Item::Link { target } if target == "/dev/null").then_some(*at)
}

/// Reports hooks and probes whose program only the bundle could bring, and does not.
fn check_commands(makers: &Makers<'_>) {
    let stack = makers.stack;
    for (table, key, whose) in [("hooks", "run", "hook"), ("probes", "command", "probe")] {
        for (name, view) in stack.tables(table) {
            let Some(program) = view.texts(key).into_iter().next() else { continue };
            let Ok(path) = program.value.parse::<GuestPath>() else { continue };
            if makers.is_unmade(&path) {
                let title = format!("the {whose} `{name}` runs `{path}`, which nobody makes");
                let help = "declare the file in `files`, or correct the path";
                stack.report(Mistake::new(Code::UnmadeFile, program.at, title).help(help));
            }
        }
    }
}

/// Whether the bundle has a unit, or the template that it is an instance of.
pub fn brings(units: &[Unit], name: &UnitName) -> bool {
    let text = name.as_str();
    let template = text
        .split_once('@')
        .and_then(|(stem, rest)| Some(format!("{stem}@.{}", rest.rsplit_once('.')?.1)));
    units.iter().any(|unit| {
        let own = unit.name.as_str();
        !unit.is_drop_in && (own == text || template.as_deref() == Some(own))
    })
}

/// Units that are restarted, reloaded, changed, started or probed, each with the place that says so.
fn named_units(stack: &View<'_>, overlay: &Overlay, units: &[Unit]) -> Vec<(UnitName, At)> {
    let mut named = overlay.named_units.clone();
    let probes = stack.tables("probes").filter_map(|(_, probe)| probe.parsed::<UnitName>("unit"));
    named.extend(probes.map(|unit| (unit.value, unit.at)));
    for unit in units {
        if unit.is_drop_in {
            named.push((unit.name.clone(), unit.at));
        } else {
            named.extend(unit.starts().map(|(at, name)| (name, at)));
        }
    }
    named
}

/// Whether systemd makes a unit's user and group while it runs.
fn makes_its_user(unit: &Unit) -> bool {
    let dynamic = unit.last("Service", "DynamicUser");
    dynamic.is_some_and(|d| spelled::boolean(d.value) != Some(false))
}

fn check_account(
    stack: &View<'_>,
    accounts: &owners::Accounts,
    is_dynamic: bool,
    directive: Directive<'_>,
) {
    let Directive { at, key, value, .. } = directive;
    let is_user = match key {
        "User" | "Group" if is_dynamic => return,
        "User" | "SocketUser" => true,
        "Group" | "SocketGroup" | "SupplementaryGroups" => false,
        _ => return,
    };
    for name in value.split_whitespace().filter(|name| !name.contains('%')) {
        accounts.check(stack, name, is_user, at);
    }
}

/// Reports files that a unit needs, that only the bundle could bring, and that it does not.
fn check_files(makers: &Makers<'_>, unit: &Unit) {
    let stack = makers.stack;
    let has_hooks = makers.has_hooks();
    let when = |hook: &View<'_>| hook.text("when").is_none_or(|when| when.value == "before_switch");
    let may_be_made = stack.tables("hooks").any(|(_, hook)| when(&hook));
    for directive in unit.directives() {
        for path in needed(directive) {
            let (name, key) = (&unit.name, directive.key);
            match makers.overlay.items.get(&path) {
                None if key == "EnvironmentFile" && !has_hooks && makers.is_nobodys(&path)
                    || makers.is_ours_alone(&path)
                        && !may_be_made
                        && !(key == "WorkingDirectory" && makers.is_there(&path)) =>
                {
                    let title = format!("`{name}` needs `{path}`, which nobody makes");
                    let help = match key {
                        "EnvironmentFile" => {
                            "declare the file, or write `-` before its path when it may be missing"
                        }
                        "WorkingDirectory" => {
                            "declare the folder in `directories`, or correct the path"
                        }
                        _ => "declare the file in `files`, or correct the path",
                    };
                    stack.report(Mistake::new(Code::UnmadeFile, directive.at, title).help(help));
                }
                Some((Item::File { access, .. }, made))
                    if lint::is_exec(key) && !access.mode.is_executable() =>
                {
                    let title = format!("`{name}` runs `{path}`, which nobody may execute");
                    let mistake = Mistake::new(Code::NotExecutable, directive.at, title);
                    stack.report(
                        mistake.also(*made, "made here").help("give the file `mode = \"0755\"`"),
                    );
                }
                _ => {}
            }
        }
    }
}

/// Folders that a sandbox opens or closes, and that are not there when the unit starts: systemd.exec(5), `ReadWritePaths=`.
fn check_folders(makers: &Makers<'_>, unit: &Unit) {
    let before = unit.directives().filter(|d| d.key == "ExecStartPre");
    let is_free = before.into_iter().any(|d| d.value.starts_with(['+', '-', '@', ':', '!']));
    if is_free || makers.has_hooks() {
        // Outside of the sandbox they may make them.
        return;
    }
    for directive in unit.directives() {
        for path in paths::mounted(directive) {
            let (is_ours, text) = (makers.is_our_folder(&path), path.as_str());
            if !is_ours || makers.is_there(&path) || makers.is_in_commands(text, unit) {
                continue;
            }
            let (name, key) = (&unit.name, directive.key);
            let title =
                format!("`{name}` does not start: `{key}` has `{path}`, which nobody makes");
            let help = format!(
                "declare it in `directories`, have systemd make it by `StateDirectory=`, or write `{key}=-{path}` where it may be missing"
            );
            makers.stack.report(Mistake::new(Code::UnmadeFile, directive.at, title).help(help));
        }
    }
}

/// The files without which a directive fails: programs, files of variables, credentials; and the working folder.
fn needed(directive: Directive<'_>) -> Vec<GuestPath> {
    let Directive { key, value, .. } = directive;
    match key {
        "EnvironmentFile" | "WorkingDirectory" => parsed(value).into_iter().collect(),
        "LoadCredential" => {
            value.split_once(':').and_then(|(_, path)| parsed(path)).into_iter().collect()
        }
        _ => programs(directive),
    }
}

/// A path that is the same on every guest.
fn parsed(text: &str) -> Option<GuestPath> {
    let is_known = !text.replace("%%", "").contains(['%', '*', '?', '[']);
    text.replace("%%", "%").parse().ok().filter(|_| is_known)
}

/// The programs that a directive runs; none of one that may fail.
pub fn programs(Directive { key, value, .. }: Directive<'_>) -> Vec<GuestPath> {
    if !lint::is_exec(key) {
        return Vec::new();
    }
    let commands = unit_commands(value).unwrap_or_default();
    let firsts = commands.iter().filter_map(|command| command.first());
    let needed = firsts.filter(|word| !word.starts_with('-'));
    needed.filter_map(|word| parsed(lint::program(word))).collect()
}

/// The absolute paths that a directive names, where a change of the file is a change for the unit.
pub fn named_paths(Directive { key, value, .. }: Directive<'_>) -> Vec<GuestPath> {
    let words = if lint::is_exec(key) {
        unit_commands(value).unwrap_or_default().into_iter().flatten().collect()
    } else if ["EnvironmentFile", "LoadCredential"].contains(&key) {
        unit_words(value).unwrap_or_default()
    } else {
        Vec::new()
    };
    let parts = words
        .iter()
        .flat_map(|word| [Some(lint::program(word)), word.split_once(':').map(|(_, path)| path)]);
    parts.flatten().filter_map(|text| text.replace("%%", "%").parse().ok()).collect()
}
