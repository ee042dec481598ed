//! From the start of a switch to its end: waiting, confirming, and telling the truth when the connection is lost.

use super::{ActivateError, Failed, Stage};
use crate::model::Nonce;
use crate::model::{
    GenerationId, HealthDocument, Phase, Target, TxId, TxState,
    protocol::{BeginRequest, ConfirmRequest, Identity, PendingTx, ResultRequest, UndoRequest},
};
use crate::remote::{Connection, RemoteError};
use std::{
    thread,
    time::{Duration, Instant},
};

/// One look at a switch; the connection is used again for the next.
const LOOK_SECONDS: u32 = 15;
/// What stopping and starting units may take on top of the probes' own limits: systemd's stop timeout, twice.
const UNITS_LIMIT: Duration = Duration::from_secs(200);
/// Pause before trying again to reach a guest that does not answer.
const PAUSE: Duration = Duration::from_millis(500);

/// How often `begin` is asked for while no answer comes; each try reconnects for as long as a reboot takes.
const BEGIN_TRIES: u32 = 3;

/// What a transaction may take from its journal to the start of its switch.
const BEGIN_LIMIT: Duration = Duration::from_secs(10);

/// One switch under way.
pub(super) struct Switching<'a> {
    pub(super) target: &'a Target,
    pub(super) identity: &'a Identity,
    pub(super) tx: &'a TxId,
    pub(super) nonce: &'a Nonce,
    pub(super) who: &'a str,
    pub(super) from: GenerationId,
    pub(super) health: &'a HealthDocument,
    /// Whether Proxmox has the guest as stopped.
    pub(super) is_off: &'a dyn Fn() -> bool,
}

impl Switching<'_> {
    /// Starts the switch. A lost reply is asked for again over a new connection: the same transaction begins only once.
    pub(super) fn begin(
        &self,
        connection: &mut dyn Connection,
        request: &BeginRequest,
    ) -> Result<(), Failed> {
        let mut tries_left = BEGIN_TRIES;
        loop {
            tries_left -= 1;
            match connection.begin(request) {
                Ok(_) => return Ok(()),
                Err(error) if !error.is_answer() && tries_left > 0 => thread::sleep(PAUSE),
                // An earlier try of this very call may hold the guest.
                Err(error) if !error.is_answer() || error.is_busy() => {
                    return self.find_out(connection, error);
                }
                Err(error) => return Err(refused_to_begin(error.into())),
            }
        }
    }

    /// Asks the guest for a transaction of which nobody knows whether it began.
    fn find_out(&self, connection: &mut dyn Connection, begun: RemoteError) -> Result<(), Failed> {
        let request = ResultRequest { tx: self.tx.clone(), wait_seconds: 0 };
        match connection.result(&request) {
            Ok(_) => Ok(()),
            Err(error) if error.is_unknown() => self.rule_out(connection, begun),
            Err(error) => Err(self.unknown(error)),
        }
    }

    /// The guest does not know the transaction. `undo` waits for a `begin` that is still at work there, and ends it.
    fn rule_out(&self, connection: &mut dyn Connection, begun: RemoteError) -> Result<(), Failed> {
        let (identity, tx) = (self.identity.clone(), self.tx.clone());
        match connection.undo(&UndoRequest { identity, tx, who: self.who.to_owned() }) {
            Ok(state) => self.judge(state).map(drop),
            Err(error) if error.is_unknown() && begun.is_answer() => {
                Err(refused_to_begin(begun.into()))
            }
            Err(error) if error.is_unknown() => {
                let target = self.target.clone();
                Err(refused_to_begin(ActivateError::NeverBegan { target, cause: begun }))
            }
            Err(error) => Err(self.unknown(error)),
        }
    }

    /// Waits until the guest is healthy and asks to be confirmed.
    pub(super) fn wait(&self, connection: &mut dyn Connection) -> Result<(), Failed> {
        let state = self.follow(connection, |phase| phase == Phase::AwaitingConfirm)?;
        if state.phase == Phase::AwaitingConfirm { Ok(()) } else { self.judge(state).map(drop) }
    }

    /// Confirms over a fresh connection, as long as the guest waits for it.
    pub(super) fn confirm(&self, connection: &mut dyn Connection) -> Result<TxState, Failed> {
        let (identity, tx, nonce) = (self.identity.clone(), self.tx.clone(), self.nonce.clone());
        let request = ConfirmRequest { identity, tx, nonce };
        let (started, deadline) =
            (Instant::now(), Duration::from_secs(self.health.confirm_seconds.into()));
        while started.elapsed() < deadline {
            match connection.confirm(&request) {
                Ok(state) => return self.judge(state),
                Err(error) if error.is_lost() && (self.is_off)() => return Err(self.stopped(error)),
                Err(error) if !error.is_answer() || error.is_busy() => thread::sleep(PAUSE),
                Err(error) => return Err(self.unknown(error)),
            }
        }
        // The guest has gone back, or is about to.
        let state = self.follow(connection, |_| false)?;
        self.judge(state)
    }

    /// Reads the state until it is over or what is waited for; a lost connection only means to look again.
    fn follow(
        &self,
        connection: &mut dyn Connection,
        awaited: impl Fn(Phase) -> bool,
    ) -> Result<TxState, Failed> {
        let request = ResultRequest { tx: self.tx.clone(), wait_seconds: LOOK_SECONDS };
        let health = self.health;
        let seconds = health.start_seconds + health.window_seconds + health.confirm_seconds;
        let (started, limit) = (Instant::now(), Duration::from_secs(seconds.into()) + UNITS_LIMIT);
        loop {
            match connection.result(&request) {
                Ok(state) if state.phase.is_final() || awaited(state.phase) => return Ok(state),
                Ok(state) if started.elapsed() > limit => {
                    return self.judge(state);
                }
                Ok(_) => {}
                Err(error) if error.is_lost() && (self.is_off)() => return Err(self.stopped(error)),
                Err(error)
                    if (!error.is_answer() || error.is_busy()) && started.elapsed() < limit =>
                {
                    thread::sleep(PAUSE);
                }
                Err(error) => return Err(self.unknown(error)),
            }
        }
    }

    fn judge(&self, state: TxState) -> Result<TxState, Failed> {
        let target = self.target.clone();
        let what = state.failure.as_ref().map_or_else(
            || "nobody confirmed it in time".to_owned(),
            |failure| failure.what.clone(),
        );
        match state.phase {
            Phase::Confirmed => Ok(state),
            Phase::Undone => {
                let (from, state) = (self.from, Box::new(state));
                let error = ActivateError::Undone { target, from, what, state };
                Err(Failed { stage: Stage::Undone, error })
            }
            _ => {
                let error = ActivateError::Inconsistent { target, what, state: Box::new(state) };
                Err(Failed { stage: Stage::Unknown, error })
            }
        }
    }

    /// Nobody need wait for a guest that is off.
    fn stopped(&self, cause: RemoteError) -> Failed {
        let error = ActivateError::Stopped { target: self.target.clone(), cause };
        Failed { stage: Stage::Unknown, error }
    }

    fn unknown(&self, cause: RemoteError) -> Failed {
        let error = ActivateError::Unknown { target: self.target.clone(), cause };
        Failed { stage: Stage::Unknown, error }
    }
}

fn refused_to_begin(error: ActivateError) -> Failed {
    Failed { stage: Stage::BeforeSwitch, error }
}

/// Whether somebody else's hand, or the guest's own deadline, ends a transaction while we look on. One that never got
/// beyond its beginning has nobody at work on it soon; any other has its probes, its deadline and its units to wait for.
pub(super) fn wait_for_end(
    connection: &mut dyn Connection,
    pending: &PendingTx,
    health: &HealthDocument,
) -> Result<bool, RemoteError> {
    let request = ResultRequest { tx: pending.tx.clone(), wait_seconds: LOOK_SECONDS };
    let seconds = health.start_seconds + health.window_seconds + health.confirm_seconds;
    let started = Instant::now();
    loop {
        let state = connection.result(&request)?;
        let limit = match state.phase {
            Phase::Begun => BEGIN_LIMIT,
            Phase::AwaitingConfirm => Duration::from_secs(seconds.into()),
            _ => Duration::from_secs(seconds.into()) + UNITS_LIMIT,
        };
        if state.phase.is_final() || started.elapsed() > limit {
            return Ok(state.phase.is_final());
        }
        // A transaction that awaits its confirm answers at once.
        thread::sleep(PAUSE);
    }
}
