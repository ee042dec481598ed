//! What happens on a guest of a weak disk, call by call, and what it may be found as after a power cut.

use crate::guest_bundle::{Made, make};
use crate::guest_fixture::{caller, identity, input, messages, name};
use crate::weak_guest::{Picture, WeakGuest};
use stackc::guest::Answer;
use stackc::model::protocol::{BeginRequest, ConfirmRequest};
use stackc::model::{Access, Digest, Entry, EntryPath, Switch, canonical, layout};
use std::cell::OnceCell;
use std::rc::Rc;
use std::time::Duration;

pub const TX: &str = "00000000000000a2";
pub const NEXT_TX: &str = "00000000000000a3";
/// What passes between two calls: less than a lease lasts, and more than half of it.
pub const PAUSE: Duration = Duration::from_secs(100);

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
    pub fn new(words: &[&str], bytes: Vec<u8>, during: Allowed, after: Allowed) -> Self {
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
        guest.memory.uptime += PAUSE;
        match guest.call(&words, &self.bytes) {
            Answer::Reply(_) if self.verb() == "recover" => guest.start_enabled(),
            Answer::Reply(_) => Ok(()),
            other => Err(format!("`{}` is refused: {other:?}", self.words.join(" "))),
        }
    }
}

/// How the same is asked for once more, when a guest was found on the old generation.
pub enum Again {
    /// The guest is to be as it was found, from the old generation and from the new one.
    GoBack { ways: [Box<Switch>; 2], found: Picture },
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
    /// What else is tried on its first guest, with the effect left out that a tester is tested with.
    pub also: fn(&WeakGuest) -> Result<(), String>,
    /// The guest before each call.
    pub befores: OnceCell<Vec<WeakGuest>>,
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

pub fn old_step(words: &[&str], bytes: Vec<u8>) -> Step {
    Step::new(words, bytes, Allowed::Old, Allowed::Old)
}

impl Story {
    /// From what a guest is now to a goal, by these calls.
    pub fn new(
        name: &'static str,
        start: WeakGuest,
        steps: Vec<Step>,
        [old, new]: [Picture; 2],
        goal: &Rc<Made>,
        again: Again,
    ) -> Self {
        let (kept, found, goal, befores) = (Vec::new(), Vec::new(), goal.clone(), OnceCell::new());
        let also = |_: &WeakGuest| Ok(());
        Self { name, start, steps, old, new, kept, found, goal, again, also, befores }
    }

    /// The guest before one of the calls.
    pub fn before(&self, number: usize) -> WeakGuest {
        let all = || {
            let mut guest = self.start.fork();
            let before = |step: &Step| {
                let before = guest.fork();
                step.run(&mut guest).unwrap_or_else(|refused| panic!("{refused}"));
                before
            };
            self.steps.iter().map(before).collect()
        };
        self.befores.get_or_init(all)[number].fork()
    }

    /// Paths that are there before and after: whoever looks at one in between finds the old or the new, never nothing.
    pub fn always(&self) -> Vec<&str> {
        let both = self.old.keys().filter(|path| self.new.contains_key(*path));
        let paths = both.map(String::as_str).filter(|path| path.starts_with('/'));
        let had_current = self.old["current"] != "None";
        paths.chain(had_current.then_some(layout::CURRENT)).collect()
    }
}

/// Every call of an activation.
pub fn activation(made: &Made, switch: &Switch) -> Vec<Step> {
    [sending(made, switch.tx.as_str()), switching(switch)].concat()
}

/// The calls when all is prepared. Before the confirm the guest is on the old generation after a boot.
pub fn switching(switch: &Switch) -> Vec<Step> {
    let tx = switch.tx.as_str();
    let begin = BeginRequest { caller: caller(tx), switch: switch.clone() };
    let begin = old_step(&["begin"], input(&begin, &[]));
    let at_work = old_step(&["switch", tx], Vec::new());
    let (tx, nonce) = (switch.tx.clone(), switch.nonce.clone());
    let confirm = input(&ConfirmRequest { identity: identity(), tx, nonce }, &[]);
    vec![begin, at_work, Step::new(&["confirm"], confirm, Allowed::Either, Allowed::New)]
}

/// # Panics
/// When a call is refused.
pub fn activate(guest: &mut WeakGuest, made: &Made, switch: &Switch) {
    for step in activation(made, switch) {
        step.run(guest).unwrap_or_else(|refused| panic!("{refused}"));
    }
}
