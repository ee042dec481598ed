//! Programs of the machine, each with a limit.

use super::LabError;
use std::{
    fs::File,
    process::{Command, Output, Stdio},
};

/// Where Debian keeps programs; root's `PATH` lacks the second half after a plain `su`.
pub(super) const PROGRAM_PATH: &str =
    "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// Runs a program to its end and returns what it printed. `doing` completes "cannot …".
pub(super) fn run(doing: &str, limit_seconds: u32, argv: &[&str]) -> Result<String, LabError> {
    outcome(doing, limit_seconds, argv, &output(doing, limit_seconds, argv, Stdio::null())?)
}

/// As `run`, with a lock that the program and its children hold on to, should this process be killed before them.
pub(super) fn run_locked(
    doing: &str,
    limit_seconds: u32,
    argv: &[&str],
    lock: &File,
) -> Result<String, LabError> {
    let lock = lock.try_clone().map_err(|cause| unrunnable(doing, cause))?;
    outcome(doing, limit_seconds, argv, &output(doing, limit_seconds, argv, Stdio::from(lock))?)
}

fn outcome(
    doing: &str,
    limit_seconds: u32,
    argv: &[&str],
    output: &Output,
) -> Result<String, LabError> {
    if output.status.success() {
        return Ok(String::from_utf8_lossy(&output.stdout).into_owned());
    }
    let errors = String::from_utf8_lossy(&output.stderr);
    let outcome = match (output.status.code(), errors.trim()) {
        // Source: timeout(1), EXIT STATUS.
        (Some(124 | 137), _) => format!("did not end within {limit_seconds} s"),
        (_, "") => format!("ended with {}", output.status),
        (_, text) => format!("said: {}", last_lines(text, 12)),
    };
    Err(LabError::Program { doing: doing.to_owned(), command: argv.join(" "), outcome })
}

/// Whether a program succeeds; for questions whose "no" is no fault.
pub(super) fn succeeds(limit_seconds: u32, argv: &[&str]) -> bool {
    output("ask", limit_seconds, argv, Stdio::null()).is_ok_and(|o| o.status.success())
}

fn output(
    doing: &str,
    limit_seconds: u32,
    argv: &[&str],
    stdin: Stdio,
) -> Result<Output, LabError> {
    // setpriv(1) and timeout(1) are in essential packages. A daemon that is killed takes its programs with it: one
    // that lived on would write into what the next daemon makes at the same place. Whom that signal comes too late for
    // has another parent by then. In the foreground, Ctrl-C ends the program too.
    Command::new("setpriv")
        .args(["--pdeathsig", "TERM", "sh", "-c", r#"[ "$PPID" = "$0" ] && exec timeout "$@""#])
        .args([
            &std::process::id().to_string(),
            "--foreground",
            "--kill-after=5",
            &limit_seconds.to_string(),
        ])
        .args(argv)
        .env("LC_ALL", "C.UTF-8")
        .env("PATH", PROGRAM_PATH)
        .stdin(stdin)
        .output()
        .map_err(|cause| unrunnable(doing, cause))
}

fn unrunnable(doing: &str, cause: std::io::Error) -> LabError {
    LabError::Unrunnable { doing: doing.to_owned(), program: "setpriv".to_owned(), cause }
}

fn last_lines(text: &str, count: usize) -> String {
    let lines: Vec<&str> = text.lines().collect();
    lines[lines.len().saturating_sub(count)..].join("\n")
}
