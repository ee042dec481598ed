//! Bundles on disk: `out/`. A cache: whatever is lost here, `stackc build` makes again.
#![expect(clippy::disallowed_methods, reason = "the store is the file-system boundary")]

mod archive;
mod built;
mod folder;
pub mod git;
mod guests;
mod sources;

pub use archive::archive;
pub use built::{Built, BuiltGuest, BuiltWarnings, digest_of_sources, last_build};
pub use sources::{SourceError, Unreadable, read_site, read_sources, write_lock};

use crate::model::{
    Bundle, Bytes, Digest, Entry, EntryPath, Manifest,
    canonical::{self, CanonicalError},
    document,
};
use std::{
    collections::BTreeMap,
    fs::{self, OpenOptions},
    io::{self, Write as _},
    os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _, PermissionsExt as _, symlink},
    path::{Path, PathBuf},
};

/// Text for the reviewer beside a bundle's files; derived, so not in the manifest.
const README: &str = "README.txt";

/// What the store could not do.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    #[error("cannot {act} `{path}`")]
    Io {
        act: &'static str,
        path: PathBuf,
        #[source]
        cause: io::Error,
    },
    #[error(
        "bundle {digest} is not in `{store}`; `stackc build` makes the bundles of these definitions"
    )]
    Missing { digest: Digest, store: PathBuf },
    #[error(
        "no bundle in `{store}` has a digest that begins with `{prefix}`; for a guest write project/env"
    )]
    NoSuch { prefix: String, store: PathBuf },
    #[error("more than one digest begins with `{prefix}`: {}", shorts(.digests))]
    Ambiguous { prefix: String, digests: Vec<Digest> },
    #[error("`{path}` is not what its bundle's manifest says; delete `{bundle}` and build again")]
    Damaged { path: PathBuf, bundle: PathBuf },
    #[error("`{path}` is no manifest of a bundle")]
    Manifest {
        path: PathBuf,
        #[source]
        cause: CanonicalError,
    },
}

impl StoreError {
    /// Whether a bundle is not, or not whole, in the store any more, rather than out of reach.
    pub fn is_lost(&self) -> bool {
        match self {
            Self::Io { cause, .. } => cause.kind() == io::ErrorKind::NotFound,
            Self::Missing { .. } | Self::Damaged { .. } | Self::Manifest { .. } => true,
            Self::NoSuch { .. } | Self::Ambiguous { .. } => false,
        }
    }
}

fn shorts(digests: &[Digest]) -> String {
    digests.iter().map(Digest::short).collect::<Vec<_>>().join(", ")
}

/// Whether a call changed anything.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Change {
    New,
    Unchanged,
}

/// The folder `out/`: `store/<digest>/` and `guests/<project>/<env>`, a link to the latest build.
#[derive(Debug, Clone)]
pub struct Store {
    out: PathBuf,
}

impl Store {
    /// Opens `out`, making it when it is not there yet.
    pub fn open(out: &Path) -> Result<Self, StoreError> {
        for folder in ["store", "guests"] {
            make_folder(&out.join(folder))?;
        }
        let ignore = out.join(".gitignore");
        if !ignore.exists() {
            write_file(&ignore, b"*\n", 0o644)?;
        }
        Ok(Self { out: out.to_owned() })
    }

    /// Where a bundle lies, or would lie.
    pub fn path_of(&self, digest: &Digest) -> PathBuf {
        self.out.join("store").join(digest.to_string())
    }

    /// Puts a bundle into the store, with a text for its reviewer. It appears whole, by one rename, or not at all; so a folder
    /// with the right manifest is taken to be the bundle, and its other files are not read again. Damage that came later, by
    /// hand or by a power loss, is found by `get`, which checks every byte before a bundle goes anywhere.
    /// A folder without the right manifest is made anew.
    pub fn put(
        &self,
        bundle: &Bundle,
        readme: impl FnOnce() -> String,
    ) -> Result<Change, StoreError> {
        let path = self.path_of(&bundle.digest);
        if self.has(&bundle.digest) {
            return Ok(Change::Unchanged);
        }
        if path.exists() {
            fs::remove_dir_all(&path).map_err(io_error("remove", &path))?;
        }
        let staged = tempfile::Builder::new()
            .prefix(".tmp-")
            .tempdir_in(self.out.join("store"))
            .map_err(io_error("make a folder in", &self.out))?;
        write_tree(staged.path(), bundle, &readme())?;
        let staged = staged.keep();
        match fs::rename(&staged, &path) {
            Ok(()) => Ok(Change::New),
            // Another build of the same definitions was faster: the same digest is the same files.
            Err(_) if path.exists() => {
                fs::remove_dir_all(&staged).map_err(io_error("remove", &staged))?;
                Ok(Change::Unchanged)
            }
            Err(cause) => Err(io_error("rename", &staged)(cause)),
        }
    }

    /// Whether there is a folder with the right manifest.
    fn has(&self, digest: &Digest) -> bool {
        let manifest = fs::read(self.path_of(digest).join(document::MANIFEST));
        manifest.is_ok_and(|manifest| Digest::of(&manifest) == *digest)
    }

    /// Reads a bundle, checks every byte of it against its digest, and that nothing else lies in its folder.
    pub fn get(&self, digest: &Digest) -> Result<Bundle, StoreError> {
        let folder = self.path_of(digest);
        let manifest_path = folder.join(document::MANIFEST);
        if !manifest_path.exists() {
            return Err(StoreError::Missing { digest: *digest, store: self.out.join("store") });
        }
        let bytes = read_file(&manifest_path)?;
        if Digest::of(&bytes) != *digest {
            return Err(StoreError::Damaged { path: manifest_path, bundle: folder });
        }
        let manifest: Manifest = canonical::from_slice(&bytes)
            .map_err(|cause| StoreError::Manifest { path: manifest_path, cause })?;
        if let Some(path) = folder::fault(&folder, &manifest)? {
            return Err(StoreError::Damaged { path, bundle: folder });
        }
        let mut files = BTreeMap::new();
        for (path, entry) in &manifest.entries {
            if let Entry::Document(wanted) | Entry::File { bytes: wanted, .. } = entry {
                files.insert(path.clone(), read_entry(&folder, path, *wanted)?);
            }
        }
        Ok(Bundle { digest: *digest, manifest, files })
    }

    /// The one bundle whose digest begins with these digits.
    pub fn find(&self, prefix: &str) -> Result<Digest, StoreError> {
        let store = self.out.join("store");
        let names = fs::read_dir(&store).map_err(io_error("read", &store))?;
        let names: io::Result<Vec<_>> = names.map(|entry| Ok(entry?.file_name())).collect();
        let names = names.map_err(io_error("read", &store))?;
        let fits = |name: &&str| name.starts_with(prefix);
        let fitting = names.iter().filter_map(|name| name.to_str()).filter(fits);
        let mut digests: Vec<Digest> = fitting.filter_map(|name| name.parse().ok()).collect();
        digests.sort();
        match digests[..] {
            [digest] => Ok(digest),
            [] => Err(StoreError::NoSuch { prefix: prefix.to_owned(), store }),
            _ => Err(StoreError::Ambiguous { prefix: prefix.to_owned(), digests }),
        }
    }
}

fn read_entry(folder: &Path, path: &EntryPath, wanted: Bytes) -> Result<Vec<u8>, StoreError> {
    let path = folder.join(path.as_str());
    let bytes = read_file(&path)?;
    if Bytes::of(&bytes) == wanted {
        Ok(bytes)
    } else {
        Err(StoreError::Damaged { path, bundle: folder.to_owned() })
    }
}

/// Lays a bundle's files below `root`. Modes are set, not left to the umask: 0755 for what is executable, else 0644.
fn write_tree(root: &Path, bundle: &Bundle, readme: &str) -> Result<(), StoreError> {
    set_mode(root, 0o755)?;
    write_file(&root.join(document::MANIFEST), &canonical::to_bytes(&bundle.manifest), 0o644)?;
    write_file(&root.join(README), readme.as_bytes(), 0o644)?;
    let mut parent = PathBuf::new();
    for (path, entry) in &bundle.manifest.entries {
        let path_on_disk = root.join(path.as_str());
        let folder = path_on_disk.parent().expect("an entry lies below the root");
        // Entries come sorted, so neighbours mostly share their folder.
        if folder != parent {
            make_folder(folder)?;
            folder.clone_into(&mut parent);
        }
        match entry {
            Entry::Document(_) => write_file(&path_on_disk, bytes_of(bundle, path), 0o644)?,
            Entry::File { access, .. } => {
                let mode = if access.mode.is_executable() { 0o755 } else { 0o644 };
                write_file(&path_on_disk, bytes_of(bundle, path), mode)?;
            }
            Entry::Link { target } => {
                symlink(target, &path_on_disk).map_err(io_error("link", &path_on_disk))?;
            }
            Entry::Directory { .. } => make_folder(&path_on_disk)?,
            Entry::Secret { .. } => {}
        }
    }
    Ok(())
}

fn bytes_of<'a>(bundle: &'a Bundle, path: &EntryPath) -> &'a [u8] {
    bundle.files.get(path).expect("a bundle has the bytes of every entry that has bytes")
}

/// Makes a folder and its parents, each 0755 whatever the umask is.
fn make_folder(path: &Path) -> Result<(), StoreError> {
    if path.is_dir() {
        return Ok(());
    }
    if let Some(parent) = path.parent() {
        make_folder(parent)?;
    }
    match fs::DirBuilder::new().mode(0o755).create(path) {
        Ok(()) => set_mode(path, 0o755),
        Err(_) if path.is_dir() => Ok(()),
        Err(cause) => Err(io_error("make the folder", path)(cause)),
    }
}

fn write_file(path: &Path, bytes: &[u8], mode: u32) -> Result<(), StoreError> {
    let mut options = OpenOptions::new();
    let opened = options.write(true).create(true).truncate(true).mode(mode).open(path);
    opened.and_then(|mut file| file.write_all(bytes)).map_err(io_error("write", path))?;
    set_mode(path, mode)
}

/// Sets a mode where the umask has taken bits of it away; to look is cheaper than to write it again.
fn set_mode(path: &Path, mode: u32) -> Result<(), StoreError> {
    let failed = || io_error("set the mode of", path);
    let found = fs::metadata(path).map_err(failed())?.permissions().mode();
    if found & 0o7777 == mode {
        return Ok(());
    }
    fs::set_permissions(path, fs::Permissions::from_mode(mode)).map_err(failed())
}

/// Writes a file that a person asked for, wherever that is.
pub fn write_whole(path: &Path, bytes: &[u8]) -> Result<(), StoreError> {
    // A pipe or a terminal has nothing to replace.
    let is_file = fs::metadata(path).map_or(true, |found| found.is_file());
    let written = if is_file { replace(path, bytes) } else { fs::write(path, bytes) };
    written.map_err(io_error("write", path))
}

/// Writes a file whole: whoever reads it finds the old bytes or the new ones.
fn replace(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty());
    let mut staged = tempfile::Builder::new()
        .prefix(".tmp-")
        .permissions(fs::Permissions::from_mode(0o644))
        .tempfile_in(folder.unwrap_or(Path::new(".")))?;
    staged.write_all(bytes)?;
    staged.as_file().sync_all()?;
    staged.persist(path).map_err(|error| error.error)?;
    Ok(())
}

fn read_file(path: &Path) -> Result<Vec<u8>, StoreError> {
    fs::read(path).map_err(io_error("read", path))
}

fn io_error(act: &'static str, path: &Path) -> impl FnOnce(io::Error) -> StoreError {
    let path = path.to_owned();
    move |cause| StoreError::Io { act, path, cause }
}
