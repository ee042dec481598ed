//! The folder of a lab's state. A mark in it says whose it is: only such a folder is ever filled or removed, whatever `--state` names.

use super::{
    Lab, LabError, LabName, Place,
    error::{AtPath as _, remove_if_there},
    place::{DESCRIPTION, USUAL_STATES},
    prerequisites,
};
use camino::Utf8Path;
use std::{
    fs::{self, Permissions},
    io,
    os::unix::fs::PermissionsExt as _,
    thread,
    time::Duration,
};

/// Holds the lab's name. Made first and removed last, so that a killed `up` or `down` leaves a folder that is known.
const MARK: &str = "stackc-lab";

/// Makes the folder with its mark, unless it is there.
///
/// # Errors
/// When this is not root, when the path cannot hold a lab, and when it is somebody else's folder, which stays as it is.
pub fn make(place: &Place) -> Result<(), LabError> {
    prerequisites::check_root()?;
    place.check()?;
    refuse_foreign(place)?;
    // Guests are other users: what is made here must let them pass.
    rustix::process::umask(rustix::fs::Mode::from_raw_mode(0o022));
    let state = &place.state;
    fs::create_dir_all(state).at("make", state)?;
    fs::set_permissions(state, Permissions::from_mode(0o711)).at("set the mode of", state)?;
    fs::write(state.join(MARK), place.name.as_str()).at("write", state.join(MARK))
}

/// The name of the lab whose state is in this folder; none when there is no lab, or nothing that tells its name.
pub fn name_in(state: &Utf8Path) -> Option<LabName> {
    let description = fs::read(state.join(DESCRIPTION)).ok();
    let lab = description.and_then(|text| serde_json::from_slice::<Lab>(&text).ok());
    let marked = || fs::read_to_string(state.join(MARK)).ok()?.parse().ok();
    lab.map(|lab| lab.name).or_else(marked)
}

/// Refuses a folder that is the state of a lab with another name, which would be used, or removed, by mistake.
pub(super) fn refuse_other(place: &Place) -> Result<(), LabError> {
    match name_in(&place.state) {
        Some(is) if is != place.name => Err(LabError::OtherLab {
            path: place.state.clone(),
            wanted: place.name.to_string(),
            options: Place { name: is.clone(), ..place.clone() }.options(),
            is: is.to_string(),
        }),
        _ => Ok(()),
    }
}

/// Whether the folder is there.
pub(super) fn exists(place: &Place) -> bool {
    place.state.exists()
}

/// Removes the folder, if it is there.
pub(super) fn remove(place: &Place) -> Result<(), LabError> {
    refuse_foreign(place)?;
    if !exists(place) {
        return Ok(());
    }
    // Without a description nobody takes what is left for a lab.
    remove_if_there(&place.description(), |path| fs::remove_file(path))?;
    for entry in place.state.read_dir_utf8().at("list", &place.state)? {
        let entry = entry.at("list", &place.state)?;
        if entry.file_name() != MARK {
            remove_whatever(entry.path())?;
        }
    }
    remove_if_there(&place.state, |path| fs::remove_dir_all(path))?;
    if place.state.parent() == Some(Utf8Path::new(USUAL_STATES)) {
        // Other labs may still be there.
        let _ = fs::remove_dir(USUAL_STATES);
    }
    Ok(())
}

fn remove_whatever(path: &Utf8Path) -> Result<(), LabError> {
    let is_folder = path.symlink_metadata().is_ok_and(|found| found.is_dir());
    remove_if_there(
        path,
        |path| {
            if is_folder { remove_folder(path) } else { fs::remove_file(path) }
        },
    )
}

/// A program that is just being ended may write into the folder while it goes: 5 s are waited for that.
fn remove_folder(path: &Utf8Path) -> io::Result<()> {
    for _ in 0..50 {
        match fs::remove_dir_all(path) {
            Err(cause) if cause.kind() == io::ErrorKind::DirectoryNotEmpty => {
                thread::sleep(Duration::from_millis(100));
            }
            removed => return removed,
        }
    }
    fs::remove_dir_all(path)
}

/// Refuses a folder that holds something, but no lab, or another.
pub(super) fn refuse_foreign(place: &Place) -> Result<(), LabError> {
    refuse_other(place)?;
    let marked = place.state.join(MARK).exists() || place.description().exists();
    let empty = !exists(place)
        || place.state.read_dir_utf8().is_ok_and(|mut entries| entries.next().is_none());
    if marked || empty {
        Ok(())
    } else {
        Err(LabError::ForeignFolder { path: place.state.clone() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use camino::Utf8PathBuf;

    #[test]
    fn a_folder_that_is_no_labs_is_never_removed() {
        let folder = tempfile::tempdir().expect("a folder");
        let state = Utf8PathBuf::from_path_buf(folder.path().to_owned()).expect("UTF-8");
        fs::write(state.join("thesis.odt"), "ten years").expect("it is ours");
        let place = Place { state: state.clone(), ..Place::usual("lab".parse().expect("a name")) };
        assert!(matches!(remove(&place), Err(LabError::ForeignFolder { .. })));
        assert!(state.join("thesis.odt").exists());
    }

    #[test]
    fn a_folder_of_another_lab_is_never_removed_nor_taken_over() {
        let folder = tempfile::tempdir().expect("a folder");
        let state = Utf8PathBuf::from_path_buf(folder.path().join("state")).expect("UTF-8");
        fs::create_dir_all(state.join("guests/lab-101")).expect("it is ours");
        // All that a killed `up` or `down` leaves.
        fs::write(state.join(MARK), "kept").expect("it is ours");
        let of = |name: &str| Place {
            state: state.clone(),
            ..Place::usual(name.parse().expect("a name"))
        };
        let refused = remove(&of("nope")).expect_err("it is another lab's").to_string();
        assert!(refused.contains(&format!("--name kept --state {state}")), "{refused}");
        assert!(state.join("guests/lab-101").exists());
        assert_eq!(name_in(&state), Some(of("kept").name));
        remove(&of("kept")).expect("it is its own");
        assert!(!state.exists());
    }

    #[test]
    fn a_folder_whose_removal_was_cut_short_is_removed_by_the_next() {
        let folder = tempfile::tempdir().expect("a folder");
        let state = Utf8PathBuf::from_path_buf(folder.path().join("state")).expect("UTF-8");
        fs::create_dir_all(state.join("guests/lab-101")).expect("it is ours");
        fs::write(state.join(MARK), "").expect("it is ours");
        let place = Place { state: state.clone(), ..Place::usual("lab".parse().expect("a name")) };
        remove(&place).expect("it has the mark");
        assert!(!state.exists());
    }
}
