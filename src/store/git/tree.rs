//! A git tree as a tar archive: the files that its hash covers, and nothing else.
//!
//! `git archive` would not do: attributes of the tree and of the machine (export-ignore, export-subst) change what it
//! writes, and then what is sent is not what was pinned.

use super::{Checkout, GitError};
use crate::{model::EntryPath, store::archive::header};
use std::{
    io::{self, BufRead as _, BufReader, Read as _, Write},
    process::{Child, ChildStdin, ChildStdout, Stdio},
};
use tar::{Builder, EntryType};

/// The longest target of a link that fits into a header of tar, in bytes. Source: tar(5).
const LINK_BYTES_MAX: usize = 100;

/// A file or a link of a tree.
struct Member {
    kind: EntryType,
    mode: u32,
    blob: String,
    path: EntryPath,
}

/// Writes the files and links of a tree in the order of their paths: root's, without times, 0755 for what is executable,
/// else 0644. Folders are not listed; those of a path are to be made with it.
pub fn write(checkout: &Checkout, tree: &str, out: &mut dyn Write) -> Result<(), GitError> {
    verify(checkout, tree)?;
    let members = members(checkout, tree)?;
    let mut blobs = Blobs::open(checkout)?;
    let mut tar = Builder::new(out);
    let mut written = members.iter().try_for_each(|member| blobs.append(&mut tar, member));
    written = written.and_then(|()| tar.finish());
    let closed = blobs.close();
    written.map_err(|cause| checkout.not_copied(cause)).and(closed)
}

/// Hashes everything below a tree: git itself does not when it reads a blob. It tells what is wrong, yet exits with 0.
fn verify(checkout: &Checkout, tree: &str) -> Result<(), GitError> {
    let act = format!("verify the tree `{tree}`");
    let arguments = ["rev-list", "--objects", "--verify-objects", "--quiet", tree];
    let output = checkout.output(&act, &arguments)?;
    let told = String::from_utf8_lossy(&output.stderr);
    match told.lines().find(|line| line.starts_with("error:")) {
        Some(line) => Err(checkout.failed(&act, line)),
        None => Ok(()),
    }
}

fn members(checkout: &Checkout, tree: &str) -> Result<Vec<Member>, GitError> {
    let arguments = ["ls-tree", "-r", "-z", "--full-tree", tree];
    let listing = checkout.output("list the files", &arguments)?.stdout;
    let lines = listing.split(|byte| *byte == 0).filter(|line| !line.is_empty());
    lines.map(|line| member(checkout, line)).collect()
}

/// Reads `<mode> <type> <object>\t<path>`: git-ls-tree(1).
fn member(checkout: &Checkout, line: &[u8]) -> Result<Member, GitError> {
    let refuse = |path: &str, rule: &str| GitError::Member {
        repo: checkout.repo.clone(),
        path: path.to_owned(),
        rule: rule.to_owned(),
    };
    let Ok(line) = str::from_utf8(line) else {
        return Err(refuse(&String::from_utf8_lossy(line), "its name is not UTF-8"));
    };
    let (facts, path) = line.split_once('\t').unwrap_or((line, ""));
    let (kind, mode) = match facts.split(' ').next() {
        Some("100644") => (EntryType::Regular, 0o644),
        Some("100755") => (EntryType::Regular, 0o755),
        Some("120000") => (EntryType::Symlink, 0o777),
        Some("160000") => {
            return Err(refuse(path, "it is a submodule; a release is one repository's files"));
        }
        _ => return Err(refuse(path, "it is neither a file nor a link")),
    };
    let path = path.parse::<EntryPath>().map_err(|error| refuse(path, error.rule))?;
    let blob = facts.rsplit(' ').next().unwrap_or("").to_owned();
    Ok(Member { kind, mode, blob, path })
}

/// A `git cat-file --batch`: one question, one answer.
struct Blobs<'a> {
    checkout: &'a Checkout,
    child: Child,
    questions: ChildStdin,
    answers: BufReader<ChildStdout>,
}

impl<'a> Blobs<'a> {
    fn open(checkout: &'a Checkout) -> Result<Self, GitError> {
        let mut child = checkout
            .git(&["cat-file", "--batch"])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .map_err(GitError::Run)?;
        let questions = child.stdin.take().expect("stdin is piped");
        let answers = BufReader::new(child.stdout.take().expect("stdout is piped"));
        Ok(Self { checkout, child, questions, answers })
    }

    fn append(&mut self, tar: &mut Builder<&mut dyn Write>, member: &Member) -> io::Result<()> {
        let size = self.ask(&member.blob)?;
        let mut header = header(member.kind, member.mode);
        if member.kind == EntryType::Symlink {
            let mut target = vec![0; usize::try_from(size).map_err(io::Error::other)?];
            self.answers.read_exact(&mut target)?;
            append_link(tar, header, member.path.as_str(), &target)?;
        } else {
            header.set_size(size);
            let mut blob = self.answers.by_ref().take(size);
            tar.append_data(&mut header, member.path.as_str(), &mut blob)?;
        }
        // A line feed ends each answer.
        self.answers.read_exact(&mut [0])
    }

    /// Asks for a blob; its size. Its bytes come next.
    fn ask(&mut self, blob: &str) -> io::Result<u64> {
        writeln!(self.questions, "{blob}")?;
        let mut line = String::new();
        self.answers.read_line(&mut line)?;
        let size = line.strip_prefix(blob).and_then(|rest| rest.strip_prefix(" blob "));
        let size = size.and_then(|size| size.trim_end().parse().ok());
        size.ok_or_else(|| io::Error::other(format!("git answers `{}`", line.trim_end())))
    }

    fn close(self) -> Result<(), GitError> {
        let Self { checkout, mut child, questions, answers } = self;
        // The child ends when nobody asks, or listens, any more.
        drop((questions, answers));
        let status = child.wait().map_err(GitError::Run)?;
        let act = "read the files";
        if status.success() { Ok(()) } else { Err(checkout.failed(act, &status.to_string())) }
    }
}

/// A symlink whose target is written byte for byte; `tar` itself would tidy it up.
fn append_link(
    tar: &mut Builder<&mut dyn Write>,
    mut link: tar::Header,
    path: &str,
    target: &[u8],
) -> io::Result<()> {
    if target.len() > LINK_BYTES_MAX {
        let mut long = header(EntryType::GNULongLink, 0o644);
        long.set_size(target.len() as u64 + 1);
        tar.append_data(&mut long, "@LongLink", target.chain(&[0][..]))?;
    }
    let start = &target[..target.len().min(LINK_BYTES_MAX)];
    link.set_link_name_literal(start)?;
    tar.append_data(&mut link, path, io::empty())
}
