//! One call: a request and perhaps bytes in, events and a reply out.

use super::{
    RemoteError, binary,
    session::{Door, Login, chain},
};
use crate::model::protocol::{Line, News};
use openssh::Stdio;
use serde::de::DeserializeOwned;
use std::time::{Duration, Instant};
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};

/// The most of a line that is kept; `observe` of a large guest has some megabytes.
const STDERR_BYTES: u64 = 16 << 10;

/// What is sent with one call.
#[derive(Clone, Copy)]
pub(super) struct Message<'a> {
    pub(super) verb: &'static str,
    /// One line of JSON.
    pub(super) request: &'a [u8],
    pub(super) payload: &'a [u8],
    /// What the call may take in all, and when that is over.
    pub(super) limit: Duration,
    pub(super) until: Instant,
}

/// Runs one verb of `stackc-guest` and returns its reply.
pub(super) async fn call<T: DeserializeOwned>(
    door: &Door,
    login: &Login,
    message: &Message<'_>,
    progress: &dyn Fn(News<'_>),
) -> Result<T, RemoteError> {
    let whole = exchange(door, login, message, progress);
    tokio::time::timeout_at(message.until.into(), whole).await.unwrap_or_else(|_| {
        let seconds = message.limit.as_secs();
        Err(RemoteError::Slow { address: door.address, verb: message.verb, seconds })
    })
}

async fn exchange<T: DeserializeOwned>(
    door: &Door,
    login: &Login,
    message: &Message<'_>,
    progress: &dyn Fn(News<'_>),
) -> Result<T, RemoteError> {
    let (address, verb) = (door.address, message.verb);
    let lost = || RemoteError::Lost { address, verb };
    let command = format!("exec {} {verb}", binary::path());
    let mut child = login
        .session
        .raw_command(as_root(door, &command))
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .await
        .map_err(|_| lost())?;
    let mut stdin = child.stdin().take().expect("it is piped");
    let stdout = child.stdout().take().expect("it is piped");
    let stderr = child.stderr().take().expect("it is piped");
    // A guest that refuses early closes its end: what counts is its reply, not that the rest could not be sent.
    let send = async {
        if stdin.write_all(message.request).await.is_ok() {
            let _ = stdin.write_all(message.payload).await;
        }
        drop(stdin);
    };
    let mut complaint = String::new();
    let complain = async {
        let _ = stderr.take(STDERR_BYTES).read_to_string(&mut complaint).await;
    };
    let (reply, (), ()) = tokio::join!(replies::<T>(door, verb, stdout, progress), send, complain);
    let ended = child.wait().await;
    match (reply?, ended) {
        (Some(Line::Reply(reply)), _) => Ok(reply),
        (Some(Line::Refused(refusal)), _) => {
            Err(RemoteError::Refused { address, verb, refusal: Box::new(refusal) })
        }
        (_, Err(openssh::Error::Remote(_))) => Err(RemoteError::NotInstalled { address }),
        // The mux protocol cannot tell a killed process (terminated) from a lost connection.
        (
            _,
            Err(
                openssh::Error::Disconnected
                | openssh::Error::SshMux(_)
                | openssh::Error::RemoteProcessTerminated,
            ),
        ) => Err(lost()),
        (_, status) => Err(RemoteError::Ended {
            address,
            verb,
            status: status.map_or_else(|error| chain(&error), |status| status.to_string()),
            stderr: complaint.trim().to_owned(),
        }),
    }
}

/// Reads lines until the reply; news go to the progress display as they come.
async fn replies<T: DeserializeOwned>(
    door: &Door,
    verb: &'static str,
    stdout: impl tokio::io::AsyncRead + Unpin,
    progress: &dyn Fn(News<'_>),
) -> Result<Option<Line<T>>, RemoteError> {
    let mut lines = BufReader::new(stdout).lines();
    let mut last = None;
    while let Ok(Some(line)) = lines.next_line().await {
        match serde_json::from_str::<Line<T>>(&line) {
            Ok(Line::Event { step, text }) => progress(News::Event { step: &step, text: &text }),
            Ok(Line::Output(line)) => progress(News::Output(&line)),
            Ok(end) => last = Some(end),
            Err(error) => {
                let line: String = line.chars().take(200).collect();
                let what = format!("{error}, in: {line}");
                return Err(RemoteError::Unreadable { address: door.address, verb, what });
            }
        }
    }
    Ok(last)
}

/// A shell command as root: directly, or through sudo, which must not ask.
pub(super) fn as_root(door: &Door, script: &str) -> String {
    let quoted = script.replace('\'', r"'\''");
    if door.access.user.as_str() == "root" {
        format!("/bin/sh -c '{quoted}'")
    } else {
        format!("sudo -n /bin/sh -c '{quoted}'")
    }
}
