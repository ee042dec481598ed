//! What the service manager says of a unit: systemd's D-Bus properties by name (org.freedesktop.systemd1(5)).

use super::system::UnitReport;
use crate::model::UnitName;
use std::collections::BTreeMap;

/// Properties by name, in the words of `systemctl show`.
pub type Said = BTreeMap<&'static str, String>;

/// What tells why a unit does not run.
const OF_UNITS: [&str; 4] =
    ["TriggeredBy", "StopWhenUnneeded", CONDITION, "ActiveExitTimestampMonotonic"];
const OF_SERVICES: [&str; 5] =
    ["Result", RESTARTS, "Type", "RemainAfterExit", "ExecMainExitTimestampMonotonic"];
const RESTARTS: &str = "NRestarts";
/// Whether its conditions held when it was last started; no for one that never was.
const CONDITION: &str = "ConditionResult";

/// What a report still needs besides what was said, each with its interface: of a unit that runs only how often it was
/// restarted; of one that is not there whether it ever ran, and no more when it never did.
pub fn more(unit: &UnitName, said: &Said) -> Vec<(String, &'static str)> {
    let is_known = |property: &str| said.contains_key(property);
    if is(said, "LoadState", "not-found") && !is(said, CONDITION, "yes") {
        let asked = if is_known(CONDITION) { None } else { Some((interface("unit"), CONDITION)) };
        return asked.into_iter().collect();
    }
    let (sort, runs) = (sort(unit), is(said, "ActiveState", "active"));
    let of_unit: &[_] = if runs { &[] } else { &OF_UNITS };
    let of_sort: &[_] = match sort {
        "service" if runs => &[RESTARTS],
        "service" => &OF_SERVICES,
        "timer" if !runs => &["Result", "RemainAfterElapse"],
        "socket" | "path" | "mount" | "automount" | "swap" | "scope" if !runs => &["Result"],
        _ => &[],
    };
    let (unit, own) = (interface("unit"), interface(sort));
    let of_unit = of_unit.iter().map(|property| (unit.clone(), *property));
    let all = of_unit.chain(of_sort.iter().map(|property| (own.clone(), *property)));
    all.filter(|(_, property)| !is_known(property)).collect()
}

/// The interface that units of a sort have.
pub fn interface(sort: &str) -> String {
    let (first, rest) = sort.split_at(1);
    ["org.freedesktop.systemd1.", &first.to_uppercase(), rest].concat()
}

/// The report of a unit.
pub fn of(unit: &UnitName, said: &Said) -> UnitReport {
    let text = |key| said.get(key).cloned().unwrap_or_default();
    UnitReport {
        load: text("LoadState"),
        active: text("ActiveState"),
        sub: text("SubState"),
        result: text("Result"),
        restarts: text(RESTARTS).parse().unwrap_or(0),
        stopped: is_stopped(unit, said),
        ends: is(said, "Type", "oneshot") && is(said, "RemainAfterExit", "no"),
        led: is_led(said) || is(said, CONDITION, "no"),
    }
}

fn is(said: &Said, key: &str, value: &str) -> bool {
    said.get(key).is_some_and(|said| said == value)
}

/// The sort of a unit, as its name ends.
pub fn sort(unit: &UnitName) -> &str {
    unit.as_str().rsplit_once('.').map_or("", |(_, sort)| sort)
}

fn is_led(said: &Said) -> bool {
    let triggered = said.get("TriggeredBy").is_some_and(|units| !units.is_empty());
    triggered || is(said, "StopWhenUnneeded", "yes")
}

/// Whether a job stopped the unit. A service that is stopped is no longer active before its main process exits; one that
/// ends by itself exits first. Source: `service_enter_signal` and `service_sigchld_event` in systemd's service.c.
fn is_stopped(unit: &UnitName, said: &Said) -> bool {
    let time = |key| said.get(key).and_then(|time| time.parse::<u64>().ok()).unwrap_or(0);
    let left = time("ActiveExitTimestampMonotonic");
    if !is(said, "ActiveState", "inactive") || left == 0 || is_led(said) {
        return false;
    }
    match sort(unit) {
        "service" if is(said, "RemainAfterExit", "yes") => true,
        "service" => !is(said, "Type", "oneshot") && time("ExecMainExitTimestampMonotonic") > left,
        "timer" => is(said, "RemainAfterElapse", "yes"),
        "socket" | "path" => true,
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn said(lines: &'static str) -> Said {
        lines.lines().filter_map(|l| l.split_once('=')).map(|(k, v)| (k, v.to_owned())).collect()
    }

    fn unit(name: &str) -> UnitName {
        name.parse().expect("it is a unit's name")
    }

    fn stopped(name: &str, (left, exited): (u32, u32), lines: &'static str) -> bool {
        let mut all =
            said("ActiveState=inactive\nType=simple\nRemainAfterExit=no\nStopWhenUnneeded=no\n");
        all.insert("ActiveExitTimestampMonotonic", left.to_string());
        all.insert("ExecMainExitTimestampMonotonic", exited.to_string());
        all.extend(said(lines));
        of(&unit(name), &all).stopped
    }

    #[test]
    fn a_unit_is_stopped_by_hand_only_where_it_is_certain() {
        let service = |times, lines| stopped("a.service", times, lines);
        assert!(service((70, 71), ""));
        assert!(!service((71, 71), ""), "it ended by itself");
        assert!(!service((0, 0), ""), "it never ran since the boot");
        assert!(!service((70, 71), "Type=oneshot"), "it has nothing to run for");
        assert!(service((70, 60), "Type=oneshot\nRemainAfterExit=yes"));
        assert!(!service((70, 71), "TriggeredBy=a.timer"), "its timer starts it");
        assert!(!service((70, 71), "StopWhenUnneeded=yes"), "nobody needs it");
        assert!(!service((70, 71), "ActiveState=active"), "it runs again");
        assert!(stopped("a.timer", (70, 0), "RemainAfterElapse=yes"));
        assert!(stopped("a.socket", (70, 0), ""));
        assert!(!stopped("a.timer", (70, 0), "RemainAfterElapse=no"));
        assert!(!stopped("a.mount", (70, 0), ""));
    }

    #[test]
    fn a_unit_that_runs_is_asked_how_often_it_was_restarted_and_one_that_does_not_why() {
        let more = |name: &str, active| more(&unit(name), &said(active));
        let runs = more("a.service", "ActiveState=active");
        assert_eq!(runs, [("org.freedesktop.systemd1.Service".to_owned(), "NRestarts")]);
        assert_eq!(more("a.timer", "ActiveState=active"), []);
        let fails = more("a.service", "ActiveState=activating\nSubState=auto-restart");
        assert!(fails.iter().any(|(_, property)| *property == "Result"), "{fails:?}");
        assert_eq!(more("a.target", "ActiveState=inactive").len(), OF_UNITS.len());
        let lacking = more("a.service", "LoadState=not-found\nActiveState=inactive");
        assert_eq!(lacking, [("org.freedesktop.systemd1.Unit".to_owned(), CONDITION)]);
        let remembered = "LoadState=not-found\nActiveState=inactive\nConditionResult=yes";
        let all = OF_UNITS.len() + OF_SERVICES.len() - 1;
        assert_eq!(more("a.service", remembered).len(), all);
        assert_eq!(more("a.service", "LoadState=not-found\nConditionResult=no"), []);
    }
}
