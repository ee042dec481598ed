//! `out/guests/<project>/<env>`: which bundle a target's last build made.

use super::{Change, Store, StoreError, io_error, make_folder};
use crate::model::{Digest, Target};
use std::{
    collections::BTreeMap,
    fs, io,
    os::unix::fs::symlink,
    path::{Path, PathBuf},
};

impl Store {
    /// Makes `guests/<project>/<env>` point to a bundle.
    pub fn link(&self, target: &Target, digest: &Digest) -> Result<Change, StoreError> {
        if self.latest(target)? == Some(*digest) {
            return Ok(Change::Unchanged);
        }
        let link = self.link_of(target);
        make_folder(link.parent().unwrap_or(&self.out))?;
        let staged = link.with_extension(format!("tmp-{}", std::process::id()));
        symlink(format!("../../store/{digest}"), &staged).map_err(io_error("link", &staged))?;
        fs::rename(&staged, &link).map_err(io_error("rename", &staged))?;
        Ok(Change::New)
    }

    /// Takes a target's link away, and its project's folder with the last one; the bundle stays.
    pub fn unlink(&self, target: &Target) -> Result<(), StoreError> {
        let link = self.link_of(target);
        let project = link.parent().unwrap_or(&self.out);
        let is_done = |cause: &io::Error| {
            matches!(cause.kind(), io::ErrorKind::NotFound | io::ErrorKind::DirectoryNotEmpty)
        };
        for (path, removed) in
            [(&*link, fs::remove_file(&link)), (project, fs::remove_dir(project))]
        {
            if let Err(cause) =
                removed.or_else(|cause| if is_done(&cause) { Ok(()) } else { Err(cause) })
            {
                return Err(io_error("remove", path)(cause));
            }
        }
        Ok(())
    }

    /// The digest of a target's latest build, if it was ever built here.
    pub fn latest(&self, target: &Target) -> Result<Option<Digest>, StoreError> {
        let link = self.link_of(target);
        match fs::read_link(&link) {
            Ok(to) => Ok(to.file_name().and_then(|name| name.to_str()?.parse().ok())),
            Err(cause) if cause.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(cause) => Err(io_error("read", &link)(cause)),
        }
    }

    /// Every target that was built here and that these are not, with its last bundle.
    pub fn built_beside(
        &self,
        is_defined: impl Fn(&Target) -> bool,
    ) -> Result<BTreeMap<Target, Digest>, StoreError> {
        let mut built = BTreeMap::new();
        let guests = self.out.join("guests");
        for project in names(&guests)? {
            for env in names(&guests.join(&project))? {
                // What has no name of a guest is not ours, or a link that a killed build was making.
                let (Ok(project), Ok(env)) = (project.parse(), env.parse()) else { continue };
                let target = Target { project, env };
                if is_defined(&target) {
                    continue;
                }
                if let Some(digest) = self.latest(&target)? {
                    built.insert(target, digest);
                }
            }
        }
        Ok(built)
    }

    fn link_of(&self, target: &Target) -> PathBuf {
        self.out.join("guests").join(target.project.as_str()).join(target.env.as_str())
    }
}

/// The names in a folder; none of what is no folder.
fn names(folder: &Path) -> Result<Vec<String>, StoreError> {
    let failed = || io_error("list", folder);
    let entries = match fs::read_dir(folder) {
        Ok(entries) => entries,
        Err(cause) if cause.kind() == io::ErrorKind::NotADirectory => return Ok(Vec::new()),
        Err(cause) => return Err(failed()(cause)),
    };
    let mut names = Vec::new();
    for entry in entries {
        names.extend(entry.map_err(failed())?.file_name().into_string().ok());
    }
    Ok(names)
}
