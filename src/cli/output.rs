//! What verbs print: text to stdout, failures with their causes to stderr.

pub use crate::activate::Exit;
use crate::plan::difference::visible;
use std::{
    error::Error,
    io::{self, IsTerminal as _, Write},
    process::ExitCode,
    sync::atomic::{AtomicBool, Ordering},
};

/// What a verb prints its result as.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    Text,
    /// One document on stdout; what is for people goes to stderr all the same.
    Json,
}

impl Format {
    /// `--json`, or not.
    pub fn of(json: bool) -> Self {
        if json { Self::Json } else { Self::Text }
    }
}

/// Whether something could not be printed.
static LOST: AtomicBool = AtomicBool::new(false);

/// Prints to stdout, with everything shown that could steer a terminal: guests and Proxmox are quoted. A reader that has gone away, such as `head`, is no failure; any other is told once on stderr, and the
/// verb goes on: what it does to guests must not end halfway because a disk is full.
pub fn print(text: &str) {
    print_to(&mut io::stdout().lock(), &visible(text));
}

/// Prints text with colours to stdout, which shows them when it is a terminal and nobody asked for none.
pub fn print_coloured(text: &str) {
    print_to(&mut anstream::stdout().lock(), &but_colours(text));
}

fn print_to(out: &mut impl Write, text: &str) {
    let Err(error) = out.write_all(text.as_bytes()).and_then(|()| out.flush()) else { return };
    let is_failure = error.kind() != io::ErrorKind::BrokenPipe;
    if is_failure && !LOST.swap(true, Ordering::Relaxed) {
        tell(&format!("error: cannot write to stdout\n  because: {error}\n"));
    }
}

/// The exit code of a verb that only prints: nothing is well, nor compared, when nobody could read it.
pub fn printed(code: ExitCode) -> ExitCode {
    let good = code == ExitCode::SUCCESS || code == ExitCode::from(Exit::Changes.code());
    if good && LOST.load(Ordering::Relaxed) { ExitCode::from(Exit::Refused.code()) } else { code }
}

/// Prints one JSON document.
pub fn print_json(value: &serde_json::Value) {
    print_to(&mut io::stdout().lock(), &format!("{value}\n"));
}

/// Tells a failure and all its causes.
pub fn fail(error: &dyn Error, code: u8) -> ExitCode {
    tell(&format!("error: {error}\n{}", because(error)));
    ExitCode::from(code)
}

/// Tells a wrong use of the command line.
pub fn usage(wrong: &str) -> ExitCode {
    tell(&format!("error: {wrong}\n"));
    ExitCode::from(Exit::Usage.code())
}

/// The causes of an error, a line each.
pub fn because(error: &dyn Error) -> String {
    causes(error)
        .into_iter()
        .map(|cause| format!("  because: {cause}\n"))
        .collect::<Vec<_>>()
        .concat()
}

/// The causes of an error, the nearest first.
pub fn causes(error: &dyn Error) -> Vec<String> {
    let mut texts = Vec::new();
    let mut cause = error.source();
    while let Some(error) = cause {
        texts.push(error.to_string());
        cause = error.source();
    }
    texts
}

/// Prints to stderr; when even that is gone there is nobody left to tell.
pub fn tell(text: &str) {
    drop(io::stderr().lock().write_all(but_colours(text).as_bytes()));
}

/// The text with everything shown that could steer a terminal, but for colours: who puts them in has dealt with what it quotes.
fn but_colours(text: &str) -> String {
    let mut shown = String::with_capacity(text.len());
    let mut parts = text.split("\u{1b}[");
    shown.extend(parts.next().map(visible));
    for part in parts {
        let end = part.find(|c: char| !c.is_ascii_digit() && c != ';').unwrap_or(part.len());
        let (colour, rest) =
            if part[end..].starts_with('m') { ("\u{1b}[", part) } else { ("<U+001B>[", part) };
        shown.push_str(colour);
        shown.push_str(&visible(rest));
    }
    shown
}

/// Whether stderr shows colours: a terminal, and nobody asked for none (no-color.org).
pub fn stderr_has_colour() -> bool {
    io::stderr().is_terminal() && std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_guest_says_cannot_steer_the_terminal_and_our_colours_stay() {
        let quoted = "\u{1b}[31mred\u{1b}[0m \u{1b}]0;title\u{7} \u{1b}[2J \u{202e}x\r\n\ty";
        let shown =
            "\u{1b}[31mred\u{1b}[0m <U+001B>]0;title<U+0007> <U+001B>[2J <U+202E>x<U+000D>\n\ty";
        assert_eq!(but_colours(quoted), shown);
        assert!(!visible(quoted).contains('\u{1b}'));
    }
}
