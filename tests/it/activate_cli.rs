//! `stackc activate` as it is called where nobody can be asked: exit codes and texts.

use crate::fake::pve::{Answer, Call, Pve};
use camino::{Utf8Path, Utf8PathBuf};
use serde_json::{Value, json};
use stackc::{
    activate::secret_names,
    compile::{Sources, compile},
    lab::{Lab, workspace},
    store,
};
use std::{collections::BTreeSet, fs, process::Command};

const PUBLIC_KEY: &str =
    "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIDbtRAxwEjxOAwx5pQ7xSP0lYWlYOjf7TqM1jM5OLNrZ ops";
const TEMPLATE: &str = "local:vztmpl/debian-12.tar.zst";

/// A cluster with nothing on it, for a token that may do everything.
pub fn empty_cluster(call: &Call) -> Answer {
    let all: Value = [
        "VM.Allocate",
        "VM.Audit",
        "VM.PowerMgmt",
        "VM.Config.CPU",
        "VM.Config.Memory",
        "VM.Config.Network",
        "VM.Config.Disk",
        "VM.Config.Options",
        "Datastore.AllocateSpace",
    ]
    .iter()
    .map(|privilege| ((*privilege).to_owned(), json!(1)))
    .collect::<serde_json::Map<_, _>>()
    .into();
    Answer::Data(match call.path.split('?').next().unwrap_or_default() {
        "/cluster/resources" => json!([]),
        "/cluster/nextid" => json!("101"),
        "/access/permissions" => json!({ "/": all }),
        "/nodes" => json!([{"node": "pve"}]),
        "/nodes/pve/storage" => json!([{"storage": "local-lvm"}, {"storage": "local"}]),
        "/nodes/pve/network" => json!([{"iface": "vmbr0"}]),
        "/nodes/pve/storage/local/content" => json!([{"volid": TEMPLATE}]),
        _ => return Answer::Reason(501, "Method not implemented"),
    })
}

/// The worked examples, for guests of this API.
pub fn made(pve: &Pve) -> (tempfile::TempDir, Utf8PathBuf) {
    let dir = tempfile::tempdir().expect("a temporary folder");
    let top = Utf8Path::from_path(dir.path()).expect("UTF-8").to_owned();
    fs::write(top.join("ca.pem"), &pve.ca).expect("writable");
    fs::write(top.join("key"), "no key").expect("writable");
    fs::write(top.join("key.pub"), PUBLIC_KEY).expect("writable");
    let lab: Lab = serde_json::from_value(json!({
        "name": "x", "url": pve.url, "ca_file": top.join("ca.pem"),
        "token": "root@pam!stackc=00000000-0000-0000-0000-000000000000", "node": "pve",
        "storage": "local-lvm", "template": TEMPLATE, "bridge": "vmbr0",
        "subnet": "10.213.7.0/24", "gateway": "10.213.7.1", "host_bridge": "lab-x",
        "admin_key": top.join("key"), "state": top, "bases": {},
    }))
    .expect("a lab's description");
    let to = top.join("workspace");
    workspace::create(&to, &lab).expect("a workspace");
    let files = store::read_sources(to.as_std_path()).expect("its sources");
    let Ok(compiled) = compile(&Sources { files }) else { panic!("the examples compile") };
    let names: BTreeSet<_> = compiled
        .guests
        .values()
        .flat_map(|bundle| secret_names(bundle).expect("the bundle is whole"))
        .collect();
    workspace::write_secrets(&to, &lab, &names).expect("secrets");
    (dir, to)
}

pub fn stackc(workspace: &Utf8Path, arguments: &[&str]) -> (Option<i32>, String, String) {
    stackc_with(workspace, arguments, |_| {})
}

/// The same in surroundings that a test changes.
pub fn stackc_with(
    workspace: &Utf8Path,
    arguments: &[&str],
    change: impl FnOnce(&mut Command),
) -> (Option<i32>, String, String) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_stackc"));
    command.arg("-C").arg(workspace).args(arguments);
    change(&mut command);
    let output = command.output().expect("it runs");
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    (output.status.code(), text(&output.stdout), text(&output.stderr))
}

#[test]
fn a_plan_that_nobody_can_approve_is_shown_and_refused() {
    let pve = Pve::start(empty_cluster);
    let (_dir, workspace) = made(&pve);
    let arguments = ["activate", "shop/dev", "--allow-ip-conflicts"];
    let (code, plan, errors) = stackc(&workspace, &arguments);
    assert_eq!(code, Some(3), "{plan}{errors}");
    assert!(plan.contains("shop/dev  guest 101  new →"), "{plan}");
    assert_eq!(
        errors,
        "error: not approved: nobody can be asked here; read the plan, then use --yes\n"
    );
    assert_eq!(pve.changes(), 0, "nothing was changed");
}

#[test]
fn an_activation_names_its_guests_or_says_all() {
    let folder = tempfile::tempdir().expect("a folder");
    let nowhere = Utf8Path::from_path(folder.path()).expect("UTF-8");
    let (code, _, errors) = stackc(nowhere, &["activate"]);
    assert_eq!(
        (code, errors.as_str()),
        (Some(2), "error: name the guests to activate, or say --all\n")
    );
    let (code, _, errors) = stackc(nowhere, &["activate", "shop/dev", "--all"]);
    assert_eq!(code, Some(2));
    assert_eq!(errors, "error: --all means every guest: name some, or say --all, not both\n");
    let (code, _, errors) = stackc(nowhere, &["rollback"]);
    assert_eq!((code, errors.as_str()), (Some(2), "error: name the guests to roll back\n"));
}

#[test]
fn a_virtual_machine_is_built_shown_and_compared_and_no_plan_touches_it() {
    let pve = Pve::start(empty_cluster);
    let (_dir, workspace) = made(&pve);
    let definition = "[project]\nkind = \"base\"\nguest.kind = \"qemu\"\nguest.image = \"local:import/debian.qcow2\"\n\
                      [envs.dev]\nname = \"box-dev\"\nvmid = 900\nip = \"10.213.7.90/24\"\n";
    fs::write(workspace.join("stacks/box.toml"), definition).expect("writable");
    let (code, _, errors) = stackc(&workspace, &["build", "box/dev"]);
    assert_eq!(code, Some(0), "{errors}");
    let (code, shown, errors) = stackc(&workspace, &["show", "box/dev", "--file", "proxmox"]);
    assert_eq!(code, Some(0), "{errors}");
    for part in ["POST /nodes/pve/qemu", "import-from=local:import/debian.qcow2", "\"qemu\": {"] {
        assert!(shown.contains(part), "{part} is not in {shown}");
    }
    fs::write(
        workspace.join("stacks/box.toml"),
        format!("{definition}guest.cores = 7\nguest.bios = \"ovmf\"\n"),
    )
    .expect("writable");
    let (code, changed, errors) = stackc(&workspace, &["diff", "box/dev"]);
    assert_eq!(code, Some(0), "{errors}");
    assert!(
        changed.contains("proxmox\n  ~ cores: 2 -> 7\n  ~ kind.qemu.bios: seabios -> ovmf\n"),
        "{changed}"
    );
    for arguments in [["plan", "box/dev"].as_slice(), &["activate", "box/dev", "--yes"]] {
        let (code, _, errors) = stackc(&workspace, arguments);
        assert_eq!(code, Some(3), "{errors}");
        assert!(errors.contains("box/dev is a virtual machine: this version"), "{errors}");
    }
    assert!(pve.calls().is_empty(), "it is refused before Proxmox is asked");
}
