//! What systemd would ignore with a line in its log, or refuse when the unit starts: both are told at build instead.
//! `systemd-analyze verify` lets most of it pass (reliability study, row 14).

use super::{
    Directive, Unit, calendar, days,
    directives::{Kind, Systemd},
    paths, spelled,
};
use crate::{
    compile::{
        report::{Code, Mistake},
        schema,
        source::{At, Node, Table, Value},
        view::View,
    },
    model::{UnitLine, UnitName, unit_commands},
};

/// The section of each sort of unit.
const SECTIONS: [(&str, &str); 9] = [
    (".service", "Service"),
    (".socket", "Socket"),
    (".timer", "Timer"),
    (".path", "Path"),
    (".mount", "Mount"),
    (".automount", "Automount"),
    (".swap", "Swap"),
    (".slice", "Slice"),
    (".scope", "Scope"),
];

/// Sections that a unit of this name may have.
pub fn sections_of(unit: &UnitName) -> Vec<&'static str> {
    let own = SECTIONS.iter().find(|(suffix, _)| unit.as_str().ends_with(suffix));
    ["Unit"].into_iter().chain(own.map(|(_, section)| *section)).collect()
}

/// Reports what is wrong with the text of a unit or drop-in.
pub fn check(stack: &View<'_>, unit: &Unit, systemd: Systemd) {
    let sections = sections_of(&unit.name);
    let mut is_misspelt = false;
    for (at, line) in &unit.lines {
        match line {
            UnitLine::Section { name } if name == "Install" => stack.report(install(*at)),
            UnitLine::Section { name } => {
                if !sections.contains(&name.as_str()) && !name.starts_with("X-") {
                    is_misspelt = true;
                    stack.report(unknown_section(name, *at, &sections));
                }
            }
            UnitLine::Directive { section, .. } if section.is_empty() => {
                stack.report(ignored(*at, "a directive before any section"));
            }
            UnitLine::Directive { section, key, .. } => {
                if sections.contains(&section.as_str()) {
                    unknown_directive(stack, (section, key), *at, (&sections, systemd));
                }
            }
            UnitLine::Neither => stack.report(ignored(*at, "a line that is no directive")),
        }
    }
    for directive in unit.directives().filter(|d| sections.contains(&d.section)) {
        check_value(stack, directive, systemd);
    }
    if unit.is_whole && !is_misspelt {
        check_whole(stack, unit, &sections);
    }
}

/// `[Install]` is for `systemctl enable`, which stackc never calls.
pub fn install(at: At) -> Mistake {
    let title = "`[Install]` has no effect: stackc links units to what starts them itself";
    Mistake::new(Code::NoEffect, at, title).help(
        "leave it out; `wanted_by` of the entry in `services`, `sockets` or `timers` says what starts it at boot, and a link in `links` does for a unit of `files`",
    )
}

/// A section that systemd skips.
pub fn unknown_section(name: &str, at: At, known: &[&str]) -> Mistake {
    let listed: Vec<_> = known.iter().map(|section| format!("[{section}]")).collect();
    let help = match schema::nearest(name, known.iter().copied()) {
        Some(near) => format!("did you mean `[{near}]`?"),
        None => format!("the sections of this unit are {}", listed.join(" and ")),
    };
    let title = format!("systemd skips the section `[{name}]` of this unit");
    Mistake::new(Code::UnknownSection, at, title).help(help)
}

fn ignored(at: At, what: &str) -> Mistake {
    Mistake::new(Code::IgnoredLine, at, format!("systemd ignores {what}"))
        .help("write `Key=value` below a section such as `[Service]`, and `#` before a comment")
}

fn unknown_directive(
    stack: &View<'_>,
    (section, key): (&str, &str),
    at: At,
    (sections, systemd): (&[&'static str], Systemd),
) {
    if systemd.kind(section, key).is_some() || key.starts_with("X-") {
        return;
    }
    let is_later = Systemd::V257.kind(section, key).is_some();
    let help = match systemd.section_of(key, sections) {
        Some(other) => format!("`{key}` stands in `[{other}]`"),
        None if is_later => LATER.to_owned(),
        None => match schema::nearest(key, systemd.of_section(section)) {
            Some(near) => format!("did you mean `{near}`?"),
            None => "see systemd.directives(7); keys of your own begin with `X-`".to_owned(),
        },
    };
    let which = if is_later { "systemd 252" } else { "systemd" };
    let title = format!("{which} knows no directive `{key}` in `[{section}]`");
    stack.report(Mistake::new(Code::UnknownDirective, key_of(stack, at), title).help(help));
}

/// Where the key of a value of `options` is; the place itself of what was written otherwise.
fn key_of(stack: &View<'_>, at: At) -> At {
    let units = ["services", "sockets", "timers", "drop_ins"].into_iter();
    let units = units.flat_map(|key| stack.tables(key)).map(|(_, unit)| unit.table("options"));
    let sections = units.flat_map(|options| options.table.values());
    let mut options = sections.filter_map(|section| section.node.table()).flat_map(Table::values);
    let is_there = |node: &Node| match &node.value {
        Value::List(items) => items.iter().any(|item| item.at == at),
        _ => node.at == at,
    };
    options.find(|option| is_there(&option.node)).map_or(at, |option| option.key)
}

const LATER: &str = "leave it out, or let the guest have Debian 13, whose systemd knows it";

/// Lists of commands.
const EXEC: [&str; 8] = [
    "ExecStart",
    "ExecStartPre",
    "ExecStartPost",
    "ExecReload",
    "ExecStop",
    "ExecStopPre",
    "ExecStopPost",
    "ExecCondition",
];

/// Whether a directive is a list of commands.
pub fn is_exec(key: &str) -> bool {
    EXEC.contains(&key)
}

/// Spans of time after something happened: systemd.timer(5).
const AFTER: [&str; 5] =
    ["OnActiveSec", "OnBootSec", "OnStartupSec", "OnUnitActiveSec", "OnUnitInactiveSec"];

fn check_value(stack: &View<'_>, directive: Directive<'_>, systemd: Systemd) {
    let Directive { at, section, key, value } = directive;
    if is_exec(key) {
        return check_commands(stack, directive);
    }
    paths::check(stack, directive);
    if let Some(words) = systemd.words(key) {
        if !words.contains(&value) && section == "Service" {
            let title =
                format!("`{value}` is no word of systemd's for `{key}`, which it would ignore");
            let is_later = Systemd::V257.words(key).is_some_and(|words| words.contains(&value));
            let help = if is_later { LATER.to_owned() } else { schema::words_help(value, &words) };
            stack.report(Mistake::new(Code::BadValue, at, title).help(help));
        }
        return;
    }
    let (valid, what, example) = match systemd.kind(section, key) {
        _ if key == "OnCalendar" => {
            let comes = calendar::comes(value);
            if comes == Some(false) {
                stack.report(days::never(value, at));
            }
            (comes.is_some(), "calendar event", CALENDAR)
        }
        _ if AFTER.contains(&key) => (spelled::is_span(value), "span of time", SPAN),
        Some(Kind::Seconds) => (spelled::is_span(value), "span of time", SPAN),
        Some(Kind::Boolean) => (spelled::boolean(value).is_some(), "boolean", "write yes or no"),
        Some(Kind::Mode) => (spelled::is_mode(value), "mode", "write octal digits, such as 0640"),
        Some(Kind::Unsigned) => (spelled::is_unsigned(value), "number", "write digits only"),
        Some(Kind::Other) | None => return,
    };
    // What a specifier stands for is known on the guest only.
    if !valid && !value.contains('%') {
        let is_time = what == "calendar event" || what == "span of time";
        let code = if is_time { Code::BadSchedule } else { Code::BadValue };
        let title = format!("`{value}` is no {what} of systemd, which would ignore `{key}`");
        stack.report(Mistake::new(code, at, title).help(example));
    }
}

const CALENDAR: &str =
    "write it as systemd.time(7) does: \"daily\", \"Mon..Fri 06:30\", \"*-*-01 00:00:00\"";
const SPAN: &str = "write it as systemd.time(7) does: \"30s\", \"5min\", \"1h 30min\"";

fn check_commands(stack: &View<'_>, Directive { at, key, value, .. }: Directive<'_>) {
    let Some(commands) = unit_commands(value) else {
        let title = format!("a quote in `{key}` is never closed");
        let help = "close it, or write \\x22 for a quote that means itself";
        stack.report(Mistake::new(Code::BadValue, at, title).help(help));
        return;
    };
    for program in commands.iter().filter_map(|command| Some(program(command.first()?))) {
        if program.contains('/') && !program.starts_with(['/', '%']) {
            let title = format!("`{program}` in `{key}` is no absolute path");
            let help = "write it from the root: systemd has no folder to start from";
            stack.report(Mistake::new(Code::RelativeProgram, at, title).help(help));
        }
    }
}

/// The program of a command, without the marks before it: systemd.service(5), table of special executable prefixes.
pub fn program(word: &str) -> &str {
    word.trim_start_matches(['-', '@', ':', '+', '!'])
}

/// What a unit as a whole needs to be loaded and started.
fn check_whole(stack: &View<'_>, unit: &Unit, sections: &[&'static str]) {
    let has_section = |name: &str| {
        unit.lines
            .iter()
            .any(|(_, line)| matches!(line, UnitLine::Section { name: n } if n == name))
    };
    if let Some(missing) = sections.iter().skip(1).find(|name| !has_section(name)) {
        let title = format!("the unit `{}` has no section [{missing}]", unit.name);
        let help = format!("add `[{missing}]` with its directives, or say the unit by its keys");
        stack.report(Mistake::new(Code::NoSection, unit.at, title).help(help));
        return;
    }
    let refused = match () {
        () if unit.is_a(".service") => service(unit),
        () if unit.is_a(".timer") => timer(unit),
        () if unit.is_a(".socket") => socket(unit),
        () => None,
    };
    if let Some((why, help)) = refused {
        let title = format!("systemd would refuse `{}`: {why}", unit.name);
        stack.report(Mistake::new(Code::RefusedUnit, unit.at, title).help(help));
    }
    check_order(stack, unit);
}

type Refusal = Option<(&'static str, &'static str)>;

fn service(unit: &Unit) -> Refusal {
    let count = |key: &str| unit.programs(key);
    let is = |key: &str, value: &str| unit.last("Service", key).is_some_and(|d| d.value == value);
    let remains = unit.last("Service", "RemainAfterExit").and_then(|d| spelled::boolean(d.value));
    if count("ExecStart") == 0 && !(remains == Some(true) && count("ExecStop") > 0) {
        return Some((
            "it starts no program",
            "add `exec = [\"/…\"]`, or `ExecStart=/…` to its text",
        ));
    }
    if count("ExecStart") > 1 && !is("Type", "oneshot") {
        let help =
            "leave one `ExecStart=`, or write `Type=oneshot`; the others may be `ExecStartPre=`";
        return Some(("it starts several programs", help));
    }
    if is("Type", "oneshot") && (is("Restart", "always") || is("Restart", "on-success")) {
        let help = "write `Restart=on-failure`, or start it again by a timer";
        return Some(("a oneshot service cannot be restarted when it succeeds", help));
    }
    if is("Type", "dbus") && count("BusName") == 0 {
        return Some((
            "it is to take a name on the bus, and says none",
            "add `options.Service.BusName = \"…\"`, or `BusName=…` to its text",
        ));
    }
    None
}

fn timer(unit: &Unit) -> Refusal {
    let mut all = unit.directives();
    let fires =
        all.any(|d| d.section == "Timer" && (d.key == "OnCalendar" || AFTER.contains(&d.key)));
    let help = "add `on_calendar = \"…\"`, or `OnCalendar=…` to its text";
    (!fires).then_some(("it never fires", help))
}

fn socket(unit: &Unit) -> Refusal {
    let listens = unit.directives().any(|d| d.section == "Socket" && d.key.starts_with("Listen"));
    let help = "add `listen = …`, or `ListenStream=…` to its text";
    (!listens).then_some(("it listens on nothing", help))
}

/// Units without default dependencies may start before a switch that was cut off is recovered.
fn check_order(stack: &View<'_>, unit: &Unit) {
    let Some(early) = unit.last("Unit", "DefaultDependencies") else { return };
    let mut after = unit.directives().filter(|d| d.section == "Unit" && d.key == "After");
    let waits =
        after.any(|d| d.value.split_whitespace().any(|name| name == "stackc-recover.service"));
    if spelled::boolean(early.value) == Some(false) && !waits {
        let title = format!("`{}` starts before a switch that was cut off is recovered", unit.name);
        let help =
            "add `After=stackc-recover.service`: units with `DefaultDependencies=no` need it";
        stack.report(Mistake::new(Code::BeforeRecovery, early.at, title).help(help));
    }
}

/// Directives that need a mount namespace, which a container without nesting refuses. Source: systemd.exec(5); lxc study.
/// Those that need namespaces of other sorts are not among them: what becomes of these was not measured.
const NAMESPACED: [&str; 22] = [
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
    "LoadCredentialEncrypted",
    "SetCredential",
    "SetCredentialEncrypted",
    "BindPaths",
    "BindReadOnlyPaths",
    "TemporaryFileSystem",
    "ExecPaths",
    "NoExecPaths",
    // It is PrivateTmp and ProtectSystem=strict as well.
    "DynamicUser",
];

/// Reports units that a guest without nesting could not start: the first directive of each that needs it.
pub fn check_nesting(stack: &View<'_>, units: &[Unit]) {
    for unit in units {
        let mut needs = unit
            .directives()
            .filter(|d| NAMESPACED.contains(&d.key) && spelled::boolean(d.value) != Some(false));
        if let Some(Directive { at, key, .. }) = needs.next() {
            let name = &unit.name;
            let title =
                format!("`{key}` in `{name}` needs nesting, which `guest.nesting` switches off");
            let help = "leave `guest.nesting` out, or the directive, or the sandbox that has it";
            stack.report(Mistake::new(Code::NeedsNesting, at, title).help(help));
        }
    }
}
