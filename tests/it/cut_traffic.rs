//! What passes through a connection, message by message, and where and how it may be cut.

use serde::Serialize;
use std::time::Duration;

/// Which way bytes go: `Up` from the client to the server.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Direction {
    Up,
    Down,
}

impl Direction {
    pub fn name(self) -> &'static str {
        match self {
            Self::Up => "up",
            Self::Down => "down",
        }
    }
}

/// What both ends see of a cut.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum How {
    /// RST to both.
    Reset,
    /// FIN to both.
    Close,
    /// Nothing ever again.
    BlackHole,
}

/// What a cut takes down.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Scope {
    /// That connection; the others live on, and new ones come through.
    Connection,
    /// The network, for this long: every connection, and new ones too. What was cut stays cut.
    Network(Duration),
}

/// A cut: connection number `connection` (0 is the first) ends after exactly `after` of its bytes in that direction.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Cut {
    pub connection: usize,
    pub direction: Direction,
    pub after: u64,
    pub how: How,
    pub scope: Scope,
}

/// Bytes that went one way with no pause and none the other way in between: its first and the one after its last,
/// counted in its direction.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Message {
    pub direction: Direction,
    pub start: u64,
    pub end: u64,
}

/// What one connection carried, in the order in which it passed.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Traffic {
    pub messages: Vec<Message>,
}

impl Traffic {
    /// How many bytes went that way.
    pub fn bytes(&self, direction: Direction) -> u64 {
        self.going(direction).last().map_or(0, |message| message.end)
    }

    pub fn going(&self, direction: Direction) -> impl DoubleEndedIterator<Item = Message> {
        self.messages.iter().copied().filter(move |message| message.direction == direction)
    }

    /// Adds what has passed: to the last message, unless it went the other way or there was a pause.
    pub fn add(&mut self, direction: Direction, bytes: u64, after_pause: bool) {
        let start = self.bytes(direction);
        match self.messages.last_mut() {
            Some(last) if last.direction == direction && !after_pause => last.end += bytes,
            _ => self.messages.push(Message { direction, start, end: start + bytes }),
        }
    }
}
