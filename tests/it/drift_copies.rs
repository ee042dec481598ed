//! What was changed by hand is kept when it is overwritten, and what is somebody else's comes back.

use crate::guest_bundle::{Made, make};
use crate::guest_fixture::{FOREIGN, Folder, feed, identity, messages, name};
use crate::guest_gc::collect;
use stackc::model::protocol::{HistoryReply, HistoryRequest, ObserveRequest, ObservedGuest};
use stackc::model::{FirewallAction, GenerationId, GuestPath, Phase, Placed, Sighted, Switch};
use stackc::plan::taken_paths;
use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::path::PathBuf;

const TX: &str = "00000000000000a2";
const SSHD: &str = "/etc/ssh/sshd_config.d/10-stackc.conf";
const APP: &str = "/usr/local/bin/app";
const ENV: &str = "/etc/app/env";
const BY_HAND: &str = "# by hand\n";

fn copy_of(path: &str) -> String {
    format!("/var/lib/stackc/drift/{TX}{path}")
}

/// What a plan has a switch do at paths that drifted, although both generations have the same there.
fn over(switch: &mut Switch, paths: &[&str]) {
    for path in paths {
        let path: GuestPath = name(path);
        switch.placement.place.insert(path.clone(), switch.ledger.paths[&path].clone());
    }
}

/// A guest on version 1 on which somebody replaced a copy, a link and a file with secrets; and version 2, which goes over it.
fn changed() -> (Folder, Made, Switch) {
    let (folder, first, _) = Folder::on_first();
    for path in [APP, ENV] {
        fs::remove_file(folder.at(path)).expect("it is there");
        folder.put(path, BY_HAND);
    }
    folder.put(SSHD, BY_HAND);
    let second = make(2, 60);
    let mut switch = second.switch(TX, 1, 2, &first.ledger());
    over(&mut switch, &[APP, ENV]);
    (folder, second, switch)
}

fn history(folder: &Folder) -> HistoryReply {
    let request = HistoryRequest { identity: identity() };
    folder.call(&["history"], &request, &[]).expect("it is told")
}

#[test]
fn guest_keeps_what_was_changed_by_hand_before_it_is_overwritten_and_says_where() {
    let (folder, second, switch) = changed();
    folder.switch_over(&second, &switch);
    let copies = [ENV, SSHD, APP].map(copy_of);
    assert_eq!(folder.result(TX).drift_copies, copies);
    let state = folder.confirm(&switch).expect("the confirm is heard");
    assert_eq!((state.phase, &state.drift_copies[..]), (Phase::Confirmed, &copies[..]));
    assert_eq!(folder.text(SSHD), "# version 2\n");
    for copy in &copies {
        assert_eq!(folder.text(copy), BY_HAND, "{copy}");
    }
    let mode = fs::metadata(folder.at("/var/lib/stackc/drift")).expect("it is there");
    assert_eq!(mode.permissions().mode() & 0o7777, 0o700, "nobody but root gets to the copies");
    assert_eq!(history(&folder).drift_copies[&GenerationId(2)], copies);
}

fn mode(folder: &Folder, path: &str) -> u32 {
    fs::metadata(folder.at(path)).expect("it is there").permissions().mode() & 0o7777
}

#[test]
fn a_copy_is_not_changed_by_a_later_write_through_another_name_of_what_was_kept() {
    let (folder, second, switch) = changed();
    fs::create_dir_all(folder.at("/root")).expect("it can be made");
    fs::hard_link(folder.at(SSHD), folder.at("/root/mine")).expect("it is ours");
    folder.switch_over(&second, &switch);
    folder.put("/root/mine", "# written later\n");
    assert_eq!(folder.text(&copy_of(SSHD)), BY_HAND);
    for (path, wanted) in [(SSHD, 0o600), (ENV, 0o600), ("", 0o700)] {
        assert_eq!(mode(&folder, &copy_of(path)), wanted, "{path}");
    }
    folder.confirm(&switch).expect("the confirm is heard");
    assert_eq!(folder.text(&copy_of(SSHD)), BY_HAND);
}

#[test]
fn what_a_hand_put_there_and_there_is_no_room_to_keep_is_not_overwritten() {
    let (folder, second, switch) = changed();
    let long = fs::File::create(folder.at(APP)).expect("it can be made");
    long.set_len(1 << 50).expect("it is all holes");
    folder.prepare(TX, &second);
    let refusal = folder.begin(&switch).expect_err("no copy of that fits");
    assert!(refusal.message.contains("not enough room"), "{refusal:?}");
    assert_eq!(fs::metadata(folder.at(APP)).expect("it is there").len(), 1 << 50);
    assert_eq!(folder.result(TX).phase, Phase::Undone);
    assert_eq!(history(&folder).drift_copies.len(), 0, "not even half of one is there");
}

#[test]
fn rules_that_a_hand_has_set_are_kept_before_others_are_loaded_and_beside_what_an_undo_keeps() {
    let (folder, first, _) = Folder::on_first();
    let by_hand = "-A ufw-user-input -p tcp --dport 9 -j ACCEPT\n";
    folder.change_system(|state| state.rules.v4.push_str(by_hand));
    let rules = folder.system().rules;
    let second = make(2, 60);
    let switch = second.switch(TX, 1, 2, &first.ledger());
    assert_eq!(switch.firewall, FirewallAction::Apply);
    folder.switch_over(&second, &switch);
    let names = ["/ip6tables-save.overwritten", "/iptables-save.overwritten"].map(copy_of);
    assert_eq!(folder.result(TX).drift_copies, names);
    assert_eq!([folder.text(&names[1]), folder.text(&names[0])], [rules.v4, rules.v6]);
    assert!(!folder.system().rules.v4.contains(by_hand), "the switch has its own");
    assert_eq!(folder.undo(TX).phase, Phase::Undone);
    assert!(folder.text(&names[1]).contains(by_hand), "it is still the hand's");
}

#[test]
fn guest_without_a_hand_on_it_keeps_no_copies() {
    let (folder, first, _) = Folder::on_first();
    let second = make(2, 60);
    folder.activate(&second, &second.switch(TX, 1, 2, &first.ledger()));
    assert!(!folder.at("/var/lib/stackc/drift").exists());
    assert!(history(&folder).drift_copies.is_empty());
}

#[test]
fn guest_that_goes_back_has_the_hands_own_files_in_place() {
    let (folder, second, switch) = changed();
    let picture = folder.picture();
    folder.switch_over(&second, &switch);
    assert_ne!(folder.picture(), picture);
    assert_eq!(folder.undo(TX).phase, Phase::Undone);
    assert_eq!(folder.picture(), picture, "drift is as it was, to the byte");
}

/// Writes as an editor does that follows links: into the live tree of the store.
fn write_through(folder: &Folder, made: &Made, path: &str, text: &str) {
    folder.put(&format!("/var/lib/stackc/store/{}/rootfs{path}", made.bundle.digest), text);
}

#[test]
fn guest_tells_what_was_written_through_a_link_and_keeps_it_when_the_bundle_is_sent_again() {
    let (folder, first, _) = Folder::on_first();
    write_through(&folder, &first, APP, BY_HAND);
    let observed = folder.observe(first.bundle.digest);
    let told = &observed.drift[&name::<GuestPath>(APP)];
    assert_eq!(told, "other bytes, written through its link");
    assert!(!observed.has_tree, "it has to be sent again");
    let mut switch = first.switch(TX, 1, 2, &first.ledger());
    over(&mut switch, &[APP]);
    folder.activate(&first, &switch);
    assert_eq!(folder.text(&copy_of(APP)), BY_HAND);
    assert_eq!(history(&folder).drift_copies[&GenerationId(2)], [copy_of(APP)]);
    let observed = folder.observe(first.bundle.digest);
    assert!(observed.has_tree && observed.drift.is_empty(), "{:?}", observed.drift);
}

#[test]
fn an_undo_ends_with_the_stores_true_bytes_where_the_same_bundle_was_sent_again() {
    let (folder, first, _) = Folder::on_first();
    let app = folder.text(&format!("/var/lib/stackc/store/{}/rootfs{APP}", first.bundle.digest));
    write_through(&folder, &first, APP, BY_HAND);
    let mut switch = first.switch(TX, 1, 2, &first.ledger());
    over(&mut switch, &[APP]);
    folder.switch_over(&first, &switch);
    assert_eq!(folder.undo(TX).phase, Phase::Undone);
    let observed = folder.observe(first.bundle.digest);
    assert!(observed.has_tree && observed.drift.is_empty(), "{:?}", observed.drift);
    let live = fs::read_to_string(folder.at(&format!("/var/lib/stackc/current/tree/rootfs{APP}")));
    assert_eq!(live.expect("it is there"), app);
    assert_eq!(history(&folder).drift_copies[&GenerationId(2)], [copy_of(APP)], "and it is told");
    assert_eq!(folder.text(&copy_of(APP)), BY_HAND);
}

#[test]
fn two_hands_at_one_path_leave_two_copies() {
    let (folder, first, _) = Folder::on_first();
    write_through(&folder, &first, APP, BY_HAND);
    fs::remove_file(folder.at(APP)).expect("it is there");
    folder.put(APP, "# in the place of the link\n");
    let mut switch = first.switch(TX, 1, 2, &first.ledger());
    over(&mut switch, &[APP]);
    folder.activate(&first, &switch);
    let copies = [copy_of(APP), copy_of(&format!("{APP}.2"))];
    assert_eq!(history(&folder).drift_copies[&GenerationId(2)], copies);
    assert_eq!(copies.map(|copy| folder.text(&copy)), [BY_HAND, "# in the place of the link\n"]);
}

#[test]
fn a_copy_whose_operator_died_before_the_switch_is_told_with_the_live_generation() {
    let (folder, first, _) = Folder::on_first();
    write_through(&folder, &first, APP, BY_HAND);
    folder.prepare(TX, &first);
    assert!(folder.observe(first.bundle.digest).drift.is_empty(), "the tree was sent again");
    assert_eq!(history(&folder).drift_copies[&GenerationId(1)], [copy_of(APP)]);
    assert_eq!(folder.text(&copy_of(APP)), BY_HAND);
}

#[test]
fn guest_keeps_what_was_written_through_a_link_when_another_bundle_becomes_live() {
    let (folder, first, _) = Folder::on_first();
    write_through(&folder, &first, APP, BY_HAND);
    let second = make(2, 60);
    let mut switch = second.switch(TX, 1, 2, &first.ledger());
    over(&mut switch, &[APP]);
    folder.switch_over(&second, &switch);
    assert_eq!(folder.text(&copy_of(APP)), BY_HAND);
    assert_eq!(folder.undo(TX).phase, Phase::Undone);
    let drift = folder.observe(first.bundle.digest).drift;
    assert_eq!(drift[&name::<GuestPath>(APP)], "other bytes, written through its link");
}

#[test]
fn guest_keeps_the_link_that_masked_a_unit_and_puts_it_back_when_it_goes_back() {
    let (folder, first, _) = Folder::on_first();
    let mask = "/etc/systemd/system/nginx.service";
    symlink("/dev/null", folder.at(mask)).expect("it is ours");
    let second = make(2, 60);
    let mut switch = second.switch(TX, 1, 2, &first.ledger());
    switch.placement.remove.push(name(mask));
    folder.switch_over(&second, &switch);
    assert!(!folder.at(mask).is_symlink());
    assert_eq!(folder.result(TX).drift_copies, [copy_of(mask)]);
    assert!(folder.at(&copy_of(mask)).is_symlink());
    folder.undo(TX);
    assert!(folder.at(mask).is_symlink(), "it is masked again");
}

#[test]
fn guest_gives_up_the_copies_of_generations_that_it_keeps_no_more() {
    let (folder, second, switch) = changed();
    folder.activate(&second, &switch);
    collect(&folder, 1);
    assert_eq!(folder.text(&copy_of(APP)), BY_HAND, "generation 2 is live");
    let third = make(3, 60);
    folder.activate(&third, &third.switch("00000000000000a3", 2, 3, &second.ledger()));
    let removed = collect(&folder, 1).paths;
    assert!(removed.contains_key(&format!("/var/lib/stackc/drift/{TX}")), "{removed:?}");
    assert!(!folder.at(&format!("/var/lib/stackc/drift/{TX}")).exists());
    assert!(history(&folder).drift_copies.is_empty(), "what is gone is not named");
}

/// The switch from one generation to the next, both of the first version, without these paths.
fn without(made: &Made, owned: &Switch, number: u64, paths: &[&str]) -> Switch {
    let tx = format!("00000000000000d{number}");
    let mut switch = made.switch(&tx, number - 1, number, &owned.ledger);
    for path in paths {
        let path: GuestPath = name(path);
        switch.ledger.paths.remove(&path);
        switch.placement.place.remove(&path);
        if owned.ledger.paths.contains_key(&path) {
            switch.placement.remove.push(path);
        }
    }
    switch
}

#[test]
fn guest_gives_a_file_back_as_it_was_last_found_after_several_generations() {
    let (folder, first, switch) = Folder::on_first();
    assert_eq!(folder.text(SSHD), "# version 1\n");
    let released = without(&first, &switch, 2, &[SSHD]);
    folder.activate(&first, &released);
    assert_eq!(folder.text(SSHD), FOREIGN);
    // Its owner has a link there now, which two generations stand in the place of.
    fs::remove_file(folder.at(SSHD)).expect("it is there");
    symlink("/etc/hosts", folder.at(SSHD)).expect("it is ours");
    let taken = without(&first, &released, 3, &[]);
    folder.activate(&first, &taken);
    let kept = without(&first, &taken, 4, &[]);
    folder.activate(&first, &kept);
    assert_eq!(folder.text(SSHD), "# version 1\n");
    folder.activate(&first, &without(&first, &kept, 5, &[SSHD]));
    assert_eq!(
        fs::read_link(folder.at(SSHD)).expect("it is a link again"),
        PathBuf::from("/etc/hosts")
    );
}

#[test]
fn guest_gives_back_nothing_that_a_switch_that_was_undone_had_found() {
    let (folder, first, switch) = Folder::on_first();
    let released = without(&first, &switch, 2, &[SSHD]);
    folder.activate(&first, &released);
    let taken = without(&first, &released, 3, &[]);
    folder.switch_over(&first, &taken);
    assert_eq!(folder.undo(taken.tx.as_str()).phase, Phase::Undone);
    assert_eq!(folder.text(SSHD), FOREIGN);
    // Its owner takes it away; what stackc kept of it meanwhile is nobody's.
    fs::remove_file(folder.at(SSHD)).expect("it is there");
    let mut taken = without(&first, &released, 4, &[]);
    taken.from = GenerationId(2);
    folder.activate(&first, &taken);
    let released = without(&first, &taken, 5, &[SSHD]);
    folder.activate(&first, &released);
    assert!(!folder.at(SSHD).exists(), "nothing was there when it was taken");
}

#[test]
fn guest_gives_a_found_file_back_where_a_hand_changed_what_stood_in_its_place() {
    let (folder, first, switch) = Folder::on_first();
    folder.put(SSHD, BY_HAND);
    let released = without(&first, &switch, 2, &[SSHD]);
    folder.activate(&first, &released);
    assert_eq!(folder.text(SSHD), FOREIGN);
    let copy = format!("/var/lib/stackc/drift/{}{SSHD}", released.tx);
    assert_eq!(folder.text(&copy), BY_HAND);
}

#[test]
fn guest_refuses_a_folder_of_others_where_a_file_must_stand_and_nothing_has_changed() {
    let (folder, first, _) = Folder::on_first();
    let second = make(2, 60);
    let in_the_way = "/etc/profile.d/only-2.sh";
    fs::create_dir_all(folder.at(in_the_way)).expect("it can be made");
    let picture = folder.picture();
    let switch = second.switch(TX, 1, 2, &first.ledger());
    folder.prepare(TX, &second);
    let refusal = folder.begin(&switch).expect_err("a rename cannot replace it");
    assert!(refusal.message.contains("is a directory on the guest"), "{refusal:?}");
    assert_eq!(folder.picture(), picture);
    assert!(matches!(switch.placement.place[&name::<GuestPath>(in_the_way)], Placed::Link { .. }));
}

#[test]
fn guest_tells_files_of_others_in_the_way_of_a_bundle_and_none_that_they_keep_to_themselves() {
    let folder = Folder::new();
    let made = make(1, 60);
    folder.put(APP, "#!/bin/sh\n# somebody's\n");
    let private = fs::Permissions::from_mode(0o600);
    fs::set_permissions(folder.at(SSHD), private).expect("it is ours");
    let look = |folder: &Folder, made: &Made| {
        let request = ObserveRequest {
            identity: identity(),
            digest: Some(made.bundle.digest),
            units: BTreeSet::new(),
            packages: BTreeSet::new(),
            paths: taken_paths(&made.bundle),
        };
        let observed: ObservedGuest = folder.call(&["observe"], &request, &[]).expect("it is told");
        observed.foreign
    };
    let found = look(&folder, &made);
    let text = "#!/bin/sh\n# somebody's\n".to_owned();
    assert_eq!(found[&name::<GuestPath>(APP)].content, Sighted::Text(text));
    assert_eq!(found[&name::<GuestPath>(SSHD)].content, Sighted::Secret, "its mode is 0600");
    assert!(
        !found.contains_key(&name::<GuestPath>("/etc/ufw/ufw.conf")),
        "only keys of it are set"
    );
    let switch = made.switch(TX, 0, 1, &stackc::model::Ledger::default());
    folder.activate(&made, &switch);
    assert!(look(&folder, &make(2, 60)).is_empty(), "what is stackc's is nobody else's");
}

#[test]
fn guest_tells_a_secret_file_that_was_written_through_its_link_and_takes_its_version_anew() {
    let (folder, first, _) = Folder::on_first();
    let version = first.secrets_version;
    let file = format!("/var/lib/stackc/secrets/{version}{ENV}");
    let before = folder.text(&file);
    assert!(folder.observe(first.bundle.digest).secrets.contains(&version));
    let hashes =
        fs::metadata(folder.at(&format!("/var/lib/stackc/secrets/{version}/.ledger.json")));
    assert_eq!(hashes.expect("it is there").permissions().mode() & 0o7777, 0o600);
    folder.put(&file, "TOKEN=by-hand\n");
    let observed = folder.observe(first.bundle.digest);
    let told = &observed.drift[&name::<GuestPath>(ENV)];
    assert_eq!(told, "other bytes, written through its link");
    assert!(!observed.secrets.contains(&version), "it has to be sent again");
    let mut switch = first.switch(TX, 1, 2, &first.ledger());
    over(&mut switch, &[ENV]);
    folder.activate(&first, &switch);
    assert_eq!(folder.text(&file), before);
    assert_eq!(folder.text(&copy_of(ENV)), "TOKEN=by-hand\n");
    assert!(folder.observe(first.bundle.digest).drift.is_empty());
}

#[test]
fn secrets_of_which_nobody_knows_what_they_should_be_are_not_taken_for_whole() {
    let (folder, first, _) = Folder::on_first();
    let version = first.secrets_version;
    fs::remove_file(folder.at(&format!("/var/lib/stackc/secrets/{version}/.ledger.json")))
        .expect("it is there");
    assert!(!folder.observe(first.bundle.digest).secrets.contains(&version));
    folder.activate(&first, &first.switch(TX, 1, 2, &first.ledger()));
    assert!(folder.observe(first.bundle.digest).secrets.contains(&version), "it was sent again");
}

/// The second version, up to the moment at which it waits for its confirm, and then written into through its links.
fn written_while_open() -> (Folder, Made, Made, Switch) {
    let (folder, first, _) = Folder::on_first();
    let second = make(2, 60);
    let switch = second.switch(TX, 1, 2, &first.ledger());
    folder.switch_over(&second, &switch);
    assert_eq!(folder.result(TX).phase, Phase::AwaitingConfirm);
    for path in [APP, ENV] {
        // As an editor does that writes in place.
        let target = fs::read_link(folder.at(path)).expect("it is a link");
        folder.put(&target.to_string_lossy(), "TOKEN=by-hand\n");
    }
    (folder, first, second, switch)
}

#[test]
fn what_was_written_through_links_while_a_switch_was_open_is_never_served_when_it_comes_again() {
    for part in [APP, ENV] {
        let (folder, first, second, _) = written_while_open();
        assert_eq!(folder.undo(TX).phase, Phase::Undone);
        let mut again = second.switch("00000000000000d2", 1, 3, &first.ledger());
        // The other part is sent anew: what is left is this one's.
        let wanted = if part == APP { "secrets" } else { "receive" };
        for (verb, request, more) in messages("00000000000000d2", &second) {
            if verb == wanted {
                feed(folder.command(&[verb]), &[request, more].concat());
            }
        }
        let refusal = folder.begin(&again).expect_err("nobody has sent it again");
        assert!(refusal.message.contains(second_words(part)), "{refusal:?}");
        let observed = folder.observe(second.bundle.digest);
        assert_eq!(observed.has_tree, part == ENV);
        assert_eq!(observed.secrets.contains(&second.secrets_version), part == APP);
        again.tx = name("00000000000000d3");
        folder.activate(&second, &again);
        assert_eq!(folder.text(&through(&folder, APP)), "#!/bin/sh\necho 2\n");
        assert_eq!(folder.text(&through(&folder, ENV)), "TOKEN=t2\n");
    }
}

fn second_words(part: &str) -> &'static str {
    if part == APP { "/usr/local/bin/app" } else { "other bytes; prepare it first" }
}

fn through(folder: &Folder, path: &str) -> String {
    let target = fs::read_link(folder.at(path)).expect("it is a link");
    target.to_string_lossy().into_owned()
}

#[test]
fn a_rollback_does_not_go_to_what_was_written_through_links_before_it_was_left() {
    let (folder, _, second, switch) = written_while_open();
    assert_eq!(folder.confirm(&switch).expect("it is heard").phase, Phase::Confirmed);
    let third = make(3, 60);
    let mut next = third.switch("00000000000000d3", 2, 3, &second.ledger());
    over(&mut next, &[APP, ENV]);
    folder.activate(&third, &next);
    let back = second.switch("00000000000000d4", 3, 4, &third.ledger());
    folder.begin(&back).expect_err("neither tree nor secrets are whole");
    folder.activate(&second, &back);
    assert_eq!(folder.text(&through(&folder, APP)), "#!/bin/sh\necho 2\n");
    assert_eq!(folder.text(&through(&folder, ENV)), "TOKEN=t2\n");
}
