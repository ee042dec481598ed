//! Labs that are told apart by name and by folder: what `stackc lab` refuses, without a lab that runs.

use assert_cmd::Command;
use camino::{Utf8Path, Utf8PathBuf};
use serde_json::json;
use std::fs;

/// The state of a lab called `kept`, as `up` leaves it.
fn kept() -> (tempfile::TempDir, Utf8PathBuf) {
    let dir = tempfile::tempdir().expect("a temporary folder");
    let state = Utf8Path::from_path(dir.path()).expect("UTF-8").join("state");
    fs::create_dir_all(state.join("guests")).expect("the folder is ours");
    let lab = json!({
        "name": "kept", "url": "https://127.0.0.1:1", "ca_file": state.join("ca.pem"),
        "token": "root@pam!stackc=00000000-0000-0000-0000-000000000000", "node": "pve",
        "storage": "local-lvm", "template": "local:vztmpl/debian-12.tar.zst", "bridge": "vmbr0",
        "subnet": "10.213.7.0/24", "gateway": "10.213.7.1", "host_bridge": "lab-kept",
        "admin_key": state.join("key"), "state": state, "bases": {},
    });
    fs::write(state.join("lab.json"), lab.to_string()).expect("the folder is ours");
    (dir, state)
}

/// The exit code, stdout and stderr.
fn lab(state: &Utf8Path, arguments: &[&str]) -> (Option<i32>, String, String) {
    let mut command = Command::cargo_bin("stackc").expect("it is built");
    command.env("STACKC_LAB_STATE", state).env_remove("STACKC_LAB_NAME");
    let output = command.arg("lab").args(arguments).output().expect("it runs");
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    (output.status.code(), text(&output.stdout), text(&output.stderr))
}

#[test]
fn a_lab_of_another_name_in_the_state_folder_is_neither_removed_nor_used() {
    let (_dir, state) = kept();
    let verbs: [&[&str]; 6] = [
        &["down"],
        &["up"],
        &["status"],
        &["ssh", "shop-dev"],
        &["power-cut", "shop-dev"],
        &["workspace", "made"],
    ];
    for verb in verbs {
        let (code, _, errors) = lab(&state, &[&["--name", "nope"], verb].concat());
        assert_eq!(code, Some(3), "{verb:?}: {errors}");
        let told = format!("`{state}` is the state of the lab `kept`, not of `nope`");
        assert!(errors.contains(&told), "{errors}");
        let right = format!("`stackc lab status --name kept --state {state}`");
        assert!(errors.contains(&right), "{errors}");
    }
    assert!(state.join("lab.json").exists() && state.join("guests").exists());
}

#[test]
fn a_state_folder_without_a_name_means_the_lab_that_is_in_it() {
    let (_dir, state) = kept();
    let (code, told, errors) = lab(&state, &["status"]);
    assert_eq!(code, Some(0), "{errors}");
    assert!(told.starts_with("lab `kept` has no API"), "{told}");
}
