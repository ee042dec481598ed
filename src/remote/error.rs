//! What can go wrong between the operator and a guest.

use crate::model::{
    HostKey,
    protocol::{Refusal, RefusalCode},
};
use std::{io, net::IpAddr};

#[derive(Debug, thiserror::Error)]
pub enum RemoteError {
    #[error("cannot prepare the SSH connection to {address}")]
    Prepare {
        address: IpAddr,
        #[source]
        cause: io::Error,
    },
    #[error("ssh is not installed: apt-get install openssh-client")]
    NoSsh,
    #[error("cannot log in to {address} as `{user}`: {log}")]
    Connect { address: IpAddr, user: String, log: String },
    #[error(
        "{address} shows another SSH host key than `{}`, which the guest was made with: something else may answer there",
        pinned.as_str()
    )]
    HostKey { address: IpAddr, pinned: HostKey },
    #[error("{address} does not let `{user}` in with any key that ssh has for it: {log}")]
    Denied { address: IpAddr, user: String, log: String },
    #[error("sudo asks `{user}` for a password on {address}; use --ask-sudo-password")]
    SudoAsks { address: IpAddr, user: String },
    #[error("sudo on {address} does not take this password of `{user}`")]
    SudoPassword { address: IpAddr, user: String },
    #[error(
        "the connection to {address} broke while the guest ran `{verb}`; the guest may have finished it"
    )]
    Lost { address: IpAddr, verb: &'static str },
    #[error("`{verb}` on {address} was interrupted")]
    Interrupted { address: IpAddr, verb: &'static str },
    #[error("{address} did not finish `{verb}` within {seconds} s")]
    Slow { address: IpAddr, verb: &'static str, seconds: u64 },
    #[error("stackc-guest is not on {address}")]
    NotInstalled { address: IpAddr },
    #[error("cannot install stackc-guest on {address}: {what}")]
    Install { address: IpAddr, what: String },
    #[error("the connection to {address} broke while stackc-guest was being installed: {what}")]
    InstallLost { address: IpAddr, what: String },
    #[error("stackc-guest on {address} ended in the middle of `{verb}` ({status}): {stderr}")]
    Ended { address: IpAddr, verb: &'static str, status: String, stderr: String },
    #[error(
        "stackc-guest on {address} answered `{verb}` with something that stackc cannot read: {what}"
    )]
    Unreadable { address: IpAddr, verb: &'static str, what: String },
    #[error("the guest {address} refused `{verb}`: {}", refusal.message)]
    Refused { address: IpAddr, verb: &'static str, refusal: Box<Refusal> },
}

impl RemoteError {
    /// Whether the same call over a new connection may do better.
    pub fn is_lost(&self) -> bool {
        matches!(self, Self::Connect { .. } | Self::Lost { .. } | Self::InstallLost { .. })
    }

    /// Whether the guest answered, and does not let this user in.
    pub fn is_denied(&self) -> bool {
        matches!(self, Self::Denied { .. })
    }

    /// Whether nothing was sent: there was no login to send it over.
    pub fn is_kept_out(&self) -> bool {
        matches!(
            self,
            Self::Prepare { .. }
                | Self::NoSsh
                | Self::Connect { .. }
                | Self::HostKey { .. }
                | Self::Denied { .. }
                | Self::SudoPassword { .. }
        )
    }

    /// Whether the operator wants no answer any more.
    pub fn is_interrupted(&self) -> bool {
        matches!(self, Self::Interrupted { .. })
    }

    /// What mends it, as a command or a place to look.
    pub fn next(&self) -> Option<&'static str> {
        Some(match self {
            Self::NoSsh => "apt-get install openssh-client",
            Self::HostKey { .. } => {
                "pct exec VMID -- ssh-keygen -lf /etc/ssh/ssh_host_ed25519_key.pub   # on the node; a new key that you \
                 know the reason of goes into the line `stackc-hostkey` of the guest's description in Proxmox"
            }
            Self::Denied { .. } => {
                "ssh-add -l   # the keys that ssh tries; `access.user` in stacks/site.toml names the user, and \
                 `access.identity` in stacks/site.toml names the one key to try"
            }
            Self::Connect { .. } => {
                "pct enter VMID   # on its node: whether sshd runs, and what the firewall bars"
            }
            Self::Interrupted { .. } => "the same command again continues",
            Self::Refused { refusal, .. } if refusal.code == RefusalCode::Busy => {
                "the same command again, when that is over"
            }
            _ => return None,
        })
    }

    /// Whether a connection stood, and broke: the network is there, and the next try may well get through.
    pub(super) fn is_break(&self) -> bool {
        matches!(self, Self::Lost { .. } | Self::InstallLost { .. })
    }

    /// Whether the guest itself said no. After any other error nobody knows if the call had its effect.
    pub fn is_answer(&self) -> bool {
        self.refusal().is_some()
    }

    /// The guest's own no, when that is what it was.
    pub fn refusal(&self) -> Option<&Refusal> {
        match self {
            Self::Refused { refusal, .. } => Some(refusal),
            _ => None,
        }
    }

    /// Whether the guest does not know the transaction that it was asked about.
    pub fn is_unknown(&self) -> bool {
        self.refusal().is_some_and(|refusal| refusal.code == RefusalCode::Unknown)
    }

    /// Whether the guest tried and could not, for a reason that may pass: no room, a program that did not answer.
    pub fn is_failed(&self) -> bool {
        self.refusal().is_some_and(|refusal| refusal.code == RefusalCode::Failed)
    }

    /// Whether another call still holds the guest, perhaps this one's own first try.
    pub fn is_busy(&self) -> bool {
        self.refusal().is_some_and(|refusal| refusal.code == RefusalCode::Busy)
    }
}
