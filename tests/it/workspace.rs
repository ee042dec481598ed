//! The lab's workspace: its repositories are what `stacks/lock.toml` pins, and its definitions name the lab.

use crate::tree;
use camino::{Utf8Path, Utf8PathBuf};
use stackc::lab::{Lab, workspace};
use std::{collections::BTreeSet, fs, os::unix::fs::PermissionsExt as _, process::Command};

#[test]
fn example_repositories_have_the_commits_that_the_lockfile_pins() {
    let (_dir, workspace, _) = made();
    let pins: toml::Table = tree::read("stacks/lock.toml").parse().expect("it is TOML");
    for (project, envs) in &pins {
        let repo = workspace.join("repos").join(project);
        for (env, pin) in envs.as_table().expect("a table of envs") {
            let found = [env.as_str(), &format!("{env}^{{tree}}")];
            let found = found.map(|name| git(&repo, &["rev-parse", name]));
            let pinned = ["commit", "tree"].map(|key| pin[key].as_str().unwrap_or("none"));
            assert_eq!(found, pinned, "{project}.{env} of stacks/lock.toml is not the example app");
        }
    }
}

#[test]
fn example_repositories_hold_every_file_of_the_example_apps() {
    let (_dir, workspace, _) = made();
    for project in ["shop", "reports", "manual", "rates"] {
        let below = format!("stacks/apps/{project}/");
        let expected: BTreeSet<String> = tree::files()
            .iter()
            .filter_map(|file| file.path.strip_prefix(&below).map(str::to_owned))
            .collect();
        let found = git(&workspace.join("repos").join(project), &["ls-files"]);
        assert_eq!(found.lines().map(str::to_owned).collect::<BTreeSet<_>>(), expected);
    }
}

#[test]
fn definitions_of_the_workspace_name_the_lab_and_no_example_network() {
    let (_dir, workspace, lab) = made();
    let site = fs::read_to_string(workspace.join("stacks/site.toml")).expect("it is made");
    let site: toml::Table = site.parse().expect("it stays TOML");
    assert_eq!(site["proxmox"]["url"].as_str(), Some(lab.url.as_str()));
    assert_eq!(site["guest"]["gateway"].as_str(), Some("10.213.7.1"));
    assert_eq!(site["access"]["management"][0].as_str(), Some("10.213.7.0/24"));
    assert!(workspace.join(site["proxmox"]["ca"].as_str().expect("a path")).is_file());
    assert!(workspace.join(site["access"]["identity"].as_str().expect("a path")).is_file());
    for name in ["site.toml", "shop.toml", "reports.toml", "manual.toml", "rates.toml"] {
        let text = fs::read_to_string(workspace.join("stacks").join(name)).expect("it is made");
        assert!(!text.contains("10.0.10."), "{name} still has an address of the example network");
    }
    let shop = fs::read_to_string(workspace.join("stacks/shop.toml")).expect("it is made");
    assert!(shop.contains("10.213.7."), "the guests are in the lab's network");
}

#[test]
fn secrets_of_the_workspace_are_random_private_and_never_overwritten() {
    let (_dir, workspace, lab) = made();
    let names = ["shop/dev/a", "proxmox/token"].map(|name| name.parse().expect("a name")).into();
    workspace::write_secrets(&workspace, &lab, &names).expect("secrets");
    let path = workspace.join("stacks/secrets.local.toml");
    let mode = fs::metadata(&path).expect("it is made").permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    let text = fs::read_to_string(&path).expect("it is made");
    let secrets: toml::Table = text.parse().expect("it is TOML");
    assert_eq!(secrets["proxmox"]["token"].as_str(), Some(lab.token.as_str()));
    assert_eq!(secrets["tag_key"].as_str().map(str::len), Some(64));
    assert_ne!(secrets["shop"]["dev"]["a"].as_str(), secrets["tag_key"].as_str());
    workspace::write_secrets(&workspace, &lab, &names).expect_err("they are kept");
    assert_eq!(fs::read_to_string(&path).expect("it is there"), text);
}

#[test]
fn a_folder_that_holds_something_is_no_place_for_a_workspace() {
    let (_dir, workspace, lab) = made();
    let error = workspace::create(&workspace, &lab).expect_err("it is full");
    assert_eq!(
        error.to_string().replace(workspace.as_str(), "DIR"),
        "`DIR` is not empty; name a new folder for the workspace"
    );
}

#[test]
fn a_replacement_without_its_text_changes_nothing() {
    let (_dir, workspace, _) = made();
    let repo = workspace.join("repos/shop");
    let before = git(&repo, &["rev-parse", "HEAD"]);
    let change = workspace::Change::Replace { path: "VERSION", from: "7", to: "8" };
    workspace::commit(&repo, "no", &[change]).expect_err("there is no 7");
    assert_eq!(git(&repo, &["rev-parse", "HEAD"]), before);
    assert_eq!(git(&repo, &["status", "--porcelain"]), "");
}

/// A workspace for a lab that need not run.
fn made() -> (tempfile::TempDir, Utf8PathBuf, Lab) {
    let dir = tempfile::tempdir().expect("a temporary folder");
    let top = Utf8Path::from_path(dir.path()).expect("UTF-8").to_owned();
    fs::write(top.join("ca.pem"), "a certificate").expect("writable");
    let lab: Lab = serde_json::from_value(serde_json::json!({
        "name": "x", "url": "https://127.0.0.1:18006", "ca_file": top.join("ca.pem"),
        "token": "root@pam!stackc=00000000-0000-0000-0000-000000000000", "node": "pve",
        "storage": "local-lvm", "template": "local:vztmpl/debian-12.tar.zst", "bridge": "vmbr0",
        "subnet": "10.213.7.0/24", "gateway": "10.213.7.1", "host_bridge": "lab-x",
        "admin_key": top.join("key"), "state": top, "bases": {},
    }))
    .expect("a lab's description");
    let workspace = top.join("workspace");
    workspace::create(&workspace, &lab).expect("a workspace");
    (dir, workspace, lab)
}

fn git(repo: &Utf8Path, arguments: &[&str]) -> String {
    let output = Command::new("git").arg("-C").arg(repo).args(arguments).output().expect("git");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8_lossy(&output.stdout).trim().to_owned()
}
