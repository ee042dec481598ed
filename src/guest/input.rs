//! What an operator sends, who may be gone without a word.

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use std::io::{self, ErrorKind, Read};
use std::os::fd::AsFd;
use std::time::Duration;

/// Twice as long as the operator's ssh takes to notice a dead connection. sshd notices nothing for two hours (TCP
/// keepalive), and a call that waits for its archive holds the guest's lock.
pub const SILENCE: Duration = Duration::from_secs(30);

/// Reads, but waits no longer than `limit` for the next bytes: then the call ends as if the connection had.
pub struct Impatient<F> {
    pub from: F,
    pub limit: Duration,
}

impl<F: AsFd> Read for Impatient<F> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let limit = Timespec::try_from(self.limit).expect("seconds fit");
        let mut watched = [PollFd::new(&self.from, PollFlags::IN)];
        if poll(&mut watched, Some(&limit))? == 0 {
            let text = format!("the operator has sent nothing for {} s", self.limit.as_secs());
            return Err(io::Error::new(ErrorKind::TimedOut, text));
        }
        Ok(rustix::io::read(&self.from, buffer)?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;

    #[test]
    fn an_operator_who_falls_silent_within_an_archive_does_not_hold_the_guest() {
        let (from, mut operator) = io::pipe().expect("a pipe");
        let mut input = Impatient { from, limit: Duration::from_millis(50) };
        operator.write_all(b"half").expect("the pipe is open");
        let mut archive = Vec::new();
        let error = input.read_to_end(&mut archive).expect_err("the other half never comes");
        assert_eq!((archive.as_slice(), error.kind()), (&b"half"[..], ErrorKind::TimedOut));
        drop(operator);
        assert_eq!(input.read_to_end(&mut archive).expect("it has ended"), 0);
    }
}
