//! An operator who wants no more of it while Proxmox is asked.

use std::{future::Future, time::Duration};
use tokio::sync::watch;

/// Becomes true when the operator wants no more of it; none: nobody will say so.
#[derive(Clone, Default)]
pub(super) struct Stop(Option<watch::Receiver<bool>>);

impl Stop {
    pub(super) fn when(says: watch::Receiver<bool>) -> Self {
        Self(Some(says))
    }

    /// For what is begun now: what is begun after the operator said so brings a guest to an end that can be told, and is
    /// not cut short.
    pub(super) fn of_this_call(&self) -> Self {
        Self(if self.came() { None } else { self.0.clone() })
    }

    pub(super) fn came(&self) -> bool {
        self.0.as_ref().is_some_and(|stop| *stop.borrow())
    }

    /// The work's result; none when the operator spoke first.
    pub(super) async fn unless<T>(&self, work: impl Future<Output = T>) -> Option<T> {
        tokio::select! {
            biased;
            () = self.comes() => None,
            done = work => Some(done),
        }
    }

    /// Whether all of this time has passed.
    pub(super) async fn pause(&self, time: Duration) -> bool {
        self.unless(tokio::time::sleep(time)).await.is_some()
    }

    /// Ends when the operator wants no more of it; never, when nobody can say so any more.
    async fn comes(&self) {
        if let Some(mut stop) = self.0.clone()
            && stop.wait_for(|stop| *stop).await.is_ok()
        {
            return;
        }
        std::future::pending::<()>().await;
    }
}
