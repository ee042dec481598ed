//! At which system calls a scene is disturbed, and who does it side by side.

use crate::{crash_disk::own_mounts, crash_tracer::Traced};
use std::sync::atomic::{AtomicUsize, Ordering};

/// As many as the machine that this is measured on has processors.
pub const WORKERS: usize = 2;

/// At which system calls.
#[derive(Debug, Clone, Copy)]
pub enum Points {
    /// At each one.
    All,
    /// At each `stride`th of those that change something: between two of them, each leaves the same.
    Changing { stride: usize },
}

impl Points {
    pub fn of(self, clean: &Traced) -> Vec<usize> {
        match self {
            Self::All => (1..=clean.calls.len()).collect(),
            Self::Changing { stride } => {
                let changing = clean.changing();
                let last = changing.last().copied();
                // Where it begins differs by scene, so that strides meet other calls in each.
                let offset = clean.calls.len() % stride;
                let some = changing.into_iter().skip(offset).step_by(stride);
                let mut some: Vec<usize> = some.collect();
                some.extend(last.filter(|last| some.last() != Some(last)));
                some
            }
        }
    }
}

/// Does the work for each trial, on workers that have mounts of their own, and what they begin with.
pub fn side_by_side<T: Sync, W>(
    trials: &[T],
    begin: impl Fn() -> W + Sync,
    work: impl Fn(&mut W, &T) + Sync,
) {
    let next = AtomicUsize::new(0);
    std::thread::scope(|scope| {
        for _ in 0..WORKERS {
            scope.spawn(|| {
                own_mounts();
                let mut worker = begin();
                while let Some(trial) = trials.get(next.fetch_add(1, Ordering::Relaxed)) {
                    work(&mut worker, trial);
                }
            });
        }
    });
}
