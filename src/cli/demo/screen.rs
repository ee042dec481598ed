//! What the demo prints. Lines are wrapped where the terminal ends, so that what belongs together stays together; into a pipe they go
//! as they are. What nobody reads any more is not shown, and the story goes on: its exit code still says how it ended.

use anstream::stdout;
use anstyle::{AnsiColor, Style};
use std::{io::Write as _, time::Duration};

const TITLE: Style = AnsiColor::Cyan.on_default().bold();
const PROMPT: Style = AnsiColor::Green.on_default().bold();
const GOOD: Style = AnsiColor::Green.on_default();
const BAD: Style = AnsiColor::Red.on_default().bold();
const QUIET: Style = Style::new().dimmed();

/// Narrower terminals cut words.
const WIDTH_MIN: usize = 40;

/// Columns of a title's rule.
const RULE: usize = 76;

/// Lines that go on are set in by this much.
const HANGING: usize = 4;

pub(super) fn title(text: &str) {
    let rule = "━".repeat(RULE.saturating_sub(text.chars().count() + 4));
    print(&format!("\n{TITLE}━━ {text} {rule}{TITLE:#}\n"));
}

/// A sentence of the teller.
pub(super) fn say(text: &str) {
    show("", 0, text);
}

/// A command as a person types it.
pub(super) fn command(text: &str) {
    print("\n");
    show(&format!("{PROMPT}${PROMPT:#} "), 2, text);
}

/// A line that a command printed.
pub(super) fn output(line: &str) {
    show("  ", 2, line);
}

/// How long a command took.
pub(super) fn took(time: Duration) {
    print(&format!("  {QUIET}({:.1} s){QUIET:#}\n", time.as_secs_f64()));
}

pub(super) fn good(claim: &str) {
    show(&format!("{GOOD}✓{GOOD:#} "), 2, claim);
}

pub(super) fn bad(claim: &str) {
    show(&format!("{BAD}✗{BAD:#} "), 2, claim);
}

/// Times with their labels, one below the other.
pub(super) fn times(rows: &[(String, Duration)]) {
    title("Times");
    let width = rows.iter().map(|(label, _)| label.chars().count()).max().unwrap_or(0);
    for (label, time) in rows {
        print(&format!("  {label:<width$}  {:>6.1} s\n", time.as_secs_f64()));
    }
}

/// Prints text behind a mark of so many columns.
fn show(mark: &str, columns: usize, text: &str) {
    let lines = wrap(text, width().map(|width| width.saturating_sub(columns)));
    let next = format!("\n{}", " ".repeat(columns));
    print(&format!("{mark}{}\n", lines.join(&next)));
}

fn print(text: &str) {
    let mut out = stdout().lock();
    drop(out.write_all(text.as_bytes()).and_then(|()| out.flush()));
}

/// The terminal's columns; none when this is no terminal.
fn width() -> Option<usize> {
    let size = rustix::termios::tcgetwinsize(std::io::stdout()).ok()?;
    Some(usize::from(size.ws_col)).filter(|width| *width >= WIDTH_MIN)
}

/// The lines of a text in so many columns: broken between words, and within a word that is too long.
fn wrap(text: &str, width: Option<usize>) -> Vec<String> {
    let Some(width) = width else { return vec![text.to_owned()] };
    let indent = text.chars().take_while(|c| *c == ' ').count();
    // A deep indentation must leave room for words.
    let hanging = " ".repeat((indent + HANGING).min(width / 2));
    let mut lines = Vec::new();
    let mut rest = text.to_owned();
    while let Some((end, _)) = rest.char_indices().nth(width) {
        let at = break_before(&rest, end, width - hanging.len());
        let next = format!("{hanging}{}", rest[at..].trim_start());
        rest.truncate(at);
        lines.push(rest.trim_end().to_owned());
        rest = next;
    }
    lines.push(rest);
    lines
}

/// Where to break a line that may go up to `end`: before the word there, unless that word would not fit into the next line either.
fn break_before(line: &str, end: usize, next_width: usize) -> usize {
    let words = line.len() - line.trim_start().len();
    let whole = line[end..].starts_with(' ').then_some(end);
    let space = whole.or_else(|| line[..end].rfind(' ').filter(|space| *space > words));
    let word = |space: usize| line[space..].split_whitespace().next().unwrap_or_default();
    space.filter(|space| word(*space).chars().count() <= next_width).unwrap_or(end)
}

#[cfg(test)]
mod tests {
    use super::wrap;

    #[test]
    fn a_long_line_is_broken_between_words_and_set_in() {
        assert_eq!(wrap("  + one two three", Some(12)), ["  + one two", "      three"]);
        assert_eq!(wrap("one two", Some(7)), ["one two"]);
        assert_eq!(wrap("one two three", None), ["one two three"]);
    }

    #[test]
    fn a_word_longer_than_a_line_is_cut_and_nothing_is_lost() {
        let lines = wrap("ä/äääääääääääääääääääää", Some(10));
        assert!(lines.iter().all(|line| line.chars().count() <= 10), "{lines:?}");
        let text: String = lines.iter().map(|line| line.trim_start()).collect();
        assert_eq!(text, "ä/äääääääääääääääääääää");
        assert_eq!(
            wrap("+ /etc/systemd/system", Some(12)),
            ["+ /etc/syste", "    md/syste", "    m"]
        );
    }
}
