//! Medians, and the lines that show them.

use std::time::{Duration, Instant};

/// Runs `work` this often and returns the median of its times; `prepare` runs before each and is not measured.
pub fn median(runs: usize, mut prepare: impl FnMut(), mut work: impl FnMut()) -> Duration {
    let mut times: Vec<Duration> = (0..runs)
        .map(|_| {
            prepare();
            let started = Instant::now();
            work();
            started.elapsed()
        })
        .collect();
    times.sort_unstable();
    times[runs / 2]
}

/// One line: what, its median, and how many times the yardstick that is.
#[expect(clippy::print_stdout, reason = "a benchmark prints its figures")]
pub fn show(what: &str, time: Duration, yardstick: Duration) {
    let times = time.as_secs_f64() / yardstick.as_secs_f64();
    println!("{what:<44} {:>9.1} ms {times:>7.2} ×", time.as_secs_f64() * 1000.0);
}
