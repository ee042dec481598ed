//! The unit decision table, where a unit is not alone: sockets, and what goes down with another.

use crate::plan_units::{Unit, changed_with, decided, expect, service, switch, told, unit, words};

#[test]
fn a_socket_and_its_service_stop_together_and_the_socket_starts_first() {
    let socket = |old, new| unit("a.socket", old, new);
    let (one, two) = ("[Socket]\nListenStream=1\n", "[Socket]\nListenStream=2\n");
    let both = "stop a.service a.socket, start a.socket a.service";
    expect(&[
        ("the service changes", vec![changed_with(""), socket(one, one)], both),
        ("the socket changes", vec![service("", "", ""), socket(one, two)], both),
        (
            "the socket changes while its service is down",
            vec![service("", "", "").state("inactive"), socket(one, two)],
            "stop a.socket, start a.socket",
        ),
        (
            "a socket that is down is none",
            vec![changed_with(""), socket(one, one).state("inactive")],
            "restart a.service",
        ),
    ]);
}

#[test]
fn a_socket_and_its_service_are_told_with_what_changed_in_each() {
    let (one, two) = ("[Socket]\nListenStream=1\n", "[Socket]\nListenStream=2\n");
    let (same, changes) = (unit("a.socket", one, one), unit("a.socket", one, two));
    let still = || service("", "", "");
    let rows = [
        (still(), changes.clone(), "ListenStream changed", "a.socket changed"),
        (changed_with(""), same, "it belongs to a.service", "Nice changed"),
        (
            changed_with(""),
            changes,
            "ListenStream changed, it belongs to a.service",
            "Nice changed, a.socket changed",
        ),
    ];
    for (service, socket, of_socket, of_service) in rows {
        let told = told(&[service, socket]);
        for line in [format!("a.socket: {of_socket}\n"), format!("a.service: {of_service}\n")] {
            assert!(told.contains(&format!("stop+start {line}")), "{line}{told}");
        }
    }
}

/// systemd refuses to start a socket whose service runs.
#[test]
fn a_changed_socket_goes_back_like_it_came() {
    let socket = unit("a.socket", "[Socket]\nListenStream=1\n", "[Socket]\nListenStream=2\n");
    let named = "[Socket]\nListenStream=1\nService=other.service\n";
    let other = service("", "", "").named("other.service");
    let undone = |units: &[Unit]| words(&switch(units).undo_units);
    let both = "stop a.service a.socket, start a.socket a.service";
    assert_eq!(undone(&[service("", "", ""), socket.clone()]), both);
    let named = unit("a.socket", named, &named.replace("=1", "=2"));
    let theirs = "stop other.service a.socket, start a.socket other.service";
    assert_eq!(decided(&[other.clone(), named.clone()]), theirs);
    assert_eq!(undone(&[other, named]), theirs);
}

#[test]
fn a_socket_counts_for_every_service_that_names_it_and_not_for_one_that_listens_for_itself() {
    let socket = |new| unit("b.socket", "[Socket]\nListenStream=1\n", new);
    let same = || socket("[Socket]\nListenStream=1\n");
    let both = "stop a.service b.socket, start b.socket a.service";
    let named = "Sockets=b.socket\n";
    let own = |unit: Unit| unit.named("b.service");
    let apart = "X-NotSocketActivated=true\n";
    expect(&[
        ("a service that names it changes", vec![changed_with(named), same()], both),
        ("it changes", vec![service(named, "", ""), socket("[Socket]\nListenStream=2\n")], both),
        (
            "a service of no socket's changes",
            vec![changed_with("Sockets=c.socket\n"), same()],
            "restart a.service",
        ),
        (
            "its own service listens for itself",
            vec![own(changed_with(apart)), same()],
            "restart b.service",
        ),
        (
            "it changes, and its own service listens for itself",
            vec![own(service(apart, "", "")), socket("[Socket]\nListenStream=2\n")],
            "stop b.service b.socket, start b.socket b.service",
        ),
    ]);
}

#[test]
fn what_is_tied_to_a_unit_that_goes_down_is_stopped_and_started_with_it_once() {
    let changed = || service("", "Nice=1\n", "Nice=2\n");
    let tied = |name, how: &str| service(&format!("[Unit]\n{how}\n"), "", "").named(name);
    let with_stop = || service("ExecStop=/bin/s\n", "Nice=1\n", "Nice=2\n");
    for how in [
        "Requires=a.service",
        "Requisite=x.service a.service",
        "BindsTo=a.service",
        "PartOf=a.service",
    ] {
        let both = "stop b.service, restart a.service, start b.service";
        assert_eq!(decided(&[changed(), tied("b.service", how)]), both, "{how}");
    }
    let b = || tied("b.service", "Requires=a.service");
    expect(&[
        ("only wanted", vec![changed(), tied("b.service", "Wants=a.service")], "restart a.service"),
        ("it is down", vec![changed(), b().state("inactive")], "restart a.service"),
        (
            "else it would stay down",
            vec![with_stop(), b()],
            "stop b.service a.service, start a.service b.service",
        ),
        (
            "it changes as well",
            vec![
                changed(),
                service("[Unit]\nRequires=a.service\n", "Nice=1\n", "Nice=2\n").named("b.service"),
            ],
            "stop b.service, restart a.service, start b.service",
        ),
        (
            "and what is tied to that",
            vec![changed(), b(), tied("c.service", "BindsTo=b.service")],
            "stop c.service b.service, restart a.service, start b.service c.service",
        ),
        (
            "it goes for good, and what requires it with it",
            vec![changed().goes(), b(), tied("c.service", "Requires=b.service")],
            "stop c.service b.service a.service",
        ),
        (
            "what is only part of what goes can run without it",
            vec![changed().goes(), tied("b.service", "PartOf=a.service")],
            "stop b.service a.service, start b.service",
        ),
    ]);
}
