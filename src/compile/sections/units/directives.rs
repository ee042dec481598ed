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

/// A systemd that a guest may have: Debian 12's and Debian 13's.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Systemd {
    V252,
    V257,
}

static V252: LazyLock<Table> = LazyLock::new(|| with(Table::new(), include_str!("directives.txt")));
static V257: LazyLock<Table> =
    LazyLock::new(|| with(V252.clone(), include_str!("directives_257.txt")));

fn with(mut table: Table, text: &'static str) -> Table {
    let mut group = ("", Kind::Other);
    for line in text.lines().filter(|line| !line.starts_with('#')) {
        if let Some((section, kind)) = line.strip_prefix('[').and_then(|rest| rest.split_once("] "))
        {
            group = (section, kind_of(kind));
            continue;
        }
        let section = table.entry(group.0).or_default();
        section.extend(line.split(' ').map(|directive| (directive, group.1)));
    }
    table
}

fn kind_of(word: &str) -> Kind {
    match word {
        "boolean" => Kind::Boolean,
        "seconds" => Kind::Seconds,
        "mode" => Kind::Mode,
        "unsigned" => Kind::Unsigned,
        _ => Kind::Other,
    }
}

impl Systemd {
    fn directives(self) -> &'static Table {
        match self {
            Self::V252 => &V252,
            Self::V257 => &V257,
        }
    }

    /// What a directive of a section holds; none when systemd does not know it.
    pub fn kind(self, section: &str, directive: &str) -> Option<Kind> {
        self.directives().get(section)?.get(directive).copied()
    }

    /// The directives of a section.
    pub fn of_section(self, section: &str) -> impl Iterator<Item = &'static str> {
        let directives = self.directives().get(section).into_iter();
        directives.flat_map(|directives| directives.keys().copied())
    }

    /// The section of these that knows a directive.
    pub fn section_of(self, directive: &str, sections: &[&'static str]) -> Option<&'static str> {
        sections.iter().copied().find(|section| self.kind(section, directive).is_some())
    }

    /// The words that a directive of one word takes.
    pub fn words(self, directive: &str) -> Option<Vec<&'static str>> {
        let (_, words) = WORDS.iter().find(|(name, _)| *name == directive)?;
        let later = (directive == "Type" && self == Self::V257).then_some(LATER_TYPE);
        Some(words.iter().copied().chain(later).collect())
    }
}

/// Source: systemd.service(5) of systemd 253.
const LATER_TYPE: &str = "notify-reload";

/// Directives of one word, and the words that they take: systemd.service(5), systemd.exec(5), systemd.kill(5).
const WORDS: [(&str, &[&str]); 7] = [
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
