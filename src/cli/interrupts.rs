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
    first: Mutex<Option<Instant>>,
}

impl Interrupts {
    /// Listens from now on; `progress` is where guests show what they are at.
    ///
    /// # Errors
    /// When no handler can be made.
    pub fn watch(runtime: &Runtime, progress: &Progress) -> io::Result<Arc<Self>> {
        let (stop, _) = watch::channel(false);
        let (changing, first) = (AtomicBool::new(false), Mutex::new(None));
        let own = Arc::new(Self { stop, changing, first });
        let (noting, progress) = (Arc::clone(&own), progress.clone());
        on_interrupts(runtime, &move || noting.note(&progress))?;
        Ok(own)
    }

    /// From now on guests are being changed.
    pub fn change(&self) {
        self.changing.store(true, Ordering::SeqCst);
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
            end(progress, "\ninterrupted: nothing has changed\n");
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
