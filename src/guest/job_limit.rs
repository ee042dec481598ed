//! How long a job of a unit is waited for: as long as the unit says itself, within bounds.

use super::system::UnitJob;
use std::time::Duration;

/// A job is given as long as systemd's own default for a start or a stop (90 s), and a little more, at least.
const MIN: Duration = Duration::from_secs(100);
/// And no more than this at most, so that an undo ends: who needs longer to start is not gone back to.
const MAX: Duration = Duration::from_secs(600);
/// Between systemd's giving up, by signals and in the end by force, and our hearing of it.
const MARGIN: Duration = Duration::from_secs(10);
/// What systemd has for no limit.
const ENDLESS: u64 = u64::MAX;

/// The properties that say it, for a start and for a stop, of a unit of this sort.
pub fn properties(sort: &str) -> Option<[&'static str; 2]> {
    match sort {
        "service" => Some(["TimeoutStartUSec", "TimeoutStopUSec"]),
        "mount" | "socket" | "swap" => Some(["TimeoutUSec"; 2]),
        _ => None,
    }
}

/// The limit of a job, by these two, in microseconds. A start without a limit, which every oneshot has, is waited for as
/// long as any; a stop without one is not: whoever needs it kills the unit then.
pub fn of(job: UnitJob, [start, stop]: [u64; 2]) -> Duration {
    let start = if start == ENDLESS { MAX } else { Duration::from_micros(start) };
    let stop = if stop == ENDLESS { Duration::ZERO } else { Duration::from_micros(stop) };
    let limit = match job {
        UnitJob::Start | UnitJob::Reload => start,
        UnitJob::Stop => stop,
        UnitJob::Restart => stop.saturating_add(start),
        UnitJob::StartLater | UnitJob::StopLater | UnitJob::Kill => Duration::ZERO,
    };
    limit.saturating_add(MARGIN).clamp(MIN, MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_job_is_waited_for_as_long_as_its_unit_says_within_bounds() {
        let micros = |seconds: u64| seconds.saturating_mul(1_000_000);
        let limit = |job, start, stop| of(job, [micros(start), micros(stop)]).as_secs();
        assert_eq!(limit(UnitJob::Start, 90, 90), 100, "systemd's own default");
        assert_eq!(limit(UnitJob::Start, 200, 5), 210);
        assert_eq!(limit(UnitJob::Stop, 200, 0), 100);
        assert_eq!(limit(UnitJob::Stop, 5, 240), 250);
        assert_eq!(limit(UnitJob::Restart, 120, 121), 251);
        assert_eq!(limit(UnitJob::Start, 3720, 5), 600, "an undo ends");
        assert_eq!(limit(UnitJob::Start, u64::MAX, u64::MAX), 600, "it has no limit");
        assert_eq!(limit(UnitJob::Stop, u64::MAX, u64::MAX), 100, "it is killed then");
        assert_eq!(limit(UnitJob::Start, 0, 0), 100, "a target");
    }
}
