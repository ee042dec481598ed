//! The bytes of the door's files: host keys and password hashes among them, so that nothing can print them.

use super::super::error::GuestError;
use super::super::kept;
use crate::model::Digest;
use std::collections::BTreeMap;

/// What is longer is no configuration. The longest that Debian brings, sshd's moduli, takes half of it.
pub const TEXT_BYTES_MAX: u64 = 1 << 20;
/// All of a door: what an undo has in its memory at once.
const ALL_BYTES_MAX: usize = 8 << 20;

/// Texts by their hash.
#[derive(Default)]
pub struct Texts {
    texts: BTreeMap<Digest, Vec<u8>>,
    bytes: usize,
}

impl Texts {
    /// Keeps one more; false when there is no room for it.
    #[must_use]
    pub fn add(&mut self, hash: Digest, text: &[u8]) -> bool {
        if self.texts.contains_key(&hash) {
            return true;
        }
        let has_room = self.bytes + text.len() <= ALL_BYTES_MAX;
        if has_room {
            self.bytes += text.len();
            self.texts.insert(hash, text.to_vec());
        }
        has_room
    }

    pub fn get(&self, hash: Digest) -> Result<&[u8], GuestError> {
        let missing = || GuestError::Inconsistent(format!("no text `{}` was kept", hash.short()));
        self.texts.get(&hash).map(Vec::as_slice).ok_or_else(missing)
    }

    /// The format, then each text after its length; both numbers are lines. JSON has no bytes, and hex digits would take
    /// twice the room.
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut bytes = format!("{}\n", kept::FORMAT).into_bytes();
        for text in self.texts.values() {
            bytes.extend(format!("{}\n", text.len()).bytes());
            bytes.extend(text);
        }
        bytes
    }

    /// None when it is not what `to_bytes` makes.
    pub fn from_bytes(bytes: &[u8]) -> Option<Self> {
        let mut texts = Self::default();
        let (format, mut left) = number(bytes)?;
        while !left.is_empty() {
            let (length, rest) = number(left)?;
            let (text, rest) = rest.split_at_checked(length)?;
            left = rest;
            texts.add(Digest::of(text), text).then_some(())?;
        }
        (format == kept::FORMAT as usize).then_some(texts)
    }
}

/// Root's own path whose content cannot be kept.
pub fn unfit(path: &str) -> GuestError {
    GuestError::Unfit(format!(
        "`{path}` is part of the way in and cannot be kept: it is longer than 1 MiB, or no file, folder or symlink, or \
         all of the way in is longer than 8 MiB; move it away first"
    ))
}

/// The number in the first line, and what comes after that.
fn number(bytes: &[u8]) -> Option<(usize, &[u8])> {
    let end = bytes.iter().position(|byte| *byte == b'\n')?;
    let number = std::str::from_utf8(&bytes[..end]).ok()?.parse().ok()?;
    Some((number, &bytes[end + 1..]))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_byte_of_every_text_comes_back_and_what_was_cut_off_does_not_pass() {
        let all: Vec<u8> = (0..=255).collect();
        let mut texts = Texts::default();
        for text in [&all[..], b"", b"12\n34"] {
            assert!(texts.add(Digest::of(text), text));
        }
        let bytes = texts.to_bytes();
        let read = Texts::from_bytes(&bytes).expect("it is whole");
        for text in [&all[..], b"", b"12\n34"] {
            assert_eq!(read.get(Digest::of(text)).expect("it was kept"), text);
        }
        for end in 0..bytes.len() {
            let cut = Texts::from_bytes(&bytes[..end]);
            assert!(cut.is_none_or(|cut| cut.texts.len() < 3), "{end}");
        }
        assert!(Texts::from_bytes(b"2\n").is_none(), "another format");
    }

    #[test]
    fn more_than_an_undo_can_have_in_its_memory_is_not_kept() {
        let mut texts = Texts::default();
        let text = |byte: u8| vec![byte; ALL_BYTES_MAX / 2];
        assert!(
            texts.add(Digest::of(&text(1)), &text(1)) && texts.add(Digest::of(&text(2)), &text(2))
        );
        assert!(!texts.add(Digest::of(b"one more"), b"one more"));
        assert!(texts.add(Digest::of(&text(1)), &text(1)), "it is kept already");
    }
}
