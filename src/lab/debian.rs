//! The Debians that guests can be made of, each known by its template's name, as on a node.

use std::{fmt, str::FromStr};

/// A release of Debian.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Debian {
    Twelve,
    Thirteen,
}

/// Text that names no Debian that a lab can make guests of.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{text}` is no Debian that a lab has: 12 and 13 are")]
pub struct ParseDebianError {
    pub text: String,
}

impl Debian {
    pub(super) fn suite(self) -> &'static str {
        match self {
            Self::Twelve => "bookworm",
            Self::Thirteen => "trixie",
        }
    }

    /// Volume id of its template. Source: Proxmox's list of appliances, `aplinfo.dat`.
    pub fn template(self) -> &'static str {
        match self {
            Self::Twelve => "local:vztmpl/debian-12-standard_12.12-1_amd64.tar.zst",
            Self::Thirteen => "local:vztmpl/debian-13-standard_13.1-2_amd64.tar.zst",
        }
    }

    pub(super) fn of_template(volume: &str) -> Option<Self> {
        [Self::Twelve, Self::Thirteen].into_iter().find(|debian| debian.template() == volume)
    }

    /// The version of its systemd, of which a node warns.
    pub(super) fn systemd(self) -> u32 {
        match self {
            Self::Twelve => 252,
            Self::Thirteen => 257,
        }
    }

    /// Units that fail in an unprivileged guest of this release only. Where the machine's kernel has no modules, systemd 257 is
    /// degraded by its failure to load none.
    pub(super) fn masked_units(self) -> &'static [&'static str] {
        match self {
            Self::Twelve => &[],
            Self::Thirteen => &["systemd-modules-load.service"],
        }
    }
}

impl fmt::Display for Debian {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Twelve => "12",
            Self::Thirteen => "13",
        })
    }
}

impl FromStr for Debian {
    type Err = ParseDebianError;
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text {
            "12" => Ok(Self::Twelve),
            "13" => Ok(Self::Thirteen),
            _ => Err(ParseDebianError { text: text.to_owned() }),
        }
    }
}
