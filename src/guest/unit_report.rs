//! What the service manager says of a unit: systemd's D-Bus properties by name (org.freedesktop.systemd1(5)).

use super::system::UnitReport;
use std::collections::BTreeMap;

/// What is asked of a unit.
pub const PROPERTIES: &str = "--property=Id,LoadState,ActiveState,SubState,Result,NRestarts,Type,RemainAfterExit,RemainAfterElapse,TriggeredBy,StopWhenUnneeded,ConditionResult,ActiveExitTimestampMonotonic,ExecMainExitTimestampMonotonic";

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
