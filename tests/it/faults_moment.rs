//! When the operator dies.

use crate::{
    faults_process::{Ended, Operator},
    faults_tiny::{RUN_LIMIT, Run, Tiny},
};
use std::{thread, time::Duration};

/// After its line a step has hardly begun, is in the middle, or is over.
const DELAYS: [Duration; 5] = [
    Duration::ZERO,
    Duration::from_millis(40),
    Duration::from_millis(250),
    Duration::from_millis(600),
    Duration::from_secs(1),
];

/// `delay` after the `step`th step has begun, counted from 0.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Moment {
    pub step: usize,
    pub delay: Duration,
}

impl Moment {
    /// Runs a command and kills it then; it may be over before.
    pub fn kill(self, tiny: &Tiny<'_>, run: &Run) -> Ended {
        let mut operator = run.start(tiny);
        if self.comes(tiny, &mut operator) {
            operator.kill();
        }
        operator.finish(RUN_LIMIT)
    }

    /// Waits until it is now; false when the command is over before.
    pub fn comes(self, tiny: &Tiny<'_>, operator: &mut Operator) -> bool {
        let mut steps = 0;
        let begun = operator.waits_for(|line| {
            steps += usize::from(begins_step(tiny, line));
            steps > self.step
        });
        if begun {
            thread::sleep(self.delay);
        }
        begun
    }
}

/// A step's line begins with the guest's name. So does the plan's first line, printed before anything happens: the
/// moment before all steps.
fn begins_step(tiny: &Tiny<'_>, line: &str) -> bool {
    line.starts_with(&tiny.target())
}

/// How many moments before a step a whole run has.
///
/// # Panics
/// When there are fewer than a plan, a switch and its confirm make.
pub fn count_steps(tiny: &Tiny<'_>, measured: &Ended) -> usize {
    let steps = measured.lines.iter().filter(|line| begins_step(tiny, line)).count();
    assert!(steps >= 4, "a switch and its confirm are steps: {measured}");
    steps
}

/// As each step begins, and several times in it.
pub fn in_all_steps(steps: usize) -> Vec<Moment> {
    let at = |step| DELAYS.map(|delay| Moment { step, delay });
    (0..steps).flat_map(at).collect()
}

/// As each step begins, and in the middle of the last ones, which switch and confirm.
pub fn in_the_last_steps(steps: usize) -> Vec<Moment> {
    let wanted = |moment: &Moment| moment.delay.is_zero() || moment.step + 2 >= steps;
    in_all_steps(steps).into_iter().filter(wanted).collect()
}
