//! A path that is of another kind in the next generation.

use crate::guest_bundle::{Made, health, rules, seal};
use crate::guest_fixture::{Folder, name};
use stackc::model::{Digest, Entry, EntryPath, FileClass, Ledger, Outcome, canonical};

const TX: &str = "00000000000000a2";

fn first() -> Made {
    let mut made = seal(1, &[], [rules("ufw", 1), rules("ufw6", 1)], health(60));
    let link = Entry::Link { target: "/srv/shared".to_owned() };
    made.bundle.manifest.entries.insert(EntryPath::of_overlay(&name("/etc/shared")), link);
    made.bundle.digest = Digest::of(&canonical::to_bytes(&made.bundle.manifest));
    made
}

/// A folder comes where a link is: that takes two activations, the first of which removes the link. No transaction stays
/// open for it, which no boot could end.
#[test]
fn a_folder_where_a_link_is_is_refused_and_leaves_nothing_behind() {
    let folder = Folder::new();
    let first = first();
    folder.activate(&first, &first.switch("00000000000000a1", 0, 1, &Ledger::default()));
    let before = folder.picture();
    let file = ("/etc/shared/file", FileClass::Linked, "0644", "text".to_owned());
    let second = seal(2, &[file], [rules("ufw", 2), rules("ufw6", 2)], health(60));
    folder.prepare(TX, &second);
    let refused =
        folder.begin(&second.switch(TX, 1, 2, &first.ledger())).expect_err("no step does that");
    let why = "`/etc/shared` is no directory on the guest, and has to be one for `/etc/shared/file`; activate once without both";
    assert!(refused.message.contains(why), "{refused:?}");
    assert!(refused.state.contains("generation 1 is live"), "{refused:?}");
    assert_eq!(folder.picture(), before);
    assert_eq!(folder.observe(first.bundle.digest).pending, None);
    crate::kill_points::recover(&folder);
    assert_eq!(folder.picture(), before);
    let outcome = folder.observe(first.bundle.digest).live.map(|live| live.outcome);
    assert_eq!(outcome, Some(Outcome::Confirmed));
}
