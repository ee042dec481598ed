//! The power cut of a file system: what is not in its journal on disk is lost.
#![expect(
    unsafe_code,
    reason = "no crate has this ioctl behind a safe function; the lint is lifted in this file only"
)]

use std::{fs::File, os::fd::AsRawFd as _, path::Path};

/// Not even the log in memory is written. Source: `XFS_FSOP_GOING_FLAGS_NOLOGFLUSH`, `EXT4_GOING_FLAGS_NOLOGFLUSH`.
const NO_LOG_FLUSH: u32 = 2;

nix::ioctl_read!(
    /// `FS_IOC_SHUTDOWN`: `_IOR('X', 125, __u32)`, of ext4 and xfs.
    fs_ioc_shutdown,
    b'X',
    125,
    u32
);

/// Ends all access of a mounted file system to its device, at once.
pub fn shut_down(mounted: &Path) {
    let folder = File::open(mounted).expect("it is mounted");
    let mut flags = NO_LOG_FLUSH;
    // SAFETY: the kernel reads one `u32` from the pointer, which is to a live one, and writes nothing.
    unsafe { fs_ioc_shutdown(folder.as_raw_fd(), &raw mut flags) }
        .expect("root may, on ext4 and xfs");
}
