//! Every power cut of a story: after each effect of each call, with any of what was not durable lost.

use crate::dice::Dice;
use crate::fake::{Disk, Fate, Site};
use crate::weak_guest::WeakGuest;
use crate::weak_judge::{converges, judge};
use crate::weak_story::{Allowed, Step, Story};
use stackc::guest::{Answer, GuestFs as _};
use std::collections::{BTreeMap, BTreeSet};

/// How much of it.
#[derive(Debug, Clone, Copy)]
pub struct Depth {
    /// Losses that are tried at each cut; all of them where there are no more than these.
    pub losses: usize,
    /// Every so many-th recovery is cut, too, after each of its effects.
    pub recoveries: usize,
    /// Losses that are tried at each cut of a recovery.
    pub again: usize,
    /// After every so many-th effect the call is killed instead, the disk keeping its power; the same call follows. None
    /// when 0.
    pub kills: usize,
}

/// What was tried.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, serde::Serialize)]
pub struct Tally {
    /// Disks after a power cut, each another one.
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

pub struct Explorer<'s> {
    story: &'s Story,
    depth: Depth,
    dice: Dice,
    pub tally: Tally,
    pub seen: BTreeSet<Site>,
    images: BTreeSet<(Allowed, u64)>,
    /// By what can matter to a judge.
    judged: BTreeMap<(Allowed, bool, u64), bool>,
    recoveries: usize,
}

impl<'s> Explorer<'s> {
    pub fn new(story: &'s Story, depth: Depth, seed: u64) -> Self {
        Self {
            story,
            depth,
            dice: Dice(seed),
            tally: Tally::default(),
            seen: BTreeSet::new(),
            images: BTreeSet::new(),
            judged: BTreeMap::new(),
            recoveries: 0,
        }
    }

    /// Tells the story with this effect left out of the guest's code, or none, and cuts the power everywhere.
    ///
    /// # Errors
    /// The first cut after which the guest is not whole; or that the story does not end as it must.
    pub fn explore(&mut self, skip: Option<&Site>) -> Result<(), String> {
        let mut guest = self.story.start.fork();
        guest.skip = skip.cloned();
        let mut is_new = false;
        let first = skip.map_or(0, |skip| self.first_with(skip));
        for (number, step) in self.story.steps.iter().enumerate() {
            let before = guest.fork();
            step.run(&mut guest)?;
            holds_lease(step, &mut guest)?;
            if number >= first {
                self.cut_each(step, &mut guest)?;
                self.kill_each(step, &before, &guest)?;
            }
            guest.fs.take_cuts();
            is_new = step.after == Allowed::New;
        }
        let wanted = if is_new { &self.story.new } else { &self.story.old };
        if guest.picture() != *wanted {
            return Err("without any power cut it ends as something else".to_owned());
        }
        self.seen.append(&mut guest.seen);
        Ok(())
    }

    /// Where an effect that is left out is missed first: in its call, or in what follows on a transaction.
    fn first_with(&self, skip: &Site) -> usize {
        let position = |verb: &str| self.story.steps.iter().position(|step| step.verb() == verb);
        position(&skip.verb).or_else(|| position("begin")).unwrap_or(0)
    }

    /// Cuts the power after each effect that the call has had, and when it has answered.
    fn cut_each(&mut self, step: &Step, guest: &mut WeakGuest) -> Result<(), String> {
        let mut cuts = guest.fs.take_cuts();
        let answered = cuts.pop().expect("the disk as it is now is the last one");
        for (number, disk) in cuts.iter().enumerate() {
            let at = format!("{}, cut after effect {}", step.words.join(" "), number + 1);
            self.cut(guest, disk, step.during, &at)?;
        }
        let at = format!("{}, cut after the answer", step.words.join(" "));
        self.cut(guest, &answered, step.after, &at)
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
        if !self.images.insert((allowed, disk.now().fingerprint(|_| false))) {
            return Ok(());
        }
        self.tally.states += 1;
        self.tally.again += usize::from(!is_first);
        let mut guest = from.booted(disk);
        let recovers = guest.recovers_at_boot();
        if recovers && !matches!(guest.call(&["recover"], &[]), Answer::Reply(_)) {
            return Err("recovery is refused".to_owned());
        }
        self.seen.append(&mut guest.seen);
        let is_new = self.judge(&guest, allowed, recovers)?;
        if is_new {
            self.tally.new += 1
        } else {
            self.tally.old += 1
        }
        if recovers && is_first {
            self.recoveries += 1;
            if self.recoveries % self.depth.recoveries == 0 {
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
        let key = (allowed, recovered, guest.fs.disk().now().fingerprint(is_half_made));
        if let Some(is_new) = self.judged.get(&key) {
            return Ok(*is_new);
        }
        let is_new = judge(self.story, &mut guest.fork(), allowed, recovered)?;
        converges(self.story, &mut guest.fork(), is_new)?;
        self.judged.insert(key, is_new);
        Ok(is_new)
    }

    /// Kills the call after some of its effects. The disk keeps them, durable or not; whoever goes on must not take what
    /// is there for what is durable.
    fn kill_each(
        &mut self,
        step: &Step,
        before: &WeakGuest,
        after: &WeakGuest,
    ) -> Result<(), String> {
        let mut dying = before.fork();
        step.run(&mut dying)?;
        let cuts = dying.fs.take_cuts();
        let kills = if self.depth.kills == 0 { Vec::new() } else { cuts };
        let every = self.depth.kills.max(1);
        for (number, disk) in kills.into_iter().enumerate().step_by(every).skip(1) {
            let mut guest = before.with_disk(disk);
            guest.memory = after.memory.over(&guest.fs);
            self.tally.kills += 1;
            self.go_on(step, &mut guest).map_err(|fault| {
                format!("{} killed after effect {number}: {fault}", step.verb())
            })?;
        }
        Ok(())
    }

    /// What follows on a killed call: a switch has its service end, all else is called again.
    fn go_on(&mut self, step: &Step, guest: &mut WeakGuest) -> Result<(), String> {
        let mut at =
            self.story.steps.iter().position(|other| other.words == step.words).unwrap_or(0);
        let mut again = step.clone();
        if step.verb() == "switch" {
            again.words[0] = "switch-ended".to_owned();
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

/// Whoever changes a guest keeps others out.
fn holds_lease(step: &Step, guest: &mut WeakGuest) -> Result<(), String> {
    let own = ["switch", "confirm", "undo", "timer-undo"];
    let lease = guest.fs.stat("/var/lib/stackc/lease").ok().flatten();
    if lease.is_some() || own.contains(&step.verb()) {
        return Ok(());
    }
    Err(format!("nobody has the lease after `{}`", step.verb()))
}

/// Nobody looks into what has no name of its own: it is removed as a whole.
fn is_half_made(name: &str) -> bool {
    name.starts_with(".tmp-") || name.starts_with(".gone-")
}

/// The losses of a disk's pending effects that are tried: all, or the plain ones and some by chance.
fn losses(disk: &Disk, most: usize, dice: &mut Dice) -> Vec<Vec<Fate>> {
    let ways: Vec<usize> = disk.pending().iter().map(|effect| effect.ways()).collect();
    let count = ways.iter().try_fold(1_usize, |count, ways| count.checked_mul(*ways));
    if let Some(count) = count.filter(|count| *count <= most) {
        return (0..count).map(|number| nth(&ways, number)).collect();
    }
    let all = |fate: Fate| vec![fate; ways.len()];
    let mut tried = Vec::new();
    for at in 0..ways.len() {
        let (mut but_one, mut one, mut first) = (all(Fate::Kept), all(Fate::Lost), all(Fate::Lost));
        but_one[at] = Fate::Lost;
        one[at] = if ways[at] == 3 { Fate::Half } else { Fate::Kept };
        first[..=at].fill(Fate::Kept);
        tried.extend([but_one, one, first]);
    }
    let mut tried = dice.shuffled(tried);
    tried.truncate(most.saturating_sub(1) / 2);
    tried.push(all(Fate::Lost));
    while tried.len() < most {
        tried.push(ways.iter().map(|ways| fate(dice.roll(*ways))).collect());
    }
    tried
}

fn nth(ways: &[usize], mut number: usize) -> Vec<Fate> {
    let mut digit = |ways: &usize| {
        let digit = number % ways;
        number /= ways;
        fate(digit)
    };
    ways.iter().map(&mut digit).collect()
}

fn fate(number: usize) -> Fate {
    [Fate::Lost, Fate::Kept, Fate::Half][number]
}

/// The effects that were lost, for people.
fn lost(disk: &Disk, fates: &[Fate]) -> String {
    let lines = disk.pending().iter().zip(fates).filter(|(_, fate)| **fate != Fate::Kept);
    let lines: Vec<String> =
        lines.map(|(effect, fate)| format!("\n  {fate:?}: {effect}")).collect();
    lines.concat()
}
