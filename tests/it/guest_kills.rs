//! The real binary killed at its state-changing system calls: each time the guest is whole, old or new, and converges.

use crate::guest_bundle::{Made, hooks, make};
use crate::guest_fixture::{Folder, caller, feed, identity, input, messages, name, reply};
use crate::kill_points::{Kills, Left, assert_no_leftovers, recover};
use stackc::model::protocol::{BeginRequest, ConfirmRequest, Done, Refusal, UndoRequest};
use stackc::model::{HooksDocument, Ledger, Phase, Switch, TxState};
use std::collections::BTreeMap;

const TX: &str = "00000000000000a2";
const NEXT_TX: &str = "00000000000000a3";

type Picture = BTreeMap<String, String>;

/// A guest on generation 1 and the way to generation 2.
struct Story {
    start: Folder,
    made: Made,
    owned: Ledger,
    switch: Switch,
    old: Picture,
    new: Picture,
}

impl Story {
    fn new() -> Self {
        let (start, first, _) = Folder::on_first();
        let mut made = make(2, 60);
        // The program is the new version's, before the switch and after it.
        let hooks = hooks(&[("say", &["/usr/local/bin/app"])]);
        made.set_hooks(HooksDocument { before_switch: hooks.clone(), after_switch: hooks });
        let switch = made.switch(TX, 1, 2, &first.ledger());
        let old = start.picture();
        let done = start.copy();
        done.activate(&made, &switch);
        let new = done.picture();
        Self { start, made, owned: first.ledger(), switch, old, new }
    }

    fn begin(&self) -> Vec<u8> {
        let request = BeginRequest { caller: caller(TX), switch: self.switch.clone() };
        input(&request, &[])
    }

    fn confirm(&self) -> Vec<u8> {
        let (tx, nonce) = (self.switch.tx.clone(), self.switch.nonce.clone());
        input(&ConfirmRequest { identity: identity(), tx, nonce }, &[])
    }

    /// The guest is whole on one of the two, with nothing half-made left.
    fn is_new(&self, folder: &Folder, at: &str) -> bool {
        let picture = folder.picture();
        let is_new = picture["current"] == self.new["current"];
        assert_eq!(&picture, if is_new { &self.new } else { &self.old }, "{at}: torn");
        is_new
    }

    /// The same activation again, by a new transaction, ends on the new version.
    fn converges(&self, folder: &Folder, at: &str) {
        if self.is_new(folder, at) {
            return;
        }
        folder.prepare(NEXT_TX, &self.made);
        let last = folder.observe(self.made.bundle.digest).last_number.0;
        let switch = self.made.switch(NEXT_TX, 1, last + 1, &self.owned);
        folder.activate(&self.made, &switch);
        let mut picture = folder.picture();
        picture.insert("current".to_owned(), self.new["current"].clone());
        assert_eq!(picture, self.new, "{at}: does not converge");
    }
}

fn again(folder: &Folder, words: &[&str], bytes: &[u8]) -> TxState {
    let state: Result<TxState, Refusal> =
        reply(&feed(folder.command(words), bytes)).expect("it answers");
    state.unwrap_or_else(|refusal| panic!("{words:?} again: {refusal:?}"))
}

#[test]
fn guest_killed_in_any_message_before_the_switch_converges_by_the_same_message() {
    let story = Story::new();
    let mut before = story.start.copy();
    let mut kills = Kills::of("messages before the switch");
    for (verb, request, more) in messages(TX, &story.made) {
        let bytes = [request, more].concat();
        kills = kills.each(&before, &[verb], &bytes, |folder, at| {
            assert!(!story.is_new(folder, at));
            let rebooted = folder.copy();
            recover(&rebooted);
            story.converges(&rebooted, at);
            story.converges(folder, at);
            Left::Old
        });
        before = before.copy();
        feed(before.command(&[verb]), &bytes);
    }
    kills.expect_more_than(10);
}

#[test]
fn guest_killed_in_begin_is_on_the_old_generation_and_the_same_begin_goes_on() {
    let story = Story::new();
    let before = story.start.copy();
    before.prepare(TX, &story.made);
    let bytes = story.begin();
    let kills = Kills::of("begin").each(&before, &["begin"], &bytes, |folder, at| {
        let rebooted = folder.copy();
        recover(&rebooted);
        assert!(!story.is_new(&rebooted, at));
        story.converges(&rebooted, at);
        let done: Result<Done, Refusal> =
            reply(&feed(folder.command(&["begin"]), &bytes)).expect("it answers");
        done.unwrap_or_else(|refusal| panic!("{at}: {refusal:?}"));
        folder.run_switch(TX);
        assert_eq!(again(folder, &["confirm"], &story.confirm()).phase, Phase::Confirmed);
        assert!(story.is_new(folder, at));
        Left::Old
    });
    kills.expect_more_than(10);
}

#[test]
fn guest_killed_in_the_switch_is_whole_whether_it_boots_or_its_service_ends() {
    let story = Story::new();
    let before = story.start.copy();
    before.prepare(TX, &story.made);
    feed(before.command(&["begin"]), &story.begin());
    let running = before.running();
    let kills = Kills::of("switch").each(&before, &["switch", TX], &[], |folder, at| {
        let rebooted = folder.copy();
        recover(&rebooted);
        assert!(!story.is_new(&rebooted, at));
        story.converges(&rebooted, at);
        folder.command(&["switch-ended", TX]).output().expect("it can be run");
        let state = again(folder, &["confirm"], &story.confirm());
        let left = Left::new_if(story.is_new(folder, at));
        assert_eq!(state.phase == Phase::Confirmed, left == Left::New, "{state:?}");
        if state.phase != Phase::Confirmed {
            assert_eq!(state.phase, Phase::Undone, "{at}");
            assert_eq!(folder.running(), running, "{at}");
        }
        story.converges(folder, at);
        assert_no_leftovers(folder.dir.path());
        left
    });
    kills.expect_more_than(8);
}

#[test]
fn guest_killed_in_confirm_or_undo_keeps_the_one_decision() {
    let story = Story::new();
    let before = story.start.copy();
    before.prepare(TX, &story.made);
    feed(before.command(&["begin"]), &story.begin());
    before.run_switch(TX);
    let confirm = story.confirm();
    let confirms = Kills::of("confirm").each(&before, &["confirm"], &confirm, |folder, at| {
        let rebooted = folder.copy();
        recover(&rebooted);
        let phase = again(&rebooted, &["confirm"], &confirm).phase;
        let left = Left::new_if(story.is_new(&rebooted, at));
        assert_eq!(phase == Phase::Confirmed, left == Left::New, "{at}");
        story.converges(&rebooted, at);
        assert_eq!(again(folder, &["confirm"], &confirm).phase, Phase::Confirmed, "{at}");
        assert!(story.is_new(folder, at));
        left
    });
    let request = UndoRequest { identity: identity(), tx: name(TX), who: "ops@desk".to_owned() };
    let undo = input(&request, &[]);
    let undos = Kills::of("undo").each(&before, &["undo"], &undo, |folder, at| {
        let rebooted = folder.copy();
        recover(&rebooted);
        assert!(!story.is_new(&rebooted, at));
        assert_eq!(again(folder, &["undo"], &undo).phase, Phase::Undone, "{at}");
        assert!(!story.is_new(folder, at));
        story.converges(folder, at);
        assert_no_leftovers(folder.dir.path());
        Left::Old
    });
    confirms.expect_more_than(1);
    undos.expect_more_than(5);
}

#[test]
fn guest_killed_in_recovery_recovers_at_the_next_boot() {
    let story = Story::new();
    let before = story.start.copy();
    before.prepare(TX, &story.made);
    feed(before.command(&["begin"]), &story.begin());
    before.run_switch(TX);
    before.boot();
    let kills = Kills::of("recovery").each(&before, &["recover"], &[], |folder, at| {
        recover(folder);
        assert!(!story.is_new(folder, at));
        story.converges(folder, at);
        Left::Old
    });
    kills.expect_more_than(5);
}

#[test]
fn guest_killed_while_it_mends_its_live_tree_never_lacks_it() {
    let (damaged, first, _) = Folder::on_first();
    let tree = format!("/var/lib/stackc/store/{}", first.bundle.digest);
    damaged.put(&format!("{tree}/rootfs/usr/local/bin/app"), "#!/bin/sh\necho 9\n");
    let (verb, request, more) = messages(TX, &first).swap_remove(0);
    let bytes = [request, more].concat();
    let app = format!("{tree}/rootfs/usr/local/bin/app");
    let kills =
        Kills::of("mending of the live tree").each(&damaged, &[verb], &bytes, |folder, at| {
            let left = Left::new_if(folder.text(&app) == "#!/bin/sh\necho 1\n");
            let done: Done = reply(&feed(folder.command(&[verb]), &bytes))
                .and_then(Result::ok)
                .unwrap_or_else(|| panic!("{at}: not mended by the same call"));
            assert_eq!(folder.text(&app), "#!/bin/sh\necho 1\n", "{at}: {done:?}");
            recover(folder);
            left
        });
    kills.expect_more_than(10);
}
