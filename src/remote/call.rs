//! One call: a request and perhaps bytes in, events and a reply out.

use super::{
    RemoteError, binary,
    session::{Door, Login, chain},
};
use crate::model::protocol::{Line, News};
use openssh::Stdio;
use serde::de::DeserializeOwned;
use std::net::IpAddr;
use std::time::{Duration, Instant};
use tokio::io::{AsyncBufReadExt, AsyncRead, AsyncReadExt, AsyncWriteExt, BufReader, Take};

/// The most that a guest may say in one call: `observe` tells the manifest and the units' texts of the largest bundle.
const STDOUT_BYTES_MAX: u64 = 160 << 20;
/// sudo's own words for a password that nobody gave it. Source: sudo 1.9, `check_user_interactive`.
const SUDO_ASKS: &str = "a password is required";
/// What is kept of a complaint.
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
        .raw_command(login.as_root(&command))
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
        for part in [login.password_line().as_bytes(), message.request, message.payload] {
            if stdin.write_all(part).await.is_err() {
                break;
            }
        }
        drop(stdin);
    };
    let mut complaint = Vec::new();
    let complain = async {
        // What came before it broke is kept.
        let _ = stderr.take(STDERR_BYTES).read_to_end(&mut complaint).await;
    };
    let (reply, (), ()) = tokio::join!(
        replies::<T>(address, verb, stdout.take(STDOUT_BYTES_MAX), progress),
        send,
        complain
    );
    let complaint = String::from_utf8_lossy(&complaint);
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
        (_, _) if complaint.contains(SUDO_ASKS) => Err(login.sudo_asks(address)),
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
    address: IpAddr,
    verb: &'static str,
    stdout: Take<impl AsyncRead + Unpin>,
    progress: &dyn Fn(News<'_>),
) -> Result<Option<Line<T>>, RemoteError> {
    let mut lines = BufReader::new(stdout).split(b'\n');
    let mut last = None;
    while let Ok(Some(line)) = lines.next_segment().await {
        match serde_json::from_slice::<Line<T>>(&line) {
            Ok(Line::Event { step, text }) => progress(News::Event { step: &step, text: &text }),
            Ok(Line::Output(line)) => progress(News::Output(&line)),
            Ok(end) => last = Some(end),
            Err(error) => {
                let line: String = String::from_utf8_lossy(&line).chars().take(200).collect();
                let what = format!("{error}, in: {line}");
                return Err(RemoteError::Unreadable { address, verb, what });
            }
        }
    }
    Ok(last)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::protocol::Done;
    use std::net::Ipv4Addr;

    fn hear(said: impl AsyncRead + Unpin) -> Result<Option<Line<Done>>, RemoteError> {
        let heard = replies(Ipv4Addr::LOCALHOST.into(), "observe", said.take(1 << 20), &|_| {});
        let runtime = tokio::runtime::Builder::new_current_thread().build();
        runtime.expect("it needs nothing").block_on(heard)
    }

    #[test]
    fn an_answer_that_is_no_text_is_not_taken_for_silence() {
        let heard = hear(&b"{\"output\":\"\xff\"}\n{\"reply\":{\"already\":true}}\n"[..]);
        assert!(matches!(heard, Err(RemoteError::Unreadable { .. })), "{heard:?}");
    }

    #[test]
    fn a_guest_whose_line_has_no_end_is_not_listened_to_for_ever() {
        let heard = hear(tokio::io::repeat(b'x'));
        assert!(matches!(heard, Err(RemoteError::Unreadable { .. })), "{heard:?}");
    }
}
