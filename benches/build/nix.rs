//! The same files, made by Nix from the same definitions: `builtins.toFile` and a builder in `/bin/sh`, in a private store.

use crate::tree;
use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

/// What the figures of Nix are of, for whoever reads them.
pub const WHAT_IT_DOES: &str = "\
    nix-build has less to do: it reads the definitions, fills names and env vars into texts of the kind that stackc rendered\n\
    before (builtins.replaceStrings), and writes the files below rootfs/; it renders no template and checks nothing.";

const EXPRESSION: &str = include_str!("fleet.nix");

/// Whether Nix is there at all.
pub fn is_installed() -> bool {
    let version = Command::new("nix-build").arg("--version").stdout(Stdio::null()).status();
    version.is_ok_and(|status| status.success())
}

/// A Nix of its own: nothing outside this folder is read or written.
pub struct Nix {
    folder: PathBuf,
}

impl Nix {
    /// Puts the expression beside the definitions, with the texts that `stackc build` made for the first env.
    pub fn new(workspace: &Path) -> Self {
        let folder = workspace.join("nix");
        fs::create_dir(&folder).expect("writable");
        let (project, env) = (tree::project(0), tree::env(0));
        let fill = |text: &str| text.replace(&project, "@PROJECT@").replace(&env, "@ENV@");
        let files = files_below(&overlay(workspace, &project, &env));
        let texts: BTreeMap<String, String> = files
            .into_iter()
            .filter(|(path, _)| !path.ends_with(&format!(".env.{env}")))
            .map(|(path, text)| (fill(&path), fill(&text)))
            .collect();
        let texts = serde_json::to_string(&texts).expect("it is text");
        fs::write(folder.join("texts.json"), texts).expect("writable");
        fs::write(folder.join("fleet.nix"), EXPRESSION).expect("writable");
        Self { folder }
    }

    /// Empties the store.
    pub fn forget(&self) {
        for part in ["store", "state"] {
            let part = self.folder.join(part);
            if part.exists() {
                make_writable(&part);
                fs::remove_dir_all(part).expect("it is ours");
            }
        }
    }

    /// Builds every env, and prints where each of them is.
    pub fn build(&self) -> Command {
        let mut command = Command::new("nix-build");
        command.args(["--no-out-link", "--quiet", "fleet.nix", "--max-jobs", "auto"]);
        for (option, value) in
            [("sandbox", "false"), ("build-users-group", ""), ("substitute", "false")]
        {
            command.args(["--option", option, value]);
        }
        let places = [("STORE", "store"), ("STATE", "state"), ("LOG", "log"), ("CONF", "conf")];
        for (name, place) in places {
            command.env(format!("NIX_{name}_DIR"), self.folder.join(place));
        }
        command.env("HOME", &self.folder).env_remove("NIX_REMOTE").env_remove("NIX_PATH");
        command.current_dir(&self.folder).stdout(Stdio::null()).stderr(Stdio::null());
        command
    }

    /// Compares what was built with what `stackc build` made: the same files with the same bytes.
    pub fn compare(&self, workspace: &Path, envs: usize) {
        let output = self.build().stdout(Stdio::piped()).output().expect("nix-build runs");
        let output = String::from_utf8(output.stdout).expect("store paths are text");
        let built: BTreeSet<&str> = output.lines().collect();
        assert_eq!(built.len(), envs, "every env is built by Nix");
        for path in built {
            // STORE/HASH-project-N-stage-M
            let (_, name) = path.rsplit_once("-project-").expect("it is named so");
            let (project, env) = name.split_once("-stage-").expect("it is named so");
            let (project, env) = (format!("project-{project}"), format!("stage-{env}"));
            let files = files_below(Path::new(path));
            assert_eq!(files.len(), tree::FILES, "{path}");
            assert_eq!(files, files_below(&overlay(workspace, &project, &env)), "{path}");
        }
    }
}

/// Where `stackc build` put the files of an env.
pub fn overlay(workspace: &Path, project: &str, env: &str) -> PathBuf {
    workspace.join("out/guests").join(project).join(env).join("rootfs")
}

/// Every regular file by its path, with its text.
pub fn files_below(folder: &Path) -> BTreeMap<String, String> {
    let mut files = BTreeMap::new();
    for entry in walkdir::WalkDir::new(folder) {
        let entry = entry.expect("readable");
        if entry.file_type().is_file() {
            let path = entry.path().strip_prefix(folder).expect("it was found there");
            let text = fs::read_to_string(entry.path()).expect("it is text");
            files.insert(path.to_str().expect("paths are text").to_owned(), text);
        }
    }
    files
}

/// Nix makes what is in its store read-only.
fn make_writable(folder: &Path) {
    let status = Command::new("chmod").args(["-R", "u+w"]).arg(folder).status();
    assert!(status.expect("chmod runs").success(), "the store can be removed");
}
