//! Requests to stop, noted so that what was begun can be put away first.

use rustix::process::{Pid, Signal, kill_process_group};
use std::{
    io,
    process::Child,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};
use tokio::{
    runtime::{Builder, Runtime},
    signal::unix::{SignalKind, signal},
};

/// Ctrl-C, SIGTERM and a hang-up: from [`Interrupts::watch`] on they end the child that is being waited for, and this program goes on.
#[derive(Debug)]
pub struct Interrupts {
    noted: Arc<Mutex<Noted>>,
    /// Listens for as long as this lives.
    _runtime: Runtime,
}

#[derive(Debug, Default)]
struct Noted {
    came: bool,
    /// The leader of a process group of its own.
    child: Option<Pid>,
}

impl Interrupts {
    /// Listens from now on.
    ///
    /// # Errors
    /// When no thread or no handler can be made; signals then still end this program at once.
    pub fn watch() -> io::Result<Self> {
        let runtime = Builder::new_multi_thread().worker_threads(1).enable_io().build()?;
        let noted = Arc::new(Mutex::new(Noted::default()));
        let note = {
            let noted = Arc::clone(&noted);
            move || {
                let mut noted = locked(&noted);
                noted.came = true;
                noted.end_child();
            }
        };
        on_interrupts(&runtime, &note)?;
        Ok(Self { noted, _runtime: runtime })
    }

    /// Whether one came.
    pub fn came(&self) -> bool {
        locked(&self.noted).came
    }

    /// Ends this child, which leads a process group, when a request comes or has come; until the next [`Interrupts::release`].
    pub fn attend(&self, child: &Child) {
        let mut noted = locked(&self.noted);
        noted.child = i32::try_from(child.id()).ok().and_then(Pid::from_raw);
        if noted.came {
            noted.end_child();
        }
    }

    /// Leaves the child alone; call it before the child's number can be another's, that is before it is waited for.
    pub fn release(&self) {
        locked(&self.noted).child = None;
    }
}

/// Does this at every Ctrl-C, SIGTERM and hang-up for as long as the runtime lives; they end the program no more.
///
/// # Errors
/// When no handler can be made.
pub fn on_interrupts(
    runtime: &Runtime,
    note: &(impl Fn() + Clone + Send + 'static),
) -> io::Result<()> {
    let _inside = runtime.enter();
    for kind in [SignalKind::interrupt(), SignalKind::terminate(), SignalKind::hangup()] {
        let (mut signals, note) = (signal(kind)?, note.clone());
        runtime.spawn(async move {
            while signals.recv().await.is_some() {
                note();
            }
        });
    }
    Ok(())
}

impl Noted {
    fn end_child(&self) {
        if let Some(child) = self.child {
            // It may have ended by itself.
            let _ = kill_process_group(child, Signal::TERM);
        }
    }
}

fn locked(noted: &Mutex<Noted>) -> MutexGuard<'_, Noted> {
    noted.lock().unwrap_or_else(PoisonError::into_inner)
}
