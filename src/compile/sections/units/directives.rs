//! The directives that systemd knows, by section.

use std::{collections::BTreeMap, sync::LazyLock};

/// What the value of a directive must look like, as far as a lint checks it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    Boolean,
    Seconds,
    Mode,
    Unsigned,
    Other,
}

/// Section, then directive.
type Table = BTreeMap<&'static str, BTreeMap<&'static str, Kind>>;

static DIRECTIVES: LazyLock<Table> = LazyLock::new(|| {
    let mut table = Table::new();
    let mut group = ("", Kind::Other);
    for line in include_str!("directives.txt").lines().filter(|line| !line.starts_with('#')) {
        if let Some((section, kind)) = line.strip_prefix('[').and_then(|rest| rest.split_once("] "))
        {
            group = (section, kind_of(kind));
            continue;
        }
        let section = table.entry(group.0).or_default();
        section.extend(line.split(' ').map(|directive| (directive, group.1)));
    }
    table
});

fn kind_of(word: &str) -> Kind {
    match word {
        "boolean" => Kind::Boolean,
        "seconds" => Kind::Seconds,
        "mode" => Kind::Mode,
        "unsigned" => Kind::Unsigned,
        _ => Kind::Other,
    }
}

/// What a directive of a section holds; none when systemd does not know it.
pub fn kind(section: &str, directive: &str) -> Option<Kind> {
    DIRECTIVES.get(section)?.get(directive).copied()
}

/// The directives of a section.
pub fn of_section(section: &str) -> impl Iterator<Item = &'static str> {
    DIRECTIVES.get(section).into_iter().flat_map(|directives| directives.keys().copied())
}

/// The section of these that knows a directive.
pub fn section_of(directive: &str, sections: &[&'static str]) -> Option<&'static str> {
    sections.iter().copied().find(|section| kind(section, directive).is_some())
}

/// Directives of one word, and the words that they take: systemd.service(5), systemd.exec(5), systemd.kill(5).
pub const WORDS: [(&str, &[&str]); 7] = [
    ("Type", &["simple", "exec", "forking", "oneshot", "dbus", "notify", "idle"]),
    (
        "Restart",
        &["no", "always", "on-success", "on-failure", "on-abnormal", "on-abort", "on-watchdog"],
    ),
    ("KillMode", &["control-group", "process", "mixed", "none"]),
    ("ExitType", &["main", "cgroup"]),
    ("NotifyAccess", &["none", "main", "exec", "all"]),
    ("TimeoutStartFailureMode", &["terminate", "abort", "kill"]),
    ("TimeoutStopFailureMode", &["terminate", "abort", "kill"]),
];
