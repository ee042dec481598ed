//! Whether a bundle's folder is what its manifest lists: people review the folder, and a guest gets what the manifest says.

use super::{README, StoreError, io_error};
use crate::model::{Entry, Manifest, document};
use std::{
    collections::BTreeMap,
    fs::{self, FileType},
    path::{Path, PathBuf},
};
use unicode_normalization::is_nfc;
use walkdir::WalkDir;

/// What has to lie at a path.
enum Wanted<'m> {
    Folder,
    File,
    Link(&'m str),
}

/// The first path that is missing, of another type, or not listed. Bytes are not read.
pub fn fault(folder: &Path, manifest: &Manifest) -> Result<Option<PathBuf>, StoreError> {
    if let Some(path) = manifest.entries.keys().find(|path| !is_nfc(path.as_str())) {
        return Ok(Some(folder.join(path.as_str())));
    }
    let mut missing = wanted(manifest);
    for found in WalkDir::new(folder).min_depth(1) {
        let found = found.map_err(|error| io_error("list", folder)(error.into()))?;
        let path = found.path().strip_prefix(folder).expect("the walk began there");
        let wanted = path.to_str().and_then(|path| missing.remove(path));
        let holds = match wanted {
            Some(wanted) => holds(&wanted, found.path(), found.file_type())?,
            None => path == Path::new(README) && found.file_type().is_file(),
        };
        if !holds {
            return Ok(Some(found.into_path()));
        }
    }
    Ok(missing.into_keys().next().map(|path| folder.join(path)))
}

fn wanted(manifest: &Manifest) -> BTreeMap<&str, Wanted<'_>> {
    let mut wanted = BTreeMap::from([(document::MANIFEST, Wanted::File)]);
    for (path, entry) in &manifest.entries {
        let kind = match entry {
            Entry::Document(_) | Entry::File { .. } => Some(Wanted::File),
            Entry::Link { target } => Some(Wanted::Link(target)),
            Entry::Directory { .. } => Some(Wanted::Folder),
            // Only its folder lies there.
            Entry::Secret { .. } => None,
        };
        let mut below = path.as_str();
        while let Some((parent, _)) = below.rsplit_once('/') {
            wanted.entry(parent).or_insert(Wanted::Folder);
            below = parent;
        }
        wanted.extend(kind.map(|kind| (path.as_str(), kind)));
    }
    wanted
}

fn holds(wanted: &Wanted<'_>, path: &Path, found: FileType) -> Result<bool, StoreError> {
    Ok(match wanted {
        Wanted::Folder => found.is_dir(),
        Wanted::File => found.is_file(),
        Wanted::Link(target) => {
            found.is_symlink()
                && fs::read_link(path).map_err(io_error("read", path))? == Path::new(target)
        }
    })
}
