//! Room that a transaction keeps for its own end.

use super::folder;
use crate::guest::error::GuestError;
use crate::guest::fs::{GuestFs, Sync, remove_tree};
use crate::model::TxId;
use std::io::Read;

/// Given back to the file system when a transaction is decided and again when it ends, so that a full disk cannot stop it,
/// nor a program that fills it meanwhile: so many bytes, and so many files, since decision, notes and record need an inode
/// each, and a file that is replaced has two for a moment.
const RESERVE_BYTES: u64 = 512 << 10;
const RESERVE_FILES: u32 = 8;

/// For which of its two needs a transaction keeps room.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reserve {
    ToDecide,
    ToEnd,
}

impl Reserve {
    fn folder(self) -> &'static str {
        match self {
            Self::ToDecide => "reserve",
            Self::ToEnd => "reserve-to-end",
        }
    }
}

/// Bytes that no file system shrinks: zeroes would be a hole on one that compresses, and hold no room.
struct Noise {
    left: u64,
    state: u64,
}

impl Noise {
    fn new() -> Self {
        Self { left: RESERVE_BYTES, state: 0x9e37_79b9_7f4a_7c15 }
    }
}

impl Read for Noise {
    /// Marsaglia's xorshift64, eight bytes a step.
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        let wanted = buffer.len().min(usize::try_from(self.left).unwrap_or(usize::MAX));
        for chunk in buffer[..wanted].chunks_mut(8) {
            self.state ^= self.state << 13;
            self.state ^= self.state >> 7;
            self.state ^= self.state << 17;
            chunk.copy_from_slice(&self.state.to_le_bytes()[..chunk.len()]);
        }
        self.left -= wanted as u64;
        Ok(wanted)
    }
}

/// Takes the room for both needs, below the folder of a transaction.
pub fn write(fs: &mut dyn GuestFs, tx_folder: &str) -> Result<(), GuestError> {
    for reserve in [Reserve::ToDecide, Reserve::ToEnd] {
        write_one(fs, &format!("{tx_folder}/{}", reserve.folder()))?;
    }
    Ok(())
}

/// Takes room for one way back, in a folder of its own.
pub fn write_one(fs: &mut dyn GuestFs, folder: &str) -> Result<(), GuestError> {
    fs.mkdir(folder, 0o700)?;
    for number in 1..RESERVE_FILES {
        fs.write(&format!("{folder}/{number}"), &mut std::io::empty(), 0o600, Sync::Later)?;
    }
    fs.write(&format!("{folder}/0"), &mut Noise::new(), 0o600, Sync::Now)?;
    Ok(fs.sync_dir(folder)?)
}

/// Gives a reserve back to the file system.
pub fn free_reserve(fs: &mut dyn GuestFs, tx: &TxId, reserve: Reserve) -> Result<(), GuestError> {
    Ok(remove_tree(fs, &format!("{}/{}", folder(tx), reserve.folder()))?)
}
