//! Files of Debian's and of packages' own programs: who reads them anew without a word of their author's, and who does not.

use crate::{
    handmade::{Stack, bundle, name, put_file, seal},
    plan::{container, guest, planned, switched, tags},
};
use stackc::{
    model::{
        Bundle, Digest, FileClass, GuestPath, UnitInputs, UnitName,
        protocol::{ObservedGuest, UnitState},
    },
    plan::{Plan, text, watched_units},
};

/// The bundle of shop/dev with this file besides.
fn with(path: &str, content: &str) -> Bundle {
    let mut made = bundle(&Stack::default());
    put_file(&mut made, path, FileClass::Linked, content);
    made
}

/// A guest on which everything runs that the wanted bundle has a plan look at.
fn running(live: &Bundle, wanted: &Bundle) -> ObservedGuest {
    let mut observed = guest(live, wanted, &tags("a"));
    let active = || UnitState { load: "loaded".to_owned(), active: "active".to_owned() };
    let watched = watched_units(&wanted.manifest).into_iter().chain(watched_units(&live.manifest));
    observed.units.extend(watched.map(|unit| (unit, active())));
    observed
}

fn plan_of(wanted: &Bundle, observed: &ObservedGuest) -> Plan {
    planned(wanted, &tags("a"), Some(&container(&Stack::default())), Some(observed))
}

/// What a change of one file does: `restart cron.service`, or a unit that runs on, or nothing.
fn change_of(path: &str) -> String {
    let (live, wanted) = (with(path, "1\n"), with(path, "2\n"));
    let observed = running(&live, &wanted);
    let units = switched(&wanted, &observed, &tags("a")).units;
    assert!(units.stop.is_empty() && units.start.is_empty(), "{path}: {units:?}");
    let told = |verb: &str, units: &[UnitName]| {
        units.iter().map(|unit| format!("{verb} {unit}")).collect::<Vec<_>>()
    };
    let unread = plan_of(&wanted, &observed).unread;
    let unread = unread.values().map(|unit| format!("{unit} runs on"));
    let acted = told("reload", &units.reload).into_iter().chain(told("restart", &units.restart));
    acted.chain(unread).collect::<Vec<_>>().join(", ")
}

#[test]
fn an_author_gets_debians_own_readers_for_nothing_and_is_told_of_packages_that_read_nothing_anew() {
    let rows = [
        ("/etc/cron.d/x", "restart cron.service"),
        ("/etc/ssh/sshd_config.d/x.conf", "reload ssh.service"),
        ("/etc/sysctl.d/x.conf", "restart systemd-sysctl.service"),
        ("/etc/systemd/journald.conf.d/x.conf", "restart systemd-journald.service"),
        ("/etc/systemd/logind.conf.d/x.conf", "restart systemd-logind.service"),
        ("/etc/systemd/resolved.conf.d/x.conf", "restart systemd-resolved.service"),
        ("/etc/systemd/timesyncd.conf.d/x.conf", "restart systemd-timesyncd.service"),
        ("/etc/rsyslog.d/x.conf", "restart rsyslog.service"),
        ("/etc/sudoers.d/x", ""),
        ("/etc/logrotate.d/x", ""),
        ("/etc/tmpfiles.d/x.conf", ""),
        ("/etc/security/limits.d/x.conf", ""),
        ("/etc/profile.d/x.sh", ""),
        ("/etc/apt/apt.conf.d/x", ""),
        ("/etc/nginx/conf.d/x.conf", "nginx.service runs on"),
        ("/etc/postgresql/15/main/conf.d/x.conf", "postgresql.service runs on"),
        ("/etc/redis/x.conf", "redis-server.service runs on"),
        ("/etc/default/haproxy", "haproxy.service runs on"),
    ];
    for (path, expected) in rows {
        assert_eq!(change_of(path), expected, "{path}");
    }
}

#[test]
fn a_plan_names_the_unit_that_runs_on_without_a_changed_file() {
    let path = "/etc/nginx/conf.d/x.conf";
    let (live, wanted) = (with(path, "1\n"), with(path, "2\n"));
    let plan = plan_of(&wanted, &running(&live, &wanted));
    insta::assert_snapshot!(text(&plan));
    assert_eq!(plan.json()["unread"][path], "nginx.service");
}

#[test]
fn a_file_whose_reader_is_declared_restarts_or_does_not_run_is_not_said_to_be_unread() {
    let path = "/etc/nginx/conf.d/x.conf";
    let nginx: UnitName = name("nginx.service");
    let (live, wanted) = (with(path, "1\n"), with(path, "2\n"));
    let declared = |bundle: &Bundle, content: &str| {
        let mut bundle = bundle.clone();
        let read: GuestPath = name(path);
        let reload = [(read, Digest::of(content.as_bytes()))].into();
        let inputs = UnitInputs { reload, ..UnitInputs::default() };
        bundle.manifest.units.insert(nginx.clone(), inputs);
        seal(&mut bundle);
        bundle
    };
    let (old, new) = (declared(&live, "1\n"), declared(&wanted, "2\n"));
    let observed = running(&old, &new);
    assert!(plan_of(&new, &observed).unread.is_empty());
    let units = switched(&new, &observed, &tags("a")).units;
    assert_eq!(units.reload, std::slice::from_ref(&nginx));
    let mut observed = running(&live, &wanted);
    observed.units.get_mut(&nginx).expect("it is watched").active = "inactive".to_owned();
    assert!(plan_of(&wanted, &observed).unread.is_empty());
    // What leaves is not read any more either.
    let gone = bundle(&Stack::default());
    let mut observed = running(&live, &gone);
    assert_eq!(plan_of(&gone, &observed).unread.values().collect::<Vec<_>>(), [&nginx]);
    observed.units.remove(&nginx);
    assert!(plan_of(&gone, &observed).unread.is_empty(), "nobody knows that it runs");
}
