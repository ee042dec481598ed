//! Every power cut of a story: after each effect of each call, with any of what was not durable lost.

use crate::dice::Dice;
use crate::fake::{Disk, Site};
use crate::weak_guest::WeakGuest;
use crate::weak_judge::{Before, converges, ends, judge, keeps_others_out};
use crate::weak_losses::{losses, lost};
use crate::weak_story::{Allowed, Step, Story};
use stackc::guest::GuestFs as _;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex};

/// How much of it.
#[derive(Debug, Clone, Copy)]
pub struct Depth {
    /// Losses that are tried at each cut; all of them where there are no more than these.
    pub losses: usize,
    /// Every so many-th recovery is cut, too, after each of its effects. None when 0.
    pub recoveries: usize,
    /// Losses that are tried at each cut of a recovery.
    pub again: usize,
    /// After every so many-th effect the call is killed instead, the disk keeping its power; the same call follows. None
    /// when 0, but beside an effect that is left out.
    pub kills: usize,
}

/// What was tried.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, serde::Serialize)]
pub struct Tally {
    /// Disks after a power cut, each another one than all that were counted before.
    pub states: usize,
    /// Of these, cut again in the recovery from another one.
    pub again: usize,
    /// Found on the old generation, and on the new one.
    pub old: usize,
    pub new: usize,
    /// Calls that were killed, called again, and lost their power then.
    pub kills: usize,
}

impl Tally {
    pub fn add(&mut self, other: Self) {
        self.states += other.states;
        self.again += other.again;
        self.old += other.old;
        self.new += other.new;
        self.kills += other.kills;
    }
}

/// Guests that were judged already, by what can matter to a judge, and whether they are on the new generation. Judges
/// call the guest's code whole, whatever was left out before, so that those of one story share them.
pub type Judged = Arc<Mutex<BTreeMap<(Allowed, Before, u64), bool>>>;

/// Disks that were booted, so that the same one counts once, whatever story led there.
pub type Disks = Arc<Mutex<BTreeSet<u64>>>;

const UNHURT: &str = "nobody panics with it";

pub struct Explorer<'s> {
    story: &'s Story,
    depth: Depth,
    dice: Dice,
    pub tally: Tally,
    pub seen: BTreeSet<Site>,
    images: BTreeSet<(Allowed, bool, u64)>,
    judged: Judged,
    disks: Disks,
    recoveries: usize,
    /// Whether the guest has told how the transaction ended.
    told: bool,
}

impl<'s> Explorer<'s> {
    pub fn new(
        story: &'s Story,
        depth: Depth,
        seed: u64,
        (judged, disks): (&Judged, &Disks),
    ) -> Self {
        Self {
            story,
            depth,
            dice: Dice(seed),
            tally: Tally::default(),
            seen: BTreeSet::new(),
            images: BTreeSet::new(),
            judged: judged.clone(),
            disks: disks.clone(),
            recoveries: 0,
            told: false,
        }
    }

    /// Tells the story, and cuts the power everywhere.
    ///
    /// # Errors
    /// The first cut after which the guest is not whole; or that the story does not end as it must.
    pub fn explore(&mut self) -> Result<(), String> {
        self.tell(self.story.start.fork(), 0, |_| true)
    }

    /// Tells the story from the first call that an effect is missed in, with that effect left out of the guest's code.
    /// The power is cut in calls like that, and when all is over.
    ///
    /// # Errors
    /// As for `explore`: then it is found.
    pub fn explore_without(&mut self, skip: &Site) -> Result<(), String> {
        let position = |verb: &str| self.story.steps.iter().position(|step| step.verb() == verb);
        let first = position(&skip.verb).expect("the story has this call");
        let mut guest = self.story.before(first);
        guest.skip = Some(skip.clone());
        let mut start = self.story.start.fork();
        start.skip.clone_from(&guest.skip);
        (self.story.also)(&start)?;
        self.tell(guest, first, |step| step.verb() == skip.verb)
    }

    fn tell(
        &mut self,
        mut guest: WeakGuest,
        first: usize,
        is_cut: impl Fn(&Step) -> bool,
    ) -> Result<(), String> {
        let mut is_new = false;
        for (number, step) in self.story.steps.iter().enumerate().skip(first) {
            let before = guest.fork();
            step.run(&mut guest)?;
            if leaves_lease(step) {
                keeps_others_out(&guest).map_err(|fault| format!("{}: {fault}", step.verb()))?;
            }
            if is_cut(step) {
                self.cut_each(step, &mut guest)?;
                self.kill_each(step, &before)?;
            } else if number + 1 == self.story.steps.len() {
                self.answered(&guest, &guest.fs.disk(), step, "cut when all is over")?;
            }
            guest.fs.take_cuts();
            is_new = step.after == Allowed::New;
        }
        let before = Before { told: true, settled: true };
        judge(self.story, &mut guest.whole(), Allowed::exactly(is_new), before)
            .and_then(|_| ends(self.story, &mut guest.whole()))
            .map_err(|fault| format!("without any power cut: {fault}"))?;
        self.seen.append(&mut guest.seen);
        Ok(())
    }

    /// Cuts the power after each effect that the call has had, and when it has answered.
    fn cut_each(&mut self, step: &Step, guest: &mut WeakGuest) -> Result<(), String> {
        let mut cuts = guest.fs.take_cuts();
        let answered = cuts.pop().expect("the disk as it is now is the last one");
        for (number, disk) in cuts.iter().enumerate() {
            let at = format!("{}, cut after effect {}", step.words.join(" "), number + 1);
            lacks_nothing(self.story, guest, disk).map_err(|fault| format!("{at}: {fault}"))?;
            self.cut(guest, disk, step.during, &at)?;
        }
        let at = format!("{}, cut after the answer", step.words.join(" "));
        self.answered(guest, &answered, step, &at)
    }

    /// What was answered is true after a power cut; the last answer is how it ended.
    fn answered(
        &mut self,
        guest: &WeakGuest,
        disk: &Disk,
        step: &Step,
        at: &str,
    ) -> Result<(), String> {
        self.told = self.story.steps.last().is_some_and(|last| last.words == step.words);
        let cut = self.cut(guest, disk, step.after, at);
        self.told = false;
        cut
    }

    fn cut(
        &mut self,
        guest: &WeakGuest,
        disk: &Disk,
        allowed: Allowed,
        at: &str,
    ) -> Result<(), String> {
        for fates in losses(disk, self.depth.losses, &mut self.dice) {
            self.boot(guest, disk.cut(&fates), allowed, true)
                .map_err(|fault| format!("{at}: {fault}{}", lost(disk, &fates)))?;
        }
        Ok(())
    }

    /// Boots a disk, has the guest recover, and judges it.
    fn boot(
        &mut self,
        from: &WeakGuest,
        disk: Disk,
        allowed: Allowed,
        is_first: bool,
    ) -> Result<(), String> {
        let fingerprint = disk.now().fingerprint(|_| false);
        if !self.images.insert((allowed, self.told, fingerprint)) {
            return Ok(());
        }
        let counts = usize::from(self.disks.lock().expect(UNHURT).insert(fingerprint));
        self.tally.states += counts;
        self.tally.again += if is_first { 0 } else { counts };
        let (mut guest, recovers) = from.boot(disk)?;
        self.seen.append(&mut guest.seen);
        let is_new = self.judge(&guest, allowed, recovers)?;
        if is_new {
            self.tally.new += counts;
        } else {
            self.tally.old += counts;
        }
        if recovers && is_first {
            self.recoveries += 1;
            if self.depth.recoveries > 0 && self.recoveries.is_multiple_of(self.depth.recoveries) {
                self.cut_recovery(&mut guest, Allowed::exactly(is_new))?;
            }
        }
        Ok(())
    }

    /// Recovery ends as it did, wherever the next power cut meets it.
    fn cut_recovery(&mut self, guest: &mut WeakGuest, allowed: Allowed) -> Result<(), String> {
        for (number, disk) in guest.fs.take_cuts().iter().enumerate() {
            for fates in losses(disk, self.depth.again, &mut self.dice) {
                self.boot(guest, disk.cut(&fates), allowed, false).map_err(|fault| {
                    format!("cut again after effect {}: {fault}{}", number + 1, lost(disk, &fates))
                })?;
            }
        }
        Ok(())
    }

    fn judge(
        &mut self,
        guest: &WeakGuest,
        allowed: Allowed,
        recovered: bool,
    ) -> Result<bool, String> {
        let before = Before { told: self.told, settled: recovered };
        let key = (allowed, before, guest.fs.disk().now().fingerprint(is_half_made));
        if let Some(is_new) = self.judged.lock().expect(UNHURT).get(&key) {
            return Ok(*is_new);
        }
        let is_new = judge(self.story, &mut guest.whole(), allowed, before)?;
        converges(self.story, &mut guest.whole(), is_new)?;
        self.judged.lock().expect(UNHURT).insert(key, is_new);
        Ok(is_new)
    }

    /// Kills the call after some of its effects. The disk keeps them, durable or not; whoever goes on must not take what
    /// is there for what is durable.
    fn kill_each(&mut self, step: &Step, before: &WeakGuest) -> Result<(), String> {
        let mut dying = before.fork();
        step.run(&mut dying)?;
        let left_out = dying.left_out;
        let cuts = dying.fs.take_cuts();
        let every = self.depth.kills;
        let is_killed = |number: &usize| {
            let is_beside = left_out.is_some_and(|at| (at..at + 3).contains(number));
            is_beside || every > 0 && number.is_multiple_of(every)
        };
        for number in (1..cuts.len()).filter(is_killed) {
            let mut guest = before.with_disk(cuts[number - 1].clone());
            guest.memory = dying.memory.after(number, &guest.fs);
            self.tally.kills += 1;
            let at = |fault| format!("{} killed after effect {number}: {fault}", step.verb());
            if leaves_lease(step) && keeps_others_out(before).is_ok() {
                keeps_others_out(&guest).map_err(at)?;
            }
            self.go_on(step, &mut guest).map_err(at)?;
        }
        Ok(())
    }

    /// What follows on a killed call: a switch has its service end, all else is called again.
    fn go_on(&mut self, step: &Step, guest: &mut WeakGuest) -> Result<(), String> {
        let mut at =
            self.story.steps.iter().position(|other| other.words == step.words).unwrap_or(0);
        let mut again = step.clone();
        if step.verb() == "switch" {
            "switch-ended".clone_into(&mut again.words[0]);
            at = self.story.steps.len();
        }
        again.run(guest)?;
        let mut allowed = again.after;
        for step in self.story.steps.iter().skip(at + 1) {
            step.run(guest)?;
            allowed = step.after;
        }
        self.seen.append(&mut guest.seen);
        let disk = guest.fs.disk();
        for fates in losses(&disk, self.depth.again, &mut self.dice) {
            self.boot(guest, disk.cut(&fates), allowed, false)
                .map_err(|fault| format!("{fault}{}", lost(&disk, &fates)))?;
        }
        Ok(())
    }
}

/// Whoever looks at a path while the guest is at work finds the old or the new.
fn lacks_nothing(story: &Story, guest: &WeakGuest, disk: &Disk) -> Result<(), String> {
    let mut fs = guest.with_disk(disk.clone()).fs;
    let mut is_there = |path: &&str| fs.stat(path).ok().flatten().is_some();
    match story.always().into_iter().find(|path| !is_there(path)) {
        Some(path) => Err(format!("`{path}` is missing for a moment")),
        None => Ok(()),
    }
}

/// Whether others are kept out when a call has answered: until the work is done that no other call belongs to.
fn leaves_lease(step: &Step) -> bool {
    !["switch", "confirm", "undo", "timer-undo", "recover", "gc"].contains(&step.verb())
}

/// Nobody looks into what has no name of its own: it is removed as a whole.
fn is_half_made(name: &str) -> bool {
    name.starts_with(".tmp-") || name.starts_with(".gone-")
}
