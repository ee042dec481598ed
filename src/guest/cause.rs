//! Why a switch is undone, and whose journals tell more of it.

use super::Guest;
use super::error::GuestError;
use super::journal;
use crate::model::{Failure, TxId, UnitName};
use std::ops::Range;
use std::time::Duration;

/// How long journals are read for. One that is cold and long takes seconds, and there may be many.
const READING_MAX: Duration = Duration::from_secs(30);

/// Why a switch is undone. The journals of the suspects are read when the old generation is back: it does not wait for them.
#[derive(Debug)]
pub struct Cause {
    pub failure: Failure,
    suspects: Vec<UnitName>,
    /// Times since boot.
    during: Range<Duration>,
}

impl From<Failure> for Cause {
    fn from(failure: Failure) -> Self {
        Self { failure, suspects: Vec::new(), during: Duration::ZERO..Duration::ZERO }
    }
}

impl Cause {
    /// A failure that these units may tell more of, by what they have logged up to now.
    pub fn of_units(guest: &mut Guest, failure: Failure, suspects: Vec<UnitName>) -> Self {
        Self { failure, suspects, during: Duration::ZERO..guest.system.uptime() }
    }

    /// The same, without what was logged before then.
    #[must_use]
    pub fn since(self, start: Duration) -> Self {
        Self { during: start..self.during.end, ..self }
    }

    /// Adds what the suspects logged to the evidence.
    pub fn note_journals(&self, guest: &mut Guest, tx: &TxId) -> Result<(), GuestError> {
        let started = guest.system.uptime();
        let mut lines = Vec::new();
        for unit in &self.suspects {
            if guest.system.uptime().saturating_sub(started) > READING_MAX {
                lines.push(format!("{unit}: its journal was not read, the others took too long"));
                continue;
            }
            let logged = guest.system.journal(unit, &self.during);
            lines.extend(logged.iter().map(|line| format!("{unit}: {line}")));
        }
        if lines.is_empty() { Ok(()) } else { journal::note_evidence(guest.fs, tx, lines) }
    }
}
