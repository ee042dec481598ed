//! Tasks: what Proxmox does after it has answered.

use super::{ProxmoxError, api::Api};
use crate::model::{HostKey, NodeName, Vmid};
use serde_json::Value;
use std::time::{Duration, Instant};

/// Most tasks take about a second: the first looks come soon, the later ones spare the node.
const FIRST_PAUSE: Duration = Duration::from_millis(50);
const LONGEST_PAUSE: Duration = Duration::from_secs(2);
/// The end of a log that an error shows.
const LOG_TAIL: usize = 15;
/// The most lines of a log that are asked for at once; the API's own default is 50.
const LOG_LINES: usize = 5000;

/// Waits until a task is over. `WARNINGS: n` is success (pve-common `PVE/UPID.pm`, `status_is_error`).
pub(super) fn follow(
    api: &Api,
    node: &NodeName,
    what: &str,
    upid: &Value,
) -> Result<(), ProxmoxError> {
    let unreadable = || ProxmoxError::Unreadable {
        path: format!("the call to {what}"),
        what: "it should name a task".to_owned(),
    };
    let upid = upid.as_str().ok_or_else(unreadable)?;
    let exit = settle(api, node, what, upid)?;
    judge(api, node, what, upid, &exit)
}

/// Waits until a task is over, however it ends, and returns how it did.
pub(super) fn settle(
    api: &Api,
    node: &NodeName,
    what: &str,
    upid: &str,
) -> Result<String, ProxmoxError> {
    let started = Instant::now();
    let mut pause = FIRST_PAUSE;
    loop {
        let status = api.get(&path(node, upid, "status"))?;
        if status["status"] == "stopped" {
            return Ok(status["exitstatus"].as_str().unwrap_or("unexpected status").to_owned());
        }
        if started.elapsed() > api.task_limit {
            let (what, upid) = (what.to_owned(), upid.to_owned());
            return Err(ProxmoxError::Slow { what, upid, seconds: api.task_limit.as_secs() });
        }
        api.pause(pause, what)?;
        pause = (pause * 2).min(LONGEST_PAUSE);
    }
}

fn judge(
    api: &Api,
    node: &NodeName,
    what: &str,
    upid: &str,
    exit: &str,
) -> Result<(), ProxmoxError> {
    if exit == "OK" || exit.starts_with("WARNINGS:") {
        return Ok(());
    }
    // A log that cannot be read must not hide the failure that it would explain.
    let log = log(api, node, upid).unwrap_or_default();
    let tail = log[log.len().saturating_sub(LOG_TAIL)..].to_vec();
    let (what, upid, exit) = (what.to_owned(), upid.to_owned(), exit.to_owned());
    Err(ProxmoxError::Task { what, upid, exit, log: tail })
}

pub(super) fn log(api: &Api, node: &NodeName, upid: &str) -> Result<Vec<String>, ProxmoxError> {
    let answer = api.get(&format!("{}?start=0&limit={LOG_LINES}", path(node, upid, "log")))?;
    let lines = answer.as_array().into_iter().flatten();
    Ok(lines.filter_map(|line| Some(line["t"].as_str()?.to_owned())).collect())
}

/// A running or finished task about this guest of this type, the newest first.
pub(super) fn list(
    api: &Api,
    node: &NodeName,
    vmid: Vmid,
    kind: &str,
) -> Result<Vec<String>, ProxmoxError> {
    let path = format!("/nodes/{node}/tasks?vmid={vmid}&source=all&typefilter={kind}&limit=50");
    let mut tasks: Vec<(u64, String)> = api
        .get(&path)?
        .as_array()
        .into_iter()
        .flatten()
        .filter_map(|t| Some((t["starttime"].as_u64()?, t["upid"].as_str()?.to_owned())))
        .collect();
    tasks.sort_by(|a, b| b.cmp(a));
    Ok(tasks.into_iter().map(|(_, upid)| upid).collect())
}

/// The ed25519 host key that pve-container's `Setup.pm` made, as its log shows it.
pub(super) fn host_key(log: &[String]) -> Option<HostKey> {
    let made = log.iter().position(|line| line.contains("'ssh_host_ed25519_key'"))?;
    let done = log[made + 1..].iter().find_map(|line| line.trim().strip_prefix("done: "))?;
    done.split_whitespace().next()?.parse().ok()
}

fn path(node: &NodeName, upid: &str, leaf: &str) -> String {
    // `!`, `@` and `:` stand in every task's name.
    let encode = |byte: u8| match byte {
        b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'.' | b'_' => {
            char::from(byte).to_string()
        }
        other => format!("%{other:02X}"),
    };
    let segment: Vec<String> = upid.bytes().map(encode).collect();
    let segment = segment.concat();
    format!("/nodes/{node}/tasks/{segment}/{leaf}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_host_key_is_the_line_after_its_announcement() {
        let log: Vec<String> = [
            "Creating SSH host key 'ssh_host_rsa_key' - this may take some time ...",
            "done: SHA256:QpetPmgOMnt43FDtwUM5x4NoHmEhW5SqvUu5qRZEicA root@a1",
            "Creating SSH host key 'ssh_host_ed25519_key' - this may take some time ...",
            "done: SHA256:zTa1rupDvPZ6bq8hS/HZYFHddnJqSXKZQvl0SzBAnSE root@a1",
        ]
        .map(str::to_owned)
        .to_vec();
        let key = host_key(&log).expect("the log shows it");
        assert_eq!(key.as_str(), "SHA256:zTa1rupDvPZ6bq8hS/HZYFHddnJqSXKZQvl0SzBAnSE");
        assert_eq!(host_key(&log[..2]), None);
    }
}
