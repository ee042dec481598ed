//! What somebody's hand changed: how the guest tells it, and what a plan does about it.

use crate::{
    guest_fixture::Folder,
    handmade::{Stack, bundle, name},
    plan::{container, guest, planned, switched, tags},
};
use stackc::{
    guest::UnitReport,
    model::{
        Bundle, Down, GuestPath, RuntimeDrift, UnitName,
        protocol::{ObservedGuest, UnitState},
    },
    plan::text,
};
use std::collections::BTreeMap;

/// What a folder's service manager says of the app from now on.
fn app_is(folder: &Folder, load: &str, active: &str, stopped: bool) {
    let (load, active) = (load.to_owned(), active.to_owned());
    let report = UnitReport { load, active, stopped, ..UnitReport::default() };
    folder.change_system(|state| drop(state.units.insert(name("app.service"), report)));
}

#[test]
fn guest_tells_units_that_a_hand_or_a_fault_took_down_and_none_that_ended_by_themselves() {
    let (folder, first, _) = Folder::on_first();
    let down = || folder.observe(first.bundle.digest).runtime_drift.units;
    assert_eq!(down(), BTreeMap::new());
    let app = |down| BTreeMap::from([(name::<UnitName>("app.service"), down)]);
    app_is(&folder, "loaded", "inactive", true);
    assert_eq!(down(), app(Down::Stopped));
    app_is(&folder, "loaded", "inactive", false);
    assert_eq!(down(), BTreeMap::new(), "it may have been done");
    app_is(&folder, "loaded", "failed", false);
    assert_eq!(down(), app(Down::Failed));
    folder.change_system(|state| {
        let report = state.units.get_mut(&name::<UnitName>("app.service"));
        report.expect("it was just put there").ends = true;
    });
    assert_eq!(down(), BTreeMap::new(), "a oneshot has its next run");
    app_is(&folder, "loaded", "activating", false);
    assert_eq!(down(), BTreeMap::new(), "the service manager is at work on it");
    std::fs::remove_file(folder.at("/etc/systemd/system/app.service")).expect("it is there");
    app_is(&folder, "not-found", "inactive", false);
    assert_eq!(down(), app(Down::Stopped), "`systemctl disable --now` takes its file as well");
}

#[test]
fn guest_tells_rules_that_are_not_the_bundles() {
    let (folder, first, _) = Folder::on_first();
    let found = || folder.observe(first.bundle.digest).runtime_drift.firewall;
    assert_eq!(found(), [""; 0]);
    let more = "-A ufw-user-input -p tcp --dport 9 -j ACCEPT\n";
    folder.change_system(|state| state.rules.v4.push_str(more));
    assert_eq!(found(), ["IPv4 has 3 rules in `ufw-user-input`, and not 2"]);
    folder.change_system(|state| state.rules = stackc::guest::Rules::default());
    assert_eq!(found(), ["the kernel does not have the rules of ufw"]);
}

#[test]
fn guest_in_a_switch_has_no_drift_of_what_runs() {
    let (folder, first, _) = Folder::on_first();
    let second = crate::guest_bundle::make(2, 60);
    folder.switch_over(&second, &second.switch("00000000000000a2", 1, 2, &first.ledger()));
    app_is(&folder, "loaded", "inactive", true);
    folder.change_system(|state| state.rules = stackc::guest::Rules::default());
    assert!(folder.observe(second.bundle.digest).runtime_drift.is_empty(), "it is the switch's");
}

/// A guest on which this bundle is live, whose service is down.
fn with_down(live: &Bundle, down: Down) -> ObservedGuest {
    let mut guest = guest(live, live, &tags("a"));
    let web: UnitName = name("web.service");
    let state = UnitState { load: "loaded".to_owned(), active: "inactive".to_owned() };
    guest.units.insert(web.clone(), state);
    guest.runtime_drift.units.insert(web, down);
    guest
}

#[test]
fn a_unit_that_was_stopped_is_told_and_started_and_an_undo_stops_it_again() {
    let stack = Stack::default();
    let live = bundle(&stack);
    let mut guest = with_down(&live, Down::Stopped);
    guest.runtime_drift.firewall.push("IPv4 has 0 rules for input, and not 2".to_owned());
    let plan = planned(&live, &tags("a"), Some(&container(&stack)), Some(&guest));
    insta::assert_snapshot!(text(&plan));
    assert_eq!(plan.json()["runtime_drift"]["units"]["web.service"], "stopped");
    let switch = switched(&live, &guest, &tags("a"));
    assert_eq!(switch.units.start, [name("web.service")]);
    assert_eq!(switch.undo_units.stop, [name("web.service")]);
    assert!(switch.placement.place.is_empty() && switch.placement.remove.is_empty());
}

#[test]
fn a_unit_that_failed_is_health_which_a_plan_mends_and_no_hand_that_it_goes_over() {
    let stack = Stack::default();
    let live = bundle(&stack);
    let guest = with_down(&live, Down::Failed);
    let plan = planned(&live, &tags("a"), Some(&container(&stack)), Some(&guest));
    insta::assert_snapshot!(text(&plan));
    assert_eq!(guest.runtime_drift.by_hand(), [""; 0]);
}

#[test]
fn a_unit_that_was_masked_loses_the_link_that_masks_it() {
    let mut live = bundle(&Stack::default());
    // The unit is a package's; the bundle has files that it reads.
    live.manifest.entries.retain(|path, _| !path.as_str().contains("web.service"));
    live.manifest.units.insert(name("web.service"), stackc::model::UnitInputs::default());
    let switch = switched(&live, &with_down(&live, Down::Masked), &tags("a"));
    let mask: GuestPath = name("/etc/systemd/system/web.service");
    assert_eq!(switch.placement.remove, [mask]);
    assert!(switch.units.daemon_reload && switch.undo_units.daemon_reload);
    assert_eq!(switch.units.start, [name("web.service")]);
}

#[test]
fn a_stopped_unit_comes_back_with_another_bundle_as_well_and_a_oneshot_with_none() {
    let stack = Stack::default();
    let live = bundle(&stack);
    let observed = with_down(&live, Down::Stopped);
    // Only a description differs, for which a unit that was down is not started.
    let started = |wanted: &Bundle| {
        let guest =
            ObservedGuest { recorded: Some(crate::plan::recorded(&live)), ..observed.clone() };
        switched(wanted, &guest, &tags("a")).units.start
    };
    assert_eq!(started(&bundle(&stack.version("two"))), [name("web.service")]);
    let mut oneshot = live.clone();
    let unit = oneshot.files.get_mut(&name("rootfs/etc/systemd/system/web.service"));
    unit.expect("it has one").extend(b"[Service]\nType=oneshot\n");
    let mut guest = observed.clone();
    guest.recorded = Some(crate::plan::recorded(&oneshot));
    assert_eq!(switched(&oneshot, &guest, &tags("a")).units.start, []);
}

#[test]
fn a_unit_whose_own_file_is_put_back_is_read_again_and_restarted() {
    let stack = Stack::default();
    let live = bundle(&stack);
    let mut guest = guest(&live, &live, &tags("a"));
    let unit: GuestPath = name("/etc/systemd/system/web.service");
    guest.drift.insert(unit.clone(), "a file".to_owned());
    let switch = switched(&live, &guest, &tags("a"));
    assert!(switch.units.daemon_reload, "systemd still has what was there");
    assert_eq!(switch.units.restart, [name("web.service")]);
    assert_eq!(switch.placement.place.keys().collect::<Vec<_>>(), [&unit]);
}

#[test]
fn what_a_hand_did_is_told_in_sentences() {
    let units = BTreeMap::from([
        (name("a.service"), Down::Stopped),
        (name("b.service"), Down::Failed),
        (name("c.timer"), Down::Masked),
    ]);
    let firewall = vec!["it is open".to_owned()];
    let drift = RuntimeDrift { units, firewall, ..RuntimeDrift::default() };
    assert_eq!(
        drift.by_hand(),
        ["a.service: stopped by hand", "c.timer: masked by hand", "firewall: it is open"]
    );
    assert_eq!(drift.failed().collect::<Vec<_>>(), [&name::<UnitName>("b.service")]);
}
