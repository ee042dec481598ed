//! Ctrl-C, SIGTERM and a hang-up. Where nothing is being changed they end the program at once. Where something is, every guest
//! is brought to a state that can be told, and only a second request ends the program before that.

use super::{output, progress::Progress};
use crate::{lab::on_interrupts, remote::Stop};
use std::{
    io,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};
use tokio::{runtime::Runtime, sync::watch};

/// A terminal that closes sends more than one signal; a person who presses again takes longer.
const SECOND: Duration = Duration::from_secs(1);

/// Listens for as long as its runtime lives.
pub struct Interrupts {
    stop: watch::Sender<bool>,
    changing: AtomicBool,
    /// Whether anything has been changed before.
    changed: AtomicBool,
    first: Mutex<Option<Instant>>,
}

impl Interrupts {
    /// Listens from now on; `progress` is where guests show what they are at.
    ///
    /// # Errors
    /// When no handler can be made.
    pub fn watch(runtime: &Runtime, progress: &Progress) -> io::Result<Arc<Self>> {
        let (stop, _) = watch::channel(false);
        let (changing, changed) = (AtomicBool::new(false), AtomicBool::new(false));
        let own = Arc::new(Self { stop, changing, changed, first: Mutex::new(None) });
        let (noting, progress) = (Arc::clone(&own), progress.clone());
        on_interrupts(runtime, &move || noting.note(&progress))?;
        Ok(own)
    }

    /// From now on guests are being changed.
    pub fn change(&self) {
        self.changed.store(true, Ordering::SeqCst);
        self.changing.store(true, Ordering::SeqCst);
    }

    /// What was being changed has come to its end.
    pub fn rest(&self) {
        self.changing.store(false, Ordering::SeqCst);
    }

    /// Whether one came.
    pub fn came(&self) -> bool {
        *self.stop.borrow()
    }

    /// Tells calls under way that one came.
    pub fn stop(&self) -> Stop {
        self.stop.subscribe()
    }

    fn note(&self, progress: &Progress) {
        if !self.changing.load(Ordering::SeqCst) {
            let text = if self.changed.load(Ordering::SeqCst) {
                "\ninterrupted: nothing more has changed; `stackc status` tells what is live\n"
            } else {
                "\ninterrupted: nothing has changed\n"
            };
            end(progress, text);
        }
        let mut first = self.first.lock().unwrap_or_else(PoisonError::into_inner);
        match *first {
            None => {
                *first = Some(Instant::now());
                let text = "\ninterrupted: ending what is at work, and telling how it ended; \
                            once more leaves at once\n";
                progress.around(|| output::tell(text));
                self.stop.send_replace(true);
            }
            Some(first) if first.elapsed() < SECOND => {}
            Some(_) => end(
                progress,
                "\nleft: a switch that nobody confirms is undone by its guest; `stackc status` tells what is live\n",
            ),
        }
    }
}

fn end(progress: &Progress, text: &str) -> ! {
    progress.around(|| {
        output::tell(text);
        std::process::exit(i32::from(output::Exit::Interrupted.code()));
    });
    unreachable!("the program has ended")
}
