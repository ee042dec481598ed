//! What is in the tree, for the fences: the files that git tracks or would track.

use std::{fs, path::Path, process::Command};

/// A file of the tree, its path relative to the top, as text (bytes that are not UTF-8 replaced).
pub struct TreeFile {
    pub path: String,
    pub text: String,
}

impl TreeFile {
    /// The first folder below `src`, when the file is in one.
    pub fn source_folder(&self) -> Option<&str> {
        Some(self.path.strip_prefix("src/")?.split_once('/')?.0)
    }

    pub fn is_rust(&self) -> bool {
        self.has_extension("rs")
    }

    fn has_extension(&self, extension: &str) -> bool {
        Path::new(&self.path).extension().is_some_and(|found| found == extension)
    }

    pub fn is_script(&self) -> bool {
        self.text.lines().next().is_some_and(|first| {
            first.starts_with("#!") && (first.ends_with("bash") || first.ends_with("sh"))
        }) || self.has_extension("sh")
    }

    /// Lines with their numbers from 1; comments left out.
    pub fn code_lines(&self) -> impl Iterator<Item = (usize, &str)> {
        let lines = self.text.lines().enumerate().map(|(index, line)| (index + 1, line));
        lines.filter(|(_, line)| !line.trim_start().starts_with("//"))
    }
}

pub fn top() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// Every file that git tracks, and every new one that it does not ignore.
pub fn files() -> Vec<TreeFile> {
    let listed = Command::new("git")
        .args(["-C", env!("CARGO_MANIFEST_DIR"), "-c", "safe.directory=*"])
        .args(["ls-files", "-z", "--cached", "--others", "--exclude-standard"])
        .output()
        .expect("git runs");
    assert!(listed.status.success(), "{}", String::from_utf8_lossy(&listed.stderr));
    let names = String::from_utf8(listed.stdout).expect("paths of the project are UTF-8");
    let files: Vec<TreeFile> = names
        .split_terminator('\0')
        .filter_map(|path| {
            // A file that is deleted but not yet committed is still listed.
            let bytes = fs::read(top().join(path)).ok()?;
            Some(TreeFile {
                path: path.to_owned(),
                text: String::from_utf8_lossy(&bytes).into_owned(),
            })
        })
        .collect();
    assert!(files.len() > 30, "the fences read the tree");
    files
}

/// One file that must be there.
pub fn read(path: &str) -> String {
    fs::read_to_string(top().join(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}
