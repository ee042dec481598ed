//! Permission bits.

use serde::{Deserialize, Serialize};
use std::{fmt, str::FromStr};

/// Permission bits from 0000 to 0777, written as four octal digits; set-uid, set-gid and sticky do not exist here.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Mode(u32);

/// Text that is not a mode.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{text}` is not a mode: write four octal digits from `0000` to `0777`")]
pub struct ParseModeError {
    pub text: String,
}

impl Mode {
    /// The rule as a regular expression of the whole text.
    pub const FORM: &str = "0[0-7]{3}";
    pub const FILE: Self = Self(0o644);
    pub const EXECUTABLE: Self = Self(0o755);
    pub const DIRECTORY: Self = Self(0o755);
    pub const PRIVATE: Self = Self(0o600);

    /// The bits, for chmod(2).
    pub fn bits(self) -> u32 {
        self.0
    }

    /// Whether somebody may execute it.
    pub fn is_executable(self) -> bool {
        self.0 & 0o111 != 0
    }

    /// Whether users other than the owner may write to it.
    pub fn is_shared(self) -> bool {
        self.0 & 0o022 != 0
    }

    /// Whether users other than the owner and the group may read it.
    pub fn is_world_readable(self) -> bool {
        self.0 & 0o004 != 0
    }
}

impl FromStr for Mode {
    type Err = ParseModeError;
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let octal = text.len() == 4 && text.bytes().all(|b| (b'0'..=b'7').contains(&b));
        let bits = octal.then(|| u32::from_str_radix(text, 8).ok()).flatten();
        bits.filter(|bits| *bits <= 0o777)
            .map(Self)
            .ok_or_else(|| ParseModeError { text: text.to_owned() })
    }
}

impl TryFrom<String> for Mode {
    type Error = ParseModeError;
    fn try_from(text: String) -> Result<Self, Self::Error> {
        text.parse()
    }
}

impl From<Mode> for String {
    fn from(mode: Mode) -> Self {
        mode.to_string()
    }
}

impl fmt::Display for Mode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:04o}", self.0)
    }
}
