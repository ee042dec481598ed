//! A copy of a folder, second names and all. Tests make thousands of them, each of some hundred small files: `cp` takes
//! longer to start than to copy.

use rustix::fs::{AtFlags, CWD, Timespec, Timestamps, utimensat};
use std::{
    collections::BTreeMap,
    fs::{self, Metadata},
    os::unix::fs::{MetadataExt as _, lchown, symlink},
    path::{Path, PathBuf},
};

/// Copies what is in a folder into another that is empty: names, kinds, bytes, modes, owners, times, and which names are
/// one file.
pub fn copy_folder(from: &Path, to: &Path) {
    let mut first_names = BTreeMap::new();
    for entry in walkdir::WalkDir::new(from) {
        let entry = entry.expect("it is readable");
        let stat = entry.path().symlink_metadata().expect("it is there");
        let copy = to.join(entry.path().strip_prefix(from).expect("it is below"));
        if stat.is_dir() {
            fs::create_dir_all(&copy).expect("there is room");
            keep_access(&copy, &stat);
        } else {
            let first = first_names.entry(stat.ino()).or_insert_with(|| copy.clone());
            copy_one(entry.path(), &copy, first, &stat);
        }
    }
    // What comes into a folder changes its time.
    for entry in walkdir::WalkDir::new(from).contents_first(true) {
        let entry = entry.expect("it is readable");
        let copy = to.join(entry.path().strip_prefix(from).expect("it is below"));
        keep_time(&copy, &entry.path().symlink_metadata().expect("it is there"));
    }
}

fn copy_one(from: &Path, copy: &Path, first: &PathBuf, stat: &Metadata) {
    if first != copy {
        fs::hard_link(first, copy).expect("one file system has both");
        return;
    }
    if stat.is_symlink() {
        symlink(fs::read_link(from).expect("it is a link"), copy).expect("there is room");
    } else {
        assert!(stat.is_file(), "{} is of no kind that a guest's folder has", from.display());
        fs::copy(from, copy).expect("there is room");
    }
    keep_access(copy, stat);
}

fn keep_access(copy: &Path, stat: &Metadata) {
    let made = copy.symlink_metadata().expect("it was just made");
    if (made.uid(), made.gid()) != (stat.uid(), stat.gid()) {
        lchown(copy, Some(stat.uid()), Some(stat.gid())).expect("root may");
    }
    if !stat.is_symlink() && made.mode() != stat.mode() {
        fs::set_permissions(copy, stat.permissions()).expect("it is ours");
    }
}

fn keep_time(copy: &Path, stat: &Metadata) {
    let time = |tv_sec, tv_nsec| Timespec { tv_sec, tv_nsec };
    let times = Timestamps {
        last_access: time(stat.atime(), stat.atime_nsec()),
        last_modification: time(stat.mtime(), stat.mtime_nsec()),
    };
    utimensat(CWD, copy, &times, AtFlags::SYMLINK_NOFOLLOW).expect("it is ours");
}

#[test]
fn a_copy_of_a_folder_is_what_cp_makes() {
    let [from, ours, theirs] = [(); 3].map(|()| tempfile::tempdir().expect("there is room"));
    fs::create_dir_all(from.path().join("a/b")).expect("there is room");
    fs::write(from.path().join("a/b/file"), "text").expect("there is room");
    let mode = std::os::unix::fs::PermissionsExt::from_mode(0o2711);
    fs::set_permissions(from.path().join("a/b"), mode).expect("it is ours");
    fs::hard_link(from.path().join("a/b/file"), from.path().join("twin")).expect("it is there");
    symlink("nowhere", from.path().join("a/link")).expect("there is room");
    copy_folder(from.path(), ours.path());
    let all = from.path().join(".");
    let copied = std::process::Command::new("cp").arg("-a").arg(all).arg(theirs.path()).status();
    assert!(copied.expect("cp can be run").success());
    let look = |root: &Path| -> Vec<String> {
        let paths = walkdir::WalkDir::new(root).sort_by_file_name().into_iter();
        let line = |path: PathBuf| {
            let stat = path.symlink_metadata().expect("it is there");
            let what = (fs::read(&path).ok(), fs::read_link(&path).ok(), stat.nlink());
            let when = (stat.mtime(), stat.mtime_nsec());
            let access = (stat.mode(), stat.uid(), stat.gid());
            format!("{:?} {access:?} {when:?} {what:?}", path.strip_prefix(root))
        };
        paths.map(|entry| line(entry.expect("it is readable").into_path())).collect()
    };
    assert_eq!(look(ours.path()), look(theirs.path()));
}
