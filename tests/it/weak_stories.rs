//! The stories that are told of guests on weak disks.

use crate::fake::HOOK;
use crate::found_guest::way_to_found;
use crate::guest_bundle::{Made, hooks};
use crate::guest_fixture::{caller, identity, input, name};
use crate::weak_boots::is_held;
use crate::weak_guest::WeakGuest;
use crate::weak_judge::observe;
use crate::weak_story::{
    Again, Allowed, NEXT_TX, Step, Story, TX, activate, activation, old_step, sending, switching,
    version,
};
use stackc::guest::{Answer, GuestFs, Sync};
use stackc::model::protocol::{BeginRequest, GcRequest, UndoRequest};
use stackc::model::{
    Digest, Entry, EntryPath, GenerationId, HooksDocument, Ledger, Switch, canonical, layout,
};
use std::rc::Rc;

fn undo_step(words: &[&str]) -> Step {
    let request = UndoRequest { identity: identity(), tx: name(TX), who: "ops@desk".to_owned() };
    old_step(words, input(&request, &[]))
}

/// A guest on generation 1 of version 1, all of it durable.
pub fn on_first() -> (WeakGuest, Rc<Made>) {
    let (mut guest, first) = (WeakGuest::found(), version(1));
    activate(&mut guest, &first, &first.switch("00000000000000a1", 0, 1, &Ledger::default()));
    settle(&mut guest);
    (guest, Rc::new(first))
}

fn settle(guest: &mut WeakGuest) {
    guest.fs.sync_all("/").expect("the root is there");
    guest.fs.take_cuts();
}

/// A story that ends when its steps do, whatever the guest is on then.
fn told(
    name: &'static str,
    mut start: WeakGuest,
    kept: Vec<Rc<Made>>,
    goal: &Rc<Made>,
    switch: &Switch,
) -> Story {
    let old = start.picture();
    let mut done = start.fork();
    activate(&mut done, goal, switch);
    let new = done.picture();
    let again = Again::Activate { switch: Box::new(switch.clone()) };
    let steps = activation(goal, switch);
    Story { kept, ..Story::new(name, start, steps, [old, new], goal, again) }
}

/// From the first version to the second.
pub fn change() -> Story {
    let (start, first) = on_first();
    let second = Rc::new(version(2));
    let switch = second.switch(TX, 1, 2, &first.ledger());
    told("activation", start, vec![first], &second, &switch)
}

/// A Debian as it was found gets its first generation.
pub fn first() -> Story {
    let made = Rc::new(version(1));
    let switch = made.switch(TX, 0, 1, &Ledger::default());
    let mut story = told("first activation", WeakGuest::found(), Vec::new(), &made, &switch);
    let sshd = "/etc/ssh/sshd_config.d/10-stackc.conf";
    let paths = [sshd, layout::USER_RULES, layout::USER6_RULES, layout::UFW_CONF];
    story.found = paths.map(|path| (path, story.start.text(path))).into();
    story
}

/// Back to the first version, by a new generation; what was found returns to a path on the way.
pub fn rollback() -> Story {
    let (mut start, first) = on_first();
    let second = version(2);
    activate(&mut start, &second, &second.switch("00000000000000a9", 1, 2, &first.ledger()));
    settle(&mut start);
    let mut switch = first.switch(TX, 2, 3, &second.ledger());
    let path = "/etc/ssh/sshd_config.d/10-stackc.conf";
    switch.ledger.paths.remove(&name(path));
    switch.placement.place.remove(&name(path));
    switch.placement.remove.push(name(path));
    let mut story = told("rollback", start, vec![Rc::new(second)], &first, &switch);
    story.kept.push(first);
    story
}

/// A switch that waits, and then goes back: by its deadline, by a person, by its service that ended.
pub fn undone(name: &'static str, last: &[&str]) -> Story {
    let mut story = change();
    story.name = name;
    let confirm = story.steps.pop().expect("an activation has steps");
    assert_eq!(confirm.verb(), "confirm");
    for step in &story.steps {
        step.run(&mut story.start).unwrap_or_else(|refused| panic!("{refused}"));
    }
    story.steps = vec![undo_step(last)];
    story
}

/// A switch that waits when the power is cut: the guest recovers.
pub fn recovered() -> Story {
    let mut story = undone("recovery", &["recover"]);
    settle(&mut story.start);
    story.start = story.start.booted(story.start.fs.disk());
    story.also = is_held;
    story
}

/// A unit of the new generation does not start: the switch itself goes back.
pub fn failed() -> Story {
    let mut story = change();
    story.name = "failed switch";
    story.steps.pop();
    // It runs again when the way back starts it: only a reload fails, which no undo waits for.
    story.start.memory.state.failing.insert(name("late.service"));
    for step in &mut story.steps {
        if step.verb() == "begin" {
            let mut switch = version(2).switch(TX, 1, 2, &version(1).ledger());
            switch.units.start.push(name("late.service"));
            step.bytes = input(&BeginRequest { caller: caller(TX), switch }, &[]);
        }
    }
    story
}

/// Trees, secrets and generations that nobody needs leave.
pub fn gc() -> Story {
    let (mut start, first) = on_first();
    let mut versions = vec![first];
    for number in 2..=4_u32 {
        let made = version(number);
        let (tx, to) = (format!("00000000000000c{number}"), u64::from(number));
        let owned = versions[versions.len() - 1].ledger();
        let mut switch = made.switch(&tx, to - 1, to, &owned);
        switch.generation.parent = Some(GenerationId(to - 1));
        activate(&mut start, &made, &switch);
        versions.push(Rc::new(made));
    }
    settle(&mut start);
    let (goal, parent, gone) = (versions[3].clone(), versions[2].clone(), versions[..2].to_vec());
    let look = GcRequest { caller: caller(TX), keep: 1, packages: false, approved: None };
    let Answer::Reply(found) = start.call(&["gc"], &input(&look, &[])) else {
        panic!("it is only looked for");
    };
    let approved = serde_json::from_value(found).expect("it is garbage");
    let request = GcRequest { approved: Some(approved), ..look };
    let step = old_step(&["gc"], input(&request, &[]));
    let picture = start.picture();
    let (pictures, again) = ([picture.clone(), picture], Again::Remove(step.clone(), gone));
    let story = Story::new("gc", start, vec![step], pictures, &goal, again);
    Story { kept: vec![parent, goal], ..story }
}

/// The live tree is damaged, and is sent again.
pub fn mending() -> Story {
    let (mut start, first) = on_first();
    let app = format!("/var/lib/stackc/store/{}/rootfs/usr/local/bin/app", first.bundle.digest);
    start.fs.write(&app, &mut &b"damaged"[..], 0o755, Sync::Now).expect("it is there");
    settle(&mut start);
    let mut step = sending(&first, TX).swap_remove(0);
    step.after = Allowed::New;
    let picture = start.picture();
    let again = Again::Call(step.clone());
    Story::new("mending", start, vec![step], [picture.clone(), picture], &first, again)
}

/// A hook before the switch changes the way in, and a person asks for the way back. The first call comes twice, as that of an
/// operator who did not get the answer.
pub fn hooked() -> Story {
    let (start, first) = on_first();
    let mut second = version(2);
    let before_switch = hooks(&[("way-in", &[HOOK])]);
    second.set_hooks(HooksDocument { before_switch, ..HooksDocument::default() });
    let second = Rc::new(second);
    let switch = second.switch(TX, 1, 2, &first.ledger());
    let mut story = told("undone with its hooks", start, vec![first], &second, &switch);
    story.steps.pop();
    story.steps.insert(0, story.steps[0].clone());
    story.steps.push(undo_step(&["undo"]));
    story
}

/// The way to the guest as it was found, as an operator plans it.
fn way_back(guest: &WeakGuest, tx: &str) -> Switch {
    way_to_found(tx, |digest| observe(&mut guest.fork(), digest).expect("it can be observed"))
}

/// What a switch is the first to touch is written down beside what the one before was, and the guest is found again by
/// both.
pub fn noted() -> Story {
    let (start, first) = on_first();
    let mut second = version(2);
    let more = EntryPath::of_overlay(&name("/etc/more/of-it"));
    let link = Entry::Link { target: "nowhere".to_owned() };
    second.bundle.manifest.entries.insert(more, link);
    second.bundle.digest = Digest::of(&canonical::to_bytes(&second.bundle.manifest));
    let second = Rc::new(second);
    let switch = second.switch(TX, 1, 2, &first.ledger());
    let mut story = told("what was found", start, vec![first], &second, &switch);
    let mut done = story.start.fork();
    activate(&mut done, &second, &switch);
    let ways = [&story.start, &done].map(|guest| Box::new(way_back(guest, NEXT_TX)));
    let found = WeakGuest::found().picture();
    story.again = Again::GoBack { ways, found };
    story
}

/// Back to the guest as it was found.
pub fn given_back() -> Story {
    let (start, first) = on_first();
    let switch = way_back(&start, TX);
    let steps = switching(&switch);
    let mut done = start.fork();
    for step in &steps {
        step.run(&mut done).unwrap_or_else(|refused| panic!("{refused}"));
    }
    let pictures = [start.fork().picture(), done.picture()];
    let again = Again::Activate { switch: Box::new(switch) };
    Story::new("as it was found", start, steps, pictures, &first, again)
}

pub fn all() -> Vec<Story> {
    vec![
        recovered(),
        hooked(),
        noted(),
        given_back(),
        mending(),
        gc(),
        undone("undone by a person", &["undo"]),
        undone("undone by silence", &["timer-undo", TX, "0"]),
        failed(),
        rollback(),
        first(),
        change(),
    ]
}
