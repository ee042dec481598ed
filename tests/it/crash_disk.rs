//! A guest's folder on a file system of its own, in a file in memory: loaded from an image, cut from its power, booted.
//!
//! A worker's mounts are in a mount namespace of its own thread. Its loop device stays attached from one image to the next;
//! what a test that is killed leaves behind, the next one clears away.

use crate::{
    crash_shutdown::shut_down,
    guest_fixture::{Folder, LEFT_OVER, in_memory},
    left_out::is_left_out,
};
use nix::{
    errno::Errno,
    mount::{MntFlags, MsFlags, mount, umount2},
    sched::{CloneFlags, unshare},
};
use rustix::fs::{Advice, fadvise};
use std::{
    collections::BTreeMap,
    fs::{self, File},
    io::{Seek as _, SeekFrom, Write as _},
    os::unix::fs::FileExt as _,
    path::Path,
    process::Command,
    sync::{Arc, Once},
    time::{Duration, Instant},
};

/// What is copied of an image: a piece that is all zero is left a hole.
const PIECE: usize = 16 << 10;
const ZEROS: [u8; PIECE] = [0; PIECE];

/// A child of ours is between fork and exec for as long as a busy machine lets it wait.
const UNMOUNT_MAX: Duration = Duration::from_secs(20);

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FileSystem {
    Ext4,
    Xfs,
}

impl FileSystem {
    pub const ALL: [Self; 2] = [Self::Ext4, Self::Xfs];

    pub fn name(self) -> &'static str {
        match self {
            Self::Ext4 => "ext4",
            Self::Xfs => "xfs",
        }
    }

    /// XFS has no smaller ones; the file is sparse.
    fn mebibytes(self) -> u64 {
        match self {
            Self::Ext4 => 96,
            Self::Xfs => 320,
        }
    }

    fn make(self, device: &str) {
        let argv: &[&str] = match self {
            Self::Ext4 => {
                &["mkfs.ext4", "-q", "-F", "-b", "4096", "-J", "size=8", "-N", "8192", device]
            }
            Self::Xfs => &["mkfs.xfs", "-q", "-f", device],
        };
        command(argv);
    }

    /// As a guest's root is mounted, but that nothing becomes durable by the mere passing of seconds. XFS refuses the same
    /// file system twice otherwise, and workers mount copies side by side.
    fn options(self) -> &'static str {
        match self {
            Self::Ext4 => "errors=remount-ro,commit=300",
            Self::Xfs => "nouuid",
        }
    }
}

/// Whether disks cannot be made here: tests/run has installed what makes them, and root may mount.
pub fn are_disks_left_out() -> bool {
    let is_there = |program: &&str| Path::new("/usr/sbin").join(program).exists();
    let all = ["mkfs.xfs", "mkfs.ext4", "losetup"].iter().all(is_there);
    let is_root = rustix::process::geteuid().is_root();
    is_left_out("root with mkfs.xfs, mkfs.ext4 and losetup", is_root && all)
}

/// The bytes of a file system that are not zero, by their places.
#[derive(PartialEq, Eq)]
pub struct Image {
    file_system: FileSystem,
    pieces: BTreeMap<u64, Arc<Vec<u8>>>,
}

/// A file that holds a file system, and the guest's folder that it is mounted on.
pub struct Disk {
    pub file_system: FileSystem,
    pub folder: Folder,
    file: tempfile::NamedTempFile,
    device: String,
    mounted: bool,
}

/// Gives this thread, and what it starts, mounts of its own.
pub fn own_mounts() {
    unshare(CloneFlags::CLONE_NEWNS).expect("root may");
    let none: Option<&str> = None;
    mount(none, "/", none, MsFlags::MS_REC | MsFlags::MS_PRIVATE, none).expect("root may");
}

impl Image {
    pub fn file_system(&self) -> FileSystem {
        self.file_system
    }

    /// A new file system with a copy of the folder in it.
    pub fn of(folder: &Folder, file_system: FileSystem) -> Self {
        let mut disk = Disk::new(file_system, folder);
        file_system.make(&disk.device);
        disk.mount();
        let from = format!("{}/.", folder.dir.path().display());
        command(&["cp", "-a", &from, &disk.root()]);
        disk.save()
    }
}

impl Disk {
    /// An empty file, to be loaded; calls are those of `like`.
    pub fn new(file_system: FileSystem, like: &Folder) -> Self {
        static CLEARED: Once = Once::new();
        let folder = Folder { dir: in_memory(), binary: like.binary };
        let all = folder.dir.path().parent().expect("it is in a folder");
        CLEARED.call_once(|| clear_away(all));
        let prefix = format!("{LEFT_OVER}{}-", std::process::id());
        let file = tempfile::Builder::new().prefix(&prefix).tempfile_in(all);
        let file = file.expect("there is room");
        file.as_file().set_len(file_system.mebibytes() << 20).expect("there is room");
        let path = file.path().display().to_string();
        let device = command(&["losetup", "--find", "--show", &path]).trim().to_owned();
        Self { file_system, folder, file, device, mounted: false }
    }

    fn root(&self) -> String {
        self.folder.dir.path().display().to_string()
    }

    /// Puts an image in, and mounts it.
    pub fn load(&mut self, image: &Image) {
        self.unmount();
        assert_eq!(self.file_system, image.file_system);
        let file = self.file.as_file();
        file.set_len(0).expect("it is ours");
        file.set_len(self.file_system.mebibytes() << 20).expect("it is ours");
        for (place, bytes) in &image.pieces {
            file.write_all_at(bytes, *place).expect("there is room");
        }
        self.mount();
    }

    /// Unmounts it, and takes down what is in it.
    pub fn save(&mut self) -> Image {
        self.unmount();
        self.durable(None)
    }

    /// What is on disk now, whatever is mounted: all that a power cut leaves at this moment. Pieces that are those of
    /// another image are shared with it.
    pub fn durable(&self, like: Option<&Image>) -> Image {
        let file = self.file.as_file();
        let mut pieces = BTreeMap::new();
        let mut place = 0;
        let length = self.file_system.mebibytes() << 20;
        let mut bytes = vec![0; PIECE];
        while let Some(next) = next_written(file, place).filter(|next| *next < length) {
            let start = next - next % PIECE as u64;
            file.read_exact_at(&mut bytes, start).expect("it is as long");
            let known = like.and_then(|image| image.pieces.get(&start));
            if let Some(known) = known.filter(|known| ***known == bytes) {
                pieces.insert(start, known.clone());
            } else if bytes != ZEROS {
                pieces.insert(start, Arc::new(bytes.clone()));
            }
            place = start + PIECE as u64;
        }
        Image { file_system: self.file_system, pieces }
    }

    pub fn mount(&mut self) {
        let (device, root) = (self.device.as_str(), self.folder.dir.path());
        // Whoever else looks at block devices may have kept what was there before.
        let opened = File::open(device).expect("it is attached");
        fadvise(opened, 0, None, Advice::DontNeed).expect("it is a block device");
        let (name, options) = (self.file_system.name(), self.file_system.options());
        // Who looks at it changes nothing.
        mount(Some(device), root, Some(name), MsFlags::MS_NOATIME, Some(options))
            .unwrap_or_else(|error| panic!("cannot mount {name}: {error}"));
        self.mounted = true;
    }

    pub fn unmount(&mut self) {
        if std::mem::take(&mut self.mounted) {
            let started = Instant::now();
            while let Err(error) = umount2(self.folder.dir.path(), MntFlags::empty()) {
                // Between fork and exec, a child of another worker has all our files open.
                assert!(error == Errno::EBUSY && started.elapsed() < UNMOUNT_MAX, "{error}");
                std::thread::sleep(Duration::from_millis(1));
            }
        }
    }

    /// The file system finds a fault in itself, and takes no more changes. Only ext4 can be told to.
    pub fn turn_read_only(&self) {
        let device = self.device.trim_start_matches("/dev/");
        let trigger = format!("/sys/fs/ext4/{device}/trigger_fs_error");
        fs::write(&trigger, "a test").unwrap_or_else(|error| panic!("{trigger}: {error}"));
    }

    /// Everything that is not on disk is lost, the journal's end included: `FS_IOC_SHUTDOWN` without flushing the log.
    /// Mounted again, the file system has replayed what its journal has.
    pub fn cut_power(&mut self) {
        shut_down(self.folder.dir.path());
        self.unmount();
        self.mount();
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        if !std::thread::panicking() {
            self.unmount();
        } else if self.mounted {
            // What failed may still have something open there.
            let _gone = umount2(self.folder.dir.path(), MntFlags::MNT_DETACH);
        }
        let _gone = Command::new("/sbin/losetup").args(["--detach", &self.device]).status();
    }
}

/// Removes what tests have left here that were killed, and detaches their loop devices. Two at once may find the same: what
/// is gone already is as good.
fn clear_away(all: &Path) {
    for entry in fs::read_dir(all).expect("it is readable").flatten() {
        let (name, path) = (entry.file_name().to_string_lossy().into_owned(), entry.path());
        let owner = name.strip_prefix(LEFT_OVER).and_then(|rest| rest.split('-').next());
        if owner.is_none_or(|owner| Path::new("/proc").join(owner).exists()) {
            continue;
        }
        if path.is_dir() {
            let _gone = fs::remove_dir_all(path);
            continue;
        }
        let shown = path.display().to_string();
        let devices = command(&["losetup", "--noheadings", "--output", "NAME", "-j", &shown]);
        for device in devices.split_whitespace() {
            let _gone = Command::new("/sbin/losetup").args(["--detach", device]).status();
        }
        let _gone = fs::remove_file(path);
    }
}

/// Where the next bytes are that were ever written.
fn next_written(mut file: &File, from: u64) -> Option<u64> {
    let whence = rustix::fs::SeekFrom::Data(from);
    let found = rustix::fs::seek(file, whence).ok();
    file.seek(SeekFrom::Start(0)).expect("it is a file");
    found
}

/// What a program says that succeeds.
pub fn command(argv: &[&str]) -> String {
    let mut command = Command::new(argv[0]);
    let output = command.args(&argv[1..]).env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin").output();
    let output = output.unwrap_or_else(|error| panic!("cannot run {argv:?}: {error}"));
    assert!(output.status.success(), "{argv:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8_lossy(&output.stdout).into_owned()
}

#[test]
fn a_power_cut_loses_what_was_not_made_durable_and_nothing_else() {
    if are_disks_left_out() {
        return;
    }
    for file_system in FileSystem::ALL {
        let cut = std::thread::spawn(move || {
            own_mounts();
            let folder = Folder::new();
            let mut disk = Disk::new(file_system, &folder);
            disk.load(&Image::of(&folder, file_system));
            let write = |disk: &Disk, name: &str, durable: bool| {
                let mut file = File::create(disk.folder.at(name)).expect("there is room");
                file.write_all(b"text").expect("there is room");
                if durable {
                    file.sync_all().expect("it is written");
                    let folder = File::open(disk.folder.dir.path()).expect("it is there");
                    folder.sync_all().expect("it is written");
                }
            };
            write(&disk, "kept", true);
            write(&disk, "lost", false);
            disk.cut_power();
            let read = |name: &str| fs::read_to_string(disk.folder.at(name)).ok();
            (read("kept"), read("lost").unwrap_or_default())
        });
        let (kept, lost) = cut.join().expect("it does not fail");
        assert_eq!((kept.as_deref(), &*lost), (Some("text"), ""), "{}", file_system.name());
    }
}

#[test]
fn what_a_killed_test_has_left_is_cleared_away_and_nothing_of_a_live_one() {
    if are_disks_left_out() {
        return;
    }
    let all = in_memory();
    // No process has this number: it is above what the kernel gives.
    let [dead, live] = [u32::MAX, std::process::id()].map(|id| format!("{LEFT_OVER}{id}-x"));
    let at = |name: &str| all.path().join(name);
    fs::create_dir_all(at(&dead).join("folder")).expect("there is room");
    fs::write(at(&live), "").expect("there is room");
    let image = at(&format!("{dead}-image"));
    File::create(&image).and_then(|file| file.set_len(1 << 20)).expect("there is room");
    let shown = image.display().to_string();
    command(&["losetup", "--find", &shown]);
    clear_away(all.path());
    assert_eq!(command(&["losetup", "-j", &shown]), "");
    assert!(!at(&dead).exists() && !image.exists() && at(&live).exists());
}
