//! Units of systemd, and cron.

use super::{forms, parts::TEXT_OR_TEXTS};
use crate::compile::schema::{
    Barred, Field,
    Shape::{self, Boolean, But, Either, Integer, List, Map, Number, Text, Word},
};

/// What services, sockets and timers have in common.
pub(super) const UNIT: &[Field] = &[
    Field(
        "template",
        forms::RELATIVE,
        "The unit's text: a file of the kind's folder, or of `templates/`.",
    ),
    Field("text", Text, "The unit's text itself, a template too; or the keys below instead."),
    Field("description", forms::UNIT_LINE, "What `systemctl status` shows."),
    Field("after", forms::UNITS, "Units that it starts after."),
    Field("before", forms::UNITS, "Units that it starts before."),
    Field("requires", forms::UNITS, "Units that it cannot be without."),
    Field("wants", forms::UNITS, "Units that it starts too."),
    Field("options", OPTIONS, "Any other directive, by section: `[services.x.options.Service]`."),
    Field(
        "wanted_by",
        forms::UNITS,
        "What starts it at boot; its sort's target, or a socket or timer that starts it anyway.",
    ),
    Field(
        "reads",
        forms::PATHS,
        "Files whose change restarts it, besides those that its text names.",
    ),
];

/// Directives by section; a list is the directive several times.
const OPTIONS: Shape = Map(
    forms::ANY,
    &Map(
        forms::DIRECTIVE_NAME,
        &Either(&[forms::UNIT_LINE, Integer, Boolean, List(&forms::UNIT_LINE)]),
    ),
);
/// Variables of a unit.
const ENVIRONMENT: Shape = Map(forms::VARIABLE, &Either(&[Text, Integer]));
/// Variables of a job; one is cron's own.
const JOB_ENVIRONMENT: Shape =
    But(&Map(forms::VARIABLE, &Either(&[forms::CRON_VALUE, Integer])), Barred::Named("^LOGNAME$"));

pub(super) const SERVICE: &[Field] = &[
    Field("exec", forms::UNIT_PROGRAM, "The program, by its absolute path, and its arguments."),
    Field("exec_before", List(&forms::UNIT_PROGRAM), "Programs that run before it."),
    Field(
        "exec_reload",
        forms::UNIT_PROGRAM,
        "What makes it read its configuration again; `$MAINPID` is its process.",
    ),
    Field(
        "exec_stop",
        forms::UNIT_PROGRAM,
        "What stops it, when a signal does not; `$MAINPID` as well.",
    ),
    Field(
        "type",
        Word(&["simple", "exec", "forking", "oneshot", "dbus", "notify", "notify-reload", "idle"]),
        "systemd.service(5); simple. Debian 12 has no notify-reload.",
    ),
    Field("user", forms::OWNER, "Who runs it; root when it is not said."),
    Field("group", forms::OWNER, "Its group; the user's own when it is not said."),
    Field("working_directory", forms::UNIT_PATH, "Where it runs; `/` when it is not said."),
    Field("environment", ENVIRONMENT, "Variables that everybody may read."),
    Field("environment_files", List(&forms::UNIT_FILE), "Files of variables."),
    Field(
        "restart",
        Word(&[
            "no",
            "always",
            "on-success",
            "on-failure",
            "on-abnormal",
            "on-abort",
            "on-watchdog",
        ]),
        "When it is started again; no.",
    ),
    Field(
        "restart_seconds",
        Number(0, 86_400),
        "How long it waits before that; systemd's own 0.1.",
    ),
    Field("start_seconds", Number(1, 86_400), "How long its start may take; systemd's own 90."),
    Field("stop_seconds", Number(1, 86_400), "How long its stop may take; systemd's own 90."),
    Field("memory_max_mib", Number(1, 16_777_216), "How much memory it may take; no limit."),
    Field(
        "sandbox",
        Word(&["none", "strict"]),
        "strict: it sees little of the system and changes none of it; none.",
    ),
    Field(
        "writes",
        List(&forms::UNIT_PATH),
        "Folders below `/etc`, `/usr` or `/home` that a strict sandbox lets it write.",
    ),
];

pub(super) const SOCKET: &[Field] = &[
    Field("listen", LISTEN, "Ports, addresses with a port, or paths; streams."),
    Field("listen_datagram", LISTEN, "The same, for datagrams."),
    Field("accept", Boolean, "Whether each connection gets a service of its own; false."),
    Field(
        "service",
        forms::STARTABLE,
        "The service that it starts; the one of its own name when it is not said.",
    ),
    Field("user", forms::OWNER, "The owner of a socket that is a path; root when it is not said."),
    Field("group", forms::OWNER, "Its group; root when it is not said."),
    Field("mode", forms::MODE, "Its mode; 0666 when it is not said."),
];

const LISTEN: Shape = Either(&[Number(1, 65_535), forms::LISTEN_TEXT, List(&LISTENED)]);
const LISTENED: Shape = Either(&[Number(1, 65_535), forms::LISTEN_TEXT]);

pub(super) const TIMER: &[Field] = &[
    Field("on_calendar", TEXT_OR_TEXTS, "When: systemd.time(7), CALENDAR EVENTS."),
    Field("on_boot_seconds", Number(0, 31_536_000), "How long after boot."),
    Field(
        "on_active_seconds",
        Number(1, 31_536_000),
        "How long after its unit was last started, again and again.",
    ),
    Field(
        "persistent",
        Boolean,
        "Whether what was missed while the guest was down is made up for; false.",
    ),
    Field("random_delay_seconds", Number(0, 86_400), "At most how much later, by chance; 0."),
    Field("accuracy_seconds", Number(1, 86_400), "How exact; 60."),
    Field(
        "unit",
        forms::STARTABLE,
        "What it starts; the service of its own name when it is not said.",
    ),
];

pub(super) const DROP_IN: &[Field] = &[
    Field("unit", forms::UNIT, "The unit that it changes, such as nginx.service."),
    Field(
        "template",
        forms::RELATIVE,
        "Its text: a file of the kind's folder, or of `templates/`.",
    ),
    Field("text", Text, "Its text itself, a template too; or `options` instead."),
    Field("options", OPTIONS, "Directives, by section."),
];

pub(super) const CRON: &[Field] = &[
    Field(
        "schedule",
        forms::SCHEDULE,
        "Five fields, such as \"15 3 * * *\", or @daily; crontab(5).",
    ),
    Field("user", forms::OWNER, "Who runs it."),
    Field("run", forms::CRON_COMMAND, "One line of shell."),
    Field("environment", JOB_ENVIRONMENT, "Variables that everybody may read."),
];
