//! Paths in units that systemd ignores, or refuses the unit for: relative ones where it wants absolute ones, and the reverse.
//!
//! Source: systemd 252, src/core/load-fragment.c, the parsers that call `path_simplify_and_warn`.

use super::Directive;
use crate::compile::{
    report::{Code, Mistake},
    view::View,
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
