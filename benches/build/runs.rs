//! The same again and again.

use crate::figures::Figure;
use std::time::{Duration, Instant};

/// No run begins later than this after the first, so that a busy machine does not make a benchmark endless.
const LIMIT: Duration = Duration::from_secs(8);

/// Runs `work` at most this often, at least once; `prepare` runs before each and is not measured.
pub fn median(runs: usize, mut prepare: impl FnMut(), mut work: impl FnMut()) -> Figure {
    let begun = Instant::now();
    let mut times = Vec::new();
    while times.is_empty() || (times.len() < runs && begun.elapsed() < LIMIT) {
        prepare();
        let started = Instant::now();
        work();
        times.push(started.elapsed());
    }
    Figure::of(times)
}
