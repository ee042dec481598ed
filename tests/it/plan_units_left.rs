//! The unit decision table: what no switch stops or starts, and what the plan says of it.

use crate::plan_units::{Unit, changed_with, expect, service, switch, told, unit, words};

const REFUSALS: [&str; 2] = ["RefuseManualStart", "RefuseManualStop"];

/// Neither the switch nor its undo touches a unit, and the plan says why.
fn stays(units: &[Unit], line: &str) {
    let switch = switch(units);
    assert_eq!((words(&switch.units), words(&switch.undo_units)), Default::default(), "{line}");
    let told = told(units);
    assert!(told.contains(&format!("{line}\n")), "{line}: {told}");
}

/// `[Unit]` with one switch that is on.
fn says(key: &str) -> String {
    format!("[Unit]\n{key}=true\n")
}

#[test]
fn a_unit_that_must_not_be_restarted_is_left_alone_and_the_plan_says_so() {
    for kept in ["X-RestartIfChanged=false\n", "[Unit]\nX-OnlyManualStart=true\n"] {
        stays(&[changed_with(kept)], "leave      a.service: Nice changed");
    }
    for key in REFUSALS {
        let line = format!("leave      a.service: Nice changed, it says {key}");
        stays(&[changed_with(&says(key))], &line);
    }
}

/// What the service manager refuses, it refuses on the way back as well, every time.
#[test]
fn a_unit_that_refuses_jobs_by_hand_is_given_none_forth_or_back() {
    for key in REFUSALS {
        let says = says(key);
        let only = |old: &str, new: &str| {
            service("", &format!("{old}[Service]\nNice=1\n"), &format!("{new}[Service]\nNice=2\n"))
        };
        let reason = format!("Nice changed, it says {key}");
        stays(&[only(&says, "")], &format!("leave      a.service: {reason}"));
        stays(&[only("", &says)], &format!("leave      a.service: {reason}"));
        stays(&[changed_with(&format!("{says}[Service]\nExecStop=/bin/s\n"))], &reason);
        let goes = changed_with(&says).goes();
        stays(&[goes], &format!("leave      a.service: its file goes, it says {key}"));
    }
    let comes = |key| changed_with(&says(key)).comes().enabled().state("inactive");
    stays(
        &[comes("RefuseManualStart")],
        "leave      a.service: it is new, it says RefuseManualStart",
    );
    expect(&[("a start is none to stop", vec![comes("RefuseManualStop")], "start a.service")]);
}

#[test]
fn what_a_unit_that_refuses_would_go_down_with_is_left_alone_with_it() {
    let tied = |name, how: &str| service(&format!("[Unit]\n{how}\n"), "", "").named(name);
    for key in REFUSALS {
        let b = tied("b.service", "Requires=a.service");
        let c = || tied("c.service", &format!("BindsTo=b.service\n{key}=true"));
        let line = format!(
            "leave      a.service: Nice changed, c.service would go down with it, and says {key}"
        );
        stays(&[changed_with(""), b.clone(), c()], &line);
        let down = || vec![changed_with(""), b.clone(), c().state("inactive")];
        let both = "stop b.service, restart a.service, start b.service";
        expect(&[("it does not run", down(), both)]);
    }
}

#[test]
fn a_socket_whose_service_must_not_go_down_is_left_alone_and_goes_on_listening() {
    let socket = |old, new| unit("a.socket", old, new);
    let (one, two) = ("[Socket]\nListenStream=1\n", "[Socket]\nListenStream=2\n");
    let line =
        "leave      a.socket: ListenStream changed, it listens anew only while a.service is down";
    for key in REFUSALS {
        let changes = || changed_with(&says(key));
        let reason = format!("leave      a.service: Nice changed, it says {key}");
        stays(&[changes(), socket(one, one)], &reason);
        stays(&[changes(), socket(one, two)], line);
        stays(&[service(&says(key), "", ""), socket(one, two)], line);
    }
}

#[test]
fn a_service_that_must_not_be_restarted_keeps_its_socket_as_it_is() {
    let socket = |new| unit("a.socket", "[Socket]\nListenStream=1\n", new);
    let (same, changes) =
        (|| socket("[Socket]\nListenStream=1\n"), || socket("[Socket]\nListenStream=2\n"));
    let fixed = "X-RestartIfChanged=false\n";
    let line =
        "leave      a.socket: ListenStream changed, it listens anew only while a.service is down";
    stays(&[service(fixed, "", ""), changes()], line);
    stays(&[changed_with(fixed), changes()], line);
    let job = |state| service("Type=oneshot\n", "", "").state(state);
    stays(&[job("activating"), changes()], line);
    let only = "stop a.socket, start a.socket";
    expect(&[("its job is done", vec![job("inactive"), changes()], only)]);
    let other = changed_with("Sockets=a.socket\n").named("b.service");
    let beside = vec![service(fixed, "", ""), same(), other];
    expect(&[("another service of its", beside, "restart b.service")]);
}

/// What a timer has started may take its ten minutes, and be a backup.
#[test]
fn a_job_at_work_is_neither_killed_nor_run_again_for_a_change_that_its_next_run_reads() {
    let job = |kept: &str| changed_with(&format!("Type=oneshot\n{kept}"));
    let line = "leave      a.service: Nice changed, it is at work, and its next run reads that";
    stays(&[job("").state("activating")], line);
    stays(&[job("").enabled().state("activating")], line);
    stays(&[job("X-ReloadIfChanged=true\n").state("activating")], line);
    expect(&[
        ("nothing changes", vec![service("Type=oneshot\n", "", "").state("activating")], ""),
        ("it stays", vec![job("RemainAfterExit=yes\n")], "restart a.service"),
        ("it comes up", vec![changed_with("").state("activating")], "restart a.service"),
        (
            "it stayed until now",
            vec![service("Type=oneshot\n", "RemainAfterExit=yes\n", "")],
            "restart a.service",
        ),
        ("it is between its runs", vec![job("").state("inactive")], ""),
    ]);
}
