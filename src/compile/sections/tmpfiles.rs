//! Files of tmpfiles.d and sysusers.d that are written by hand: lines that their readers refuse.
//!
//! Source: tmpfiles.d(5), sysusers.d(5); `parse_line` of systemd 252's src/tmpfiles and src/sysusers, tried.

use super::{
    overlay::{Item, Overlay},
    owners::Accounts,
    units::{is_mode, is_span, place_of},
};
use crate::{
    compile::{
        report::{Code, Mistake},
        source::At,
        view::View,
    },
    model::{GuestPath, TmpfilesLine, unit_words},
};

const TMPFILES: &str = "/etc/tmpfiles.d/";
const SYSUSERS: &str = "/etc/sysusers.d/";

/// Letters of lines, and what may stand behind one.
const KINDS: &str = "fFwdDevqQpLcbCxXrRzZtThHaAm";
const MODIFIERS: &str = "!-+=~^$?";

type Fault = (String, &'static str);

/// The paths that lines of tmpfiles.d name.
pub fn paths(overlay: &Overlay) -> impl Iterator<Item = String> {
    let texts = overlay.items.iter().filter_map(|(path, (item, _))| text(path, item, TMPFILES));
    texts.flat_map(|text| {
        let lines = text.lines().filter_map(TmpfilesLine::of);
        lines.filter_map(|line| line.path()).collect::<Vec<_>>()
    })
}

fn text<'o>(path: &GuestPath, item: &'o Item, folder: &str) -> Option<&'o str> {
    let Item::File { bytes, .. } = item else { return None };
    std::str::from_utf8(bytes).ok().filter(|_| path.as_str().starts_with(folder))
}

/// Reports lines that cannot be read, and accounts of them that nobody makes.
pub fn check(stack: &View<'_>, overlay: &Overlay, accounts: &Accounts<'_>) {
    for (at, line) in lines(stack, overlay, TMPFILES) {
        if let Some((why, help)) = fault_of_tmpfiles(line) {
            report(stack, "tmpfiles.d", (&why, help), at);
        } else if let Some(line) = TmpfilesLine::of(line) {
            for (number, is_user) in [(3, true), (4, false)] {
                let name = line.field(number).map(|name| name.trim_start_matches(':'));
                if let Some(name) = name.filter(|name| !name.contains('%')) {
                    accounts.check(stack, name, is_user, at);
                }
            }
        }
    }
    for (at, line) in lines(stack, overlay, SYSUSERS) {
        if let Some((why, help)) = fault_of_sysusers(line) {
            report(stack, "sysusers.d", (&why, help), at);
        }
    }
}

fn report(stack: &View<'_>, folder: &str, (why, help): (&str, &'static str), at: At) {
    let title = format!("a line of {folder} would be refused: {why}");
    stack.report(Mistake::new(Code::IgnoredLine, at, title).help(help));
}

/// Lines that are no comments, of files that an entry writes, each with its place.
fn lines<'o>(stack: &View<'_>, overlay: &'o Overlay, folder: &str) -> Vec<(At, &'o str)> {
    let mut found = Vec::new();
    for (path, source) in &overlay.sources {
        let Some((item, at)) = overlay.items.get(path) else { continue };
        let lines = text(path, item, folder).into_iter().flat_map(str::lines).map(str::trim);
        let lines = lines.filter(|line| !line.is_empty() && !line.starts_with('#'));
        found.extend(lines.map(|line| (place_of(stack, Some(*source), line).unwrap_or(*at), line)));
    }
    found
}

fn fault_of_tmpfiles(text: &str) -> Option<Fault> {
    let Some(line) = TmpfilesLine::of(text) else {
        return Some(("a quote is never closed".to_owned(), "close it, or write \\x22 for it"));
    };
    let kind = line.kind();
    let mut chars = kind.chars();
    let is_known = chars.next().is_some_and(|letter| KINDS.contains(letter));
    if !is_known || !chars.all(|mark| MODIFIERS.contains(mark)) {
        let help = "write the letter of tmpfiles.d(5) first, such as `d` for a folder";
        return Some((format!("there is no type `{kind}`"), help));
    }
    let Some(written) = line.written_path() else {
        return Some(("it names no path".to_owned(), "write `d /srv/x 0755 root root -`"));
    };
    let Some(path) = line.path() else {
        let why = format!("what `{written}` means is known on the guest only");
        return line.makes().then_some((why, "write the path out, and `%%` for a `%`"));
    };
    if !path.starts_with('/') {
        return Some((format!("`{path}` is no absolute path"), "write it from the root"));
    }
    fault_of_fields(&line)
}

fn fault_of_fields(line: &TmpfilesLine) -> Option<Fault> {
    let mode = line.field(2).filter(|mode| !is_mode(mode.trim_start_matches(['~', ':'])));
    if let Some(mode) = mode {
        return Some((format!("`{mode}` is no mode"), "write octal digits, such as 0755, or `-`"));
    }
    let age = line.field(5)?.trim_start_matches('~');
    let span = age.rsplit(':').next().unwrap_or(age);
    let help = "write it as systemd.time(7) does, such as 10d, or `-`";
    (!is_span(span)).then(|| (format!("`{age}` is no age"), help))
}

fn fault_of_sysusers(text: &str) -> Option<Fault> {
    let Some(fields) = unit_words(text) else {
        return Some(("a quote is never closed".to_owned(), "close it"));
    };
    let field = |n: usize| fields.get(n).map_or("-", String::as_str);
    let kind = field(0);
    let (letter, marks) = kind.split_at_checked(1).unwrap_or((kind, ""));
    let help = "begin it with `u` for a user, `g` for a group, `m` for a member";
    if !["u", "g", "m", "r"].contains(&letter) || !["", "!"].contains(&marks) {
        return Some((format!("there is no type `{kind}`"), help));
    }
    if letter != "r" && fields.len() < 2 {
        return Some(("it names no account".to_owned(), help));
    }
    if fields.len() > 6 {
        return Some(("it has more than six fields".to_owned(), "put a comment into quotes"));
    }
    let name = field(1);
    if letter != "r" && !is_account(name) {
        return Some((
            format!("`{name}` is no name of an account"),
            "use letters, digits, `-` and `_`",
        ));
    }
    fault_of_account(letter, &field)
}

/// A name that systemd takes, or one of which a specifier makes a part. Source: `valid_user_group_name` of systemd 252.
fn is_account(name: &str) -> bool {
    let is_plain = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == '-';
    name.contains('%')
        || name.len() <= 31
            && name.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_')
            && name.chars().all(is_plain)
}

/// What begins with a specifier is not judged.
fn fault_of_account<'f>(letter: &str, field: &dyn Fn(usize) -> &'f str) -> Option<Fault> {
    let id = field(2);
    let first = id.split(':').next().unwrap_or(id);
    let is_number = first == "-" || first.bytes().all(|b| b.is_ascii_digit());
    if ["u", "g"].contains(&letter) && !is_number && !id.starts_with(['/', '%']) {
        return Some((format!("`{id}` is no number of an account"), "write a number, or `-`"));
    }
    let paths = [("home", field(4)), ("shell", field(5))];
    let refused = |(_, path): &&(&str, &str)| *path != "-" && !path.starts_with(['/', '%']);
    let (what, path) = paths.iter().find(refused).filter(|_| letter == "u")?;
    Some((format!("the {what} `{path}` is no absolute path"), "write it from the root, or `-`"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_that_systemd_reads_have_no_fault() {
        for line in [
            "d \"/srv/with blank\" 0755 root root -",
            "d!- /srv/ok4 ~0755 root root 1d",
            "d= /srv/ok4 :0755 :root :root A:1d12h",
            "L /srv/l - - - - ../it's",
            "x /tmp/a",
            "f+ /srv/f 644 - - - a text",
            "v %L/app%%",
            "r! /srv/%m",
            "D /run/app 2755 app app ~10d",
        ] {
            assert_eq!(fault_of_tmpfiles(line), None, "{line}");
        }
        for line in [
            "u app - \"An app\" /srv/app /bin/bash",
            "u! app 900:901 - - -",
            "u app /srv/app",
            "g app 900",
            "m app adm",
            "r - 500-900",
            "u app -:users",
        ] {
            assert_eq!(fault_of_sysusers(line), None, "{line}");
        }
    }
}
