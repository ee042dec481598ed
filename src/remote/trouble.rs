//! Calls that did not get through: which are tried again, when, and for how long.

use super::RemoteError;
use std::time::{Duration, Instant};

/// A line that broke this often within one call will break again.
const BREAKS_MAX: u32 = 5;
const FIRST_PAUSE: Duration = Duration::from_millis(200);
const LONGEST_PAUSE: Duration = Duration::from_secs(3);
/// Between two questions to a guest that is busy, each of which waits there for a while.
const BUSY_PAUSE: Duration = Duration::from_secs(2);

/// How long a try of a call may take, and for how long a guest that does not answer is tried again.
#[derive(Debug, Clone, Copy)]
pub(super) struct Terms {
    /// Of one try, its login included; installing stackc-guest has a limit of its own.
    pub(super) limit: Duration,
    pub(super) patience: Duration,
}

/// What has gone wrong with one call so far.
#[derive(Debug)]
pub(super) struct Trouble {
    terms: Terms,
    /// Since when nobody answers.
    since: Option<Instant>,
    breaks: u32,
    pause: Duration,
    /// What was told last.
    told: Option<bool>,
}

impl Trouble {
    pub(super) fn new(terms: Terms) -> Self {
        Self { terms, since: None, breaks: 0, pause: FIRST_PAUSE, told: None }
    }

    /// How long to wait before the next try; none when this error is the answer.
    pub(super) fn pause(&mut self, error: &RemoteError, now: Instant) -> Option<Duration> {
        if !error.is_lost() && !error.is_busy() {
            return None;
        }
        if error.is_break() {
            self.breaks += 1;
            // However long the call had been at work: only from now on does nobody answer.
            self.since = None;
        }
        let since = *self.since.get_or_insert(now);
        if self.breaks > BREAKS_MAX || now.duration_since(since) >= self.patience(error) {
            return None;
        }
        if error.is_busy() {
            return Some(BUSY_PAUSE);
        }
        let pause = self.pause;
        self.pause = (pause * 2).min(LONGEST_PAUSE);
        Some(pause)
    }

    /// A guest that is busy after a break is at work on the first try, for as long as that may take.
    fn patience(&self, error: &RemoteError) -> Duration {
        if error.is_busy() && self.breaks > 0 { self.terms.limit } else { self.terms.patience }
    }

    /// Whether the operator has not been told of this sort of trouble yet.
    pub(super) fn is_new(&mut self, error: &RemoteError) -> bool {
        self.told.replace(error.is_busy()) != Some(error.is_busy())
    }

    /// What is wrong and what is done about it, as a sentence. A guest that has just been started lets nobody in for some
    /// seconds: ssh's own words come when it stays so.
    pub(super) fn text(&self, error: &RemoteError) -> String {
        let seconds = self.patience(error).as_secs();
        match error {
            RemoteError::Connect { address, .. } => {
                format!("{address} lets nobody in yet; trying for up to {seconds} s")
            }
            other => format!("{other}; trying again for up to {seconds} s"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::protocol::{Refusal, RefusalCode};
    use std::net::{IpAddr, Ipv4Addr};

    const ADDRESS: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);
    const TERMS: Terms =
        Terms { limit: Duration::from_secs(3600), patience: Duration::from_secs(45) };

    fn lost() -> RemoteError {
        RemoteError::Lost { address: ADDRESS, verb: "release" }
    }

    fn refused_login() -> RemoteError {
        let (user, log) = ("root".to_owned(), "connection refused".to_owned());
        RemoteError::Connect { address: ADDRESS, user, log }
    }

    fn busy() -> RemoteError {
        let (details, state) = (Vec::new(), String::new());
        let message = "another call is at work".to_owned();
        let refusal = Box::new(Refusal { code: RefusalCode::Busy, message, details, state });
        RemoteError::Refused { address: ADDRESS, verb: "release", refusal }
    }

    fn after(start: Instant, seconds: u64) -> Instant {
        start + Duration::from_secs(seconds)
    }

    #[test]
    fn a_call_whose_connection_breaks_after_an_hour_is_tried_again_for_all_its_patience() {
        let (mut trouble, start) = (Trouble::new(TERMS), Instant::now());
        assert!(trouble.pause(&lost(), after(start, 3000)).is_some());
        assert!(trouble.pause(&refused_login(), after(start, 3044)).is_some());
        assert!(trouble.pause(&refused_login(), after(start, 3045)).is_none());
    }

    #[test]
    fn a_first_try_that_is_still_at_work_on_the_guest_is_waited_for_as_long_as_it_may_take() {
        let (mut trouble, start) = (Trouble::new(TERMS), Instant::now());
        assert!(trouble.pause(&lost(), start).is_some());
        assert!(trouble.pause(&busy(), after(start, 3599)).is_some());
        assert!(trouble.pause(&busy(), after(start, 3600)).is_none());
    }

    #[test]
    fn somebody_elses_work_is_waited_for_no_longer_than_a_lost_connection() {
        let (mut trouble, start) = (Trouble::new(TERMS), Instant::now());
        assert!(trouble.pause(&busy(), start).is_some());
        assert!(trouble.pause(&busy(), after(start, 45)).is_none());
    }

    #[test]
    fn a_line_that_keeps_breaking_is_given_up() {
        let (mut trouble, now) = (Trouble::new(TERMS), Instant::now());
        for _ in 0..BREAKS_MAX {
            assert!(trouble.pause(&lost(), now).is_some());
        }
        assert!(trouble.pause(&lost(), now).is_none());
    }

    #[test]
    fn without_patience_the_first_error_is_the_answer() {
        let terms = Terms { patience: Duration::ZERO, ..TERMS };
        assert!(Trouble::new(terms).pause(&lost(), Instant::now()).is_none());
    }

    #[test]
    fn each_sort_of_trouble_is_told_once() {
        let mut trouble = Trouble::new(TERMS);
        let told = [lost(), refused_login(), busy(), busy()].map(|error| trouble.is_new(&error));
        assert_eq!(told, [true, false, true, false]);
    }
}
