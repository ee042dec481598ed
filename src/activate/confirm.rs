//! From the start of a switch to its end: waiting, confirming, and telling the truth when the connection is lost.

use super::{
    ActivateError, Failed, Stage,
    time::clock_in,
    waits::{LOOK_SECONDS, PAUSE, Waits},
};
use crate::model::{
    GenerationId, Nonce, Phase, Target, TxId, TxState, Vmid,
    protocol::{BeginRequest, ConfirmRequest, Identity, PendingTx, ResultRequest, UndoRequest},
};
use crate::remote::{Connection, RemoteError};
use std::{
    cell::Cell,
    thread,
    time::{Duration, Instant},
};

/// How often `begin` is asked for while no answer comes; each try reconnects for as long as a reboot takes.
const BEGIN_TRIES: u32 = 3;

/// One switch under way.
pub(super) struct Switching<'a> {
    pub(super) target: &'a Target,
    pub(super) vmid: Vmid,
    pub(super) identity: &'a Identity,
    pub(super) tx: &'a TxId,
    pub(super) nonce: &'a Nonce,
    pub(super) who: &'a str,
    pub(super) from: GenerationId,
    pub(super) waits: Waits<'a>,
    /// Whether a confirm was sent, of which no answer came: it may have got through.
    pub(super) confirming: Cell<bool>,
    /// Whether Proxmox has the guest as stopped.
    pub(super) is_off: &'a dyn Fn() -> bool,
    /// Is told what is being waited for.
    pub(super) progress: &'a dyn Fn(&str, &str),
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
                Err(error) if error.is_interrupted() => {
                    return self.rule_out(connection, error).map(drop);
                }
                Err(error) if error.is_lost() && (self.is_off)() => return Err(self.stopped(error)),
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
            Err(error) if error.is_unknown() => self.rule_out(connection, begun).map(drop),
            Err(error) if error.is_interrupted() => self.rule_out(connection, error).map(drop),
            Err(error) => Err(self.unknown(error)),
        }
    }

    /// The guest does not know the transaction, or the operator wants no more of it. `undo` waits for a `begin` that is still
    /// at work there, ends it, and goes back at once instead of at the deadline; what was confirmed already stays.
    fn rule_out(
        &self,
        connection: &mut dyn Connection,
        begun: RemoteError,
    ) -> Result<TxState, Failed> {
        if begun.is_interrupted() {
            (self.progress)("undo", "interrupted: the guest goes back now");
        }
        let (identity, tx) = (self.identity.clone(), self.tx.clone());
        match connection.undo(&UndoRequest { identity, tx, who: self.who.to_owned() }) {
            Ok(state) if begun.is_interrupted() => self.judge(state).map_err(called_off),
            Ok(state) => self.judge(state),
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
        let silence = self.waits.silence();
        let state = self.follow(connection, silence, |phase| phase == Phase::AwaitingConfirm)?;
        if state.phase == Phase::AwaitingConfirm { Ok(()) } else { self.judge(state).map(drop) }
    }

    /// Confirms over a fresh connection, as long as the guest waits for it.
    pub(super) fn confirm(&self, connection: &mut dyn Connection) -> Result<TxState, Failed> {
        let (identity, tx, nonce) = (self.identity.clone(), self.tx.clone(), self.nonce.clone());
        let request = ConfirmRequest { identity, tx, nonce };
        let (started, deadline) = (Instant::now(), self.waits.confirm());
        let mut lost = 0;
        while started.elapsed() < deadline {
            let limit = self.waits.confirm_try().min(deadline.saturating_sub(started.elapsed()));
            let confirmed = connection.confirm(&request, limit);
            // One that was never let in has confirmed nothing.
            if confirmed.as_ref().is_err_and(|error| !error.is_kept_out()) {
                self.confirming.set(true);
            }
            match confirmed {
                Ok(state) => return self.judge(state),
                Err(error) if error.is_answer() && !error.is_busy() && !error.is_failed() => {
                    return Err(self.unknown(error));
                }
                Err(error) if error.is_interrupted() => return self.rule_out(connection, error),
                // The deadline is running: Proxmox is asked only when a second try has not come through either.
                Err(error) if lost > 0 && (self.is_off)() => return Err(self.stopped(error)),
                Err(error) => {
                    if lost == 0 {
                        self.tell_retry(&error, deadline.saturating_sub(started.elapsed()));
                    }
                    lost += 1;
                    thread::sleep(PAUSE);
                }
            }
        }
        // The guest has gone back, or is about to.
        let state = self.follow(connection, self.waits.undone(), |_| false)?;
        self.judge(state)
    }

    /// Reads the state until it is over or what is waited for. A lost connection only means to look again, for as long as
    /// `silence`: by then the guest has decided by itself.
    fn follow(
        &self,
        connection: &mut dyn Connection,
        silence: Duration,
        awaited: impl Fn(Phase) -> bool,
    ) -> Result<TxState, Failed> {
        let request = ResultRequest { tx: self.tx.clone(), wait_seconds: LOOK_SECONDS };
        let started = Instant::now();
        let mut silent_since = None;
        loop {
            match connection.result(&request) {
                Ok(state) if state.phase.is_final() || awaited(state.phase) => return Ok(state),
                Ok(state) if started.elapsed() > self.waits.end(state.phase) => {
                    return self.judge(state);
                }
                Ok(_) => silent_since = None,
                Err(error) if error.is_answer() && !error.is_busy() => {
                    return Err(self.unknown(error));
                }
                Err(error) if error.is_interrupted() => return self.rule_out(connection, error),
                Err(error) if error.is_lost() && (self.is_off)() => return Err(self.stopped(error)),
                Err(error) => {
                    let since = *silent_since.get_or_insert_with(|| {
                        self.tell_retry(&error, silence);
                        Instant::now()
                    });
                    if since.elapsed() >= silence {
                        return Err(self.unknown(error));
                    }
                    thread::sleep(PAUSE);
                }
            }
        }
    }

    fn tell_retry(&self, error: &RemoteError, limit: Duration) {
        let text = format!("{error}; asking again for up to {} s", limit.as_secs());
        (self.progress)("connection", &text);
    }

    fn judge(&self, state: TxState) -> Result<TxState, Failed> {
        let target = self.target.clone();
        let told = state.failure.as_ref().map(|failure| failure.what.clone());
        let what = told.unwrap_or_else(|| "the guest does not say why".to_owned());
        match state.phase {
            Phase::Confirmed => Ok(state),
            Phase::Undone => {
                let (from, state) = (self.from, Box::new(state));
                let error = ActivateError::Undone { target, from, what, state };
                Err(Failed { stage: Stage::Undone, error })
            }
            Phase::Begun | Phase::Switching | Phase::Verifying | Phase::AwaitingConfirm => {
                let seconds = self.waits.end(state.phase).as_secs();
                let error = ActivateError::Unfinished { target, seconds };
                Err(Failed { stage: Stage::Unknown, error })
            }
            Phase::Undoing | Phase::Inconsistent => {
                let error = ActivateError::Inconsistent { target, what, state: Box::new(state) };
                Err(Failed { stage: Stage::Unknown, error })
            }
        }
    }

    /// Nobody need wait for a guest that is off.
    fn stopped(&self, cause: RemoteError) -> Failed {
        let (target, vmid, then) = (self.target.clone(), self.vmid, self.then());
        let error = ActivateError::Stopped { target, vmid, then, cause };
        Failed { stage: Stage::Unknown, error }
    }

    /// What its going back depends on.
    fn then(&self) -> &'static str {
        if self.confirming.get() {
            "it stays when its confirm got through, and else"
        } else {
            "nothing confirms it, so"
        }
    }

    fn unknown(&self, cause: RemoteError) -> Failed {
        // Nobody sees whether its units hang: they may take all the time that they have.
        let by = clock_in(self.waits.end(Phase::Switching));
        let (target, then) = (self.target.clone(), self.then());
        let error = ActivateError::Unknown { target, then, by, cause };
        Failed { stage: Stage::Unknown, error }
    }
}

/// What the operator wanted no more of has nothing to be mended.
fn called_off(failed: Failed) -> Failed {
    match failed.error {
        ActivateError::Undone { target, from, what, state } => {
            let error = ActivateError::CalledOff { target, from, what, state };
            Failed { error, ..failed }
        }
        _ => failed,
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
    waits: Waits<'_>,
) -> Result<bool, RemoteError> {
    let request = ResultRequest { tx: pending.tx.clone(), wait_seconds: LOOK_SECONDS };
    let started = Instant::now();
    let mut heard = started;
    loop {
        match connection.result(&request) {
            Ok(state) if state.phase.is_final() => return Ok(true),
            Ok(state) if started.elapsed() > waits.end_from(state.phase) => return Ok(false),
            Ok(_) => heard = Instant::now(),
            Err(error) if error.is_lost() && heard.elapsed() < waits.undone() => {}
            Err(error) => return Err(error),
        }
        // A transaction that awaits its confirm answers at once.
        thread::sleep(PAUSE);
    }
}
