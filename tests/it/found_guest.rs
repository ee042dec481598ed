//! Generation 0 on a guest that is a folder: there and back from there, with the real binary.

use crate::{
    guest_bundle::{Made, health, make},
    guest_fixture::{FOREIGN, Folder, identity, input, name},
    handmade::{self, Stack},
    kill_points::{Kills, Left, recover},
};
use stackc::{
    model::{
        Bundle, Digest, Generation, GenerationCause, GenerationId, HealthDocument, Ledger, Nonce,
        Phase, SecretTags, Switch, Target,
        protocol::{ConfirmRequest, HistoryReply, HistoryRequest, ObservedGuest},
    },
    plan::{Documents, NewGeneration, Wanted, switch},
};
use std::{collections::BTreeMap, fs, os::unix::fs::PermissionsExt as _};

pub const TX: &str = "00000000000000a1";
pub const ZERO: &str = "00000000000000f0";
const SSHD: &str = "/etc/ssh/sshd_config.d/10-stackc.conf";
/// No rule is left. What stands for the kernel here has no chains of its own, which would be open.
const OPEN: &str = "*filter\n:INPUT ACCEPT [0:0]\nCOMMIT\n";

/// The way to the guest as it was found, as an operator plans it from what the guest reports.
pub fn to_found(folder: &Folder, tx: &str) -> Switch {
    way_to_found(tx, |digest| folder.observe(digest))
}

/// The same of any guest.
pub fn way_to_found(tx: &str, observe: impl FnOnce(Digest) -> ObservedGuest) -> Switch {
    let proxmox = Documents::of(&handmade::bundle(&Stack::default())).expect("it is whole").proxmox;
    let health = HealthDocument { probes: BTreeMap::new(), ..health(60) };
    let target = Target { project: name("shop"), env: name("dev") };
    let bundle = Bundle::found(target, &proxmox, &health);
    let (by, at) = ("ops@desk".to_owned(), "2026-11-22T12:00:00Z".to_owned());
    let (tags, secrets) = (SecretTags::new(), Generation::found(by.clone(), at.clone()).secrets);
    let wanted = Wanted { bundle: &bundle, tags: &tags, secrets, release: None, goes_back: true };
    let new = NewGeneration {
        tx: name(tx),
        nonce: Nonce("nonce".to_owned()),
        release: None,
        cause: GenerationCause::Rollback { to: GenerationId::FOUND },
        parent: None,
        by,
        at,
    };
    let documents = Documents::of(&bundle).expect("it is whole");
    switch(&wanted, &documents, &observe(bundle.digest), new)
}

pub fn go(folder: &Folder, switch: &Switch) {
    folder.begin(switch).expect("the switch begins");
    folder.run_switch(switch.tx.as_str());
    let state = folder.confirm(switch).expect("the confirm is heard");
    assert_eq!(state.phase, Phase::Confirmed, "{state:?}");
}

/// Everything but which generation is live.
pub fn files(folder: &Folder) -> BTreeMap<String, String> {
    let mut picture = folder.picture();
    picture.remove("current");
    picture
}

/// A guest with a folder of its own that the bundles take, before and on its first generation.
pub fn on_first() -> (Folder, BTreeMap<String, String>, Made) {
    let folder = Folder::new();
    folder.put("/etc/app/own", "the guest's own\n");
    fs::set_permissions(folder.at("/etc/app"), fs::Permissions::from_mode(0o711))
        .expect("it is ours");
    let (before, made) = (files(&folder), make(1, 60));
    folder.activate(&made, &made.switch(TX, 0, 1, &Ledger::default()));
    assert_ne!(files(&folder), before);
    (folder, before, made)
}

/// deploy-rs #86: a first deployment had nothing to go back to.
#[test]
fn the_first_deploy_has_a_predecessor_to_return_to() {
    let (folder, before, _) = on_first();
    let switch = to_found(&folder, ZERO);
    assert_eq!(switch.units.stop, [name("app.service")]);
    go(&folder, &switch);
    assert_eq!(files(&folder), before, "to the byte, the mode, and the folder");
    assert_eq!(folder.running(), "app inactive, []");
    assert_eq!(folder.system().rules.v4, OPEN);
    let live = folder.observe(switch.generation.secrets.0).live.expect("a generation is live");
    assert_eq!(
        (live.number, live.digest, live.parent),
        (GenerationId(2), None, Some(GenerationId(1)))
    );
    let history: HistoryReply = folder
        .call(&["history"], &HistoryRequest { identity: identity() }, &[])
        .expect("it is told");
    assert_eq!(history.generations.len(), 3, "what was before is remembered");
}

#[test]
fn a_way_to_generation_0_that_nobody_confirms_is_undone_to_the_byte() {
    let (folder, ..) = on_first();
    let (picture, running) = (folder.picture(), folder.running());
    let switch = to_found(&folder, ZERO);
    folder.begin(&switch).expect("the switch begins");
    folder.run_switch(ZERO);
    assert_eq!(folder.result(ZERO).phase, Phase::AwaitingConfirm);
    assert_eq!(folder.text(SSHD), FOREIGN);
    folder.command(&["timer-undo", ZERO, "0"]).output().expect("it can be run");
    assert_eq!(folder.result(ZERO).phase, Phase::Undone);
    assert_eq!((folder.picture(), folder.running()), (picture, running));
}

#[test]
fn from_generation_0_everything_comes_back_and_what_a_person_changed_meanwhile_is_found_anew() {
    let (folder, _, first) = on_first();
    let on_one = files(&folder);
    go(&folder, &to_found(&folder, ZERO));
    let back = first.switch("00000000000000a3", 2, 3, &Ledger::default());
    folder.activate(&first, &back);
    assert_eq!(files(&folder), on_one, "a rollback from there");
    go(&folder, &to_found(&folder, "00000000000000f1"));

    folder.put(SSHD, "# another one\n");
    fs::remove_dir_all(folder.at("/etc/app")).expect("it is the guest's own");
    let changed = files(&folder);
    let second = make(2, 60);
    folder.activate(&second, &second.switch("00000000000000a5", 4, 5, &Ledger::default()));
    assert_eq!(folder.text(SSHD), "# version 2\n");
    go(&folder, &to_found(&folder, "00000000000000f2"));
    assert_eq!(files(&folder), changed, "as it was found the second time");
}

#[test]
fn what_several_generations_took_all_returns() {
    let (folder, before, first) = on_first();
    folder.put("/etc/profile.d/only-2.sh", "# of the guest\n");
    let mut before = before;
    let of_profile = |folder: &Folder| {
        let mut files = files(folder);
        files.retain(|path, _| path == "/etc/profile.d" || path == "/etc/profile.d/only-2.sh");
        files
    };
    before.extend(of_profile(&folder));
    let second = make(2, 60);
    folder.activate(&second, &second.switch("00000000000000a2", 1, 2, &first.ledger()));
    assert_ne!(of_profile(&folder)["/etc/profile.d/only-2.sh"], before["/etc/profile.d/only-2.sh"]);
    go(&folder, &to_found(&folder, ZERO));
    assert_eq!(files(&folder), before);
}

#[test]
fn a_way_to_generation_0_killed_at_any_call_is_undone_by_the_next_boot() {
    let (start, ..) = on_first();
    let old = start.picture();
    let switch = to_found(&start, ZERO);
    start.begin(&switch).expect("the switch begins");
    let kills =
        Kills::of("switch to generation 0").each(&start, &["switch", ZERO], b"", |folder, at| {
            recover(folder);
            assert_eq!(folder.picture(), old, "{at}");
            Left::Old
        });
    kills.expect_more_than(10);
}

#[test]
fn a_confirm_of_generation_0_killed_at_any_call_is_finished_by_the_next() {
    let (start, before, _) = on_first();
    let switch = to_found(&start, ZERO);
    start.begin(&switch).expect("the switch begins");
    start.run_switch(ZERO);
    let (tx, nonce) = (switch.tx.clone(), switch.nonce.clone());
    let request = input(&ConfirmRequest { identity: identity(), tx, nonce }, &[]);
    let kills =
        Kills::of("confirm of generation 0").each(&start, &["confirm"], &request, |folder, at| {
            assert_eq!(folder.confirm(&switch).expect("again").phase, Phase::Confirmed, "{at}");
            recover(folder);
            assert_eq!(files(folder), before, "{at}");
            Left::New
        });
    kills.expect_more_than(5);
}
