//! How long a switch is waited for: all of it follows from the limits in the bundle's own `health.json` and `hooks.json`.
//!
//! With the defaults (30 s to start, 5 s to hold, 60 s for the confirm) a guest that falls silent in its switch is asked
//! for 140 s, and for 45 s when its confirm's deadline is over. One that has no power is told within 15 s.

use crate::model::{HealthDocument, Hook, Phase};
use crate::plan::Documents;
use std::time::Duration;

/// One look at a switch that has nothing new to say. A guest that is silent for 5 s more is asked over a new connection
/// (`remote`), and Proxmox is asked whether it runs at all: so nobody looks at a dead line for longer than 10 s.
pub(super) const LOOK_SECONDS: u32 = 5;
/// Before a guest that does not answer is tried again.
pub(super) const PAUSE: Duration = Duration::from_millis(500);

/// What a switch or an undo may take for its units and files before the guest's own alarm ends it (`guest/switch.rs`).
const HANG: Duration = Duration::from_secs(180);
/// What the guest gives one unit on its way back, at most (`guest/unit_report.rs`).
const UNIT: Duration = Duration::from_secs(600);
/// What an undo takes for files, firewall and stops when nothing hangs.
const UNDO: Duration = Duration::from_secs(15);
/// What a transaction may take from its journal to the start of its switch.
const BEGIN: Duration = Duration::from_secs(10);
/// What a guest may take from its start until it lets somebody in. A first boot makes its host keys; four at once on a
/// machine that was busy took a minute.
pub(super) const BOOT: Duration = Duration::from_secs(150);
/// The least that a login and an answer are given.
const CONFIRM_TRY_MIN: Duration = Duration::from_secs(5);

/// The limits of one transaction.
#[derive(Debug, Clone, Copy)]
pub(super) struct Waits<'a> {
    health: &'a HealthDocument,
    /// What the hooks between the units and the probes may take.
    hooks: Duration,
}

impl<'a> Waits<'a> {
    pub(super) fn of(documents: &'a Documents) -> Self {
        let hooks = Hook::limit_of(&documents.hooks.after_switch);
        Self { health: &documents.health, hooks }
    }

    /// How long the guest waits for its confirm.
    pub(super) fn confirm(self) -> Duration {
        seconds(self.health.confirm_seconds)
    }

    /// What one confirm may take, from TCP to the answer. A third of the deadline: a black hole costs one try of three,
    /// and a guest whose logins are slow gets in when its definition gives it the time.
    pub(super) fn confirm_try(self) -> Duration {
        (self.confirm() / 3).max(CONFIRM_TRY_MIN)
    }

    /// When the hooks have run and the probes have passed or failed, and the deadline for the confirm is over: from then on the guest goes back,
    /// whether anybody hears of it or not.
    pub(super) fn decided(self) -> Duration {
        let (start, window) = (self.health.start_seconds, self.health.window_seconds);
        self.hooks + seconds(start) + seconds(window) + self.confirm()
    }

    /// What going back takes: the old generation starts as this one may.
    pub(super) fn undone(self) -> Duration {
        seconds(self.health.start_seconds) + UNDO
    }

    /// How long a guest that has begun a switch is asked when it no longer answers.
    pub(super) fn silence(self) -> Duration {
        self.decided() + self.undone()
    }

    /// When even a switch whose units hang is over, for a guest that answers all the while. One that says that it goes back
    /// may wait for an old unit that takes its time to start.
    pub(super) fn end(self, phase: Phase) -> Duration {
        let unit = if phase == Phase::Undoing { UNIT } else { Duration::ZERO };
        self.silence() + HANG + unit
    }

    /// When nobody can be at work any more on a transaction of which a first look says no more than its phase.
    pub(super) fn end_from(self, phase: Phase) -> Duration {
        match phase {
            Phase::Begun => BEGIN,
            Phase::AwaitingConfirm => self.decided(),
            _ => self.end(phase),
        }
    }
}

fn seconds(seconds: u32) -> Duration {
    Duration::from_secs(seconds.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn health(start_seconds: u32, window_seconds: u32, confirm_seconds: u32) -> HealthDocument {
        let probes = std::collections::BTreeMap::new();
        HealthDocument { probes, window_seconds, start_seconds, confirm_seconds }
    }

    #[test]
    fn the_shortest_deadline_for_a_confirm_has_room_for_three_tries() {
        let health = health(30, 5, 15);
        let waits = Waits { health: &health, hooks: Duration::ZERO };
        assert_eq!(waits.confirm_try(), Duration::from_secs(5));
    }

    #[test]
    fn a_guest_with_the_default_limits_is_waited_for_as_long_as_the_docs_say() {
        let health = health(30, 5, 60);
        let waits = Waits { health: &health, hooks: Duration::ZERO };
        assert_eq!(waits.silence(), Duration::from_secs(140));
        assert_eq!(waits.undone(), Duration::from_secs(45));
    }

    #[test]
    fn a_guest_that_says_that_it_goes_back_is_given_the_time_that_it_gives_a_unit() {
        let health = health(30, 5, 60);
        let waits = Waits { health: &health, hooks: Duration::ZERO };
        assert_eq!(waits.end(Phase::Switching), Duration::from_secs(320));
        assert_eq!(waits.end(Phase::Undoing), Duration::from_secs(920));
        assert_eq!(waits.end_from(Phase::Undoing), waits.end(Phase::Undoing));
    }

    #[test]
    fn a_guest_whose_hooks_take_long_is_not_taken_for_silent() {
        let health = health(30, 5, 60);
        let waits = Waits { health: &health, hooks: Duration::from_secs(600) };
        assert_eq!(waits.silence(), Duration::from_secs(740));
    }
}
