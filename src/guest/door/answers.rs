//! What programs answer that tell how the guest is led to, and what is no answer.

use super::super::error::GuestError;
use super::super::system::{Command, Output, System, SystemError, succeed};
use std::io::ErrorKind::NotFound;
use std::time::Duration;

/// Questions to the kernel and orders to it, which it answers at once.
pub const LIMIT: Duration = Duration::from_secs(10);
/// Words of ip(8) that say how things are now, and are no part of an address or a route.
const PASSING: [&str; 3] = ["linkdown", "dead", "tentative"];
/// Words that are followed by a number which changes by itself.
const COUNTING: [&str; 5] = ["error", "expires", "valid_lft", "preferred_lft", "refcnt"];

/// What ip(8) answers. What the kernel does not have, such as IPv6, has no lines.
pub fn ask(system: &mut dyn System, question: &str) -> Result<Vec<String>, GuestError> {
    lines_of(system, &asking(&format!("ip {question}")))
}

/// The same of what every kernel has.
pub fn ask_always(system: &mut dyn System, question: &str) -> Result<Vec<String>, GuestError> {
    match answer(system, &asking(&format!("ip {question}")))? {
        Err(error @ SystemError::Failed { .. }) => Err(error.into()),
        answer => Ok(lines(answer)),
    }
}

fn asking(question: &str) -> Command {
    let argv: Vec<&str> = question.split(' ').collect();
    Command::asking(&argv, LIMIT)
}

/// The lines of an answer, without what changes by itself; none of a refusal.
pub fn lines_of(system: &mut dyn System, command: &Command) -> Result<Vec<String>, GuestError> {
    Ok(lines(answer(system, command)?))
}

fn lines(answer: Result<Output, SystemError>) -> Vec<String> {
    answer.map_or_else(|_| Vec::new(), |output| output.text.lines().map(lasting).collect())
}

/// What a program answers, or why it refuses: it says so itself, or is not there. One that did not come to an answer, as it
/// was killed, took too long or had no memory to begin in, is an error.
pub fn answer(
    system: &mut dyn System,
    command: &Command,
) -> Result<Result<Output, SystemError>, SystemError> {
    match system.run(command) {
        Ok(output) if output.code.is_none() => succeed(command, output).map(Ok),
        Ok(output) => Ok(succeed(command, output)),
        Err(error @ SystemError::NoSystem { .. }) => Ok(Err(error)),
        Err(SystemError::Spawn { program, cause }) if cause.kind() == NotFound => {
            Ok(Err(SystemError::Spawn { program, cause }))
        }
        Err(error) => Err(error),
    }
}

/// A line without what changes by itself.
pub fn lasting(line: &str) -> String {
    let mut words = Vec::new();
    // `-o` has a backslash where a line went on.
    let mut all = line.split(|c: char| c.is_whitespace() || c == '\\').filter(|w| !w.is_empty());
    while let Some(word) = all.next() {
        if COUNTING.contains(&word) {
            all.next();
        } else if !PASSING.contains(&word) {
            words.push(word);
        }
    }
    words.join(" ")
}
