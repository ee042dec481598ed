//! The verbs: each reads its request, takes the lock or the lease, and has the work done.

use super::door::early;
use super::error::GuestError;
use super::system::UnitJob;
use super::{
    Guest, begin, by_hand, confirm, copies, database, detach, fs, gc, hooks, journal, lease,
    observe, packages, pin, recover, release, secrets, store, switch, sysusers, undo, validate,
};
use crate::model::protocol::{
    AbandonRequest, BeginRequest, BundleRequest, Caller, ConfirmRequest, DatabasesRequest,
    DetachReply, DetachRequest, Done, FetchReply, FetchRequest, Garbage, GcRequest, HistoryReply,
    HistoryRequest, MigrateRequest, ObserveRequest, PinRequest, ReceiveRequest, ReleaseRequest,
    ResultRequest, SecretsRequest, UndoRequest,
};
use crate::model::{DriftRequest, Failure, Phase, TxId, TxState};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;
use std::io::{BufRead, Read};
use std::time::Duration;

/// The longest request, so that what is kept of it can be read again. A switch of 20,000 paths, the most that a bundle
/// has, takes 1 KiB for each.
const REQUEST_BYTES_MAX: u64 = fs::READ_BYTES_MAX - (4 << 10);
/// How long a call waits for another one that is at work.
const PATIENCE: Duration = Duration::from_secs(10);
/// A switch that holds the lock ends by its own alarm; who undoes it must outwait that.
const LONG_PATIENCE: Duration = Duration::from_secs(240);
const RESULT_ROUND: Duration = Duration::from_millis(20);

pub type Called = Result<Value, GuestError>;

fn reply<T: Serialize>(value: Result<T, GuestError>) -> Called {
    value.map(|value| serde_json::to_value(value).expect("the protocol serialises to JSON"))
}

/// The verbs of the protocol; none when there is no such verb.
pub fn operators(guest: &mut Guest, verb: &str, input: &mut dyn BufRead) -> Option<Called> {
    Some(match verb {
        "observe" => {
            reply(request(input).and_then(|r: ObserveRequest| observe::observe(guest, &r)))
        }
        "drift" => reply(request(input).and_then(|r: DriftRequest| by_hand::look(guest, &r))),
        "receive" => reply(receive(guest, input)),
        "packages" => {
            reply(on_bundle(guest, input, |guest, r| {
                // A reboot in the middle of it leaves services held back, which only recovery lets go.
                recover::install(guest)?;
                packages::install(guest, &r.digest)
            }))
        }
        "accounts" => reply(on_bundle(guest, input, |guest, r| sysusers::ensure(guest, &r.digest))),
        "secrets" => reply(secrets_call(guest, input)),
        "databases" => reply(databases(guest, input)),
        "tools" => reply(on_bundle(guest, input, |guest, r| release::tools(guest, &r.digest))),
        "release" => reply(release_call(guest, input)),
        "migrate" => reply(migrate(guest, input)),
        "hooks" => reply(on_bundle(guest, input, |guest, r| {
            hooks::before_switch(guest, &r.caller.tx, &r.digest)
        })),
        "validate" => reply(on_bundle(guest, input, |guest, r| {
            validate::validate(guest, &r.caller.tx, &r.digest)
        })),
        "begin" => reply(begin_call(guest, input)),
        "abandon" => reply(abandon_call(guest, input)),
        "result" => reply(request(input).and_then(|r: ResultRequest| result(guest, &r))),
        "confirm" => reply(confirm_call(guest, input)),
        "undo" => reply(undo_call(guest, input)),
        "history" => reply(history(guest, input)),
        "fetch" => reply(fetch(guest, input)),
        "gc" => reply(gc_call(guest, input)),
        "detach" => reply(detach_call(guest, input)),
        "pin" => reply(pin_call(guest, input)),
        "recover" => reply(recover_call(guest)),
        "recover-ended" => reply(locked(guest, PATIENCE, recover::ended)),
        "install-recover" => reply(recover::install(guest)),
        _ => return None,
    })
}

/// Verbs that the guest calls itself by.
pub fn own(guest: &mut Guest, verb: &str, rest: &[&str]) -> Option<Called> {
    let tx: TxId = rest.first()?.parse().ok()?;
    Some(match (verb, rest) {
        ("switch", [_]) => reply(locked(guest, LONG_PATIENCE, |guest| switch::switch(guest, &tx))),
        ("switch-ended", [_]) => {
            reply(locked(guest, LONG_PATIENCE, |guest| undo::after_switch(guest, &tx)))
        }
        ("timer-undo", [_, milliseconds]) => {
            guest.system.sleep(Duration::from_millis(milliseconds.parse().ok()?));
            reply(undo::by_alarm(guest, &tx, PATIENCE))
        }
        ("timer-hooks", [_, milliseconds]) => {
            guest.system.sleep(Duration::from_millis(milliseconds.parse().ok()?));
            reply(hooks::by_alarm(guest, &tx, LONG_PATIENCE))
        }
        _ => return None,
    })
}

fn request<T: DeserializeOwned>(input: &mut dyn BufRead) -> Result<T, GuestError> {
    let mut line = Vec::new();
    let read = input.take(REQUEST_BYTES_MAX + 1).read_until(b'\n', &mut line);
    if read.map_err(GuestError::ArchiveRead)? as u64 > REQUEST_BYTES_MAX {
        let size = format!("a request is longer than {REQUEST_BYTES_MAX} bytes");
        return Err(GuestError::Unfit(size));
    }
    serde_json::from_slice(&line).map_err(GuestError::Request)
}

fn locked<T>(
    guest: &mut Guest,
    patience: Duration,
    work: impl FnOnce(&mut Guest) -> Result<T, GuestError>,
) -> Result<T, GuestError> {
    let _guard = lease::lock(guest, patience)?;
    work(guest)
}

/// Work of an operator who has, or gets, the lease.
fn entered<T>(
    guest: &mut Guest,
    caller: &Caller,
    work: impl FnOnce(&mut Guest) -> Result<T, GuestError>,
) -> Result<T, GuestError> {
    // Who is somebody else's guest must not even get its lock file.
    lease::check_identity(guest.fs, &caller.identity)?;
    locked(guest, PATIENCE, |guest| leased(guest, caller, lease::enter, work))
}

/// Work that no other call belongs to: nobody's activation is under way, and the lease is free again after it.
fn in_one_call<T>(
    guest: &mut Guest,
    caller: &Caller,
    work: impl FnOnce(&mut Guest) -> Result<T, GuestError>,
) -> Result<T, GuestError> {
    lease::check_identity(guest.fs, &caller.identity)?;
    locked(guest, PATIENCE, |guest| {
        let done = leased(guest, caller, lease::enter_once, work);
        lease::leave(guest, &caller.tx)?;
        done
    })
}

fn leased<T>(
    guest: &mut Guest,
    caller: &Caller,
    enter: fn(&mut Guest, &Caller) -> Result<(), GuestError>,
    work: impl FnOnce(&mut Guest) -> Result<T, GuestError>,
) -> Result<T, GuestError> {
    // The lease alone would let in anybody when the switch took its time.
    for tx in journal::pending(guest.fs)?.iter().filter(|tx| **tx != caller.tx) {
        undo::refuse_beside(guest, tx)?;
    }
    let last = lease::last(guest.fs)?;
    enter(guest, caller)?;
    // Whoever prepared something before is dead, or gave up. A door that hooks have shut would pass for the one of before, and
    // somebody else's lease need not be there to tell of it.
    if let Some(tx) = early::tx(guest)?.filter(|tx| *tx != caller.tx) {
        // What began its switch may have died before the door was that one's.
        undo::after_switch(guest, &tx)?;
        hooks::take_back(guest)?;
    }
    if last.is_some_and(|tx| tx != caller.tx) {
        packages::end_preparation(guest)?;
    }
    release::end_migration(guest, UnitJob::Start)?;
    hooks::end_dead(guest)?;
    let done = work(guest)?;
    lease::renew(guest, caller)?;
    Ok(done)
}

fn on_bundle<T>(
    guest: &mut Guest,
    input: &mut dyn BufRead,
    work: impl FnOnce(&mut Guest, &BundleRequest) -> Result<T, GuestError>,
) -> Result<T, GuestError> {
    let request: BundleRequest = request(input)?;
    entered(guest, &request.caller, |guest| work(guest, &request))
}

fn receive(guest: &mut Guest, input: &mut dyn BufRead) -> Result<Done, GuestError> {
    let request: ReceiveRequest = request(input)?;
    if request.bytes > store::ARCHIVE_BYTES_MAX {
        let size = format!("an archive of {} bytes is too big", request.bytes);
        return Err(GuestError::Unfit(size));
    }
    entered(guest, &request.caller, |guest| {
        store::check_room(guest.fs, request.bytes)?;
        let archive = &mut input.take(request.bytes);
        let tx = &request.caller.tx;
        copies::keep_before(guest.fs, tx, |live| live.digest == Some(request.digest))?;
        let already = store::receive(guest.fs, tx, &request.digest, archive)?;
        Ok(Done { already })
    })
}

fn secrets_call(guest: &mut Guest, input: &mut dyn BufRead) -> Result<Done, GuestError> {
    let request: SecretsRequest = request(input)?;
    entered(guest, &request.caller, |guest| {
        let (tx, version) = (&request.caller.tx, request.version);
        copies::keep_before(guest.fs, tx, |live| live.secrets == version)?;
        secrets::write(guest.fs, tx, version, &request.files)
    })
}

fn databases(guest: &mut Guest, input: &mut dyn BufRead) -> Result<Done, GuestError> {
    let request: DatabasesRequest = request(input)?;
    entered(guest, &request.caller, |guest| {
        database::ensure(guest, &request.digest, &request.passwords)
    })
}

fn release_call(guest: &mut Guest, input: &mut dyn BufRead) -> Result<Done, GuestError> {
    let request: ReleaseRequest = request(input)?;
    entered(guest, &request.caller, |guest| {
        let archive = &mut input.take(request.bytes);
        release::receive(guest, &request.digest, request.release, archive)
    })
}

fn migrate(guest: &mut Guest, input: &mut dyn BufRead) -> Result<Done, GuestError> {
    let request: MigrateRequest = request(input)?;
    entered(guest, &request.caller, |guest| {
        let (digest, release) = (&request.digest, request.release);
        release::migrate(guest, digest, release, request.secrets, &request.stop)
    })
}

fn begin_call(guest: &mut Guest, input: &mut dyn BufRead) -> Result<Done, GuestError> {
    let request: BeginRequest = request(input)?;
    lease::check_identity(guest.fs, &request.caller.identity)?;
    if begin::has_begun(guest.fs, &request.switch)? {
        return Ok(Done { already: true });
    }
    entered(guest, &request.caller, |guest| begin::begin(guest, &request.caller, &request.switch))
}

/// A preparation ends without a switch: what it has started rests, and the guest is free for the next operator.
fn abandon_call(guest: &mut Guest, input: &mut dyn BufRead) -> Result<Done, GuestError> {
    let request: AbandonRequest = request(input)?;
    let tx = &request.caller.tx;
    entered(guest, &request.caller, |guest| {
        let already =
            journal::is_pending(guest.fs, tx)? || journal::record(guest.fs, tx)?.is_some();
        if !already {
            hooks::take_back(guest)?;
            packages::end_preparation(guest)?;
            lease::leave(guest, tx)?;
        }
        Ok(Done { already })
    })
}

/// Reads the state from disk, again and again, until it needs the operator or the time is up.
fn result(guest: &mut Guest, request: &ResultRequest) -> Result<TxState, GuestError> {
    let started = guest.system.uptime();
    let wait = Duration::from_secs(u64::from(request.wait_seconds));
    loop {
        if !journal::is_pending(guest.fs, &request.tx)?
            && journal::record(guest.fs, &request.tx)?.is_none()
        {
            return Err(GuestError::UnknownTx { tx: request.tx.clone() });
        }
        let state = journal::state(guest.fs, &request.tx)?;
        let waits = state.phase == Phase::AwaitingConfirm;
        if waits || state.phase.is_final() || guest.system.uptime().saturating_sub(started) >= wait
        {
            return Ok(state);
        }
        guest.system.sleep(RESULT_ROUND);
    }
}

fn confirm_call(guest: &mut Guest, input: &mut dyn BufRead) -> Result<TxState, GuestError> {
    let request: ConfirmRequest = request(input)?;
    lease::check_identity(guest.fs, &request.identity)?;
    locked(guest, PATIENCE, |guest| {
        let state = confirm::confirm(guest, &request.tx, &request.nonce)?;
        leave_when_over(guest, state)
    })
}

fn leave_when_over(guest: &mut Guest, state: TxState) -> Result<TxState, GuestError> {
    if state.phase.is_final() {
        lease::leave(guest, &state.tx)?;
    }
    Ok(state)
}

fn undo_call(guest: &mut Guest, input: &mut dyn BufRead) -> Result<TxState, GuestError> {
    let request: UndoRequest = request(input)?;
    lease::check_identity(guest.fs, &request.identity)?;
    let what = format!("{} asked to go back", request.who);
    let failure = Failure::new(what, Vec::new());
    locked(guest, LONG_PATIENCE, |guest| {
        let state = undo::undo(guest, &request.tx, failure)?;
        leave_when_over(guest, state)
    })
}

fn recover_call(guest: &mut Guest) -> Result<(), GuestError> {
    locked(guest, PATIENCE, |guest| {
        let recovered = recover::recover(guest);
        // At boot a job is only queued: it waits for targets that wait for us.
        let ended = recovered.and(release::end_migration(guest, UnitJob::StartLater));
        ended.and(hooks::end_dead(guest))
    })
}

fn history(guest: &mut Guest, input: &mut dyn BufRead) -> Result<HistoryReply, GuestError> {
    let request: HistoryRequest = request(input)?;
    lease::check_identity(guest.fs, &request.identity)?;
    observe::history(guest.fs)
}

fn fetch(guest: &mut Guest, input: &mut dyn BufRead) -> Result<FetchReply, GuestError> {
    let request: FetchRequest = request(input)?;
    lease::check_identity(guest.fs, &request.identity)?;
    store::fetch(guest.fs, &request.digest, request.after.as_ref())
}

fn detach_call(guest: &mut Guest, input: &mut dyn BufRead) -> Result<DetachReply, GuestError> {
    let request: DetachRequest = request(input)?;
    entered(guest, &request.caller, detach::detach)
}

/// What is only looked for needs the lock, so that nothing comes and goes meanwhile, and no lease.
fn gc_call(guest: &mut Guest, input: &mut dyn BufRead) -> Result<Garbage, GuestError> {
    let request: GcRequest = request(input)?;
    if request.approved.is_some() {
        return in_one_call(guest, &request.caller, |guest| gc::gc(guest, &request));
    }
    lease::check_identity(guest.fs, &request.caller.identity)?;
    locked(guest, PATIENCE, |guest| gc::gc(guest, &request))
}

fn pin_call(guest: &mut Guest, input: &mut dyn BufRead) -> Result<Done, GuestError> {
    let request: PinRequest = request(input)?;
    in_one_call(guest, &request.caller, |guest| pin::pin(guest, &request))
}
