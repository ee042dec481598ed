//! The unit decision table: instances of a bundle's templates that run, and that no link of it enables.

use crate::{
    handmade::{Stack, name},
    plan::{container, guest, planned, switched, tags},
    plan_units::{ACTIVE, Unit, changed_with, drop_in, service, unit, with_units, words},
};
use stackc::{
    model::{Digest, GuestPath, UnitInputs, protocol::UnitState},
    plan::text,
};

/// What a switch does, and its undo, and the plan, where `a@1.service` is in this state.
fn with_instance(units: &[Unit], state: &str) -> (String, String, String) {
    let (live, wanted) = (with_units(units, false), with_units(units, true));
    let mut observed = guest(&live, &wanted, &tags("a"));
    let (load, active) = ("loaded".to_owned(), state.to_owned());
    observed.units = [(name("a@1.service"), UnitState { load, active })].into();
    let switch = switched(&wanted, &observed, &tags("a"));
    let there = container(&Stack::default());
    let plan = planned(&wanted, &tags("a"), Some(&there), Some(&observed));
    (words(&switch.units), words(&switch.undo_units), text(&plan))
}

#[test]
fn what_runs_of_a_template_follows_it_whoever_started_it() {
    let template = |unit: Unit| vec![unit.named("a@.service")];
    let path: GuestPath = name("/etc/a.conf");
    let reads = |text: &str| UnitInputs {
        restart: [(path.clone(), Digest::of(text.as_bytes()))].into(),
        ..UnitInputs::default()
    };
    let restart = "restart a@1.service";
    let rows = [
        ("its template changes", template(changed_with("")), ACTIVE, restart, restart),
        (
            "a file",
            template(service("", "", "").reads(reads("1"), reads("2"))),
            ACTIVE,
            restart,
            restart,
        ),
        (
            "its template goes",
            template(changed_with("").goes()),
            ACTIVE,
            "stop a@1.service",
            "start a@1.service",
        ),
        ("nothing changes", template(service("", "", "")), ACTIVE, "", ""),
        ("it does not run", template(changed_with("")), "inactive", "", ""),
        (
            "another one's template",
            template(drop_in("[Service]\nNice=1\n", "[Service]\nNice=2\n")),
            ACTIVE,
            "",
            "",
        ),
    ];
    for (row, units, state, forth, back) in rows {
        let (units, undo, _) = with_instance(&units, state);
        assert_eq!((units.as_str(), undo.as_str()), (forth, back), "{row}");
    }
}

#[test]
fn a_job_of_a_template_is_left_to_its_end() {
    let job = changed_with("Type=oneshot\n").named("a@.service");
    let (forth, back, told) = with_instance(&[job], "activating");
    assert_eq!((forth, back), Default::default());
    assert!(told.contains("leave      a@1.service: Nice changed, it is at work"), "{told}");
}

/// It holds somebody's connection, and nobody but the socket can start it.
#[test]
fn an_instance_for_one_connection_lives_as_long_as_that() {
    let socket = |accept| {
        let text = format!("[Socket]\nListenStream=1\nAccept={accept}\n");
        unit("a.socket", &text, &text)
    };
    for (accept, expected) in [("yes", ""), ("no", "restart a@1.service")] {
        let units = [changed_with("").named("a@.service"), socket(accept)];
        assert_eq!(with_instance(&units, ACTIVE).0, expected, "Accept={accept}");
    }
}
