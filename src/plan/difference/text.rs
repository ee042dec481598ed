//! A difference as text: for terminals, and for the parts of a page.

use super::{Content, Difference, FileDifference, ValueChange};
use crate::{
    model::{Bundle, Bytes},
    plan::{FileChange, UnitChange, UnitDecision},
};
use std::{borrow::Cow, fmt::Write as _};

/// Text in which nothing hides: characters that move a cursor, or show a text in another order than it is read, by number.
pub fn visible(text: &str) -> Cow<'_, str> {
    if !text.contains(is_hidden) {
        return Cow::Borrowed(text);
    }
    let mut seen = String::with_capacity(text.len() + 16);
    for char in text.chars() {
        if is_hidden(char) {
            write!(seen, "<U+{:04X}>", u32::from(char)).expect("text takes all");
        } else {
            seen.push(char);
        }
    }
    Cow::Owned(seen)
}

fn is_hidden(char: char) -> bool {
    (char.is_control() && !matches!(char, '\n' | '\t'))
        || matches!(char, '\u{ad}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}')
}

/// What a line says, which is what its colour says too.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mark {
    Heading,
    /// Where in a file the lines below are.
    Place,
    Added,
    Removed,
    Changed,
    Around,
}

impl From<FileChange> for Mark {
    fn from(change: FileChange) -> Self {
        match change {
            FileChange::Added => Self::Added,
            FileChange::Removed => Self::Removed,
            FileChange::Changed => Self::Changed,
        }
    }
}

/// A difference line by line, without line breaks.
pub fn lines(difference: &Difference) -> Vec<(Mark, String)> {
    let mut lines = vec![(Mark::Heading, heading(difference))];
    for subject in &difference.subjects {
        lines.push((Mark::Heading, subject.name.clone()));
        lines.extend(subject.changes.iter().map(value_line));
    }
    if !difference.units.is_empty() {
        lines.push((Mark::Heading, "units, where all that is enabled runs".to_owned()));
        let unit = |(name, change)| (Mark::Changed, format!("  ~ {name}: {}", unit_words(change)));
        lines.extend(difference.units.iter().map(unit));
    }
    if !difference.files.is_empty() {
        lines.push((Mark::Heading, "files".to_owned()));
        difference.files.iter().for_each(|file| file_lines(file, &mut lines));
    }
    lines
}

/// `== shop/dev  88d4097e7184 -> a7796fea3bb4`, and both targets when they are not the same.
fn heading(difference: &Difference) -> String {
    let (to, digest) = (&difference.to.target, difference.to.digest.short());
    match &difference.from {
        None => format!("== {to}  nothing -> {digest}"),
        Some(from) if from.target == *to => format!("== {to}  {} -> {digest}", from.digest.short()),
        Some(from) => format!("== {}  {} -> {to}  {digest}", from.target, from.digest.short()),
    }
}

/// What a bundle says besides its files, for whoever opens its folder.
pub fn contents(bundle: &Bundle) -> String {
    let mut text = String::new();
    for subject in super::subjects(None, bundle).0 {
        writeln!(text, "{}", subject.name).expect("text takes all");
        for change in subject.changes {
            writeln!(text, "  {}", value_words(&change)).expect("text takes all");
        }
    }
    text
}

fn value_line(change: &ValueChange) -> (Mark, String) {
    let kind = change.change();
    (kind.into(), format!("  {} {}", kind.sign(), value_words(change)))
}

/// `memory_mib: 512 -> 1024`; what comes or goes has one value.
fn value_words(change: &ValueChange) -> String {
    let values = change.from.iter().chain(&change.to);
    let values: Vec<Cow<'_, str>> = values.map(|value| visible(value)).collect();
    format!("{}: {}", visible(&change.key), values.join(" -> "))
}

/// What happens to a unit, and why.
pub fn unit_words(change: &UnitChange) -> String {
    let decision = match change.decision {
        UnitDecision::Reload => "reloads",
        UnitDecision::Restart => "restarts",
        UnitDecision::StopThenStart => "stops, then starts",
        UnitDecision::Start => "starts",
        UnitDecision::Stop => "stops",
        UnitDecision::LeftAlone => "is left alone",
    };
    format!("{decision} ({})", visible(&change.causes.join("; ")))
}

fn file_lines(file: &FileDifference, lines: &mut Vec<(Mark, String)>) {
    let (from, to) = (file.change != FileChange::Added, file.change != FileChange::Removed);
    let (mark, sign) = (file.change.into(), file.change.sign());
    let path = visible(&file.path);
    let settings = settings_words(file).map(|words| format!("  {words}")).unwrap_or_default();
    lines.push((mark, format!("  {sign} {path}{settings}")));
    match &file.content {
        Content::Same => {}
        Content::Bytes { from, to } => {
            lines.push((mark, format!("    {}", bytes_words(*from, *to))));
        }
        Content::Text { hunks } => {
            let name = |side: char, is_there| {
                if is_there { format!("{side}/{path}") } else { "/dev/null".to_owned() }
            };
            lines.push((Mark::Place, format!("--- {}", name('a', from))));
            lines.push((Mark::Place, format!("+++ {}", name('b', to))));
            lines.extend(hunk_lines(hunks).map(|(mark, line)| (mark, line.into_owned())));
        }
    }
}

/// Class, mode, owners and the like.
pub fn settings_words(file: &FileDifference) -> Option<String> {
    let words = |change: &ValueChange| {
        match change.change() {
            // Where the file itself comes or goes, everything about it does.
            FileChange::Added | FileChange::Removed if file.change == FileChange::Changed => {
                format!("{}{}", change.change().sign(), value_words(change))
            }
            _ => value_words(change),
        }
    };
    let words: Vec<String> = file.settings.iter().map(words).collect();
    (!words.is_empty()).then(|| format!("({})", words.join(", ")))
}

/// The lines of a file's hunks. `str::lines` would hide a carriage return at their end.
pub fn hunk_lines(hunks: &str) -> impl Iterator<Item = (Mark, Cow<'_, str>)> {
    hunks.split_terminator('\n').map(|line| {
        let mark = match line.as_bytes().first() {
            Some(b'+') => Mark::Added,
            Some(b'-') => Mark::Removed,
            Some(b'@') => Mark::Place,
            _ => Mark::Around,
        };
        (mark, visible(line))
    })
}

/// Size and hash of what has no lines to compare.
pub fn bytes_words(from: Option<Bytes>, to: Option<Bytes>) -> String {
    let words = |bytes: Option<Bytes>| match bytes {
        Some(Bytes { size, sha256 }) => format!("{size} bytes, sha256 {}", sha256.short()),
        None => "nothing".to_owned(),
    };
    format!("no text to compare: {} -> {}", words(from), words(to))
}

/// What differs in a few words: `firewall, 2 units, 3 files`.
pub fn summary(difference: &Difference) -> String {
    let counted = |count: usize, one: &str| match count {
        0 => None,
        1 => Some(format!("1 {one}")),
        many => Some(format!("{many} {one}s")),
    };
    let subjects = difference.subjects.iter().map(|subject| subject.name.clone());
    let units = counted(difference.units.len(), "unit");
    let files = counted(difference.files.len(), "file");
    subjects.chain(units).chain(files).collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use super::visible;

    #[test]
    fn what_would_hide_in_a_terminal_or_a_page_is_shown_by_number() {
        assert_eq!(visible("a\tb\n"), "a\tb\n");
        assert_eq!(
            visible("\u{1b}[2J\r\u{202e}x\u{feff}\u{85}"),
            "<U+001B>[2J<U+000D><U+202E>x<U+FEFF><U+0085>"
        );
    }
}
