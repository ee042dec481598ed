//! Medians.

use std::time::Duration;

/// The median of some runs.
#[derive(Debug, Clone, Copy)]
pub struct Figure {
    pub median: Duration,
    pub runs: usize,
}

impl Figure {
    pub fn of(mut times: Vec<Duration>) -> Self {
        times.sort_unstable();
        Self { median: times[times.len() / 2], runs: times.len() }
    }
}
