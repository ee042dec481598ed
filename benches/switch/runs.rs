//! The same again and again, what is compared turn by turn: then a machine that is busy for a while is so for both.

use crate::figures::Figure;
use std::time::{Duration, Instant};

pub const RUNS: usize = 9;

/// Runs two works in turn; each says how long it took.
pub fn in_turn(
    mut yardstick: impl FnMut() -> Duration,
    mut work: impl FnMut() -> Duration,
) -> [Figure; 2] {
    let (yardsticks, works) = (0..RUNS).map(|_| (yardstick(), work())).unzip();
    [Figure::of(yardsticks), Figure::of(works)]
}

/// How long it takes once.
pub fn time(work: impl FnOnce()) -> Duration {
    let started = Instant::now();
    work();
    started.elapsed()
}
