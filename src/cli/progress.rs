//! What runs now, on stderr: in a terminal a line a guest that is kept up to date below the steps, elsewhere a line from
//! time to time. No step is silent for longer than ten seconds.

mod rows;

use super::output;
use crate::model::{Target, protocol::News};
use rows::Rows;
use std::{
    io::{self, IsTerminal as _},
    sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError},
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

/// Seconds are what people see of a clock.
const TICK: Duration = Duration::from_secs(1);

/// Where the guests of one command show what they are at.
pub struct Board {
    shared: Arc<Shared>,
    ticker: Option<JoinHandle<()>>,
}

/// One guest's place on the board.
#[derive(Clone)]
pub struct Progress {
    shared: Arc<Shared>,
    name: String,
}

struct Shared {
    rows: Mutex<Rows>,
    /// Rung when there is something to keep up to date, and when there never will be again.
    bell: Condvar,
}

impl Board {
    /// A board on stderr, in the form that fits what that is.
    pub fn on_stderr() -> Self {
        let is_dumb = std::env::var_os("TERM").is_none_or(|term| term == "dumb");
        let rows = if io::stderr().is_terminal() && !is_dumb {
            Rows::live(output::stderr_has_colour())
        } else {
            Rows::plain()
        };
        let shared = Arc::new(Shared { rows: Mutex::new(rows), bell: Condvar::new() });
        let ticker = Some(thread::spawn({
            let shared = Arc::clone(&shared);
            move || shared.tick()
        }));
        Self { shared, ticker }
    }

    /// The board itself, for what is no guest's.
    pub fn whole(&self) -> Progress {
        Progress { shared: Arc::clone(&self.shared), name: String::new() }
    }

    /// A guest's place. Nothing is shown there before something runs.
    pub fn progress(&self, target: &Target) -> Progress {
        Progress { shared: Arc::clone(&self.shared), name: target.to_string() }
    }
}

impl Drop for Board {
    fn drop(&mut self) {
        self.shared.rows().end();
        self.shared.bell.notify_all();
        if let Some(ticker) = self.ticker.take() {
            ticker.join().expect("drawing does not panic");
        }
    }
}

impl Progress {
    /// A step begins: its line stays.
    pub fn step(&self, step: &str, text: &str) {
        self.change(|rows, now| rows.begin(&self.name, step, text, now));
    }

    /// What the guest says of the step that runs.
    pub fn news(&self, news: News<'_>) {
        self.change(|rows, now| match news {
            News::Event { step, text } => rows.event(&self.name, step, text, now),
            News::Output(line) => rows.output(&self.name, line, now),
        });
    }

    /// Nothing runs here any more.
    pub fn rest(&self) {
        self.change(|rows, now| rows.rest(&self.name, now));
    }

    /// Prints something else without disturbing what is drawn.
    pub fn around<T>(&self, print: impl FnOnce() -> T) -> T {
        let mut rows = self.shared.rows();
        output::tell(&rows.clear());
        let printed = print();
        output::tell(&rows.frame(Instant::now()));
        printed
    }

    fn change(&self, change: impl FnOnce(&mut Rows, Instant) -> String) {
        let mut rows = self.shared.rows();
        output::tell(&change(&mut rows, Instant::now()));
        self.shared.bell.notify_all();
    }
}

impl Shared {
    fn rows(&self) -> MutexGuard<'_, Rows> {
        self.rows.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Keeps the board up to date until it is taken down.
    fn tick(&self) {
        let mut rows = self.rows();
        while !rows.is_over() {
            rows = if rows.is_empty() {
                self.bell.wait(rows).unwrap_or_else(PoisonError::into_inner)
            } else {
                let waited = self.bell.wait_timeout(rows, TICK);
                waited.unwrap_or_else(PoisonError::into_inner).0
            };
            output::tell(&rows.tick(Instant::now()));
        }
    }
}
