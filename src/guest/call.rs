//! One call: a verb, a request on stdin, events and one reply on stdout.

use super::error::GuestError;
use super::input::{Impatient, SILENCE};
use super::{Debian, Guest, Offline, RealFs, System, generation, journal, redact, verbs};
use crate::model::protocol::{Line, News, Refusal};
use serde::Serialize;
use serde_json::Value;
use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::ExitCode;

const USAGE: &str = "usage: stackc-guest [--root DIR] VERB
verbs: observe drift receive packages accounts secrets databases tools release migrate validate begin abandon result confirm undo
       history fetch gc pin detach switch timer-undo timer-hooks switch-ended recover recover-ended install-recover";

/// What a call says on its last line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Answer {
    Reply(Value),
    Refused(Refusal),
    /// There is no such verb.
    Usage,
}

/// Runs the call that the command line asks for.
pub fn run(arguments: &[String]) -> ExitCode {
    // Ours and every child's, whatever the session's is: a build must not leave files that all may write.
    rustix::process::umask(rustix::fs::Mode::from_raw_mode(0o022));
    if arguments == ["--version"] {
        say(&format!("stackc-guest {}", env!("CARGO_PKG_VERSION")));
        return ExitCode::SUCCESS;
    }
    let (root, words) = match arguments {
        [flag, root, words @ ..] if flag == "--root" => (Some(Path::new(root)), words),
        words => (None, words),
    };
    match open(root) {
        Ok((mut fs, mut system)) => {
            let mut guest = Guest { fs: &mut fs, system: system.as_mut(), news: &mut tell };
            let input = Impatient { from: std::io::stdin(), limit: SILENCE };
            finish(answer(&mut guest, words, &mut BufReader::new(input)))
        }
        Err(error) => finish(Answer::Refused(error.refusal("nothing has changed"))),
    }
}

fn open(root: Option<&Path>) -> Result<(RealFs, Box<dyn System>), GuestError> {
    match root {
        None => Ok((RealFs::open(Path::new("/"))?, Box::new(Debian))),
        Some(root) => Ok((RealFs::open(root)?, Box::new(Offline::open(root)?))),
    }
}

fn finish(answer: Answer) -> ExitCode {
    match answer {
        Answer::Reply(value) => {
            say_line(&Line::Reply(value));
            ExitCode::SUCCESS
        }
        Answer::Refused(refusal) => {
            say_line(&Line::<Value>::Refused(refusal));
            ExitCode::FAILURE
        }
        Answer::Usage => {
            say(USAGE);
            ExitCode::from(2)
        }
    }
}

fn tell(news: News<'_>) {
    say_line(&match news {
        News::Event { step, text } => Line::Event { step: step.to_owned(), text: text.to_owned() },
        News::Output(line) => Line::Output(line.to_owned()),
    });
}

fn say_line(line: &Line<Value>) {
    say(&serde_json::to_string(line).expect("the protocol serialises to JSON"));
}

/// Nobody may be listening any more: that is no reason to stop half-way.
fn say(text: &str) {
    let mut out = std::io::stdout().lock();
    drop(writeln!(out, "{text}").and_then(|()| out.flush()));
}

/// Runs one call.
pub fn answer(guest: &mut Guest, words: &[String], input: &mut dyn BufRead) -> Answer {
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    let done = match words.as_slice() {
        [verb] => verbs::operators(guest, verb, input),
        [] => None,
        [verb, rest @ ..] => verbs::own(guest, verb, rest),
    };
    match done {
        None => Answer::Usage,
        Some(Ok(value)) => Answer::Reply(value),
        Some(Err(error)) => {
            let state = state_of(guest);
            Answer::Refused(redact::refusal(guest.fs, error.refusal(&state)))
        }
    }
}

/// Where things are now, as a sentence.
fn state_of(guest: &mut Guest) -> String {
    let live = match generation::live(guest.fs) {
        Ok(None) => "no generation is live".to_owned(),
        Ok(Some(number)) => format!("generation {number} is live"),
        Err(_) => "it is unknown which generation is live".to_owned(),
    };
    let pending = journal::pending(guest.fs).unwrap_or_default();
    let pending: Vec<String> = pending
        .iter()
        .filter_map(|tx| Some((tx, journal::phase(guest.fs, tx).ok()?)))
        .map(|(tx, phase)| format!("; transaction `{tx}` is {}", words_of(&phase)))
        .collect();
    format!("{live}{}", pending.concat())
}

fn words_of<T: Serialize>(value: &T) -> String {
    let text = serde_json::to_string(value).expect("the model serialises to JSON");
    text.trim_matches('"').replace('-', " ")
}
