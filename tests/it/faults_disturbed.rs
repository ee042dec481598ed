//! A guest that is brought to where a command begins, disturbed in it, and judged.

use crate::{
    cut_proxy::CutProxy,
    cut_redirect::Redirect,
    cut_traffic::Traffic,
    fault_results::text_of,
    faults_accident::{FLAWED, Flaw},
    faults_moment::count_steps,
    faults_tiny::{Run, State, Tiny},
    faults_trial::{Fault, Record, Trial, Verb, Wire, judge},
    fixture_lab::RealLab,
};
use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{Mutex, PoisonError},
    time::Instant,
};

pub struct Disturbed<'lab> {
    tiny: Tiny<'lab>,
    /// What is live, last, and what was live before it.
    lives: Vec<Live>,
    newest_version: u32,
    exists: bool,
}

#[derive(Debug, Clone, Copy)]
struct Live {
    version: u32,
    generation: u64,
}

/// What an undisturbed run carries and does.
pub struct Measured {
    pub verb: Verb,
    ssh: Vec<Traffic>,
    api: Vec<Traffic>,
    pub steps: usize,
}

impl Measured {
    pub fn on(&self, wire: Wire) -> &[Traffic] {
        match wire {
            Wire::Ssh => &self.ssh,
            Wire::Api => &self.api,
        }
    }
}

impl<'lab> Disturbed<'lab> {
    /// A guest to be.
    pub fn new(lab: &'lab RealLab, vmid: u32) -> Self {
        let tiny = Tiny::new(lab, vmid);
        Self { tiny, lives: Vec::new(), newest_version: 0, exists: false }
    }

    /// Runs a command with both its wires through proxies that only look.
    pub fn measure(&mut self, verb: Verb) -> Measured {
        let run = self.ready(verb);
        let ssh = CutProxy::start(self.tiny.sshd(), None);
        let api = CutProxy::start(self.tiny.lab_api(), None);
        self.tiny.use_api(run.version, api.address());
        let redirect = Redirect::install(self.tiny.sshd().ip(), ssh.address());
        let ended = run.finish(&self.tiny).expect_done();
        drop(redirect);
        self.tiny.use_api(run.version, self.tiny.lab_api());
        self.settle_on_new(&run);
        let steps = count_steps(&self.tiny, &ended);
        Measured { verb, ssh: ssh.traffic(), api: api.traffic(), steps }
    }

    /// One trial; what goes wrong in it is in its record. A guest that must be there before is made while no other is.
    pub fn attempt(&mut self, number: usize, trial: &Trial, making: &Mutex<()>) -> Record {
        let mut record = trial.record(number);
        let attempted = catch_unwind(AssertUnwindSafe(|| {
            let mut run = self.ready_for(trial.verb, making);
            if let Fault::Flaw(flaw) = trial.fault {
                run = self.with_flaw(&run, trial.verb, flaw);
            }
            let since = Instant::now();
            self.disturb(trial, &run, &mut record);
            record.seconds = since.elapsed().as_secs();
        }));
        record.problem = attempted.err().map(|panic| text_of(&*panic));
        record
    }

    /// Brings the guest to where a command begins; by a new guest when this one cannot be, since nothing has disturbed
    /// it yet, and a machine that does much else may take too long to boot it.
    fn ready_for(&mut self, verb: Verb, making: &Mutex<()>) -> Run {
        let makes = !self.exists && verb != Verb::FirstActivation;
        let _alone = makes.then(|| making.lock().unwrap_or_else(PoisonError::into_inner));
        catch_unwind(AssertUnwindSafe(|| self.ready(verb))).unwrap_or_else(|panic| {
            eprintln!(
                "faults: a guest is made anew, undisturbed it was not ready: {}",
                text_of(&*panic)
            );
            self.destroy();
            self.ready(verb)
        })
    }

    fn disturb(&mut self, trial: &Trial, run: &Run, record: &mut Record) {
        let old = self.lives.last().map_or(State::Untouched, |live| State::Live(live.version));
        let (ended, hit) = trial.fault.disturb(&self.tiny, run);
        (record.hit, record.exit_code) = (hit, ended.code);
        record.outcome = judge(self.tiny.settle(), old, State::Live(run.version), &ended);
        // What does not work is undone as often as it is tried: the next version is what has to go live.
        let next = match trial.fault {
            Fault::Flaw(_) => self.activation(),
            _ => run.clone(),
        };
        self.go_live(&next);
        record.converged = true;
    }

    /// The same command, to a version that is well no longer. One that is gone back to was live once without its flaw, and
    /// another one after it.
    fn with_flaw(&mut self, run: &Run, verb: Verb, flaw: Flaw) -> Run {
        self.tiny.on_guest(&format!("rm -f {FLAWED}"), "").expect_done();
        let flawed = if verb == Verb::Rollback {
            let version = self.activation().version;
            let flawed = self.tiny.activate_flawed(version, flaw);
            self.go_live(&flawed);
            let next = self.activation();
            self.go_live(&next);
            self.tiny.rollback(version, self.lives[0].generation)
        } else {
            self.tiny.activate_flawed(run.version, flaw)
        };
        self.tiny.on_guest(&format!("touch {FLAWED}"), "").expect_done();
        flawed
    }

    fn go_live(&mut self, run: &Run) {
        run.finish(&self.tiny).expect_done();
        self.settle_on_new(run);
    }

    /// What the guest has written down; it is made anew for its next trial.
    pub fn evidence(&mut self) -> String {
        let found = catch_unwind(AssertUnwindSafe(|| self.tiny.evidence().to_string()));
        self.destroy();
        found.unwrap_or_else(|panic| text_of(&*panic))
    }

    fn destroy(&mut self) {
        self.tiny.destroy();
        self.lives.clear();
        self.exists = false;
    }

    /// Brings the guest to where a command begins.
    fn ready(&mut self, verb: Verb) -> Run {
        let generations = match verb {
            Verb::FirstActivation => 0,
            Verb::Change => 1,
            Verb::Rollback => 2,
        };
        if generations == 0 && self.exists {
            self.destroy();
        }
        while self.lives.len() < generations {
            let run = self.activation();
            self.go_live(&run);
        }
        self.exists = true;
        match (verb, &self.lives[..]) {
            (Verb::Rollback, [.., before, _]) => {
                self.tiny.rollback(before.version, before.generation)
            }
            _ => self.activation(),
        }
    }

    /// A first activation has the first version, whose definitions are there already; a change has one that the guest
    /// never had.
    fn activation(&mut self) -> Run {
        let version = if self.lives.is_empty() { 1 } else { self.newest_version + 1 };
        self.newest_version = self.newest_version.max(version);
        self.tiny.activate(version)
    }

    /// # Panics
    /// When the guest is not whole on what the run makes live.
    fn settle_on_new(&mut self, run: &Run) {
        let (state, generation) = self.tiny.settle_on();
        assert_eq!(state, State::Live(run.version), "the same command again converges");
        let generation = generation.expect("what is live has a number");
        self.lives.push(Live { version: run.version, generation });
        let before = self.lives.len().saturating_sub(2);
        self.lives.drain(..before);
    }
}
