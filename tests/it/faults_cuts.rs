//! Where to cut the connections of a command, and in which way: chosen from what an undisturbed run carried.

use crate::cut_traffic::{Direction, How, Message, Scope, Traffic};
use serde::Serialize;
use std::{collections::BTreeSet, time::Duration};

const DIRECTIONS: [Direction; 2] = [Direction::Up, Direction::Down];
/// Longer than the guest waits for its confirm (kind.toml), and shorter.
const LONG: Duration = Duration::from_secs(25);
const SHORT: Duration = Duration::from_secs(5);

/// Where a connection's last request and its reply are, and how close the cuts there are.
const END_BYTES: u64 = 1_200;
const END_STEP: usize = 24;

/// What a cut does, and to what.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Way {
    pub name: &'static str,
    pub how: How,
    pub scope: Scope,
}

pub const WAYS: [Way; 5] = [
    Way { name: "reset", how: How::Reset, scope: Scope::Connection },
    Way { name: "reset, network 25 s", how: How::Reset, scope: Scope::Network(LONG) },
    Way { name: "close", how: How::Close, scope: Scope::Connection },
    Way { name: "black hole", how: How::BlackHole, scope: Scope::Connection },
    Way { name: "black hole, network 5 s", how: How::BlackHole, scope: Scope::Network(SHORT) },
];

/// Which part of what is said a cut meets.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Part {
    /// Nothing of a message arrives, but all before it, the other direction's too.
    Before,
    Within,
    /// All of a message arrives, and no answer comes.
    After,
    /// Near the end of a connection, where the last request and its reply are.
    End,
}

/// A byte of a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Place {
    pub connection: usize,
    pub direction: Direction,
    pub after: u64,
    pub part: Part,
}

/// Before, within and after at most `most` messages of each connection and direction.
pub fn around_messages(traffic: &[Traffic], most: usize) -> Vec<Place> {
    let mut places = Vec::new();
    for (connection, traffic) in traffic.iter().enumerate() {
        for direction in DIRECTIONS {
            let messages: Vec<_> = traffic.going(direction).collect();
            for message in sample(messages, most) {
                places.extend(around(connection, message));
            }
        }
    }
    places
}

fn around(connection: usize, message: Message) -> impl Iterator<Item = Place> {
    let Message { direction, start, end } = message;
    // The proxy cuts as soon as that many bytes have passed: the first byte shows that a message has begun.
    let parts =
        [(Part::Before, start + 1), (Part::Within, start.midpoint(end)), (Part::After, end)];
    let mut met = BTreeSet::new();
    let parts = parts.into_iter().filter(move |(_, after)| met.insert(*after));
    parts.map(move |(part, after)| Place { connection, direction, after, part })
}

/// Near the end of a connection, in both directions.
pub fn near_the_end(traffic: &[Traffic], connection: usize) -> Vec<Place> {
    let ends = DIRECTIONS.map(|direction| (direction, traffic[connection].bytes(direction)));
    let places = ends.into_iter().flat_map(|(direction, end)| {
        let afters = (end.saturating_sub(END_BYTES)..end).step_by(END_STEP);
        afters.map(move |after| Place { connection, direction, after, part: Part::End })
    });
    places.collect()
}

/// Takes the ways in turn. A message has three parts and there are five ways: each part meets each way.
pub fn in_turn(places: Vec<Place>) -> impl Iterator<Item = (Place, Way)> {
    places.into_iter().zip(WAYS.into_iter().cycle())
}

/// `count` of them from all over; all of them when there are no more.
pub fn sample<T>(all: Vec<T>, count: usize) -> Vec<T> {
    let (total, count) = (all.len(), count.min(all.len()));
    let middles: BTreeSet<_> = (0..count).map(|n| (2 * n + 1) * total / (2 * count)).collect();
    let items = all.into_iter().enumerate();
    items.filter(|(index, _)| middles.contains(index)).map(|(_, item)| item).collect()
}

#[test]
fn cuts_meet_every_message_before_within_and_after_in_all_ways() {
    let mut traffic = Traffic::default();
    for _ in 0..10 {
        traffic.add(Direction::Up, 100, false);
        traffic.add(Direction::Down, 50, false);
    }
    let places = around_messages(&[traffic], usize::MAX);
    assert_eq!(places.len(), 60);
    let up: Vec<_> = places.iter().take(4).map(|place| (place.part, place.after)).collect();
    let wanted = [(Part::Before, 1), (Part::Within, 50), (Part::After, 100), (Part::Before, 101)];
    assert_eq!(up, wanted);
    let met: BTreeSet<_> =
        in_turn(places).map(|(place, way)| (place.direction, place.part, way.name)).collect();
    assert_eq!(met.len(), 2 * 3 * WAYS.len());
}

#[test]
fn cuts_near_the_end_stop_before_the_last_byte() {
    let mut traffic = Traffic::default();
    traffic.add(Direction::Up, 5_000, false);
    traffic.add(Direction::Down, 30, false);
    let places = near_the_end(&[traffic], 0);
    let (up, down) = places.split_at(50);
    assert_eq!((up[0].after, up[1].after, up[49].after), (3_800, 3_824, 4_976));
    let afters: Vec<_> = down.iter().map(|place| (place.direction, place.after)).collect();
    assert_eq!(afters, [(Direction::Down, 0), (Direction::Down, 24)]);
}

#[test]
fn samples_are_spread_over_the_whole() {
    assert_eq!(sample((0..100).collect(), 4), [12, 37, 62, 87]);
    assert_eq!(sample((0..3).collect(), 7), [0, 1, 2]);
    assert_eq!(sample((0..5).collect(), 1), [2]);
}
