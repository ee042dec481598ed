//! What can go wrong between the operator and Proxmox.

use crate::model::{NodeName, SecretName, Vmid};

/// A call to Proxmox that did not do what it was for.
#[derive(Debug, thiserror::Error)]
pub enum ProxmoxError {
    #[error("cannot set up the connection to Proxmox at {url}")]
    Setup {
        url: String,
        #[source]
        cause: Box<dyn std::error::Error + Send + Sync>,
    },
    #[error("the API token `{name}` is not of the form USER@REALM!TOKENID=UUID")]
    Token { name: String },
    #[error("no answer from Proxmox to {method} {path}")]
    Silent {
        method: &'static str,
        path: String,
        #[source]
        cause: reqwest::Error,
    },
    #[error("Proxmox refused {method} {path}: {text} (status {status})")]
    Refused { method: &'static str, path: String, status: u16, text: String },
    #[error(
        "Proxmox refused {method} {path}: {text} (status 401); the API token is the secret `{token}` in \
         `stacks/secrets.local.toml`: put there one that Proxmox knows and that has not expired"
    )]
    Unauthorized { method: &'static str, path: String, text: String, token: SecretName },
    #[error("Proxmox answered {path} with something that stackc cannot read: {what}")]
    Unreadable { path: String, what: String },
    #[error("Proxmox could not {what}: {exit} (task {upid})")]
    Task { what: String, upid: String, exit: String, log: Vec<String> },
    #[error("Proxmox did not finish within {seconds} s to {what}; it may still (task {upid})")]
    Slow { what: String, upid: String, seconds: u64 },
    #[error("interrupted while Proxmox was to {what}; it may still")]
    Interrupted { what: String },
    #[error("guest number {vmid} is taken by {owner}, which is not stackc's")]
    Taken { vmid: Vmid, owner: String },
    #[error("guest {vmid} has disappeared from node `{node}`")]
    Gone { vmid: Vmid, node: NodeName },
    #[error(
        "guest {vmid} is to be a virtual machine, and this version of stackc makes containers only"
    )]
    Machine { vmid: Vmid },
    #[error(
        "no ed25519 host key in the logs of the tasks that created guest {vmid}; add the line `stackc-hostkey SHA256:…` (ssh-keygen -lf /etc/ssh/ssh_host_ed25519_key.pub on the guest) above the last line of its description"
    )]
    NoHostKey { vmid: Vmid },
}

impl ProxmoxError {
    /// Lines that show what happened: the end of a task's log.
    pub fn evidence(&self) -> &[String] {
        match self {
            Self::Task { log, .. } => log,
            _ => &[],
        }
    }

    /// What mends it, where the message does not say it.
    pub fn next(&self) -> Option<&'static str> {
        match self {
            Self::Setup { .. } | Self::Silent { .. } => Some(
                "see that `proxmox.url` in stacks/site.toml answers from here; then the same again",
            ),
            Self::Token { .. } => Some(
                "pveum user token list USER@REALM   # on the node; the value is shown once, when it is made",
            ),
            Self::Task { .. } | Self::Slow { .. } | Self::Gone { .. } => {
                Some("look at the task log of that guest in Proxmox; then the same again")
            }
            Self::Interrupted { .. } => Some("the same command again continues"),
            Self::Unreadable { .. } => {
                Some("see that `proxmox.url` in stacks/site.toml is a Proxmox API")
            }
            Self::Refused { status: 403, .. } => {
                Some("give the token that privilege   # pveum acl modify, on the node")
            }
            Self::Refused { .. }
            | Self::Unauthorized { .. }
            | Self::Taken { .. }
            | Self::Machine { .. }
            | Self::NoHostKey { .. } => None,
        }
    }

    /// Whether nobody can say if the call had its effect, so that the state has to be read again.
    pub fn outcome_unknown(&self) -> bool {
        match self {
            Self::Silent { .. } | Self::Slow { .. } => true,
            // pveproxy's own words for "the daemon behind me did not answer" (AnyEvent.pm).
            Self::Refused { status, .. } => matches!(status, 595..=599),
            _ => false,
        }
    }

    /// Whether the operator wants no answer any more.
    pub fn is_interrupted(&self) -> bool {
        matches!(self, Self::Interrupted { .. })
    }

    /// Whether a lock was held; nothing was changed then.
    pub(super) fn is_lock_contention(&self) -> bool {
        matches!(self, Self::Refused { text, .. }
            if text.contains("can't lock file") || text.contains("got lock request timeout"))
    }

    pub(super) fn says(&self, words: &str) -> bool {
        match self {
            Self::Refused { text, .. } => text.contains(words),
            Self::Task { exit, .. } => exit.contains(words),
            _ => false,
        }
    }
}
