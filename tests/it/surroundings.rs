//! Verbs where something of the machine is missing or broken.

use crate::{
    activate_cli::{empty_cluster, made, stackc, stackc_with},
    fake::pve::{Answer, Call, Pve},
};
use serde_json::json;
use std::{
    fs::{File, OpenOptions},
    io,
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

/// One guest that runs, as Proxmox has it; nothing listens at its address.
fn one_guest_that_runs(call: &Call) -> Answer {
    let mark =
        format!("stackc-hostkey SHA256:{}\nstackc shop/dev {}", "A".repeat(43), "0".repeat(32));
    Answer::Data(match call.path.split('?').next().unwrap_or_default() {
        "/cluster/resources" => {
            json!([{ "vmid": 101, "type": "lxc", "node": "pve", "name": "shop-dev", "status": "running" }])
        }
        "/nodes/pve/lxc/101/config" => json!({
            "description": mark, "digest": "0", "hostname": "shop-dev",
            "net0": "name=eth0,bridge=vmbr0,ip=127.9.9.9/8",
        }),
        "/nodes/pve/lxc/101/status/current" => json!({ "status": "running" }),
        "/nodes/pve/lxc/101/pending" => json!([]),
        _ => return Answer::Reason(501, "Method not implemented"),
    })
}

#[test]
fn without_ssh_a_verb_says_so_at_once_instead_of_waiting_for_the_guest() {
    let pve = Pve::start(one_guest_that_runs);
    let (_dir, workspace) = made(&pve);
    stackc(&workspace, &["build"]);
    let verbs: [&[&str]; 5] =
        [&["plan"], &["activate", "--yes"], &["status"], &["history"], &["rollback", "--yes"]];
    for verb in verbs {
        let begun = Instant::now();
        let arguments = [verb, &["shop/dev"]].concat();
        let (code, _, errors) = stackc_with(&workspace, &arguments, |command| {
            command.env("PATH", workspace.as_str());
        });
        let told = "ssh is not installed: apt-get install openssh-client\n";
        assert!(errors.contains(told), "{verb:?}: {errors}");
        assert!(!errors.contains("lets nobody in"), "{verb:?}: {errors}");
        assert_eq!(code, Some(3), "{verb:?}");
        assert!(begun.elapsed() < Duration::from_secs(20), "{verb:?}: {:?}", begun.elapsed());
    }
}

#[test]
fn without_ssh_no_guest_is_created_that_nobody_could_log_in_to() {
    let pve = Pve::start(empty_cluster);
    let (_dir, workspace) = made(&pve);
    let arguments = ["activate", "shop/dev", "--yes", "--allow-ip-conflicts"];
    let (code, _, errors) = stackc_with(&workspace, &arguments, |command| {
        command.env("PATH", workspace.as_str());
    });
    let told = "error: ssh is not installed: apt-get install openssh-client\n";
    assert_eq!((code, errors.as_str()), (Some(3), told));
    assert_eq!(pve.changes(), 0, "nothing was changed");
}

/// The exit code and stderr of a verb whose stdout goes there.
fn printing_to(stdout: impl Into<Stdio>, pve: &Pve, verb: &[&str]) -> (Option<i32>, String) {
    let (_dir, workspace) = made(pve);
    stackc(&workspace, &["build"]);
    let mut command = Command::new(env!("CARGO_BIN_EXE_stackc"));
    command.arg("-C").arg(&workspace).args(verb).stdout(stdout).stderr(Stdio::piped());
    let output = command.spawn().and_then(Child::wait_with_output).expect("it runs");
    (output.status.code(), String::from_utf8_lossy(&output.stderr).into_owned())
}

/// What takes no byte: a disk that is full.
fn full() -> File {
    OpenOptions::new().write(true).open("/dev/full").expect("Linux has it")
}

const LOST: &str =
    "error: cannot write to stdout\n  because: No space left on device (os error 28)\n";

#[test]
fn a_verb_that_only_prints_fails_without_panic_when_its_output_is_lost() {
    let pve = Pve::start(empty_cluster);
    let verbs: [&[&str]; 8] = [
        &["plan", "shop/dev", "reports/dev"],
        &["plan", "shop/dev", "--exit-code"],
        &["plan", "shop/dev", "--json"],
        &["show", "shop/dev"],
        &["status"],
        &["history", "shop"],
        &["explain", "shop/dev", "env_vars.APP_ENV"],
        &["check"],
    ];
    for verb in verbs {
        assert_eq!(printing_to(full(), &pve, verb), (Some(3), LOST.to_owned()), "{verb:?}");
    }
}

#[test]
fn a_reader_that_goes_away_is_no_failure() {
    let pve = Pve::start(empty_cluster);
    for verb in [&["plan", "shop/dev"][..], &["status"], &["show", "shop/dev"]] {
        let (reader, writer) = io::pipe().expect("a pipe");
        drop(reader);
        assert_eq!(printing_to(writer, &pve, verb), (Some(0), String::new()), "{verb:?}");
    }
}

#[test]
fn an_activation_whose_output_is_lost_goes_on_to_its_own_end() {
    let pve = Pve::start(empty_cluster);
    let verb = ["activate", "shop/dev", "--yes", "--allow-ip-conflicts"];
    let (code, errors) = printing_to(full(), &pve, &verb);
    assert_eq!(errors.matches(LOST).count(), 1, "{errors}");
    assert!(errors.contains("shop/dev  create "), "it went on: {errors}");
    assert_eq!((code, errors.contains("panicked")), (Some(4), false), "{errors}");
}

#[test]
fn a_token_that_proxmox_does_not_know_is_told_with_the_place_that_it_came_from() {
    let pve = Pve::start(|_| Answer::Reason(401, "Authentication failed!"));
    let (_dir, workspace) = made(&pve);
    stackc(&workspace, &["build"]);
    for verb in ["plan", "status"] {
        let (code, _, errors) = stackc(&workspace, &[verb, "shop/dev"]);
        assert_eq!(code, Some(3), "{errors}");
        let told = "Proxmox refused GET /cluster/resources?type=vm: Authentication failed! (status 401); the API token is the \
                    secret `proxmox/token` in `stacks/secrets.local.toml`: put there one";
        assert!(errors.contains(told), "{errors}");
        assert!(!errors.contains("00000000-0000"), "its value is not shown: {errors}");
    }
}
