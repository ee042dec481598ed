//! What changes on a guest without anybody's plan, each with its reason: `docs/volatile.md` is made of these tables.

use crate::exact_packages::BESIDE;
use stackc::model::pattern::fits;
use std::{fmt::Write as _, fs, path::Path};

type Reasons<const N: usize> = [(&'static str, &'static str); N];

/// Paths, with `*` for any text, that say nothing about a plan.
const PATHS: Reasons<9> = [
    (
        "/var/log/journal*",
        "the journal: whatever runs writes to it, and journald makes and turns its files",
    ),
    ("/var/log/wtmp", "logins, stackc's own among them"),
    ("/var/log/lastlog", "logins, stackc's own among them"),
    ("/var/log/btmp", "logins that were refused"),
    (
        "/tmp/systemd-private-*",
        "a unit's own folder, there while it runs; its name is drawn by lot",
    ),
    (
        "/var/tmp/systemd-private-*",
        "a unit's own folder, there while it runs; its name is drawn by lot",
    ),
    (
        "/var/lib/systemd/timers/stamp-*",
        "when a timer last elapsed: the service manager's own note",
    ),
    ("/var/log/unattended-upgrades/*", "a service's own log: it writes there when it is stopped"),
    ("/var/lib/logrotate/status", "what logrotate has turned, by its own timer"),
];

/// Units that come and go without anybody's plan.
const UNITS: Reasons<10> = [
    ("session-*.scope", "a login"),
    ("user@*.service", "a login's own service manager"),
    ("user-runtime-dir@*.service", "a login's folder in /run"),
    ("user-*.slice", "the logins of one user"),
    ("run-user-*.mount", "a login's folder in /run"),
    ("user.slice", "all logins"),
    ("run-credentials-*.mount", "the credentials of a service, mounted anew whenever it starts"),
    ("system-*.slice", "what holds a template's instances, there while one of them is known"),
    ("stackc-*", "stackc's own switch, alarm and recovery"),
    (
        "systemd-tmpfiles-clean.*",
        "cleans old files once a day, and a quarter of an hour after boot",
    ),
];

/// Services whose state is set anew, and is the same, without anybody's plan; that they restart or end is told.
const RESTLESS: Reasons<1> = [("systemd-logind.service", "counts logins")];

fn has(table: &[(&str, &str)], name: &str) -> bool {
    table.iter().any(|(pattern, _)| fits(pattern, name))
}

pub fn is_volatile(path: &str) -> bool {
    has(&PATHS, path)
}

pub fn is_volatile_unit(unit: &str) -> bool {
    has(&UNITS, unit)
}

pub fn is_restless(unit: &str) -> bool {
    has(&RESTLESS, unit)
}

const INTRODUCTION: &str = "# What a plan says, and what changes without one

Made of the tables in `tests/it/exact_volatile.rs` and `exact_packages.rs` by `STACKC_WRITE=1 cargo test --test it the_page_of_volatile`.
`exact_real` draws definitions by lot, activates and rolls back, and takes a picture of the whole guest before and after: every path of
its root (kind, mode, owner, group, target, content, extended attributes; a link through `current` with what stands behind it), every
unit (whether it runs, since when, as which invocation), and the kernel's rules. `/run`, `/proc`, `/sys` and `/dev` are no files of the
guest's root. The pictures may differ in what the plan says, line by line, and all that it says has happened:

| In a plan | On the guest |
|---|---|
| nothing | nothing, not even in `/var/lib/stackc` |
| `+ PATH`, `~ PATH` | what the bundle has there: kind, mode, owner, group, bytes; the folders above it are made, 0755 and root's |
| `- PATH` | what was found there before stackc came, else nothing; a folder that holds something else stays |
| `! PATH` | what is there now is kept in `/var/lib/stackc/found` |
| `+ firewall …`, `- firewall …` | that rule or key in ufw's files, and the kernel's rules, which are then those that the next boot would load; until then a firewall that goes off leaves ufw's chains, as `ufw disable` does, with nothing in them |
| `restart`, `stop+start` | another invocation; `start`, `stop`: it runs, or does not; `reload`: the same invocation, reloaded |
| `leave`, or no word of a unit | the same invocation, and nothing happened to it |
| step `accounts` | users and groups of the bundle's `sysusers.d` that are missing, folders of its `tmpfiles.d` that are missing |
| step `packages` | the sources and pins that it lists; of packages that it calls missing, the files of those that come, and what is below |
| steps `send`, `secrets`, `switch` | in `/var/lib/stackc` exactly the tree, the set of secrets, and one generation with its record |
| `as found` | also, folders that were made only to hold what was placed leave |
";

/// The page of all tables.
fn page() -> String {
    let tables: [(&str, &[(&str, &str)]); 4] = [
        ("Paths that change without a plan", &PATHS),
        ("Units that come and go without a plan", &UNITS),
        ("Services whose state is set anew without a plan", &RESTLESS),
        ("Paths that an installation of packages changes besides theirs", &BESIDE),
    ];
    let mut page = INTRODUCTION.to_owned();
    for (title, table) in tables {
        write!(page, "\n## {title}\n\n| | why |\n|---|---|\n").expect("a text takes it");
        for (pattern, why) in table {
            writeln!(page, "| `{pattern}` | {why} |").expect("a text takes it");
        }
    }
    page
}

/// Run with `STACKC_WRITE=1` to write it anew.
#[test]
fn the_page_of_volatile_paths_has_all_that_the_judge_passes_over() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/volatile.md");
    if std::env::var_os("STACKC_WRITE").is_some() {
        fs::write(&path, page()).expect("it is written");
    }
    let written = fs::read_to_string(&path).expect("it is there");
    assert!(written == page(), "STACKC_WRITE=1 writes it anew");
}

#[test]
fn what_is_passed_over_is_nothing_that_stackc_places_or_keeps() {
    for path in
        ["/etc/passwd", "/var/lib/stackc/current", "/var/log/app", "/srv/own", "/usr/bin/true"]
    {
        assert!(!is_volatile(path), "{path}");
    }
    for unit in ["ssh.service", "cron.service", "own.service", "systemd-journald.service"] {
        assert!(!is_volatile_unit(unit) && !is_restless(unit), "{unit}");
    }
}
