//! A guest's own disk: an ext4 in a file, so that it can be full, and lose what was not written when its power goes.

use super::{
    LabError,
    error::AtPath as _,
    program::{run, succeeds},
};
use camino::{Utf8Path, Utf8PathBuf};
use std::fs::{self, File};

pub(super) struct Disk {
    image: Utf8PathBuf,
    mounted_at: Utf8PathBuf,
}

impl Disk {
    /// The disk of the guest of this folder, whether it is there or not.
    pub(super) fn below(folder: &Utf8Path) -> Self {
        Self { image: folder.join("disk.img"), mounted_at: folder.join("disk") }
    }

    /// Makes it, empty. All of it is for the guest: none is set aside for this machine's root.
    pub(super) fn make(&self, mebibytes: u32) -> Result<(), LabError> {
        let file = File::create(&self.image).at("make", &self.image)?;
        file.set_len(u64::from(mebibytes) << 20).at("size", &self.image)?;
        fs::create_dir_all(&self.mounted_at).at("make", &self.mounted_at)?;
        let argv = ["mkfs.ext4", "-q", "-m", "0", self.image.as_str()];
        run("make the guest's disk", 60, &argv).map(drop)
    }

    /// Mounts it unless it is; returns where.
    pub(super) fn mount(&self) -> Result<Utf8PathBuf, LabError> {
        let (image, at) = (self.image.as_str(), self.mounted_at.as_str());
        if !self.is_mounted() {
            run("mount the guest's disk", 30, &["mount", "-o", "loop", image, at])?;
        }
        Ok(self.mounted_at.clone())
    }

    pub(super) fn unmount(&self) -> Result<(), LabError> {
        if !self.is_mounted() {
            return Ok(());
        }
        run("unmount the guest's disk", 60, &["umount", self.mounted_at.as_str()]).map(drop)
    }

    fn is_mounted(&self) -> bool {
        succeeds(10, &["mountpoint", "-q", self.mounted_at.as_str()])
    }
}
