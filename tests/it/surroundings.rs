//! Verbs where something of the machine is missing or broken.

use crate::{
    activate_cli::{empty_cluster, made, stackc, stackc_with},
    fake::pve::{Answer, Call, Pve},
};
use serde_json::json;
use std::time::{Duration, Instant};

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
