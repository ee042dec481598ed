//! Logs that two files of logrotate turn: of a log that was named before, logrotate leaves out the second, and fails.

use super::super::{
    overlay::{Item, Overlay},
    units::{Packages, place_of},
};
use crate::{
    compile::{
        report::{Code, Mistake},
        source::At,
        view::{Located, View},
    },
    model::{GuestPath, pattern},
};
use std::collections::BTreeMap;

/// Logs that packages of Debian 12 turn: the glob, the file of `/etc/logrotate.d` that names it, and the packages that bring
/// that file along; none where every guest has it. Source: the files of the packages.
const OF_PACKAGES: &str = include_str!("packages.txt");

const FOLDER: &str = "/etc/logrotate.d/";
const HELP: &str = "take the path out of one of them";

/// Reports logs of entries and of files written by hand that are turned elsewhere as well.
pub fn check(stack: &View<'_>, overlay: &Overlay, packages: &Packages) {
    let mut seen = Seen::default();
    let by_hand = by_hand(stack, overlay);
    for path in overlay.turned_logs.iter().chain(&by_hand) {
        if let Some(other) = seen.other(&path.value) {
            let title = format!("two entries turn `{}`", path.value);
            let mistake = Mistake::new(Code::DeclaredTwice, path.at, title);
            stack.report(mistake.also(other, "the other one").help(HELP));
        } else if let Some((glob, file)) = of_package(&path.value, overlay, packages) {
            let title =
                format!("`{}` is turned already: `{FOLDER}{file}` turns `{glob}`", path.value);
            let help = "take it out, or have the log written elsewhere: of a log that two files name, logrotate turns one at most";
            stack.report(Mistake::new(Code::DeclaredTwice, path.at, title).help(help));
        }
        seen.insert(path);
    }
}

/// What turns a log on a guest with these packages; not where the bundle puts something in place of the package's file.
fn of_package(
    path: &str,
    overlay: &Overlay,
    packages: &Packages,
) -> Option<(&'static str, &'static str)> {
    let mut entries = OF_PACKAGES.lines().filter_map(|line| {
        let mut words = line.split(' ');
        Some((words.next()?, words.next()?, words))
    });
    let found = entries.find(|(glob, file, brought_by)| {
        let mut brought_by = brought_by.clone().peekable();
        let is_there = brought_by.peek().is_none() || brought_by.any(|name| packages.declare(name));
        let is_own = || format!("{FOLDER}{file}").parse().is_ok_and(|own| is_item(overlay, &own));
        (matches(glob, path) || matches(path, glob)) && is_there && !is_own()
    });
    found.map(|(glob, file, _)| (glob, file))
}

fn is_item(overlay: &Overlay, path: &GuestPath) -> bool {
    overlay.items.contains_key(path)
}

/// Logs that files of logrotate name which an entry of `files` writes.
fn by_hand(stack: &View<'_>, overlay: &Overlay) -> Vec<Located<String>> {
    let mut found = Vec::new();
    for (path, source) in &overlay.sources {
        let (true, Some((Item::File { bytes, .. }, at))) = (is_read(path), overlay.items.get(path))
        else {
            continue;
        };
        for (line, log) in logs(&String::from_utf8_lossy(bytes)) {
            let at = place_of(stack, Some(*source), line).unwrap_or(*at);
            found.push(Located { value: log.to_owned(), at });
        }
    }
    found
}

/// Whether logrotate reads a file; endings such as `.disabled` keep it from that, and of dots only `.conf` is plain here.
fn is_read(path: &GuestPath) -> bool {
    let name = path.as_str().strip_prefix(FOLDER);
    name.is_some_and(|name| {
        let stem = name.strip_suffix(".conf").unwrap_or(name);
        !stem.contains(['/', '.', '~', ','])
    })
}

/// Sections whose lines are a shell's, as far as `endscript`.
const SCRIPTS: [&str; 5] = ["firstaction", "lastaction", "postrotate", "preremove", "prerotate"];

/// The logs that a file names, each with its line. What is not plain is left out, and a file that allows for twins.
fn logs(text: &str) -> Vec<(&str, &str)> {
    if text.contains("ignoreduplicates") {
        return Vec::new();
    }
    let (mut found, mut is_within, mut is_script) = (Vec::new(), false, false);
    for line in text.lines().map(str::trim).filter(|line| !line.starts_with('#')) {
        if is_script {
            is_script = line != "endscript";
        } else if is_within {
            is_script = line.split_whitespace().next().is_some_and(|word| SCRIPTS.contains(&word));
            is_within = !line.starts_with('}');
        } else if line.starts_with(['/', '"', '\'']) {
            let names = line.split('{').next().unwrap_or(line);
            is_within = line.contains('{') && !line.ends_with('}');
            let names = names.split_whitespace().map(|name| name.trim_matches(['"', '\'']));
            let is_plain = |name: &&str| name.starts_with('/') && !name.contains(['[', '\\']);
            found.extend(names.filter(is_plain).map(|name| (line, name)));
        }
    }
    found
}

/// Logs that entries turn, with their places, by what stands before the first `*` or `?`: only those are compared of which
/// one begins as the other does.
#[derive(Default)]
struct Seen(BTreeMap<String, Vec<Located<String>>>);

impl Seen {
    /// Where another entry turns the same log.
    fn other(&self, path: &str) -> Option<At> {
        let start = start_of(path);
        let longer = self.0.range(start.to_owned()..);
        let longer = longer.take_while(|(other, _)| other.starts_with(start));
        let shorter = start.char_indices().filter_map(|(n, _)| self.0.get(&start[..n]));
        let mut others = longer.map(|(_, others)| others).chain(shorter).flatten();
        let both =
            |other: &&Located<String>| matches(&other.value, path) || matches(path, &other.value);
        others.find(both).map(|other| other.at)
    }

    fn insert(&mut self, path: &Located<String>) {
        self.0.entry(start_of(&path.value).to_owned()).or_default().push(path.clone());
    }
}

fn start_of(path: &str) -> &str {
    path.split(['*', '?']).next().unwrap_or(path)
}

/// Whether a glob of `*` and `?` fits a path, another glob among them. Source: glob(7); neither passes a `/`.
fn matches(glob: &str, path: &str) -> bool {
    glob.split('/').count() == path.split('/').count()
        && glob.split('/').zip(path.split('/')).all(|(glob, name)| pattern::fits(glob, name))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn globs_fit_what_logrotate_would_take_twice() {
        for (glob, text) in [
            ("/a/*.log", "/a/x.log"),
            ("/a/*", "/a/*.log"),
            ("/a/?.log", "/a/x.log"),
            ("/a/x.log", "/a/x.log"),
            ("/a/*/x", "/a/b/x"),
            ("/a/é*", "/a/éü"),
        ] {
            assert!(matches(glob, text), "{glob} {text}");
        }
        for (glob, text) in
            [("/a/*.log", "/a/b/x.log"), ("/a/?", "/a/xy"), ("/a/x", "/a/y"), ("/a/*b", "/a/ba")]
        {
            assert!(!matches(glob, text), "{glob} {text}");
        }
    }

    #[test]
    fn logs_are_those_before_a_block_and_no_line_of_a_script() {
        let text = "weekly\ncompresscmd /usr/bin/zstd\n# /a\n/b/*.log \"/c c\"\n/d {\n  create /x\n  postrotate\n}\n/y\n  \
                    endscript\n}\n/e { daily }\n/f{\n}\n/[ab] {\n}\n";
        let found: Vec<&str> = logs(text).into_iter().map(|(_, log)| log).collect();
        assert_eq!(found, ["/b/*.log", "/c", "/d", "/e", "/f"]);
        assert_eq!(logs("/a {\n  ignoreduplicates\n}\n"), []);
    }

    #[test]
    fn the_table_is_sorted_and_names_a_file_each() {
        let lines: Vec<&str> = OF_PACKAGES.lines().collect();
        assert!(lines.is_sorted() && lines.iter().all(|line| line.split(' ').count() >= 2));
    }
}
