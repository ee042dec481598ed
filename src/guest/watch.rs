//! Commands that run for long, and say what they are at.

use super::Guest;
use super::redact;
use super::secret_values::SecretValues;
use super::system::{Command, Output, SystemError};
use crate::model::protocol::News;

/// More of a line is no news.
const CHARS_MAX: usize = 200;

/// Runs a command and tells its last line from time to time. While the values to hide cannot be known, nothing is told.
pub fn run(guest: &mut Guest, command: &Command) -> Result<Output, SystemError> {
    let secrets = redact::values(guest.fs).ok();
    let news = &mut *guest.news;
    guest.system.run_aloud(command, &mut |line| {
        let shown = secrets.as_ref().map(|secrets| presentable(line, secrets));
        shown.filter(|line| !line.is_empty()).inspect(|line| news(News::Output(line)));
    })
}

/// Colours go first: they could stand in the middle of a value.
fn presentable(line: &str, secrets: &SecretValues) -> String {
    let hidden = secrets.hide(plain(line).trim());
    hidden.chars().take(CHARS_MAX).collect()
}

/// The text without escape sequences and control characters. Source: ECMA-48 §5.4.
fn plain(line: &str) -> String {
    let mut text = String::new();
    let mut chars = line.chars();
    while let Some(c) = chars.next() {
        if c == '\u{1b}' {
            // A sequence that begins with `[` ends with a letter or one of `@^_`{|}~`; any other has one more character.
            if chars.next() == Some('[') {
                chars.find(|c| ('@'..='~').contains(c));
            }
        } else if c == '\t' {
            text.push(' ');
        } else if !c.is_control() {
            text.push(c);
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_is_hidden_even_when_colours_stand_in_its_middle() {
        let secrets = SecretValues::of(["swordfish".to_owned()].iter());
        let line = "\u{1b}[32madded\u{1b}[0m sword\u{1b}[1mfish\tto\u{7} it";
        assert_eq!(presentable(line, &secrets), "added [secret] to it");
    }

    #[test]
    fn a_secret_at_the_end_of_a_long_line_is_not_cut_before_it_is_hidden() {
        let secrets = SecretValues::of(["swordfish".to_owned()].iter());
        let line = format!("{}swordfish", "-".repeat(CHARS_MAX - 5));
        assert!(!presentable(&line, &secrets).contains("sword"));
    }
}
