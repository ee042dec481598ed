//! Drop-ins that others have put beside units: `systemctl edit`, `systemctl set-property`, with and without `--runtime`.

use crate::{
    guest_bundle::make,
    guest_fixture::{Folder, identity, name},
    handmade::{Stack, bundle, put_file, seal},
    plan::{container, guest, planned, recorded, switched, tags},
};
use stackc::{
    guest::UnitReport,
    model::{
        Bundle, Digest, Down, DriftReply, DriftRequest, FileClass, GuestPath, Phase, RuntimeDrift,
        Sighted, Switch, UnitName, protocol::ObservedGuest,
    },
    plan::{drift, drift_lines, text},
};
use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    os::unix::fs::symlink,
};

const TX: &str = "00000000000000a2";
const EDITED: &str = "/etc/systemd/system/app.service.d/override.conf";
const SET: &str = "/etc/systemd/system.control/app.service.d/50-CPUWeight.conf";
const UNTIL_BOOT: &str = "/run/systemd/system/app.service.d/override.conf";
const SET_UNTIL_BOOT: &str = "/run/systemd/system.control/app.service.d/50-CPUWeight.conf";
const ALL: [&str; 4] = [SET, EDITED, SET_UNTIL_BOOT, UNTIL_BOOT];
const NICE: &str = "[Service]\nNice=5\n";

/// A guest on version 1 whose service has drop-ins of every sort.
fn edited() -> (Folder, Digest, Switch) {
    let (folder, first, _) = Folder::on_first();
    for path in ALL {
        folder.put(path, NICE);
    }
    let second = make(2, 60);
    let mut switch = second.switch(TX, 1, 2, &first.ledger());
    switch.placement.remove.extend(ALL.map(name::<GuestPath>));
    (folder, first.bundle.digest, switch)
}

fn there(folder: &Folder) -> Vec<&'static str> {
    ALL.into_iter().filter(|path| folder.at(path).exists()).collect()
}

#[test]
fn guest_tells_drop_ins_of_others_for_its_own_units_and_those_that_are_not_only_for_them_apart() {
    let (folder, digest, _) = edited();
    for path in ["app.service.d/50-stackc-package.conf", "app.service.d/notes.txt"] {
        folder.put(&format!("/etc/systemd/system/{path}"), NICE);
    }
    let shared = "/run/systemd/system/service.d/all.conf";
    folder.put(shared, NICE);
    folder.put("/etc/systemd/system/nginx.service.d/theirs.conf", NICE);
    let found = folder.observe(digest).runtime_drift;
    let own: BTreeMap<GuestPath, UnitName> =
        ALL.iter().map(|path| (name(path), name("app.service"))).collect();
    assert_eq!(found.drop_ins, own);
    assert_eq!(found.others, [name(shared)].into(), "of nginx the bundle has nothing");
    assert!(!found.is_empty());
    let only_others = RuntimeDrift { others: found.others, ..RuntimeDrift::default() };
    assert!(only_others.is_empty() && only_others.by_hand().is_empty());
}

#[test]
fn guest_shows_what_is_in_a_drop_in_of_others_unless_they_keep_it_to_themselves() {
    let (folder, ..) = edited();
    let private = std::os::unix::fs::PermissionsExt::from_mode(0o600);
    fs::set_permissions(folder.at(SET), private).expect("it is ours");
    let request = DriftRequest { identity: identity() };
    let reply: DriftReply = folder.call(&["drift"], &request, &[]).expect("it is told");
    assert_eq!(reply.paths[&name::<GuestPath>(EDITED)].found.content, Sighted::Text(NICE.into()));
    assert_eq!(reply.paths[&name::<GuestPath>(SET)].found.content, Sighted::Secret);
    let told = drift_lines(&drift(reply, None, None));
    let told: String = told.into_iter().map(|(_, line)| line + "\n").collect();
    insta::assert_snapshot!(told);
}

#[test]
fn guest_takes_drop_ins_of_others_away_keeps_copies_and_brings_them_back_when_it_goes_back() {
    let (folder, _, switch) = edited();
    let picture = folder.picture();
    folder.switch_over(&make(2, 60), &switch);
    assert_eq!(there(&folder), [""; 0]);
    let copies = ALL.map(|path| format!("/var/lib/stackc/drift/{TX}{path}"));
    let told: BTreeSet<String> = folder.result(TX).drift_copies.into_iter().collect();
    assert_eq!(told, copies.clone().into());
    assert!(copies.iter().all(|copy| folder.text(copy) == NICE));
    assert_eq!(folder.undo(TX).phase, Phase::Undone);
    assert_eq!((there(&folder), folder.picture()), (ALL.to_vec(), picture));
    assert!(ALL.iter().all(|path| folder.text(path) == NICE));
    let left = fs::read_dir(folder.at("/run/stackc")).expect("it is there");
    let left: Vec<_> = left.map(|entry| entry.expect("it is listed").file_name()).collect();
    assert_eq!(left, ["system.json"], "second names leave with their transaction");
}

#[test]
fn guest_that_lost_its_power_in_between_has_the_drop_ins_back_that_no_boot_takes() {
    let (folder, _, switch) = edited();
    folder.switch_over(&make(2, 60), &switch);
    fs::remove_dir_all(folder.at("/run")).expect("it is there");
    folder.boot();
    folder.command(&["recover"]).output().expect("it can be run");
    assert_eq!(folder.result(TX).phase, Phase::Undone);
    assert_eq!(there(&folder), [SET, EDITED]);
}

#[test]
fn guest_whose_unit_is_masked_until_the_next_boot_says_so_and_is_rid_of_it_after_a_switch() {
    let (folder, first, _) = Folder::on_first();
    let mask = "/run/systemd/system/app.service";
    let masked = UnitReport { load: "masked".to_owned(), ..UnitReport::default() };
    folder.change_system(|state| drop(state.units.insert(name("app.service"), masked)));
    folder.put("/run/systemd/system/other", "");
    symlink("/dev/null", folder.at(mask)).expect("it is ours");
    let down = folder.observe(first.bundle.digest).runtime_drift.units;
    assert_eq!(down, BTreeMap::from([(name("app.service"), Down::MaskedUntilBoot)]));
    let second = make(2, 60);
    let mut switch = second.switch(TX, 1, 2, &first.ledger());
    switch.placement.remove.push(name(mask));
    folder.activate(&second, &switch);
    assert!(!folder.at(mask).is_symlink());
    assert!(folder.at(&format!("/var/lib/stackc/drift/{TX}{mask}")).is_symlink());
}

const WEB: &str = "/etc/systemd/system/web.service.d/override.conf";

/// A guest on which this bundle is live, with a drop-in of others for its service.
fn with_drop_in(live: &Bundle, wanted: &Bundle) -> ObservedGuest {
    let mut observed = guest(live, wanted, &tags("a"));
    observed.runtime_drift.drop_ins.insert(name(WEB), name("web.service"));
    observed
}

#[test]
fn a_drop_in_of_others_is_told_taken_away_and_its_unit_restarted() {
    let stack = Stack::default();
    let live = bundle(&stack);
    let mut observed = with_drop_in(&live, &live);
    observed.recorded = Some(recorded(&live));
    let plan = planned(&live, &tags("a"), Some(&container(&stack)), Some(&observed));
    insta::assert_snapshot!(text(&plan));
    let switch = switched(&live, &observed, &tags("a"));
    assert_eq!(switch.placement.remove, [name(WEB)]);
    assert_eq!(switch.units.restart, [name("web.service")]);
    assert_eq!(switch.undo_units.restart, [name("web.service")]);
    assert!(switch.units.daemon_reload && switch.undo_units.daemon_reload);
}

#[test]
fn a_drop_in_that_the_definitions_take_over_is_not_taken_away() {
    let live = bundle(&Stack::default());
    let mut wanted = live.clone();
    put_file(&mut wanted, WEB, FileClass::Linked, NICE);
    let switch = switched(&wanted, &with_drop_in(&live, &wanted), &tags("a"));
    assert_eq!(switch.placement.remove, []);
    assert!(switch.placement.place.contains_key(&name::<GuestPath>(WEB)));
    assert_eq!(switch.units.restart, [name("web.service")]);
}

#[test]
fn a_drop_in_for_a_unit_that_leaves_is_left_to_its_owner() {
    let live = bundle(&Stack::default());
    let mut wanted = live.clone();
    wanted.manifest.entries.retain(|path, _| !path.as_str().contains("web.service"));
    wanted.files.retain(|path, _| !path.as_str().contains("web.service"));
    seal(&mut wanted);
    let switch = switched(&wanted, &with_drop_in(&live, &wanted), &tags("a"));
    assert!(!switch.placement.remove.contains(&name::<GuestPath>(WEB)));
    assert_eq!(switch.units.stop, [name("web.service")]);
}

const BY_HAND: &str = "/etc/systemd/system/timers.target.wants/app.service";

#[test]
fn a_link_by_which_somebody_enabled_a_unit_of_the_generation_is_told_and_those_of_others_units_are_not()
 {
    let (folder, first, _) = Folder::on_first();
    let runs = "/run/systemd/system/multi-user.target.requires/app.service";
    let others = "/etc/systemd/system/timers.target.wants/nginx.service";
    for path in [BY_HAND, runs, others] {
        let link = folder.at(path);
        fs::create_dir_all(link.parent().expect("it is below the root")).expect("it can be made");
        symlink("/etc/systemd/system/app.service", link).expect("it is ours");
    }
    let found = folder.observe(first.bundle.digest).runtime_drift;
    let by_hand = [BY_HAND, runs].map(|path| (name(path), name("app.service")));
    assert_eq!(found.enabled, BTreeMap::from(by_hand));
    assert!(found.drop_ins.is_empty() && !found.is_empty());
}

#[test]
fn a_unit_that_somebody_enabled_is_told_and_its_link_leaves_without_a_restart() {
    let stack = Stack::default();
    let live = bundle(&stack);
    let mut observed = guest(&live, &live, &tags("a"));
    let path = BY_HAND.replace("app", "web");
    observed.runtime_drift.enabled.insert(name(&path), name("web.service"));
    observed.recorded = Some(recorded(&live));
    let plan = planned(&live, &tags("a"), Some(&container(&stack)), Some(&observed));
    insta::assert_snapshot!(text(&plan));
    let switch = switched(&live, &observed, &tags("a"));
    assert_eq!(switch.placement.remove, [name(&path)]);
    assert_eq!((switch.units.restart, switch.units.stop), (Vec::new(), Vec::new()));
}
