//! What people read about a guest in Proxmox.

use serde::{Deserialize, Serialize};
use std::{fmt, str::FromStr};

/// The part of a guest's description that is not stackc's own: lines without white space at their ends, and no empty ones
/// at the beginning and end.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Notes(String);

/// Text that cannot stand above stackc's own lines.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ParseNotesError {
    #[error("a description has no control characters but line feeds")]
    Control,
    #[error("a line of the description begins as stackc's own lines do")]
    OwnLine,
    #[error("a description has at most {} bytes", Notes::BYTES_MAX)]
    Long,
}

impl Notes {
    /// Proxmox takes 8,192 characters; stackc's own lines below are at most 180 bytes. Source: `description` in
    /// pve-container, `LXC/Config.pm`.
    const BYTES_MAX: usize = 8000;

    /// The notes of a whole description, stackc's own lines left out; empty when there are none.
    pub fn in_description(description: &str) -> String {
        normal(description.lines().filter(|line| !is_own(line)))
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }
}

fn is_own(line: &str) -> bool {
    ["stackc ", "stackc-hostkey "].iter().any(|word| line.starts_with(word))
}

fn normal<'a>(lines: impl Iterator<Item = &'a str>) -> String {
    lines.map(str::trim_end).collect::<Vec<_>>().join("\n").trim_matches('\n').to_owned()
}

impl FromStr for Notes {
    type Err = ParseNotesError;
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        if text.chars().any(|c| c.is_control() && c != '\n') {
            Err(ParseNotesError::Control)
        } else if text.lines().any(|line| is_own(line) || line.trim_end() == "stackc") {
            Err(ParseNotesError::OwnLine)
        } else if text.len() > Self::BYTES_MAX {
            Err(ParseNotesError::Long)
        } else {
            Ok(Self(normal(text.lines())))
        }
    }
}

impl fmt::Display for Notes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl TryFrom<String> for Notes {
    type Error = ParseNotesError;
    fn try_from(text: String) -> Result<Self, Self::Error> {
        text.parse()
    }
}

impl From<Notes> for String {
    fn from(notes: Notes) -> Self {
        notes.0
    }
}
