//! What a release is: the pinned tree of git, byte for byte.

use stackc::store::git::{self, Pin};
use std::{
    fs,
    os::unix::fs::{PermissionsExt as _, symlink},
    path::{Path, PathBuf},
    process::Command,
};

const REPO: &str = "repos/app";

/// A workspace with one repository, whose attributes ask for other bytes than its tree has.
struct App {
    workspace: tempfile::TempDir,
    folder: PathBuf,
}

impl App {
    fn new() -> Self {
        let workspace = tempfile::tempdir().expect("a folder");
        let folder = workspace.path().join(REPO);
        let app = Self { workspace, folder };
        fs::create_dir_all(app.folder.join("bin")).expect("a folder");
        let attributes = "tests export-ignore\nVERSION export-subst\n*.txt text eol=crlf\n";
        app.write(".gitattributes", attributes);
        app.write("VERSION", "$Format:%H$\n");
        app.write("tests", "not to be left out\n");
        app.write("read.txt", "one\ntwo\n");
        app.write("bin/run", "#!/bin/sh\n");
        let executable = fs::Permissions::from_mode(0o755);
        fs::set_permissions(app.folder.join("bin/run"), executable).expect("ours");
        symlink(".//bin/./run", app.folder.join("link")).expect("a link");
        symlink(long_target(), app.folder.join("long")).expect("a link");
        app.git(&["init", "--quiet", "--initial-branch=main"]);
        app.commit();
        app
    }

    fn write(&self, name: &str, text: &str) {
        fs::write(self.folder.join(name), text).expect("writable");
    }

    fn commit(&self) {
        self.git(&["add", "."]);
        self.git(&["commit", "--quiet", "--message=x"]);
    }

    fn git(&self, arguments: &[&str]) -> String {
        let output = Command::new("git")
            .arg("-C")
            .arg(&self.folder)
            .args(["-c", "user.name=x", "-c", "user.email=x@example.org"])
            .args(arguments)
            .env("GIT_CONFIG_GLOBAL", "/dev/null")
            .env("GIT_CONFIG_NOSYSTEM", "1")
            .output()
            .expect("git runs");
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8_lossy(&output.stdout).trim().to_owned()
    }

    fn pin(&self, subfolder: &str) -> Pin {
        let main = "main".parse().expect("a branch name");
        git::pin(self.workspace.path(), Path::new("unused"), REPO, &main, subfolder)
            .expect("the branch is there")
    }

    fn archive(&self, pin: &Pin, subfolder: &str) -> Result<Vec<u8>, git::GitError> {
        let mut bytes = Vec::new();
        let cache = Path::new("unused");
        git::archive(self.workspace.path(), cache, REPO, pin, subfolder, &mut bytes)?;
        Ok(bytes)
    }

    fn refusal(&self) -> String {
        self.archive(&self.pin(""), "").expect_err("it is refused").to_string()
    }
}

fn long_target() -> String {
    format!("./{}//end", "far/".repeat(40))
}

/// Path, mode, and content or target of each member.
fn members(archive: &[u8]) -> Vec<(String, u32, String)> {
    let mut archive = tar::Archive::new(archive);
    let entries = archive.entries().expect("it is a tar");
    let read = |entry: std::io::Result<tar::Entry<'_, &[u8]>>| {
        let mut entry = entry.expect("whole");
        let header = entry.header();
        let facts = (header.uid(), header.gid(), header.mtime());
        assert_eq!(facts.0.expect("an id") + facts.1.expect("an id") + facts.2.expect("a time"), 0);
        let mode = header.mode().expect("a mode");
        let path = String::from_utf8_lossy(&entry.path_bytes()).into_owned();
        let mut content = Vec::new();
        match entry.link_name_bytes() {
            Some(target) => content.extend_from_slice(&target),
            None => drop(std::io::copy(&mut entry, &mut content).expect("whole")),
        }
        (path, mode, String::from_utf8(content).expect("UTF-8"))
    };
    entries.map(read).collect()
}

#[test]
fn a_release_is_the_pinned_tree_whatever_its_attributes_say() {
    let app = App::new();
    let pin = app.pin("");
    let first = app.archive(&pin, "").expect("it is there");
    app.write("VERSION", "not committed\n");
    let own = |path: &str, mode, text: &str| (path.to_owned(), mode, text.to_owned());
    let attributes = fs::read_to_string(app.folder.join(".gitattributes")).expect("it is there");
    let wanted = [
        own(".gitattributes", 0o644, &attributes),
        own("VERSION", 0o644, "$Format:%H$\n"),
        own("bin/run", 0o755, "#!/bin/sh\n"),
        own("link", 0o777, ".//bin/./run"),
        own("long", 0o777, &long_target()),
        own("read.txt", 0o644, "one\ntwo\n"),
        own("tests", 0o644, "not to be left out\n"),
    ];
    assert_eq!(members(&first), wanted);
    assert_eq!(app.archive(&pin, "").expect("it is there"), first, "the same pin, the same bytes");
    let folder = app.archive(&app.pin("bin"), "bin").expect("it is there");
    assert_eq!(members(&folder), [own("run", 0o755, "#!/bin/sh\n")]);
}

#[test]
fn a_pin_whose_tree_is_not_its_commits_is_refused() {
    let app = App::new();
    let pin = Pin { tree: "0".repeat(40), ..app.pin("") };
    let error = app.archive(&pin, "").expect_err("it is refused").to_string();
    assert!(error.contains(&app.pin("").tree) && error.contains("stackc lock"), "{error}");
}

#[test]
fn a_submodule_is_refused_by_name() {
    let app = App::new();
    let commit = app.pin("").commit;
    let link = format!("160000,{commit},vendor/other");
    app.git(&["update-index", "--add", "--cacheinfo", &link]);
    app.git(&["commit", "--quiet", "--message=x"]);
    let error = app.refusal();
    assert!(error.contains("`vendor/other`") && error.contains("submodule"), "{error}");
}

#[test]
fn a_blob_that_is_not_what_its_name_says_is_refused() {
    let app = App::new();
    let [tests, version] = ["tests", "VERSION"].map(|name| {
        let blob = app.git(&["rev-parse", &format!("HEAD:{name}")]);
        app.folder.join(".git/objects").join(&blob[..2]).join(&blob[2..])
    });
    fs::remove_file(&version).expect("ours");
    fs::copy(&tests, &version).expect("ours");
    let error = app.refusal();
    assert!(error.contains("hash mismatch"), "{error}");
}

#[test]
fn a_replacement_of_an_object_is_not_seen() {
    let app = App::new();
    let pin = app.pin("");
    let before = app.archive(&pin, "").expect("it is there");
    let [tests, version] =
        ["tests", "VERSION"].map(|name| app.git(&["rev-parse", &format!("HEAD:{name}")]));
    app.git(&["replace", &version, &tests]);
    assert_eq!(app.git(&["cat-file", "blob", "HEAD:VERSION"]), "not to be left out");
    assert_eq!(app.archive(&pin, "").expect("it is there"), before);
}
