//! One call: a verb, a request on stdin, events and one reply on stdout.

use super::error::GuestError;
use super::journal;
use super::{
    Debian, Guest, Offline, RealFs, System, begin, confirm, database, gc, generation, lease,
    observe, packages, recover, redact, release, secrets, store, switch, undo, validate,
};
use crate::model::protocol::{
    BeginRequest, BundleRequest, Caller, ConfirmRequest, DatabasesRequest, Done, FetchReply,
    FetchRequest, GcRequest, HistoryRequest, Line, MigrateRequest, ObserveRequest, ReceiveRequest,
    Refusal, ReleaseRequest, ResultRequest, SecretsRequest, UndoRequest,
};
use crate::model::{Failure, TxId, TxState};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;
use std::io::{BufRead, Read, Write};
use std::path::Path;
use std::process::ExitCode;
use std::time::Duration;

/// The longest request: a switch of 20,000 paths is far below.
const REQUEST_BYTES_MAX: u64 = 32 << 20;
/// How long a call waits for another one that is at work.
const PATIENCE: Duration = Duration::from_secs(10);
/// A switch that holds the lock ends by its own alarm; who undoes it must outwait that.
const LONG_PATIENCE: Duration = Duration::from_secs(240);
const RESULT_ROUND: Duration = Duration::from_millis(20);

const USAGE: &str = "usage: stackc-guest [--root DIR] VERB
verbs: observe receive packages accounts secrets databases tools release migrate validate begin result confirm undo
       history fetch gc switch timer-undo switch-ended recover install-recover";

/// What a call says on its last line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Answer {
    Reply(Value),
    Refused(Refusal),
    /// There is no such verb.
    Usage,
}

/// Runs the call that the command line asks for.
pub fn run(arguments: &[String]) -> ExitCode {
    // Ours and every child's, whatever the session's is: a build must not leave files that all may write.
    rustix::process::umask(rustix::fs::Mode::from_raw_mode(0o022));
    if arguments == ["--version"] {
        say(&format!("stackc-guest {}", env!("CARGO_PKG_VERSION")));
        return ExitCode::SUCCESS;
    }
    let (root, words) = match arguments {
        [flag, root, words @ ..] if flag == "--root" => (Some(Path::new(root)), words),
        words => (None, words),
    };
    match open(root) {
        Ok((mut fs, mut system)) => {
            let mut events = |step: &str, text: &str| {
                say_line(&Line::<Value>::Event { step: step.to_owned(), text: text.to_owned() });
            };
            let mut guest = Guest { fs: &mut fs, system: system.as_mut(), events: &mut events };
            let stdin = &mut std::io::stdin().lock();
            finish(answer(&mut guest, words, stdin))
        }
        Err(error) => finish(Answer::Refused(error.refusal("nothing has changed"))),
    }
}

fn open(root: Option<&Path>) -> Result<(RealFs, Box<dyn System>), GuestError> {
    match root {
        None => Ok((RealFs::open(Path::new("/"))?, Box::new(Debian))),
        Some(root) => Ok((RealFs::open(root)?, Box::new(Offline::open(root)?))),
    }
}

fn finish(answer: Answer) -> ExitCode {
    match answer {
        Answer::Reply(value) => {
            say_line(&Line::Reply(value));
            ExitCode::SUCCESS
        }
        Answer::Refused(refusal) => {
            say_line(&Line::<Value>::Refused(refusal));
            ExitCode::FAILURE
        }
        Answer::Usage => {
            say(USAGE);
            ExitCode::from(2)
        }
    }
}

fn say_line(line: &Line<Value>) {
    say(&serde_json::to_string(line).expect("the protocol serialises to JSON"));
}

/// Nobody may be listening any more: that is no reason to stop half-way.
fn say(text: &str) {
    let mut out = std::io::stdout().lock();
    drop(writeln!(out, "{text}").and_then(|()| out.flush()));
}

/// Runs one call.
pub fn answer(guest: &mut Guest, words: &[String], input: &mut dyn BufRead) -> Answer {
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    let done = match words.as_slice() {
        [verb] => operator_call(guest, verb, input),
        [] => None,
        [verb, rest @ ..] => own_call(guest, verb, rest),
    };
    match done {
        None => Answer::Usage,
        Some(Ok(value)) => Answer::Reply(value),
        Some(Err(error)) => {
            let state = state_of(guest);
            Answer::Refused(redact::refusal(guest.fs, error.refusal(&state)))
        }
    }
}

/// Where things are now, as a sentence.
fn state_of(guest: &mut Guest) -> String {
    let live = match generation::live(guest.fs) {
        Ok(None) => "no generation is live".to_owned(),
        Ok(Some(number)) => format!("generation {number} is live"),
        Err(_) => "it is unknown which generation is live".to_owned(),
    };
    let pending = journal::pending(guest.fs).unwrap_or_default();
    let pending: Vec<String> = pending
        .iter()
        .filter_map(|tx| Some((tx, journal::phase(guest.fs, tx).ok()?)))
        .map(|(tx, phase)| format!("; transaction `{tx}` is {}", words_of(&phase)))
        .collect();
    format!("{live}{}", pending.concat())
}

fn words_of<T: Serialize>(value: &T) -> String {
    let text = serde_json::to_string(value).expect("the model serialises to JSON");
    text.trim_matches('"').replace('-', " ")
}

type Called = Result<Value, GuestError>;

fn reply<T: Serialize>(value: Result<T, GuestError>) -> Called {
    value.map(|value| serde_json::to_value(value).expect("the protocol serialises to JSON"))
}

/// The verbs of the protocol; none when there is no such verb.
fn operator_call(guest: &mut Guest, verb: &str, input: &mut dyn BufRead) -> Option<Called> {
    Some(match verb {
        "observe" => {
            reply(request(input).and_then(|r: ObserveRequest| observe::observe(guest, &r)))
        }
        "receive" => reply(receive(guest, input)),
        "packages" => {
            reply(on_bundle(guest, input, |guest, r| packages::install(guest, &r.digest)))
        }
        "accounts" => reply(on_bundle(guest, input, accounts)),
        "secrets" => reply(secrets_call(guest, input)),
        "databases" => reply(databases(guest, input)),
        "tools" => reply(on_bundle(guest, input, |guest, r| release::tools(guest, &r.digest))),
        "release" => reply(release_call(guest, input)),
        "migrate" => reply(migrate(guest, input)),
        "validate" => reply(on_bundle(guest, input, |guest, r| {
            validate::validate(guest, &r.caller.tx, &r.digest)
        })),
        "begin" => reply(begin_call(guest, input)),
        "result" => reply(request(input).and_then(|r: ResultRequest| result(guest, &r))),
        "confirm" => reply(confirm_call(guest, input)),
        "undo" => reply(undo_call(guest, input)),
        "history" => reply(history(guest, input)),
        "fetch" => reply(fetch(guest, input)),
        "gc" => reply(gc_call(guest, input)),
        "recover" => reply(recover_call(guest)),
        "install-recover" => reply(recover::install(guest)),
        _ => return None,
    })
}

/// Verbs that the guest calls itself by.
fn own_call(guest: &mut Guest, verb: &str, rest: &[&str]) -> Option<Called> {
    let tx: TxId = rest.first()?.parse().ok()?;
    Some(match (verb, rest) {
        ("switch", [_]) => reply(locked(guest, LONG_PATIENCE, |guest| switch::switch(guest, &tx))),
        ("switch-ended", [_]) => {
            reply(locked(guest, LONG_PATIENCE, |guest| undo::after_switch(guest, &tx)))
        }
        ("timer-undo", [_, milliseconds]) => {
            guest.system.sleep(Duration::from_millis(milliseconds.parse().ok()?));
            reply(timer_undo(guest, &tx))
        }
        _ => return None,
    })
}

fn request<T: DeserializeOwned>(input: &mut dyn BufRead) -> Result<T, GuestError> {
    let mut line = Vec::new();
    let read = input.take(REQUEST_BYTES_MAX).read_until(b'\n', &mut line);
    read.map_err(GuestError::ArchiveRead)?;
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
    locked(guest, PATIENCE, |guest| {
        lease::enter(guest, caller)?;
        work(guest)
    })
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
        let archive = &mut input.take(request.bytes);
        let tx = &request.caller.tx;
        let already = store::receive(guest.fs, tx, &request.digest, archive)?;
        Ok(Done { already })
    })
}

/// Users and folders of the bundle are made by the guest's own tools, from the staged files.
fn accounts(guest: &mut Guest, request: &BundleRequest) -> Result<Done, GuestError> {
    let tree = format!("{}/rootfs", store::tree_path(&request.digest));
    for (folder, program) in [
        ("/etc/sysusers.d", &["systemd-sysusers"][..]),
        ("/etc/tmpfiles.d", &["systemd-tmpfiles", "--create"][..]),
    ] {
        let names = guest.fs.list(&format!("{tree}{folder}"))?;
        if names.is_empty() {
            continue;
        }
        let files: Vec<String> =
            names.iter().map(|name| format!("{tree}{folder}/{name}")).collect();
        let argv: Vec<&str> =
            program.iter().copied().chain(files.iter().map(String::as_str)).collect();
        super::system::run(guest.system, &super::Command::new(&argv, ACCOUNTS_LIMIT))?;
    }
    store::set_owners(guest.fs, &request.digest)?;
    Ok(Done { already: false })
}

const ACCOUNTS_LIMIT: Duration = Duration::from_secs(60);

fn secrets_call(guest: &mut Guest, input: &mut dyn BufRead) -> Result<Done, GuestError> {
    let request: SecretsRequest = request(input)?;
    entered(guest, &request.caller, |guest| {
        secrets::write(guest.fs, &request.caller.tx, request.version, &request.files)
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
        release::end_migration(guest)?;
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
        let waits = state.phase == crate::model::Phase::AwaitingConfirm;
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
    let failure = Failure { what, evidence: Vec::new() };
    locked(guest, LONG_PATIENCE, |guest| {
        let state = undo::undo(guest, &request.tx, &failure)?;
        leave_when_over(guest, state)
    })
}

/// The deadline passed, or the switch hangs: then it is ended first.
fn timer_undo(guest: &mut Guest, tx: &TxId) -> Result<(), GuestError> {
    if !journal::is_pending(guest.fs, tx)? {
        return Ok(());
    }
    guest.system.end_switch(tx)?;
    locked(guest, LONG_PATIENCE, |guest| {
        if !journal::is_pending(guest.fs, tx)? {
            return Ok(());
        }
        let what = "nobody confirmed the switch in time".to_owned();
        undo::undo(guest, tx, &Failure { what, evidence: Vec::new() }).map(drop)
    })
}

fn recover_call(guest: &mut Guest) -> Result<(), GuestError> {
    locked(guest, PATIENCE, |guest| {
        let recovered = recover::recover(guest);
        release::end_migration(guest)?;
        recovered
    })
}

fn history(
    guest: &mut Guest,
    input: &mut dyn BufRead,
) -> Result<crate::model::protocol::HistoryReply, GuestError> {
    let request: HistoryRequest = request(input)?;
    lease::check_identity(guest.fs, &request.identity)?;
    observe::history(guest.fs)
}

fn fetch(guest: &mut Guest, input: &mut dyn BufRead) -> Result<FetchReply, GuestError> {
    let request: FetchRequest = request(input)?;
    lease::check_identity(guest.fs, &request.identity)?;
    store::fetch(guest.fs, &request.digest)
}

fn gc_call(
    guest: &mut Guest,
    input: &mut dyn BufRead,
) -> Result<crate::model::protocol::GcReply, GuestError> {
    let request: GcRequest = request(input)?;
    entered(guest, &request.caller, |guest| gc::gc(guest, &request))
}
