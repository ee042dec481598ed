//! A workspace for a lab: the worked examples, adapted to the lab's network and API, with keys, secrets and the example
//! apps' repositories. What is in it depends on the lab only: guests that were made from one workspace are reached, and
//! activated, from the next. Commits are the same everywhere.

mod adapt;
mod examples;
mod repository;

use super::Lab;
use crate::model::{Digest, SecretName};
use camino::{Utf8Path, Utf8PathBuf};
use std::{
    collections::{BTreeMap, BTreeSet},
    fmt::Write as _,
    fs::{self, OpenOptions},
    io,
    os::unix::fs::OpenOptionsExt as _,
    process::Command,
};

pub use repository::{Change, commit, edit};

/// What keeps a workspace from being made or changed.
#[derive(Debug, thiserror::Error)]
pub enum WorkspaceError {
    #[error("`{dir}` is not empty; name a new folder for the workspace")]
    NotEmpty { dir: Utf8PathBuf },
    #[error("cannot {doing} `{path}`")]
    File {
        doing: &'static str,
        path: Utf8PathBuf,
        #[source]
        cause: io::Error,
    },
    #[error("cannot run `{program}` to {doing}; is it installed?")]
    Unrunnable {
        doing: String,
        program: &'static str,
        #[source]
        cause: io::Error,
    },
    #[error("cannot {doing}: `{program}` said: {said}")]
    Program { doing: String, program: &'static str, said: String },
    #[error("`{repo}` has no text `{text}` in `{path}` to replace")]
    NoSuchText { repo: String, path: String, text: String },
    #[error("the worked example `{path}` cannot be adapted to the lab: {reason}")]
    Example { path: &'static str, reason: String },
}

/// Makes the workspace in `dir`, which must be new or empty: all but the secrets, whose names only a compilation knows.
///
/// # Errors
/// After an error `dir` may be half made; it holds nothing else, so remove it and start again.
pub fn create(dir: &Utf8Path, lab: &Lab) -> Result<(), WorkspaceError> {
    must_be_empty(dir)?;
    for (path, text) in examples::DEFINITIONS {
        write(&dir.join(path), adapt::definition(path, text, lab)?.as_bytes(), 0o644)?;
    }
    write(
        &dir.join(".gitignore"),
        b"/out\n/repos\n/keys/ops\n/stacks/secrets.local.toml\n",
        0o644,
    )?;
    copy(&lab.ca_file, &dir.join(adapt::CA), 0o644)?;
    let key = dir.join(adapt::ADMIN_KEY);
    // The one that every guest of the lab lets in.
    copy(&lab.admin_key, &key, 0o600)?;
    let public = |key: &Utf8Path| Utf8PathBuf::from(format!("{key}.pub"));
    copy(&public(&lab.admin_key), &public(&key), 0o644)?;
    for (name, files) in examples::APPS {
        repository::create(&dir.join("repos").join(name), name, files)?;
    }
    // As a user would keep it: `git diff` then shows what a change of definitions is.
    repository::start(dir, "the worked examples, for this lab")
}

/// Writes `stacks/secrets.local.toml`: the lab's token, and for each other secret a value that only who has the token can
/// know, the same in every workspace: databases that are there keep their passwords.
///
/// # Errors
/// Secrets that are there already are kept: a value that guests use must not be lost.
pub fn write_secrets(
    dir: &Utf8Path,
    lab: &Lab,
    names: &BTreeSet<SecretName>,
) -> Result<(), WorkspaceError> {
    let mut values = BTreeMap::new();
    for name in names {
        values.insert(name.as_str(), derived(lab, name.as_str())[..32].to_owned());
    }
    values.insert("proxmox/token", lab.token.clone());
    let mut text = format!("tag_key = \"{}\"\n", derived(lab, "tag_key"));
    for (name, value) in values {
        // A dotted key for each: a table's header could come twice when names are not sorted by their depth.
        writeln!(text, "{} = \"{value}\"", name.replace('/', ".")).expect("text takes it");
    }
    write(&dir.join("stacks/secrets.local.toml"), text.as_bytes(), 0o600)
}

fn must_be_empty(dir: &Utf8Path) -> Result<(), WorkspaceError> {
    let entries = match fs::read_dir(dir) {
        Err(cause) if cause.kind() == io::ErrorKind::NotFound => return Ok(()),
        found => found.map_err(at("read", dir))?,
    };
    if entries.count() == 0 {
        return Ok(());
    }
    Err(WorkspaceError::NotEmpty { dir: dir.to_owned() })
}

/// 64 hex digits for something of a lab; no secret's name is without a `/`, so that none is that of the key of tags.
fn derived(lab: &Lab, name: &str) -> String {
    Digest::of(format!("{}\n{name}", lab.token).as_bytes()).to_string()
}

fn copy(from: &Utf8Path, to: &Utf8Path, mode: u32) -> Result<(), WorkspaceError> {
    write(to, &fs::read(from).map_err(at("read", from))?, mode)
}

/// Writes a new file with its mode, whatever the umask would take from it, and the folders above it.
fn write(path: &Utf8Path, bytes: &[u8], mode: u32) -> Result<(), WorkspaceError> {
    let folder = path.parent().expect("files are written below a folder");
    fs::create_dir_all(folder).map_err(at("make the folder", folder))?;
    let mut file = OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(mode)
        .open(path)
        .map_err(at("make", path))?;
    io::Write::write_all(&mut file, bytes).map_err(at("write", path))
}

fn at<'a>(
    doing: &'static str,
    path: &'a Utf8Path,
) -> impl FnOnce(io::Error) -> WorkspaceError + 'a {
    move |cause| WorkspaceError::File { doing, path: path.to_owned(), cause }
}

/// Runs a program and returns what it printed.
fn run(
    doing: &str,
    program: &'static str,
    with: impl FnOnce(&mut Command),
) -> Result<String, WorkspaceError> {
    let mut command = Command::new(program);
    with(&mut command);
    let doing = || doing.to_owned();
    let output = command.output().map_err(|cause| WorkspaceError::Unrunnable {
        doing: doing(),
        program,
        cause,
    })?;
    if output.status.success() {
        return Ok(String::from_utf8_lossy(&output.stdout).into_owned());
    }
    let said = String::from_utf8_lossy(&output.stderr).trim().to_owned();
    Err(WorkspaceError::Program { doing: doing(), program, said })
}
