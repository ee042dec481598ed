//! Limits on what a template may take: its loops, its text, and the values that it makes on the way.
//!
//! Tera itself bounds a template's own text (depth, complexity of an expression), not what it does. So a template is rendered
//! with a mark at the beginning of each loop's body, whose turns are counted where the text is written, and with the size of
//! each `set` checked. Both are in the text that Tera gets; places are told in the text that the author wrote.

use super::{filters::BOUNDED, names::Event};
use crate::model::FILE_BYTES_MAX;
use std::{io, ops::Range};
use tera::{Error, Tera};

/// The most template text that the loops of one template may go through, in bytes, all turns counted.
const WORK_BYTES_MAX: usize = 4 << 20;
/// What a turn of a loop counts at least, in bytes.
const TURN_BYTES_MIN: usize = 64;
/// The most bytes of what a template makes, and of each value on the way.
#[expect(clippy::cast_possible_truncation, reason = "it is 1 MiB")]
pub const TEXT_BYTES_MAX: usize = FILE_BYTES_MAX as usize;
/// Around the number of a loop. Private-use characters, which sources may not have.
const MARKS: (char, char) = ('\u{f5ca2}', '\u{f5ca3}');

/// What to do about a limit.
pub const SHORTEN: &str = "a file of a guest needs far less: shorten what the loops walk";

/// A template as Tera gets it.
#[derive(Debug, Default)]
pub struct Bounded {
    pub text: String,
    /// What was put in: where it belongs in the author's text, and how long it is.
    added: Vec<(usize, usize)>,
    loops: Vec<Range<usize>>,
    /// What a turn of each loop counts, in bytes.
    turns: Vec<usize>,
}

/// Why a template was stopped.
#[derive(Debug)]
pub struct Stopped {
    pub why: &'static str,
    /// The loop that was running, in the author's text.
    pub at: Option<Range<usize>>,
}

/// Puts the marks and checks into a template.
pub fn bounded(text: &str, events: &[Event]) -> Bounded {
    let mut bounded = Bounded::default();
    let mut pieces = Vec::new();
    let mut open = Vec::new();
    for event in events {
        match event {
            Event::Loop { tag, trims, .. } => {
                open.push((bounded.loops.len(), tag.end));
                pieces.push((tag.end, mark(bounded.loops.len(), *trims)));
                bounded.loops.push(tag.clone());
                bounded.turns.push(TURN_BYTES_MIN);
            }
            Event::LoopEnd { at } => {
                if let Some((number, body)) = open.pop() {
                    bounded.turns[number] = at.saturating_sub(body).max(TURN_BYTES_MIN);
                }
            }
            Event::Set { value, .. } => {
                pieces.push((value.start, "(".to_owned()));
                pieces.push((value.end, format!(") | {BOUNDED}")));
            }
            Event::Name(_) => {}
        }
    }
    bounded.put_in(text, &pieces);
    bounded
}

/// A tag that trims what follows it must still meet that.
fn mark(number: usize, trims: bool) -> String {
    let (open, close) = MARKS;
    if trims {
        format!("{{{{ \"{open}{number}{close}\" -}}}}")
    } else {
        format!("{open}{number}{close}")
    }
}

impl Bounded {
    /// The pieces come in the order of their places.
    fn put_in(&mut self, text: &str, pieces: &[(usize, String)]) {
        let mut done = 0;
        for (at, piece) in pieces {
            self.text.push_str(&text[done..*at]);
            self.text.push_str(piece);
            self.added.push((*at, piece.len()));
            done = *at;
        }
        self.text.push_str(&text[done..]);
    }

    /// A stretch of the text that Tera got, in the author's.
    pub fn written(&self, span: Range<usize>) -> Range<usize> {
        self.written_at(span.start)..self.written_at(span.end)
    }

    fn written_at(&self, offset: usize) -> usize {
        let mut before = 0;
        for (at, length) in &self.added {
            if offset <= at + before {
                break;
            }
            before += length.min(&(offset - at - before));
        }
        offset - before
    }

    /// Renders a template of this text: what it makes, why it was stopped, or what Tera finds wrong.
    pub fn render(
        &self,
        tera: &Tera,
        name: &str,
        context: &tera::Context,
    ) -> Result<Result<String, Stopped>, Error> {
        let mut out =
            Output { bounded: self, bytes: Vec::new(), work: 0, last: None, stopped: None };
        let rendered = tera.render_to(name, context, &mut out);
        if let Some(why) = out.stopped {
            let at = out.last.and_then(|number| self.loops.get(number).cloned());
            return Ok(Err(Stopped { why, at }));
        }
        rendered?;
        Ok(Ok(without_marks(&String::from_utf8_lossy(&out.bytes))))
    }
}

fn without_marks(text: &str) -> String {
    let (open, close) = MARKS;
    let mut pieces = text.split(open);
    let mut left = pieces.next().unwrap_or("").to_owned();
    for piece in pieces {
        left.push_str(piece.split_once(close).map_or(piece, |(_, rest)| rest));
    }
    left
}

/// What a template writes, as long as it keeps the limits.
struct Output<'a> {
    bounded: &'a Bounded,
    bytes: Vec<u8>,
    work: usize,
    last: Option<usize>,
    stopped: Option<&'static str>,
}

impl Output<'_> {
    fn count(&mut self, text: &str) {
        let (open, close) = MARKS;
        for piece in text.split(open).skip(1) {
            let Some((number, _)) = piece.split_once(close) else { continue };
            let Ok(number) = number.parse::<usize>() else { continue };
            self.work += self.bounded.turns.get(number).copied().unwrap_or(TURN_BYTES_MIN);
            self.last = Some(number);
        }
    }
}

impl io::Write for Output<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if let Ok(text) = std::str::from_utf8(bytes) {
            self.count(text);
        }
        self.bytes.extend_from_slice(bytes);
        if self.work > WORK_BYTES_MAX {
            self.stopped = Some("the loops of this template take too many turns");
        } else if self.bytes.len() > TEXT_BYTES_MAX + self.work {
            self.stopped = Some("this template makes a text of more than 1 MiB");
        }
        match self.stopped {
            Some(why) => Err(io::Error::other(why)),
            None => Ok(bytes.len()),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
