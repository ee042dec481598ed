//! What happens on a guest of a weak disk, call by call, and what it may be found as after a power cut.

use crate::guest_bundle::{Made, make};
use crate::guest_fixture::{caller, identity, input, messages, name};
use crate::weak_guest::{Picture, WeakGuest};
use stackc::guest::Answer;
use stackc::model::protocol::{BeginRequest, ConfirmRequest, GcRequest, UndoRequest};
use stackc::model::{
    Access, Digest, Entry, EntryPath, GenerationId, Ledger, Switch, canonical, layout,
};
use std::rc::Rc;

pub const TX: &str = "00000000000000a2";
pub const NEXT_TX: &str = "00000000000000a3";

/// Which generations a guest may be found on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Allowed {
    Old,
    Either,
    New,
}

impl Allowed {
    pub fn exactly(is_new: bool) -> Self {
        if is_new { Self::New } else { Self::Old }
    }

    pub fn has(self, is_new: bool) -> bool {
        self == Self::Either || self == Self::exactly(is_new)
    }
}

/// One call of the binary.
#[derive(Debug, Clone)]
pub struct Step {
    pub words: Vec<String>,
    pub bytes: Vec<u8>,
    /// After a power cut in the call.
    pub during: Allowed,
    /// After a power cut when it has answered.
    pub after: Allowed,
}

impl Step {
    fn new(words: &[&str], bytes: Vec<u8>, during: Allowed, after: Allowed) -> Self {
        let words = words.iter().map(|&word| word.to_owned()).collect();
        Self { words, bytes, during, after }
    }

    pub fn verb(&self) -> &str {
        &self.words[0]
    }

    /// # Errors
    /// When the guest refuses it: what it says.
    pub fn run(&self, guest: &mut WeakGuest) -> Result<(), String> {
        let words: Vec<&str> = self.words.iter().map(String::as_str).collect();
        match guest.call(&words, &self.bytes) {
            Answer::Reply(_) => Ok(()),
            other => Err(format!("`{}` is refused: {other:?}", self.words.join(" "))),
        }
    }
}

/// How the same is asked for once more, when a guest was found on the old generation.
pub enum Again {
    /// The activation, by a new transaction.
    Activate { switch: Box<Switch> },
    /// The very call.
    Call(Step),
    /// The very call; these bundles are gone then, and may be sent again.
    Remove(Step, Vec<Rc<Made>>),
}

pub struct Story {
    pub name: &'static str,
    pub start: WeakGuest,
    pub steps: Vec<Step>,
    pub old: Picture,
    pub new: Picture,
    /// Bundles of which every byte must be there, whatever happens.
    pub kept: Vec<Rc<Made>>,
    /// Files of others in whose place the new generation stands, by path: they are kept.
    pub found: Vec<(&'static str, String)>,
    /// The bundle that must be there when the guest is found on the new generation.
    pub goal: Rc<Made>,
    pub again: Again,
}

/// A version of the small app that also owns a folder with nothing in it, of another mode in each version.
pub fn version(number: u32) -> Made {
    let mut made = make(number, 60);
    let bits = if number.is_multiple_of(2) { "0700" } else { "0750" };
    let access = Access { mode: name(bits), owner: name("root"), group: name("root") };
    let folder = EntryPath::of_overlay(&name("/etc/app-data"));
    made.bundle.manifest.entries.insert(folder, Entry::Directory { access });
    made.bundle.digest = Digest::of(&canonical::to_bytes(&made.bundle.manifest));
    made
}

/// The calls that send a bundle. A power cut after any of them finds the guest on the old generation.
pub fn sending(made: &Made, tx: &str) -> Vec<Step> {
    let step = |(verb, request, more): (&str, Vec<u8>, Vec<u8>)| {
        old_step(&[verb], [request, more].concat())
    };
    messages(tx, made).into_iter().map(step).collect()
}

fn old_step(words: &[&str], bytes: Vec<u8>) -> Step {
    Step::new(words, bytes, Allowed::Old, Allowed::Old)
}

impl Story {
    /// The guest before one of the calls.
    pub fn before(&self, number: usize) -> WeakGuest {
        let mut guest = self.start.fork();
        for step in &self.steps[..number] {
            step.run(&mut guest).unwrap_or_else(|refused| panic!("{refused}"));
        }
        guest.fs.take_cuts();
        guest
    }

    /// Paths that are there before and after: whoever looks at one in between finds the old or the new, never nothing.
    pub fn always(&self) -> Vec<&str> {
        let both = self.old.keys().filter(|path| self.new.contains_key(*path));
        let paths = both.map(String::as_str).filter(|path| *path != "current");
        let had_current = self.old["current"] != "None";
        paths.chain(had_current.then_some(layout::CURRENT)).collect()
    }
}

/// Every call of an activation. Before the confirm the guest is on the old generation after a boot.
pub fn activation(made: &Made, switch: &Switch) -> Vec<Step> {
    let tx = switch.tx.as_str();
    let mut steps = sending(made, tx);
    let begin = BeginRequest { caller: caller(tx), switch: switch.clone() };
    steps.push(old_step(&["begin"], input(&begin, &[])));
    steps.push(old_step(&["switch", tx], Vec::new()));
    let (tx, nonce) = (switch.tx.clone(), switch.nonce.clone());
    let confirm = input(&ConfirmRequest { identity: identity(), tx, nonce }, &[]);
    steps.push(Step::new(&["confirm"], confirm, Allowed::Either, Allowed::New));
    steps
}

/// # Panics
/// When a call is refused.
pub fn activate(guest: &mut WeakGuest, made: &Made, switch: &Switch) {
    for step in activation(made, switch) {
        step.run(guest).unwrap_or_else(|refused| panic!("{refused}"));
    }
}

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
    stackc::guest::GuestFs::sync_all(&mut guest.fs, "/").expect("the root is there");
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
    Story { name, start, steps, old, new, kept, found: Vec::new(), goal: goal.clone(), again }
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
    for path in ["/etc/ssh/sshd_config.d/10-stackc.conf", "/etc/ufw/ufw.conf"] {
        switch.ledger.paths.remove(&name(path));
        switch.placement.place.remove(&name(path));
        switch.placement.remove.push(name(path));
    }
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
    let (old, new, kept) = (picture.clone(), picture, vec![parent, goal.clone()]);
    Story {
        name: "gc",
        start,
        steps: vec![step.clone()],
        old,
        new,
        kept,
        found: Vec::new(),
        goal,
        again: Again::Remove(step, gone),
    }
}

/// The live tree is damaged, and is sent again.
pub fn mending() -> Story {
    let (mut start, first) = on_first();
    let app = format!("/var/lib/stackc/store/{}/rootfs/usr/local/bin/app", first.bundle.digest);
    let sync = stackc::guest::Sync::Now;
    stackc::guest::GuestFs::write(&mut start.fs, &app, &mut &b"damaged"[..], 0o755, sync)
        .expect("it is there");
    settle(&mut start);
    let mut step = sending(&first, TX).swap_remove(0);
    step.after = Allowed::New;
    let picture = start.picture();
    let (old, new) = (picture.clone(), picture);
    let (steps, again) = (vec![step.clone()], Again::Call(step));
    Story {
        name: "mending",
        start,
        steps,
        old,
        new,
        kept: Vec::new(),
        found: Vec::new(),
        goal: first,
        again,
    }
}

pub fn all() -> Vec<Story> {
    vec![
        recovered(),
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
