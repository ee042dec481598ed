//! Paths in units that systemd ignores, or refuses the unit for: relative ones where it wants absolute ones, and the reverse.
//!
//! Source: systemd 252, src/core/load-fragment.c, the parsers that call `path_simplify_and_warn`.

use super::{Directive, Unit};
use crate::{
    compile::{
        report::{Code, Mistake},
        view::View,
    },
    model::GuestPath,
};

/// One absolute path, with marks that may stand before it.
const ONE: [(&str, &[char]); 4] = [
    ("EnvironmentFile", &['-']),
    ("WorkingDirectory", &['-']),
    ("RootDirectory", &[]),
    ("RootImage", &[]),
];

/// Absolute paths with blanks between them.
const SEVERAL: [(&str, &[char]); 6] = [
    ("ReadWritePaths", &['-', '+']),
    ("ReadOnlyPaths", &['-', '+']),
    ("InaccessiblePaths", &['-', '+']),
    ("ExecPaths", &['-', '+']),
    ("NoExecPaths", &['-', '+']),
    ("RequiresMountsFor", &[]),
];

/// Folders that systemd makes below one of its own.
const BELOW: [(&str, &str); 5] = [
    ("RuntimeDirectory", "/run"),
    ("StateDirectory", "/var/lib"),
    ("CacheDirectory", "/var/cache"),
    ("LogsDirectory", "/var/log"),
    ("ConfigurationDirectory", "/etc"),
];

/// Paths of which a mount namespace is made; systemd refuses to start the unit when one is missing, but for those with `-`.
const MOUNTED: [&str; 5] =
    ["ReadWritePaths", "ReadOnlyPaths", "InaccessiblePaths", "ExecPaths", "NoExecPaths"];

/// The paths that have to be there for a unit's mount namespace, as far as they are plain.
pub fn mounted(Directive { key, value, .. }: Directive<'_>) -> Vec<GuestPath> {
    let is_plain = MOUNTED.contains(&key) && !value.contains(['"', '\'', '\\', '%']);
    let words = value.split_whitespace().filter(|word| is_plain && !word.starts_with('-'));
    words.filter_map(|word| word.trim_start_matches('+').parse().ok()).collect()
}

/// The folders that systemd makes when a unit starts.
pub fn made(unit: &Unit) -> Vec<String> {
    let folders = |Directive { key, value, .. }: Directive<'_>| {
        let base = BELOW.iter().find(|(name, _)| *name == key).map(|(_, base)| *base);
        let paths = |base: &str| {
            let names = value.split_whitespace().flat_map(|word| word.split(':'));
            // What a specifier stands for may be anything.
            let path = |name: &str| (!name.contains('%')).then(|| format!("{base}/{name}"));
            names.map(|name| path(name).unwrap_or_else(|| base.to_owned())).collect()
        };
        base.map_or_else(Vec::new, paths)
    };
    unit.directives().flat_map(folders).collect()
}

pub fn check(stack: &View<'_>, directive: Directive<'_>) {
    let Directive { at, key, value, .. } = directive;
    if value.contains(['"', '\'', '\\']) {
        // Which words it has is for systemd to say.
        return;
    }
    let marks_in = |table: &[(&str, &'static [char])]| {
        table.iter().find(|(name, _)| *name == key).map(|(_, marks)| *marks)
    };
    if let Some(marks) = marks_in(&ONE) {
        if key == "WorkingDirectory" && value.trim_start_matches('-') == "~" {
            return;
        }
        refuse_relative(stack, directive, value, marks);
    } else if let Some(marks) = marks_in(&SEVERAL) {
        for word in value.split_whitespace() {
            refuse_relative(stack, directive, word, marks);
        }
    } else if let Some((_, base)) = BELOW.iter().find(|(name, _)| *name == key) {
        for word in value.split_whitespace().filter(|word| word.starts_with('/')) {
            let title =
                format!("systemd ignores `{word}` in `{key}`: it is no path below `{base}`");
            let help = format!("write it without `{base}/` and without a `/` before it");
            stack.report(Mistake::new(Code::BadValue, at, title).help(help));
        }
    }
}

/// What begins with a specifier is not judged.
fn refuse_relative(stack: &View<'_>, directive: Directive<'_>, word: &str, marks: &[char]) {
    let path = word.trim_start_matches(marks);
    if path.starts_with(['/', '%']) {
        return;
    }
    let title = format!("`{path}` in `{}` is no absolute path", directive.key);
    let help = "write it from the root: systemd ignores it otherwise, or refuses the unit";
    stack.report(Mistake::new(Code::BadValue, directive.at, title).help(help));
}
