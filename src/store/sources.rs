//! The workspace's files, as the compiler wants them.

use crate::model::FILE_BYTES_MAX;
use rustix::fs::OFlags;
use std::{
    collections::BTreeMap,
    error::Error,
    ffi::OsStr,
    fmt,
    fs::{self, OpenOptions},
    io::{self, Read as _},
    os::unix::fs::OpenOptionsExt as _,
    path::{Path, PathBuf},
};
use walkdir::{DirEntry, WalkDir};

/// Folders of a workspace that a build reads.
const FOLDERS: [&str; 3] = ["stacks", "templates", KEYS];
const KEYS: &str = "keys";
const SITE: &str = "stacks/site.toml";
/// Folders below `stacks` that hold no definitions: the worked examples' apps.
const NOT_DEFINITIONS: &str = "stacks/apps";
/// Secrets, which a build must not even hold in memory.
const SECRETS: &str = "stacks/secrets.local.toml";
const LOCK: &str = "stacks/lock.toml";
/// The most bytes of the lockfile: stackc writes it, 200 bytes for each env.
const LOCK_BYTES_MAX: u64 = 16 << 20;
/// The most files of a workspace.
const FILES_MAX: usize = 20_000;
/// The most bytes of them together: all of them are in memory at once.
const TREE_BYTES_MAX: usize = 64 << 20;
/// How deep below `stacks`, `templates` or `keys` a file may lie.
const DEPTH_MAX: usize = 16;
/// The most faults that are told; a folder of links has thousands.
const FAULTS_MAX: usize = 100;

/// Why a workspace cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum SourceError {
    #[error("cannot read `{path}`")]
    Io {
        path: PathBuf,
        #[source]
        cause: io::Error,
    },
    #[error("cannot write `{path}`")]
    Write {
        path: PathBuf,
        #[source]
        cause: io::Error,
    },
    #[error("there is no folder `{path}`")]
    NoFolder { path: PathBuf },
    #[error(
        "`{path}` is no workspace, for it has no folder `stacks`; run stackc where that folder is, or name the place: `-C DIR`"
    )]
    NoWorkspace { path: PathBuf },
    #[error("`{path}` is no workspace, but lies in one; run stackc there, or say so: `-C {above}`")]
    Below { path: PathBuf, above: PathBuf },
    #[error(
        "`{path}` is neither a file nor a folder; a workspace holds nothing else, so that a build depends on nothing outside it"
    )]
    NotAFile { path: PathBuf },
    #[error("`{path}` is bigger than {mib} MiB, the most that one file of a workspace may have")]
    TooBig { path: PathBuf, mib: u64 },
    #[error("`{path}` has more than {FILES_MAX} files")]
    TooMany { path: PathBuf },
    #[error("`{path}` lies more than {DEPTH_MAX} folders deep, the most that a workspace may have")]
    TooDeep { path: PathBuf },
    #[error("the files of `{path}` have more than {} MiB together", TREE_BYTES_MAX >> 20)]
    TreeTooBig { path: PathBuf },
    #[error("the name of `{path}` is not UTF-8")]
    Name { path: PathBuf },
}

impl SourceError {
    /// What cannot be read, or written.
    pub fn path(&self) -> &Path {
        match self {
            Self::Io { path, .. }
            | Self::Write { path, .. }
            | Self::NoFolder { path }
            | Self::NoWorkspace { path }
            | Self::Below { path, .. }
            | Self::NotAFile { path }
            | Self::TooBig { path, .. }
            | Self::TooMany { path }
            | Self::TreeTooBig { path }
            | Self::TooDeep { path }
            | Self::Name { path } => path,
        }
    }
}

/// All that cannot be read in a workspace; at least one thing.
#[derive(Debug)]
pub struct Unreadable(pub Vec<SourceError>);

impl fmt::Display for Unreadable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let texts: Vec<_> = self.0.iter().map(SourceError::to_string).collect();
        f.write_str(&texts.join("; "))
    }
}

impl Error for Unreadable {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        self.0.iter().find_map(Error::source)
    }
}

impl From<SourceError> for Unreadable {
    fn from(fault: SourceError) -> Self {
        Self(vec![fault])
    }
}

/// What a build reads, and what it cannot.
#[derive(Default)]
struct Read {
    files: BTreeMap<String, Vec<u8>>,
    faults: Vec<SourceError>,
}

impl Read {
    fn done(self) -> Result<BTreeMap<String, Vec<u8>>, Unreadable> {
        if self.faults.is_empty() { Ok(self.files) } else { Err(Unreadable(self.faults)) }
    }
}

/// Every file that a build may depend on: its path relative to the workspace, with `/`, to its bytes.
/// Only regular files count, symlinks are refused, private keys in `keys` are not read.
pub fn read_sources(workspace: &Path) -> Result<BTreeMap<String, Vec<u8>>, Unreadable> {
    check_workspace(workspace)?;
    let mut read = Read::default();
    for folder in FOLDERS {
        read_folder(workspace, &workspace.join(folder), &mut read, |_| true);
    }
    read.done()
}

/// What leads to the guests of a workspace, whatever else in it is wrong: the site's file and the certificates.
pub fn read_site(workspace: &Path) -> Result<BTreeMap<String, Vec<u8>>, Unreadable> {
    check_workspace(workspace)?;
    let mut read = Read::default();
    for (folder, ending) in [(SITE, ".toml"), (KEYS, ".pem")] {
        read_folder(workspace, &workspace.join(folder), &mut read, |name| name.ends_with(ending));
    }
    read.done()
}

/// Refuses a folder without definitions, and says where they are if that is near.
fn check_workspace(workspace: &Path) -> Result<(), SourceError> {
    let is_workspace = |folder: &Path| folder.join("stacks").is_dir();
    if is_workspace(workspace) {
        return Ok(());
    }
    let path = fs::canonicalize(workspace).unwrap_or_else(|_| workspace.to_owned());
    if !path.is_dir() {
        return Err(SourceError::NoFolder { path });
    }
    match path.ancestors().find(|folder| is_workspace(folder)).map(Path::to_owned) {
        Some(above) => Err(SourceError::Below { path, above }),
        None => Err(SourceError::NoWorkspace { path }),
    }
}

fn read_folder(workspace: &Path, folder: &Path, read: &mut Read, wanted: impl Fn(&str) -> bool) {
    if !folder.exists() {
        return;
    }
    let mut tree_bytes: usize = read.files.values().map(Vec::len).sum();
    let not_definitions = workspace.join(NOT_DEFINITIONS);
    let walk = WalkDir::new(folder).max_depth(DEPTH_MAX + 1).sort_by_file_name();
    let wanted_here = |entry: &DirEntry| {
        entry.path() != not_definitions && !is_left_by_an_editor(entry.file_name())
    };
    for entry in walk.into_iter().filter_entry(wanted_here) {
        let found = entry.map_err(|error| unwalkable(folder, error));
        match found.and_then(|entry| read_entry(workspace, &entry, &wanted)) {
            Ok(Some(_)) if read.files.len() == FILES_MAX => {
                read.faults.push(SourceError::TooMany { path: workspace.to_owned() });
                return;
            }
            Ok(Some((name, bytes))) => {
                tree_bytes += bytes.len();
                if tree_bytes > TREE_BYTES_MAX {
                    read.faults.push(SourceError::TreeTooBig { path: workspace.to_owned() });
                    return;
                }
                read.files.insert(name, bytes);
            }
            Ok(None) => {}
            Err(fault) => read.faults.push(fault),
        }
        if read.faults.len() >= FAULTS_MAX {
            return;
        }
    }
}

fn unwalkable(folder: &Path, error: walkdir::Error) -> SourceError {
    SourceError::Io {
        path: error.path().unwrap_or(folder).to_owned(),
        cause: error.into_io_error().unwrap_or_else(|| io::ErrorKind::InvalidInput.into()),
    }
}

/// A file of a workspace with its name; none of what a build does not read.
fn read_entry(
    workspace: &Path,
    entry: &DirEntry,
    wanted: impl Fn(&str) -> bool,
) -> Result<Option<(String, Vec<u8>)>, SourceError> {
    let path = entry.path();
    let name = path.strip_prefix(workspace).ok().and_then(Path::to_str);
    let Some(name) = name else { return Err(SourceError::Name { path: path.to_owned() }) };
    if !wanted(name) {
        return Ok(None);
    }
    if entry.depth() > DEPTH_MAX {
        return Err(SourceError::TooDeep { path: path.to_owned() });
    }
    if entry.file_type().is_dir() || name == SECRETS || is_private(name) {
        return Ok(None);
    }
    let bytes_max = if name == LOCK { LOCK_BYTES_MAX } else { FILE_BYTES_MAX };
    Ok(Some((name.to_owned(), read_regular(path, entry, bytes_max)?)))
}

fn read_regular(path: &Path, entry: &DirEntry, bytes_max: u64) -> Result<Vec<u8>, SourceError> {
    if !entry.file_type().is_file() {
        return Err(SourceError::NotAFile { path: path.to_owned() });
    }
    let failed = |cause| SourceError::Io { path: path.to_owned(), cause };
    // The walk has looked a moment ago; a link that was put there since is not followed either.
    let no_follow = OFlags::NOFOLLOW.bits().cast_signed();
    let file = OpenOptions::new().read(true).custom_flags(no_follow).open(path).map_err(failed)?;
    let mut bytes = Vec::new();
    file.take(bytes_max + 1).read_to_end(&mut bytes).map_err(failed)?;
    if bytes.len() as u64 > bytes_max {
        return Err(SourceError::TooBig { path: path.to_owned(), mib: bytes_max >> 20 });
    }
    Ok(bytes)
}

/// Replaces `stacks/lock.toml` in one step.
pub fn write_lock(workspace: &Path, text: &str) -> Result<(), SourceError> {
    let path = workspace.join(LOCK);
    let failed = |cause| SourceError::Write { path: path.clone(), cause };
    super::replace(&path, text.as_bytes()).map_err(failed)
}

/// What editors and file managers keep beside a file while it is open: swap files of Vim, locks and copies of Emacs.
fn is_left_by_an_editor(name: &OsStr) -> bool {
    let name = name.as_encoded_bytes();
    let is_swap =
        name.starts_with(b".") && name[name.len().saturating_sub(4)..].starts_with(b".sw");
    let is_copy = name.ends_with(b"~") || (name.starts_with(b"#") && name.ends_with(b"#"));
    is_swap || is_copy || name.starts_with(b".#") || name == b".DS_Store"
}

/// Of `keys`, only public keys, of `OpenSSH` and of `OpenPGP`, and certificates are an input of a build.
fn is_private(name: &str) -> bool {
    let ending = name.rsplit_once('.').map_or("", |(_, ending)| ending);
    name.starts_with("keys/") && !["pub", "asc", "pem"].contains(&ending)
}
