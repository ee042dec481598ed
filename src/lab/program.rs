//! Programs of the machine, each with a limit.

use super::LabError;
use std::process::{Command, Output, Stdio};

/// Where Debian keeps programs; root's `PATH` lacks the second half after a plain `su`.
pub(super) const PROGRAM_PATH: &str =
    "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// Runs a program to its end and returns what it printed. `doing` completes "cannot …".
pub(super) fn run(doing: &str, limit_seconds: u32, argv: &[&str]) -> Result<String, LabError> {
    let output = output(doing, limit_seconds, argv)?;
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
    output("ask", limit_seconds, argv).is_ok_and(|o| o.status.success())
}

fn output(doing: &str, limit_seconds: u32, argv: &[&str]) -> Result<Output, LabError> {
    // timeout(1) is part of coreutils, which is essential.
    Command::new("timeout")
        .args(["--kill-after=5", &limit_seconds.to_string()])
        .args(argv)
        .env("LC_ALL", "C.UTF-8")
        .env("PATH", PROGRAM_PATH)
        .stdin(Stdio::null())
        .output()
        .map_err(|cause| LabError::Unrunnable {
            doing: doing.to_owned(),
            program: "timeout".to_owned(),
            cause,
        })
}

fn last_lines(text: &str, count: usize) -> String {
    let lines: Vec<&str> = text.lines().collect();
    lines[lines.len().saturating_sub(count)..].join("\n")
}
