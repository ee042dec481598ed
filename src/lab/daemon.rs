//! The process that serves the API. It has no child that matters and no state that is not on disk: it may be killed at any time.

use super::{
    Lab, LabError, Place, api, certificate, error::AtPath as _, node::Node, program::PROGRAM_PATH,
    state,
};
use camino::{Utf8Path, Utf8PathBuf};
use rustix::{
    fs::{FlockOperation, flock},
    process::{Pid, Signal},
};
use std::{
    convert::Infallible,
    fs::{self, File, OpenOptions},
    net::TcpListener,
    os::fd::AsFd as _,
    process::{Command, Stdio},
    sync::Arc,
    time::{Duration, Instant},
};

/// A daemon listens within a fraction of a second; a machine under load may need longer.
const COME_UP: Duration = Duration::from_secs(20);

/// After SIGTERM, and after SIGKILL.
const END: Duration = Duration::from_secs(5);

/// Serves the lab of this place until it is told to end: what `stackc lab serve` runs.
pub fn serve(place: &Place) -> Result<Infallible, LabError> {
    let lab = state::read(place)?;
    rustix::process::umask(rustix::fs::Mode::from_raw_mode(0o022));
    // Fails only for a process that leads its session already, which is as good.
    let _ = rustix::process::setsid();
    let _lock = own(&lab.state)?;
    let port = lab.port();
    let listener =
        TcpListener::bind(("127.0.0.1", port)).map_err(|cause| LabError::Listen { port, cause })?;
    let tls = certificate::load(&lab.state)?;
    let pid_file = lab.state.join("daemon.pid");
    let node = Node::open(lab)?;
    // Written last: whoever sees it may call.
    fs::write(&pid_file, std::process::id().to_string()).at("write", &pid_file)?;
    api::serve(listener, tls, Arc::new(node))
}

/// Held as long as the daemon lives; a pid alone may be somebody else's by now.
fn own(state: &Utf8Path) -> Result<File, LabError> {
    let file = lock_file(state)?;
    flock(&file, FlockOperation::NonBlockingLockExclusive)
        .map_err(|_| LabError::DaemonRuns { path: state.to_owned() })?;
    let _ = fs::remove_file(state.join("daemon.pid"));
    Ok(file)
}

fn lock_file(state: &Utf8Path) -> Result<File, LabError> {
    let path = state.join("daemon.lock");
    OpenOptions::new().create(true).append(true).open(&path).at("open", path)
}

/// The running daemon's pid.
pub(super) fn running(state: &Utf8Path) -> Option<Pid> {
    let lock = state.join("daemon.lock").exists().then(|| lock_file(state).ok())??;
    if flock(lock.as_fd(), FlockOperation::NonBlockingLockShared).is_ok() {
        return None;
    }
    let pid = fs::read_to_string(state.join("daemon.pid")).ok()?;
    Pid::from_raw(pid.trim().parse().ok()?)
}

/// Starts `program lab serve` in a session of its own and waits until it listens.
pub(super) fn start(lab: &Lab, place: &Place, program: &Utf8Path) -> Result<(), LabError> {
    let log = lab.state.join("daemon.log");
    let out = OpenOptions::new().create(true).append(true).open(&log).at("open", &log)?;
    let errors = out.try_clone().at("open", &log)?;
    // setsid forks and ends, so that the daemon is nobody's child and leaves no zombie behind.
    let started = Command::new("setsid")
        .args(["--fork", program.as_str(), "lab", "serve", "--name", place.name.as_str()])
        .args(["--state", place.state.as_str(), "--cache", place.cache.as_str()])
        .env("PATH", PROGRAM_PATH)
        .current_dir("/")
        .stdin(Stdio::null())
        .stdout(out)
        .stderr(errors)
        .status();
    started.map_err(|cause| LabError::Unrunnable {
        doing: "start the lab's daemon".to_owned(),
        program: "setsid".to_owned(),
        cause,
    })?;
    let deadline = Instant::now() + COME_UP;
    while running(&lab.state).is_none() {
        if Instant::now() > deadline {
            return Err(silent(log));
        }
        std::thread::sleep(Duration::from_millis(20));
    }
    Ok(())
}

fn silent(log: Utf8PathBuf) -> LabError {
    let text = fs::read_to_string(&log).unwrap_or_default();
    let lines: Vec<&str> = text.lines().collect();
    let tail = lines[lines.len().saturating_sub(10)..].join("\n");
    LabError::DaemonSilent { seconds: COME_UP.as_secs(), log, tail }
}

/// Ends the daemon, if one runs: asks first.
pub(super) fn stop(state: &Utf8Path) -> Result<(), LabError> {
    for signal in [Signal::TERM, Signal::KILL] {
        let Some(pid) = running(state) else { return Ok(()) };
        let _ = rustix::process::kill_process(pid, signal);
        let deadline = Instant::now() + END;
        while running(state).is_some() && Instant::now() < deadline {
            std::thread::sleep(Duration::from_millis(20));
        }
    }
    match running(state) {
        None => Ok(()),
        Some(pid) => {
            Err(LabError::Unkillable { what: format!("the lab's daemon, process {pid:?}") })
        }
    }
}
