//! What a disturbed command must leave behind, and how often it left what.

use crate::{
    faults_process::Ended,
    faults_tiny::{Run, State, Tiny},
};

/// Whether every point is tried (`STACKC_FAULTS=all`), not only a sample.
pub fn is_dense() -> bool {
    std::env::var("STACKC_FAULTS").is_ok_and(|value| value == "all")
}

/// Counts; printed in one line at the end, also after a failure.
pub struct Tally {
    what: &'static str,
    runs: usize,
    hit: usize,
    old: usize,
    new: usize,
    converged: usize,
}

/// What was done to a run.
pub struct Fault {
    pub what: String,
    /// Whether it happened before the run was over.
    pub hit: bool,
}

impl Tally {
    pub fn new(what: &'static str) -> Self {
        Self { what, runs: 0, hit: 0, old: 0, new: 0, converged: 0 }
    }

    /// The guest is whole on the old or the new generation, and the exit code tells the truth about which.
    ///
    /// # Panics
    /// When not so.
    pub fn judge(
        &mut self,
        tiny: &Tiny<'_>,
        run: &Run,
        old: State,
        fault: &Fault,
        ended: &Ended,
    ) -> State {
        self.runs += 1;
        self.hit += usize::from(fault.hit);
        let hit = if fault.hit { "hit" } else { "missed" };
        eprintln!("{}, run {}, {} ({hit}): {ended}", self.what, self.runs, fault.what);
        let (state, new) = (tiny.settle(), State::Live(run.version));
        assert!(state == old || state == new, "neither old ({old:?}) nor new ({new:?}): {state:?}");
        self.old += usize::from(state == old);
        self.new += usize::from(state == new);
        match ended.code {
            Some(0) => assert_eq!(state, new, "exit code 0 says done"),
            Some(3..=5) => {
                assert_eq!(state, old, "the exit code says that the old generation runs");
            }
            // Killed, or it could not know.
            None | Some(6) => {}
            Some(_) => panic!("this exit code is not for the world's failures"),
        }
        state
    }

    /// The same command again: done, and the new generation is live and whole.
    pub fn converge(&mut self, tiny: &Tiny<'_>, run: &Run) {
        run.finish(tiny).expect_done();
        assert_eq!(tiny.settle(), State::Live(run.version));
        self.converged += 1;
    }

    /// # Panics
    /// When most faults came too late: then the test has shown nothing.
    pub fn expect_hits(&self) {
        assert!(self.hit * 2 > self.runs, "only {} of {} runs were disturbed", self.hit, self.runs);
    }
}

impl Drop for Tally {
    fn drop(&mut self) {
        let Self { what, runs, hit, old, new, converged } = self;
        eprintln!(
            "faults, {what}: {runs} runs ({hit} disturbed), {old} old, {new} new, {converged} converged"
        );
    }
}
