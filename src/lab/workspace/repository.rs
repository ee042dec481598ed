//! The example apps' repositories. Authors and dates are fixed, so that commits have the ids that `stacks/lock.toml` pins.

use super::{WorkspaceError, at, run, write};
use camino::Utf8Path;
use std::fs;

/// The branches that the example envs follow.
const BRANCHES: [&str; 3] = ["dev", "qa", "prod"];

/// Seconds since 1970 of the first commit: 2026-01-01T00:00:00Z.
const FIRST_COMMIT: u64 = 1_767_225_600;

/// A change of one file of a repository.
#[derive(Debug, Clone, Copy)]
pub enum Change<'a> {
    /// A new file, or new content for one.
    Write { path: &'a str, text: &'a str },
    /// One piece of text for another.
    Replace { path: &'a str, from: &'a str, to: &'a str },
}

/// Makes a repository of these files with one commit, which every branch points at.
pub(super) fn create(
    repo: &Utf8Path,
    name: &str,
    files: &[(&str, &[u8])],
) -> Result<(), WorkspaceError> {
    for (path, bytes) in files {
        write(&repo.join(path), bytes, 0o644)?;
    }
    start(repo, &format!("{name}: version 1"))?;
    for branch in &BRANCHES[1..] {
        git(repo, 0, &["branch", branch])?;
    }
    Ok(())
}

/// Makes a folder a repository whose first commit holds what is in it.
pub(super) fn start(repo: &Utf8Path, message: &str) -> Result<(), WorkspaceError> {
    git(repo, 0, &["init", "-q", "--object-format=sha1", "--initial-branch", BRANCHES[0]])?;
    git(repo, 0, &["add", "--all"])?;
    git(repo, 0, &["commit", "-q", "-m", message]).map(|_| ())
}

/// Commits changes to the branch that is checked out (`dev` at first), dated an hour after the commit before.
///
/// # Errors
/// The repository keeps its last commit; its files may hold some of the changes.
pub fn commit(repo: &Utf8Path, message: &str, changes: &[Change]) -> Result<(), WorkspaceError> {
    edit(repo, changes)?;
    let count = git(repo, 0, &["rev-list", "--count", "HEAD"])?;
    let hours = count.trim().parse().map_err(|_| WorkspaceError::Program {
        doing: format!("count the commits of `{repo}`"),
        program: "git",
        said: count.clone(),
    })?;
    git(repo, hours, &["add", "--all"])?;
    git(repo, hours, &["commit", "-q", "-m", message]).map(|_| ())
}

/// Changes files below `top` without a commit.
///
/// # Errors
/// The changes before the one that fails are made.
pub fn edit(top: &Utf8Path, changes: &[Change]) -> Result<(), WorkspaceError> {
    changes.iter().try_for_each(|change| apply(top, change))
}

fn apply(repo: &Utf8Path, change: &Change) -> Result<(), WorkspaceError> {
    let (Change::Write { path, .. } | Change::Replace { path, .. }) = *change;
    let file = repo.join(path);
    let text = match *change {
        Change::Write { text, .. } => text.to_owned(),
        Change::Replace { from, to, .. } => {
            let old = fs::read_to_string(&file).map_err(at("read", &file))?;
            if !old.contains(from) {
                let (repo, path, text) = (repo.to_string(), path.to_owned(), from.to_owned());
                return Err(WorkspaceError::NoSuchText { repo, path, text });
            }
            old.replacen(from, to, 1)
        }
    };
    let folder = file.parent().expect("it is below the repository");
    fs::create_dir_all(folder).map_err(at("make the folder", folder))?;
    fs::write(&file, text).map_err(at("write", &file))
}

/// Runs git in `repo`, away from the user's and the machine's settings, which would change commits or sign them.
fn git(repo: &Utf8Path, hours: u64, arguments: &[&str]) -> Result<String, WorkspaceError> {
    let date = format!("{} +0000", FIRST_COMMIT + 3600 * hours);
    run(&format!("make the repository `{repo}`"), "git", |git| {
        for inherited in ["GIT_DIR", "GIT_WORK_TREE", "GIT_INDEX_FILE", "GIT_OBJECT_DIRECTORY"] {
            git.env_remove(inherited);
        }
        git.env("GIT_CONFIG_GLOBAL", "/dev/null").env("GIT_CONFIG_NOSYSTEM", "1");
        for who in ["AUTHOR", "COMMITTER"] {
            git.env(format!("GIT_{who}_NAME"), "stackc");
            git.env(format!("GIT_{who}_EMAIL"), "stackc@example.org");
            git.env(format!("GIT_{who}_DATE"), &date);
        }
        git.arg("-C").arg(repo).args(arguments);
    })
}
