//! Why the guest says no, and in which state things are then.

use super::fs::FsError;
use super::secret_values::SecretValues;
use super::system::SystemError;
use crate::model::canonical::CanonicalError;
use crate::model::protocol::{Refusal, RefusalCode};
use crate::model::{Digest, GenerationId, ParseNameError, TxId};

/// Why a call did not do what it was asked for.
#[derive(Debug, thiserror::Error)]
pub enum GuestError {
    #[error(transparent)]
    Fs(#[from] FsError),
    #[error(transparent)]
    System(#[from] SystemError),
    #[error("cannot read the request")]
    Request(#[source] serde_json::Error),
    #[error("the request does not fit: {0}")]
    Unfit(String),
    #[error("`{path}` is not what stackc wrote")]
    Document {
        path: String,
        #[source]
        cause: CanonicalError,
    },
    #[error(
        "`{path}` has format {found}, and this stackc reads format {}; use a newer stackc",
        super::kept::FORMAT
    )]
    Format { path: String, found: u32 },
    #[error("this guest is {found}, and the operator means {wanted}")]
    Identity { found: String, wanted: String },
    #[error("the guest is busy: {holder}")]
    Busy { holder: String },
    #[error("the plan was made against generation {planned}, and generation {live} is live")]
    Stale { planned: GenerationId, live: GenerationId },
    #[error("another run has made generation {number} meanwhile; plan again")]
    Raced { number: GenerationId },
    #[error("what can go has changed since it was shown: `{0}` was not among it")]
    Unseen(String),
    #[error("the transaction `{tx}` is not on this guest")]
    UnknownTx { tx: TxId },
    #[error("the tree `{}` in the store is not the bundle: {problem}", digest.short())]
    Tree { digest: Digest, problem: String },
    #[error("the archive is refused: {0}")]
    Archive(String),
    #[error("cannot read the archive")]
    ArchiveRead(#[source] std::io::Error),
    #[error("the guest has no {what} `{name}`; the bundle's sysusers files make it, or a package")]
    Owner { what: &'static str, name: String },
    #[error("`{step}` did not succeed")]
    Step { step: String, tail: Vec<String> },
    #[error("{what}; {next}")]
    Packages { what: String, next: &'static str, tail: Vec<String> },
    #[error("the staged files are not valid: {count} fault(s)")]
    Invalid { count: usize, faults: Vec<String> },
    #[error("there is not enough room: {free} bytes are free, {needed} are needed")]
    Room { free: u64, needed: u64 },
    #[error("the nonce is not this transaction's")]
    Nonce,
    #[error("the guest is not whole: {0}")]
    Inconsistent(String),
    #[error(transparent)]
    Name(#[from] ParseNameError),
}

impl GuestError {
    /// A failed command as a step that people know, with the end of its log.
    pub fn step(name: &str, error: &SystemError) -> Self {
        let mut tail = error.tail().to_vec();
        tail.push(error.to_string());
        Self::Step { step: name.to_owned(), tail }
    }

    fn code(&self) -> RefusalCode {
        match self {
            Self::Busy { .. } => RefusalCode::Busy,
            Self::Stale { .. } | Self::Raced { .. } | Self::Unseen(_) => RefusalCode::Stale,
            Self::Inconsistent(_) => RefusalCode::Inconsistent,
            Self::UnknownTx { .. } => RefusalCode::Unknown,
            Self::Request(_)
            | Self::Unfit(_)
            | Self::Format { .. }
            | Self::Identity { .. }
            | Self::Nonce
            | Self::Name(_) => RefusalCode::Refused,
            _ => RefusalCode::Failed,
        }
    }

    fn details(&self) -> Vec<String> {
        match self {
            Self::System(error) => error.tail().to_vec(),
            Self::Step { tail, .. } | Self::Packages { tail, .. } => tail.clone(),
            Self::Invalid { faults, .. } => faults.clone(),
            _ => Vec::new(),
        }
    }

    /// The error with these values hidden in its log lines.
    #[must_use]
    pub fn conceal(self, secrets: &SecretValues) -> Self {
        let hide = |tail: Vec<String>| tail.iter().map(|line| secrets.hide(line)).collect();
        match self {
            Self::System(SystemError::Failed { command, ending, tail }) => {
                Self::System(SystemError::Failed { command, ending, tail: hide(tail) })
            }
            Self::Step { step, tail } => Self::Step { step, tail: hide(tail) },
            Self::Packages { what, next, tail } => Self::Packages { what, next, tail: hide(tail) },
            other => other,
        }
    }

    /// The error as it goes over the wire: the message with its causes, and `state`, where things stand now.
    pub fn refusal(&self, state: &str) -> Refusal {
        let mut message = self.to_string();
        let mut cause = std::error::Error::source(self);
        while let Some(error) = cause {
            message = format!("{message}: {error}");
            cause = error.source();
        }
        Refusal { code: self.code(), message, details: self.details(), state: state.to_owned() }
    }
}
