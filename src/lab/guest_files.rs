//! Files that the node writes into a guest's root from outside.
//!
//! The guest's root may be hostile: a link there must not lead root of this machine elsewhere. Every path is resolved by the kernel as
//! if the guest's root were `/` (openat2(2), `RESOLVE_IN_ROOT`).

use super::{LabError, base::ROOT_ID, error::AtPath as _};
use camino::{Utf8Path, Utf8PathBuf};
use rustix::fs::{Mode, OFlags, ResolveFlags};
use std::{
    fs::File,
    io::{Read as _, Write as _},
    os::fd::OwnedFd,
};

/// Larger files of the guest are not read.
const READ_BYTES_MAX: u64 = 1 << 20;

/// Lines between these are the node's, others the guest's. Source: pve-container, `PVE/LXC/Setup/Base.pm`.
const SECTION: (&str, &str) = ("# --- BEGIN PVE ---\n", "# --- END PVE ---\n");

pub(super) struct GuestRoot {
    root: OwnedFd,
    path: Utf8PathBuf,
}

impl GuestRoot {
    pub(super) fn open(path: &Utf8Path) -> Result<Self, LabError> {
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let root = rustix::fs::open(path.as_str(), flags, Mode::empty()).at("open", path)?;
        Ok(Self { root, path: path.to_owned() })
    }

    /// Puts a file of the guest's root there, whole or not at all.
    pub(super) fn write(&self, path: &str, bytes: &[u8], mode: u32) -> Result<(), LabError> {
        let (folder, name) = path.rsplit_once('/').unwrap_or((".", path));
        let shown = self.path.join(path);
        let folder = self
            .resolve(folder, OFlags::PATH | OFlags::DIRECTORY)
            .at("open the folder of", &shown)?;
        let fresh = format!(".{name}.lab");
        // What a killed write left is in the way of an exclusive create.
        let _ = rustix::fs::unlinkat(&folder, &fresh, rustix::fs::AtFlags::empty());
        let flags =
            OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let file = rustix::fs::openat(&folder, &fresh, flags, Mode::from_raw_mode(0o600))
            .at("write", &shown)?;
        let mut file = File::from(file);
        file.write_all(bytes).at("write", &shown)?;
        std::os::unix::fs::fchown(&file, Some(ROOT_ID), Some(ROOT_ID))
            .at("give to the guest", &shown)?;
        rustix::fs::fchmod(&file, Mode::from_raw_mode(mode)).at("set the mode of", &shown)?;
        rustix::fs::renameat(&folder, &fresh, &folder, name).at("move into place", &shown)
    }

    /// Replaces the node's own lines in a file of the guest and leaves the others.
    pub(super) fn write_section(&self, path: &str, section: &str) -> Result<(), LabError> {
        let text = self.read(path)?;
        self.write(path, with_section(&text, section).as_bytes(), 0o644)
    }

    fn read(&self, path: &str) -> Result<String, LabError> {
        let mut text = Vec::new();
        match self.resolve(path, OFlags::RDONLY | OFlags::NONBLOCK) {
            Err(rustix::io::Errno::NOENT) => {}
            opened => {
                let file = File::from(opened.at("open", self.path.join(path))?);
                file.take(READ_BYTES_MAX)
                    .read_to_end(&mut text)
                    .at("read", self.path.join(path))?;
            }
        }
        Ok(String::from_utf8_lossy(&text).into_owned())
    }

    fn resolve(&self, path: &str, flags: OFlags) -> rustix::io::Result<OwnedFd> {
        let resolve = ResolveFlags::IN_ROOT | ResolveFlags::NO_MAGICLINKS;
        rustix::fs::openat2(&self.root, path, flags | OFlags::CLOEXEC, Mode::empty(), resolve)
    }
}

fn with_section(text: &str, section: &str) -> String {
    let (begin, end) = SECTION;
    let (before, after) = match text.split_once(begin) {
        Some((before, rest)) => (before, rest.split_once(end).map_or("", |(_, after)| after)),
        None => (text, ""),
    };
    let newline = if before.is_empty() || before.ends_with('\n') { "" } else { "\n" };
    format!("{before}{newline}{begin}{section}{end}{after}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_section_of_the_node_is_replaced() {
        let first = with_section("127.0.0.1 localhost", "10.0.0.5 a\n");
        assert_eq!(
            first,
            "127.0.0.1 localhost\n# --- BEGIN PVE ---\n10.0.0.5 a\n# --- END PVE ---\n"
        );
        let edited = format!("{first}10.0.0.9 friend\n");
        let second = with_section(&edited, "10.0.0.6 a\n");
        assert_eq!(
            second,
            "127.0.0.1 localhost\n# --- BEGIN PVE ---\n10.0.0.6 a\n# --- END PVE ---\n10.0.0.9 friend\n"
        );
    }

    #[test]
    fn a_link_in_a_guest_does_not_lead_out_of_it() {
        let outside = tempfile::tempdir().expect("a folder");
        let guest = tempfile::tempdir().expect("a folder");
        std::os::unix::fs::symlink(outside.path(), guest.path().join("etc")).expect("a link");
        let path = Utf8Path::from_path(guest.path()).expect("UTF-8");
        let root = GuestRoot::open(path).expect("the guest's root");
        assert!(root.write("etc/hostname", b"x", 0o644).is_err());
        assert_eq!(std::fs::read_dir(outside.path()).expect("readable").count(), 0);
    }
}
