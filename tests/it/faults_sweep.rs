//! Trials on several guests side by side: most of a trial is waiting.

use crate::{
    faults_disturbed::{Disturbed, Measured},
    faults_report::Report,
    faults_trial::{Trial, Verb},
    fixture_lab::RealLab,
};
use std::{collections::VecDeque, sync::Mutex, thread};

/// One guest in so many is made anew for each first activation, which takes a processor for ten seconds: more at once
/// would only wait for each other, and for longer than a guest may take to boot.
const OTHERS_TO_A_FIRST: usize = 3;

/// Guests of one lab, each disturbed by one trial at a time.
pub struct Sweep<'lab> {
    guests: Vec<Disturbed<'lab>>,
}

/// What is still to be tried, by number.
type Queue = Mutex<VecDeque<(usize, Trial)>>;

impl<'lab> Sweep<'lab> {
    pub fn new(lab: &'lab RealLab, guests: u32) -> Self {
        Self { guests: (0..guests).map(|n| Disturbed::new(lab, 100 + n)).collect() }
    }

    /// What a command carries and does when nothing disturbs it.
    pub fn measure(&mut self, verb: Verb) -> Measured {
        self.guests[0].measure(verb)
    }

    /// Tries them all, each on the first guest that is free.
    pub fn run(&mut self, trials: Vec<Trial>, report: &mut Report) {
        let (firsts, others): (VecDeque<_>, VecDeque<_>) = trials
            .into_iter()
            .enumerate()
            .partition(|(_, trial)| trial.verb == Verb::FirstActivation);
        let queues = [Mutex::new(firsts), Mutex::new(others)];
        let (report, making) = (Mutex::new(report), Mutex::new(()));
        thread::scope(|scope| {
            for (n, guest) in self.guests.iter_mut().enumerate() {
                let queues =
                    if n % (OTHERS_TO_A_FIRST + 1) == 0 { &queues[..] } else { &queues[1..] };
                let (report, making) = (&report, &making);
                scope.spawn(move || {
                    let is_over =
                        || report.lock().expect("no thread panics with it").results.stops();
                    while let Some((number, trial)) = queues.iter().find_map(next) {
                        if is_over() {
                            break;
                        }
                        let record = guest.attempt(number, &trial, making);
                        let evidence = record.problem.is_some().then(|| guest.evidence());
                        let mut report = report.lock().expect("no thread panics with it");
                        report.add(&record, evidence.as_deref());
                    }
                });
            }
        });
    }
}

fn next(queue: &Queue) -> Option<(usize, Trial)> {
    queue.lock().expect("no thread panics with it").pop_front()
}
