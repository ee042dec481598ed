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
fn secrets_of_the_workspace_are_private_and_never_overwritten() {
    let (_dir, workspace, lab) = made();
    let names =
        ["shop/dev/a", "shop/dev/b", "proxmox/token"].map(|name| name.parse().expect("a name"));
    let names = names.into();
    workspace::write_secrets(&workspace, &lab, &names).expect("secrets");
    let path = workspace.join("stacks/secrets.local.toml");
    let mode = fs::metadata(&path).expect("it is made").permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    let text = fs::read_to_string(&path).expect("it is made");
    let secrets: toml::Table = text.parse().expect("it is TOML");
    assert_eq!(secrets["proxmox"]["token"].as_str(), Some(lab.token.as_str()));
    assert_eq!(secrets["tag_key"].as_str().map(str::len), Some(64));
    assert_ne!(secrets["shop"]["dev"]["a"], secrets["shop"]["dev"]["b"]);
    workspace::write_secrets(&workspace, &lab, &names).expect_err("they are kept");
    assert_eq!(fs::read_to_string(&path).expect("it is there"), text);
}

#[test]
fn guests_made_from_one_workspace_of_a_lab_are_let_in_and_kept_by_the_next() {
    let (_dir, first, lab) = made();
    let names = ["shop/dev/a".parse().expect("a name")].into();
    let (second, third) = (first.with_file_name("second"), first.with_file_name("third"));
    workspace::create(&second, &lab).expect("another workspace");
    for workspace in [&first, &second] {
        workspace::write_secrets(workspace, &lab, &names).expect("secrets");
    }
    let read = |of: &Utf8Path, file| fs::read_to_string(of.join(file)).expect("it is made");
    for file in ["keys/ops", "keys/ops.pub", "stacks/secrets.local.toml"] {
        assert_eq!(read(&first, file), read(&second, file), "{file}");
    }
    assert_eq!(read(&first, "keys/ops"), "a private key");
    let mode = fs::metadata(first.join("keys/ops")).expect("it is made").permissions().mode();
    assert_eq!(mode & 0o777, 0o600, "ssh takes no other");
    let other = Lab { token: lab.token.replace('0', "1"), ..lab };
    workspace::create(&third, &other).expect("a workspace of another lab");
    workspace::write_secrets(&third, &other, &names).expect("secrets");
    let values = [&first, &third].map(|workspace| {
        let secrets: toml::Table =
            read(workspace, "stacks/secrets.local.toml").parse().expect("it is TOML");
        [secrets["shop"]["dev"]["a"].clone(), secrets["tag_key"].clone()]
    });
    assert!(values[0].iter().all(|value| !values[1].contains(value)), "each lab has its own");
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
    for (file, text) in
        [("ca.pem", "a certificate"), ("key", "a private key"), ("key.pub", "a public key")]
    {
        fs::write(top.join(file), text).expect("writable");
    }
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
