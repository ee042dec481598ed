//! `services`, `timers` and `cron`; and what a unit reads besides its own text.

use super::{
    files,
    overlay::{Item, Overlay},
};
use crate::{
    compile::{
        report::{Code, Mistake},
        view::{Located, View},
    },
    model::{Digest, GuestPath, Mode, UnitInputs, UnitName, canonical, layout},
};
use std::collections::{BTreeMap, BTreeSet};

/// Where units of the administrator are.
const UNITS: &str = "/etc/systemd/system";

/// Adds units with the links that start them at boot.
pub fn add(stack: &View<'_>, overlay: &mut Overlay) {
    let sorts =
        [("services", ".service", "multi-user.target"), ("timers", ".timer", "timers.target")];
    for (key, suffix, wanted_by) in sorts {
        for (name, view) in stack.tables(key) {
            if let Some(unit) = view.lowering.parse::<UnitName>(&format!("{name}{suffix}"), view.at)
            {
                add_unit(&view, unit, wanted_by, overlay);
            }
        }
    }
    for (name, view) in stack.tables("cron") {
        add_cron(name, &view, overlay);
    }
}

fn add_unit(view: &View<'_>, unit: UnitName, wanted_by: &str, overlay: &mut Overlay) {
    let Some(text) = files::content(view, &view.lowering.rendering) else { return };
    check_unit(view, &unit, &text);
    for target in wanted_by_of(view, wanted_by) {
        let link = format!("{UNITS}/{}.wants/{unit}", target.value);
        overlay.add_link(&link, format!("../{unit}"), view.at, view);
    }
    for path in view.parsed_texts::<GuestPath>("reads") {
        overlay.restart.entry(unit.clone()).or_default().insert(path.value);
    }
    let path = format!("{UNITS}/{unit}");
    overlay.add_text(&path, Mode::FILE, text, view.at, view);
    overlay.units.insert(unit, path.parse().expect("a unit's name is a component"));
}

/// Units are wanted by the target of their sort, unless the author says otherwise; an empty list is nobody.
fn wanted_by_of(view: &View<'_>, default: &str) -> Vec<Located<UnitName>> {
    if view.table.contains_key("wanted_by") {
        return view.parsed_texts("wanted_by");
    }
    vec![Located { value: default.parse().expect("a target"), at: view.at }]
}

/// What `systemd-analyze verify` would let pass (reliability study, row 14), and the minimum of a unit.
fn check_unit(view: &View<'_>, unit: &UnitName, text: &str) {
    let suffix = unit.as_str().rsplit_once('.').map(|(_, suffix)| suffix);
    let section = if suffix == Some("timer") { "[Timer]" } else { "[Service]" };
    if !text.lines().any(|line| line.trim() == section) {
        let title = format!("the unit `{unit}` has no section {section}");
        view.report(Mistake::new(Code::NoSection, view.at, title).help(format!("add {section}")));
    }
    let order = directives(text).any(|(key, value)| {
        key == "DefaultDependencies" && ["no", "false", "0", "off"].contains(&value)
    });
    let after = directives(text)
        .any(|(key, value)| key == "After" && value.contains("stackc-recover.service"));
    if order && !after {
        let title = format!("`{unit}` starts before a switch that was cut off is recovered");
        let help =
            "add `After=stackc-recover.service`: units with `DefaultDependencies=no` need it";
        view.report(Mistake::new(Code::BeforeRecovery, view.at, title).help(help));
    }
}

/// Directives that need a mount namespace, which a container without nesting refuses. Source: systemd.exec(5); lxc study.
const NAMESPACED: [&str; 14] = [
    "PrivateTmp",
    "PrivateDevices",
    "PrivateMounts",
    "ProtectSystem",
    "ProtectHome",
    "ProtectKernelTunables",
    "ProtectKernelModules",
    "ProtectKernelLogs",
    "ProtectControlGroups",
    "ReadOnlyPaths",
    "ReadWritePaths",
    "InaccessiblePaths",
    "LoadCredential",
    "BindPaths",
];

/// Reports units that a guest without nesting could not start.
pub fn check_nesting(stack: &View<'_>, overlay: &Overlay) {
    for (unit, path) in &overlay.units {
        let Some((Item::File { bytes, .. }, at)) = overlay.items.get(path) else { continue };
        let text = String::from_utf8_lossy(bytes);
        let needs = directives(&text).find(|(key, value)| {
            NAMESPACED.contains(key) && !["no", "false", "0", "off", ""].contains(value)
        });
        if let Some((key, _)) = needs {
            let title =
                format!("`{key}` in `{unit}` needs nesting, which `guest.nesting` switches off");
            stack.report(
                Mistake::new(Code::NeedsNesting, *at, title)
                    .help("leave `guest.nesting` out, or the directive"),
            );
        }
    }
}

/// The directives of a unit's text, continued lines joined by systemd's rule only as far as their first line.
fn directives(text: &str) -> impl Iterator<Item = (&str, &str)> {
    text.lines()
        .map(str::trim)
        .filter(|line| !line.starts_with(['#', ';', '[']))
        .filter_map(|line| line.split_once('='))
        .map(|(key, value)| (key.trim(), value.trim()))
}

/// A cron table of its own: `/etc/cron.d/<name>`.
fn add_cron(name: &str, view: &View<'_>, overlay: &mut Overlay) {
    let schedule = cron_schedule(view);
    let user = view.need::<crate::model::Owner>("user");
    let run = view.need_text("run").filter(|run| {
        let is_line = !run.value.contains('\n') && !run.value.trim().is_empty();
        if !is_line {
            let title = "a cron job is one line";
            view.report(Mistake::new(Code::NotOneLine, run.at, title).help("put it into a script"));
        }
        is_line
    });
    let (Some(schedule), Some(user), Some(run)) = (schedule, user, run) else { return };
    // A bare `%` ends the command for cron: crontab(5).
    let command = run.value.replace('%', "\\%");
    let text = format!(
        "SHELL=/bin/sh\nPATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin\n{schedule} {} {command}\n",
        user.value
    );
    overlay.add_text(&format!("/etc/cron.d/{name}"), Mode::FILE, text, view.at, view);
}

fn cron_schedule(view: &View<'_>) -> Option<String> {
    let schedule = view.need_text("schedule")?;
    let named = ["@reboot", "@hourly", "@daily", "@weekly", "@monthly", "@yearly"];
    let is_line = !schedule.value.contains('\n');
    if is_line && (is_cron(&schedule.value) || named.contains(&schedule.value.as_str())) {
        return Some(schedule.value);
    }
    let title = format!("`{}` is no schedule of cron", schedule.value);
    let help = "write five fields, such as \"15 3 * * *\", or @daily";
    view.report(Mistake::new(Code::BadSchedule, schedule.at, title).help(help));
    None
}

const MONTHS: [&str; 12] =
    ["jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec"];
const DAYS: [&str; 7] = ["sun", "mon", "tue", "wed", "thu", "fri", "sat"];

/// Whether cron can read five fields: for one that it cannot, it leaves the whole table out, and says so in its log only.
/// Source: crontab(5).
fn is_cron(schedule: &str) -> bool {
    let ranges = [(0, 59, &[][..]), (0, 23, &[]), (1, 31, &[]), (1, 12, &MONTHS), (0, 7, &DAYS)];
    let fields: Vec<_> = schedule.split_whitespace().collect();
    let is_field = |(field, (low, high, names)): (&&str, (u32, u32, &[&str]))| {
        field.split(',').all(|part| is_cron_part(part, low, high, names))
    };
    fields.len() == ranges.len() && fields.iter().zip(ranges).all(is_field)
}

/// One of a field's parts: `*`, a value or a range, with or without a step.
fn is_cron_part(part: &str, low: u32, high: u32, names: &[&str]) -> bool {
    let is_number = |text: &str| text.bytes().all(|b| b.is_ascii_digit());
    let number = |text: &str| is_number(text).then(|| text.parse::<u32>().ok()).flatten();
    let value = |text: &str| {
        let position = names.iter().position(|name| text.eq_ignore_ascii_case(name));
        let by_name = position.and_then(|n| u32::try_from(n).ok()).map(|n| n + low);
        by_name.or_else(|| number(text)).filter(|value| (low..=high).contains(value))
    };
    let (values, step) = part.split_once('/').map_or((part, None), |(v, step)| (v, Some(step)));
    let is_range = match values.split_once('-') {
        Some((from, to)) => value(from).zip(value(to)).is_some_and(|(from, to)| from <= to),
        None => values == "*" || step.is_none() && value(values).is_some(),
    };
    is_range && step.is_none_or(|step| number(step).is_some_and(|step| (1..=high).contains(&step)))
}

/// What each unit of the overlay reads: a change there restarts or reloads it (design.md §9).
pub fn inputs(
    stack: &View<'_>,
    overlay: &Overlay,
    app_links: &BTreeSet<GuestPath>,
) -> BTreeMap<GuestPath, UnitInputs> {
    let mut all = BTreeMap::new();
    for (unit, path) in &overlay.units {
        let Some((Item::File { bytes, .. }, at)) = overlay.items.get(path) else { continue };
        let text = String::from_utf8_lossy(bytes);
        let mut inputs =
            UnitInputs { release: runs_from_release(&text, app_links), ..Default::default() };
        for named in
            named_paths(&text).chain(overlay.restart.get(unit).into_iter().flatten().cloned())
        {
            note(overlay, &named, &mut inputs, false);
        }
        for named in overlay.reload.get(unit).into_iter().flatten() {
            note(overlay, named, &mut inputs, true);
        }
        for missing in missing_env_files(&text, overlay) {
            let title = format!("`{unit}` reads `{missing}`, which the bundle does not have");
            stack.report(
                Mistake::new(Code::MissingEnvFile, *at, title)
                    .help("declare the file, or write `EnvironmentFile=-…`"),
            );
        }
        all.insert(path.clone(), inputs);
    }
    report_unknown_units(stack, overlay);
    all
}

fn note(overlay: &Overlay, path: &GuestPath, inputs: &mut UnitInputs, reload: bool) {
    let digest = match overlay.items.get(path) {
        Some((Item::File { bytes, .. }, _)) => Digest::of(bytes),
        Some((Item::Secret { encoder, parts, .. }, _)) => {
            inputs.secrets.extend(crate::compile::seal::secrets_of(parts));
            Digest::of(&canonical::to_bytes(&(encoder, parts)))
        }
        _ => return,
    };
    let changed = if reload { &mut inputs.reload } else { &mut inputs.restart };
    changed.insert(path.clone(), digest);
}

/// Every absolute path in a directive that names files: env files, credentials, and the words of commands.
fn named_paths(text: &str) -> impl Iterator<Item = GuestPath> {
    directives(text)
        .filter(|(key, _)| {
            key.starts_with("Exec") || ["EnvironmentFile", "LoadCredential"].contains(key)
        })
        .flat_map(|(_, value)| value.split([' ', ':', '\t']))
        .filter_map(|word| word.trim_start_matches(['-', '@', '+', '!', ':']).parse().ok())
}

/// Env files of the app that a unit needs and the bundle does not bring.
fn missing_env_files(text: &str, overlay: &Overlay) -> Vec<GuestPath> {
    let needed = directives(text).filter(|(key, _)| *key == "EnvironmentFile");
    let paths = needed.filter_map(|(_, value)| value.parse::<GuestPath>().ok());
    paths
        .filter(|path| path.as_str().starts_with("/srv/") && !overlay.items.contains_key(path))
        .collect()
}

/// Whether a unit's working folder or commands lie in the release.
fn runs_from_release(text: &str, app_links: &BTreeSet<GuestPath>) -> bool {
    let within = |word: &str, folder: &str| {
        word.strip_prefix(folder).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
    };
    directives(text)
        .filter(|(key, _)| key.starts_with("Exec") || *key == "WorkingDirectory")
        .flat_map(|(_, value)| value.split_whitespace())
        .map(|word| word.trim_start_matches(['-', '@', '+', '!', ':']))
        .any(|word| {
            within(word, layout::CURRENT_RELEASE)
                || app_links.iter().any(|link| within(word, link.as_str()))
        })
}

/// `restart` and `reload` name units of this bundle: nothing else is restarted for a file.
fn report_unknown_units(stack: &View<'_>, overlay: &Overlay) {
    for (unit, paths) in overlay.restart.iter().chain(&overlay.reload) {
        if overlay.units.contains_key(unit) {
            continue;
        }
        let places = paths.iter().filter_map(|path| overlay.items.get(path));
        for (_, at) in places {
            let title = format!("the bundle has no unit `{unit}` to restart or reload");
            stack.report(
                Mistake::new(Code::UnknownUnit, *at, title)
                    .help("declare it in `services` or `timers`"),
            );
        }
    }
}
