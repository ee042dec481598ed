//! The demo's hold on its lab: one demo at a time, and no lab but a demo's is ever replaced.

use crate::lab::{self, LabError, LabName, Place};
use camino::{Utf8Path, Utf8PathBuf};
use rustix::fs::{FlockOperation, flock};
use std::{
    fs::{DirBuilder, File},
    io,
    os::unix::fs::DirBuilderExt as _,
};

/// The demo's lab, unless `--name` says otherwise; others may run beside it.
const NAME: &str = "demo";

/// Where the demo's guests are kept when there is room: a container's many small files are written and removed there in
/// seconds, and on a busy disk in minutes.
const MEMORY: &str = "/dev/shm";
/// Two guests with their packages take 1.2 GB.
const ROOM_MIB: u64 = 3 * 1024;

/// A folder of the lab's state that says that the lab is a demo's; `lab down` removes it with the rest. It holds the workspace.
const MARK: &str = "demo";

/// Why the demo does not begin. Nothing has been changed.
#[derive(Debug, thiserror::Error)]
pub(super) enum ClaimError {
    #[error(transparent)]
    Unfit(#[from] LabError),
    #[error("another demo runs in `{state}`; wait for its end, or choose another `--name`")]
    Runs { state: Utf8PathBuf },
    #[error(
        "the lab `{name}` in `{state}` was not made by the demo, which would replace it; choose another `--name`, or remove it: \
         stackc lab down{options}"
    )]
    Foreign { name: String, state: Utf8PathBuf, options: String },
    #[error("cannot make or lock `{path}`")]
    Folder {
        path: Utf8PathBuf,
        #[source]
        cause: io::Error,
    },
}

/// Held as long as the demo runs.
pub(super) struct Claim {
    /// Where the demo keeps its workspace.
    pub folder: Utf8PathBuf,
    /// Whether a demo before left a lab, by a kill or by `--keep`.
    pub left: bool,
    _lock: File,
}

/// The place that was asked for; without a name and a state, the demo's own.
pub(super) fn place(
    name: Option<LabName>,
    state: Option<Utf8PathBuf>,
    cache: Utf8PathBuf,
) -> Place {
    let name = name.unwrap_or_else(|| NAME.parse().expect("it is a lab's name"));
    let usual = Place::usual(name);
    let state = state.unwrap_or_else(|| usual_state(&usual));
    Place { state, cache, ..usual }
}

/// Where a demo before was, or in memory when there is room.
fn usual_state(usual: &Place) -> Utf8PathBuf {
    let in_memory = Utf8Path::new(MEMORY).join(format!("stackc-lab-{}", usual.name));
    let free = rustix::fs::statvfs(MEMORY).map_or(0, |fs| (fs.f_bavail * fs.f_frsize) >> 20);
    let used = |state: &Utf8Path| state.join(MARK).exists();
    if used(&in_memory) || (free >= ROOM_MIB && !used(&usual.state)) {
        in_memory
    } else {
        usual.state.clone()
    }
}

/// Takes the place for this demo.
pub(super) fn claim(place: &Place) -> Result<Claim, ClaimError> {
    let folder = place.state.join(MARK);
    if lab::read(place).is_ok() && !folder.exists() {
        return Err(ClaimError::Foreign {
            name: place.name.to_string(),
            state: place.state.clone(),
            options: place.options(),
        });
    }
    let left = place.state.exists();
    lab::make_folder(place)?;
    let lock = lock(&folder).map_err(|cause| match cause.kind() {
        io::ErrorKind::WouldBlock => ClaimError::Runs { state: place.state.clone() },
        _ => ClaimError::Folder { path: folder.clone(), cause },
    })?;
    Ok(Claim { folder, left, _lock: lock })
}

/// Makes the folder, unless it is there, and locks it.
fn lock(folder: &Utf8Path) -> io::Result<File> {
    // It will hold keys and secrets.
    DirBuilder::new().recursive(true).mode(0o700).create(folder)?;
    let folder = File::open(folder)?;
    flock(&folder, FlockOperation::NonBlockingLockExclusive)?;
    Ok(folder)
}

#[cfg(test)]
mod tests {
    use super::lock;
    use camino::Utf8Path;
    use std::io::ErrorKind;

    #[test]
    fn a_second_demo_in_one_place_is_refused_while_the_first_runs() {
        let folder = tempfile::tempdir().expect("a folder");
        let folder = Utf8Path::from_path(folder.path()).expect("UTF-8").join("demo");
        let first = lock(&folder).expect("nobody is there");
        let second = lock(&folder).map_err(|refused| refused.kind());
        assert_eq!(second.err(), Some(ErrorKind::WouldBlock));
        drop(first);
        lock(&folder).expect("the first has ended");
    }
}
