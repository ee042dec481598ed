//! The app's repositories, by the `git` program: which commit a branch names, and a commit's files.

mod tree;

use crate::model::{BranchName, Digest};
use std::{
    fs,
    io::{self, Write},
    path::{Path, PathBuf},
    process::{Command, Output, Stdio},
};

/// What git could not do.
#[derive(Debug, thiserror::Error)]
pub enum GitError {
    #[error("cannot run `git`; install it: apt-get install git")]
    Run(#[source] io::Error),
    #[error(
        "`{repo}` is no repository address: write https://…, ssh://…, or a folder of the workspace without `..`"
    )]
    Address { repo: String },
    #[error("the folder `{path}` is not there; it is to hold the repository `{repo}`")]
    NoFolder { repo: String, path: PathBuf },
    #[error("cannot {act} of `{repo}`: git says: {message}")]
    Git { act: String, repo: String, message: String },
    #[error("`{path}` of `{repo}` cannot be part of a release: {rule}")]
    Member { repo: String, path: String, rule: String },
    #[error(
        "the commit `{commit}` of `{repo}` has the tree `{found}`, but `{pinned}` is pinned; run `stackc lock`"
    )]
    Tree { repo: String, commit: String, found: String, pinned: String },
    #[error("cannot copy files of `{repo}`")]
    Copy {
        repo: String,
        #[source]
        cause: io::Error,
    },
}

/// A branch resolved: what `stacks/lock.toml` holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pin {
    /// 40 lower-case hex digits.
    pub commit: String,
    /// The tree of that commit, or of its subfolder; 40 lower-case hex digits.
    pub tree: String,
}

/// A repository that git commands can be run in: the workspace's folder itself, or a bare copy of a remote one.
struct Checkout {
    repo: String,
    folder: PathBuf,
}

/// Resolves a branch. Remote repositories are fetched into `cache`, a folder that may be deleted at any time.
pub fn pin(
    workspace: &Path,
    cache: &Path,
    repo: &str,
    branch: &BranchName,
    subfolder: &str,
) -> Result<Pin, GitError> {
    let checkout = Checkout::open(workspace, cache, repo)?;
    if is_remote(repo) {
        checkout.fetch(&format!("+refs/heads/{branch}:refs/heads/{branch}"))?;
    }
    let reference = format!("refs/heads/{branch}");
    let commit = checkout.resolve(&format!("{reference}^{{commit}}"))?;
    let tree = checkout.resolve(&tree_of(&commit, subfolder))?;
    Ok(Pin { commit, tree })
}

/// Writes the files of a pinned commit, or of its subfolder, to `out` as a tar archive: the same pin, the same bytes.
/// Every object is hashed on the way, so that they are the files of that tree; attributes of git change nothing.
pub fn archive(
    workspace: &Path,
    cache: &Path,
    repo: &str,
    pin: &Pin,
    subfolder: &str,
    out: &mut dyn Write,
) -> Result<(), GitError> {
    let checkout = Checkout::open(workspace, cache, repo)?;
    let name = tree_of(&pin.commit, subfolder);
    if is_remote(repo) && checkout.resolve(&name).is_err() {
        checkout.fetch("+refs/heads/*:refs/heads/*")?;
    }
    let found = checkout.resolve(&name)?;
    if found != pin.tree {
        let (repo, commit, pinned) = (repo.to_owned(), pin.commit.clone(), pin.tree.clone());
        return Err(GitError::Tree { repo, commit, found, pinned });
    }
    tree::write(&checkout, &found, out)
}

impl Checkout {
    fn open(workspace: &Path, cache: &Path, repo: &str) -> Result<Self, GitError> {
        check_address(repo)?;
        let repo = repo.to_owned();
        if !is_remote(&repo) {
            // git compares `safe.directory` with the absolute path.
            let folder = workspace.join(&repo);
            let Ok(folder) = fs::canonicalize(&folder) else {
                return Err(GitError::NoFolder { repo, path: folder });
            };
            return Ok(Self { repo, folder });
        }
        let folder = cache.join(Digest::of(repo.as_bytes()).short());
        let checkout = Self { repo, folder };
        if !checkout.folder.join("HEAD").exists() {
            checkout.make_bare()?;
        }
        Ok(checkout)
    }

    fn make_bare(&self) -> Result<(), GitError> {
        fs::create_dir_all(&self.folder).map_err(|cause| self.not_copied(cause))?;
        self.run("make a copy", &["init", "--quiet", "--bare", "."]).map(drop)
    }

    fn fetch(&self, reference: &str) -> Result<(), GitError> {
        let arguments =
            ["fetch", "--quiet", "--no-tags", "--end-of-options", &self.repo, reference];
        self.run("fetch branches", &arguments).map(drop)
    }

    fn resolve(&self, name: &str) -> Result<String, GitError> {
        let arguments = ["rev-parse", "--verify", "--quiet", "--end-of-options", name];
        let text = self.run(&format!("find `{name}`"), &arguments)?;
        let id = text.lines().last().unwrap_or("").trim();
        if is_object_id(id) {
            Ok(id.to_owned())
        } else {
            Err(self.failed(&format!("find `{name}`"), "no such commit, branch or folder"))
        }
    }

    fn run(&self, act: &str, arguments: &[&str]) -> Result<String, GitError> {
        Ok(String::from_utf8_lossy(&self.output(act, arguments)?.stdout).into_owned())
    }

    fn output(&self, act: &str, arguments: &[&str]) -> Result<Output, GitError> {
        let output = self.git(arguments).output().map_err(GitError::Run)?;
        if output.status.success() {
            Ok(output)
        } else {
            Err(self.failed(act, &String::from_utf8_lossy(&output.stderr)))
        }
    }

    /// A git that never asks, speaks no protocol but those that an address may name, and shows objects as they were hashed:
    /// no replacement of git-replace(1), no other repository that a hook around us is in.
    fn git(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new("git");
        command
            .arg("-C")
            .arg(&self.folder)
            .args(["-c", "protocol.allow=never"])
            .args(["-c", "protocol.https.allow=always", "-c", "protocol.ssh.allow=always"])
            .args(["-c", &format!("safe.directory={}", self.folder.display())])
            .args(arguments)
            .env("GIT_TERMINAL_PROMPT", "0")
            .env("GIT_NO_REPLACE_OBJECTS", "1")
            .env_remove("GIT_DIR")
            .env_remove("GIT_WORK_TREE")
            .env("LC_ALL", "C.UTF-8")
            .stdin(Stdio::null());
        command
    }

    fn not_copied(&self, cause: io::Error) -> GitError {
        GitError::Copy { repo: self.repo.clone(), cause }
    }

    fn failed(&self, act: &str, message: &str) -> GitError {
        let message = message.trim();
        let message = if message.is_empty() { "no such commit, branch or folder" } else { message };
        GitError::Git { act: act.to_owned(), repo: self.repo.clone(), message: message.to_owned() }
    }
}

fn tree_of(commit: &str, subfolder: &str) -> String {
    if subfolder.is_empty() {
        format!("{commit}^{{tree}}")
    } else {
        format!("{commit}:{subfolder}")
    }
}

fn is_object_id(text: &str) -> bool {
    text.len() == 40 && text.bytes().all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b))
}

fn is_remote(repo: &str) -> bool {
    repo.starts_with("https://") || repo.starts_with("ssh://")
}

/// Addresses go to git as they are, so that only plain ones may: no `ext::`, no option, no way out of the workspace.
fn check_address(repo: &str) -> Result<(), GitError> {
    let plain = !repo.is_empty() && !repo.starts_with('-') && !repo.chars().any(char::is_control);
    let folder =
        !repo.contains(':') && !repo.starts_with('/') && !repo.split('/').any(|c| c == "..");
    let remote = is_remote(repo) && !repo.contains("://-");
    if plain && (folder || remote) {
        Ok(())
    } else {
        Err(GitError::Address { repo: repo.to_owned() })
    }
}
