//! What the service manager says of a unit: systemd's D-Bus properties by name (org.freedesktop.systemd1(5)).

use super::system::{UnitJob, UnitReport};
use std::collections::BTreeMap;
use std::time::Duration;

/// What is asked of a unit.
pub const PROPERTIES: &str = "--property=Id,LoadState,ActiveState,SubState,Result,NRestarts,Type,RemainAfterExit,RemainAfterElapse,TriggeredBy,StopWhenUnneeded,ConditionResult,ActiveExitTimestampMonotonic,ExecMainExitTimestampMonotonic";

/// What a unit says of how long its jobs may take: services by two names, mounts, sockets and swaps by the third.
pub const TIMEOUTS: &str = "--property=TimeoutStartUSec,TimeoutStopUSec,TimeoutUSec";
/// A unit job is given as long as systemd's own default for a start or a stop (90 s), and a little more, at least.
const JOB_LIMIT_MIN: Duration = Duration::from_secs(100);
/// And no more than this at most, so that an undo ends: who needs longer to start is not gone back to.
const JOB_LIMIT_MAX: Duration = Duration::from_secs(600);
/// Between systemd's giving up, by signals and in the end by force, and our hearing of it.
const MARGIN: Duration = Duration::from_secs(10);

/// How long a job may take, by a unit's `TIMEOUTS`. A start without a limit, which every oneshot has, is waited for as long
/// as any; a stop without one is not: whoever needs it kills the unit then.
pub fn job_limit(job: UnitJob, said: &str) -> Duration {
    let said: BTreeMap<&str, &str> = said.lines().filter_map(|l| l.split_once('=')).collect();
    let of = |key: &str, endless: Duration| {
        let text = said.get(key).or_else(|| said.get("TimeoutUSec"));
        text.map_or(Duration::ZERO, |text| if *text == "infinity" { endless } else { span(text) })
    };
    let start = || of("TimeoutStartUSec", JOB_LIMIT_MAX);
    let stop = || of("TimeoutStopUSec", Duration::ZERO);
    let limit = match job {
        UnitJob::Start | UnitJob::Reload => start(),
        UnitJob::Stop => stop(),
        UnitJob::Restart => stop().saturating_add(start()),
        UnitJob::StartLater | UnitJob::StopLater | UnitJob::Kill => Duration::ZERO,
    };
    limit.saturating_add(MARGIN).clamp(JOB_LIMIT_MIN, JOB_LIMIT_MAX)
}

/// A time as systemd writes it, `1min 30s`; fractions of a second do not count here. Source: `format_timespan` in systemd's
/// time-util.c.
fn span(text: &str) -> Duration {
    let seconds = |word: &str| {
        let unit = word.trim_start_matches(|c: char| c.is_ascii_digit() || c == '.');
        let count = word[..word.len() - unit.len()].split('.').next()?.parse::<u64>().ok()?;
        let each = match unit {
            "y" => 31_557_600,
            "month" => 2_629_800,
            "w" => 604_800,
            "d" => 86_400,
            "h" => 3600,
            "min" => 60,
            "s" => 1,
            _ => 0,
        };
        count.checked_mul(each)
    };
    let words = text.split(' ').filter_map(seconds);
    Duration::from_secs(words.fold(0, u64::saturating_add))
}

/// Reads one unit's block of what `systemctl show` prints.
pub fn parse(block: &str) -> UnitReport {
    let said: BTreeMap<&str, &str> = block.lines().filter_map(|l| l.split_once('=')).collect();
    let text = |key| said.get(key).copied().unwrap_or_default().to_owned();
    UnitReport {
        load: text("LoadState"),
        active: text("ActiveState"),
        sub: text("SubState"),
        result: text("Result"),
        restarts: text("NRestarts").parse().unwrap_or(0),
        stopped: is_stopped(&said),
        ends: text("Type") == "oneshot" && text("RemainAfterExit") == "no",
        led: is_led(&said) || text("ConditionResult") == "no",
    }
}

fn is_led(said: &BTreeMap<&str, &str>) -> bool {
    let triggered = said.get("TriggeredBy").is_some_and(|units| !units.is_empty());
    triggered || said.get("StopWhenUnneeded") == Some(&"yes")
}

/// Whether a job stopped the unit. A service that is stopped is no longer active before its main process exits; one that
/// ends by itself exits first. Source: `service_enter_signal` and `service_sigchld_event` in systemd's service.c.
fn is_stopped(said: &BTreeMap<&str, &str>) -> bool {
    let is = |key, value| said.get(key) == Some(&value);
    let time = |key| said.get(key).and_then(|time| time.parse::<u64>().ok()).unwrap_or(0);
    let left = time("ActiveExitTimestampMonotonic");
    if !is("ActiveState", "inactive") || left == 0 || is_led(said) {
        return false;
    }
    match said.get("Id").and_then(|id| id.rsplit_once('.')).map(|(_, kind)| kind) {
        Some("service") if is("RemainAfterExit", "yes") => true,
        Some("service") => !is("Type", "oneshot") && time("ExecMainExitTimestampMonotonic") > left,
        Some("timer") => is("RemainAfterElapse", "yes"),
        Some("socket" | "path") => true,
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SERVICE: &str = "Id=a.service\nActiveState=inactive\nType=simple\nRemainAfterExit=no\nTriggeredBy=\nStopWhenUnneeded=no\n";

    fn stopped(lines: &str) -> bool {
        parse(&format!("{SERVICE}{lines}")).stopped
    }

    #[test]
    fn a_job_is_waited_for_as_long_as_its_unit_says_within_bounds() {
        let limit = |job, start: &str, stop: &str| {
            let said = format!("TimeoutStartUSec={start}\nTimeoutStopUSec={stop}\n");
            job_limit(job, &said).as_secs()
        };
        assert_eq!(limit(UnitJob::Start, "1min 30s", "1min 30s"), 100, "systemd's own default");
        assert_eq!(limit(UnitJob::Start, "3min 20.5s", "5s"), 210);
        assert_eq!(limit(UnitJob::Stop, "3min 20s", "500ms"), 100);
        assert_eq!(limit(UnitJob::Stop, "5s", "4min"), 250);
        assert_eq!(limit(UnitJob::Restart, "2min", "2min 1s"), 251);
        assert_eq!(limit(UnitJob::Start, "1h 2min", "5s"), 600, "an undo ends");
        assert_eq!(limit(UnitJob::Start, "infinity", "infinity"), 600);
        assert_eq!(limit(UnitJob::Stop, "infinity", "infinity"), 100, "it is killed then");
        assert_eq!(limit(UnitJob::Start, "584542y 2w 2d 20h 1min 49s", ""), 600);
        assert_eq!(job_limit(UnitJob::Start, "TimeoutUSec=2min\n").as_secs(), 130, "a mount");
        assert_eq!(job_limit(UnitJob::Start, "").as_secs(), 100, "a target");
    }

    #[test]
    fn a_unit_is_stopped_by_hand_only_where_it_is_certain() {
        let ended = |left: u32, exited: u32| {
            format!(
                "ActiveExitTimestampMonotonic={left}\nExecMainExitTimestampMonotonic={exited}\n"
            )
        };
        assert!(stopped(&ended(70, 71)));
        assert!(!stopped(&ended(71, 71)), "it ended by itself");
        assert!(!stopped(&ended(0, 0)), "it never ran since the boot");
        assert!(!stopped(&(ended(70, 71) + "Type=oneshot\n")), "it has nothing to run for");
        assert!(stopped(&(ended(70, 60) + "Type=oneshot\nRemainAfterExit=yes\n")));
        assert!(!stopped(&(ended(70, 71) + "TriggeredBy=a.timer\n")), "its timer starts it");
        assert!(!stopped(&(ended(70, 71) + "StopWhenUnneeded=yes\n")), "nobody needs it");
        assert!(!stopped(&(ended(70, 71) + "ActiveState=active\n")), "it runs again");
        let of_kind = |rest: &str| stopped(&format!("{}{rest}", ended(70, 0)));
        assert!(of_kind("Id=a.timer\nRemainAfterElapse=yes\n") && of_kind("Id=a.socket\n"));
        assert!(!of_kind("Id=a.timer\nRemainAfterElapse=no\n") && !of_kind("Id=a.mount\n"));
    }
}
