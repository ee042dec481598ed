//! The real binary killed in what an activation calls beside the switch: the guest is whole and converges. All that
//! `crash_kills` crashes, on real file systems, is left to it.

use crate::crash_scene::Verb;
use crate::guest_bundle::{Made, hooks, make};
use crate::guest_fixture::{Folder, feed, messages, reply};
use crate::kill_points::{Kills, Left, recover};
use stackc::model::protocol::Done;
use stackc::model::{HooksDocument, Ledger};
use std::collections::BTreeMap;

const TX: &str = "00000000000000a2";
const NEXT_TX: &str = "00000000000000a3";

type Picture = BTreeMap<String, String>;

/// A guest on generation 1 and the way to generation 2.
struct Story {
    start: Folder,
    made: Made,
    owned: Ledger,
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
        Self { start, made, owned: first.ledger(), old, new }
    }

    /// The same activation by a new transaction ends on the new version.
    fn converges(&self, folder: &Folder, at: &str) {
        assert_eq!(folder.picture(), self.old, "{at}: torn");
        folder.prepare(NEXT_TX, &self.made);
        let last = folder.observe(self.made.bundle.digest).last_number.0;
        let switch = self.made.switch(NEXT_TX, 1, last + 1, &self.owned);
        folder.activate(&self.made, &switch);
        let mut picture = folder.picture();
        picture.insert("current".to_owned(), self.new["current"].clone());
        assert_eq!(picture, self.new, "{at}: does not converge");
    }
}

#[test]
fn guest_killed_in_a_message_before_the_switch_converges_by_the_next_activation() {
    let story = Story::new();
    let mut before = story.start.copy();
    let mut kills = Kills::of("messages before the switch");
    for (verb, request, more) in messages(TX, &story.made) {
        let bytes = [request, more].concat();
        if !Verb::ALL.iter().any(|crashed| crashed.word() == verb) {
            kills = kills.each(&before, &[verb], &bytes, |folder, at| {
                let rebooted = folder.copy();
                recover(&rebooted);
                story.converges(&rebooted, at);
                story.converges(folder, at);
                Left::Old
            });
        }
        before = before.copy();
        feed(before.command(&[verb]), &bytes);
    }
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
