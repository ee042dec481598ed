//! `plan --out` and `activate --plan`: what was reviewed is what is done, or nothing.

use crate::{
    activate_cli::{empty_cluster, made, stackc},
    fake::pve::{Answer, Pve},
    reach_cli::two_stopped_guests,
};
use camino::Utf8Path;
use serde_json::{Value, json};
use std::{
    fs,
    sync::atomic::{AtomicBool, Ordering},
};

static MOVED_ON: AtomicBool = AtomicBool::new(false);
static IS_OFF: AtomicBool = AtomicBool::new(false);

fn plan(workspace: &Utf8Path) -> Value {
    let file = workspace.join("plan.json");
    let arguments = ["plan", "shop/dev", "--out", file.as_str()];
    let (code, _, errors) = stackc(workspace, &arguments);
    assert_eq!(code, Some(0), "{errors}");
    serde_json::from_slice(&fs::read(file).expect("it is written")).expect("it is JSON")
}

fn write(workspace: &Utf8Path, saved: &Value) {
    let bytes = serde_json::to_vec(saved).expect("it is JSON");
    fs::write(workspace.join("plan.json"), bytes).expect("writable");
}

fn activate(workspace: &Utf8Path) -> (Option<i32>, String) {
    let file = workspace.join("plan.json");
    let arguments = ["activate", "--plan", file.as_str(), "--allow-ip-conflicts"];
    let (code, _, errors) = stackc(workspace, &arguments);
    (code, errors.replace(workspace.as_str(), "WORKSPACE"))
}

#[test]
fn a_saved_plan_is_carried_out_unasked_and_whatever_definitions_say_by_then() {
    let pve = Pve::start(|call| match call.path.split('?').next() {
        Some("/nodes/pve/tasks") => Answer::Data(json!([])),
        _ => empty_cluster(call),
    });
    let (_dir, workspace) = made(&pve);
    let saved = plan(&workspace);
    assert_eq!(saved["plans"][0]["plan"]["steps"][0]["step"], "create", "{saved}");
    fs::write(workspace.join("stacks/shop.toml"), "[project]\nkind = \"none\"\n")
        .expect("writable");
    let (code, errors) = activate(&workspace);
    // This API creates nothing: it is asked to, and that is all that can be seen here.
    assert_eq!(code, Some(4), "{errors}");
    assert!(pve.calls().iter().any(|call| call.is("POST", "/nodes/pve/lxc")), "{errors}");
}

#[test]
fn a_saved_plan_that_no_longer_fits_is_refused_before_anything_changes() {
    MOVED_ON.store(false, Ordering::SeqCst);
    let pve = Pve::start(|call| {
        let taken = json!([{"vmid": 101, "type": "lxc", "node": "pve", "name": "other"}]);
        match call.path.split('?').next() {
            Some("/cluster/resources") if MOVED_ON.load(Ordering::SeqCst) => Answer::Data(taken),
            Some("/nodes/pve/lxc/101/config") => {
                Answer::Data(json!({"hostname": "other", "digest": "d"}))
            }
            Some("/nodes/pve/lxc/101/pending") => Answer::Data(json!([])),
            Some("/nodes/pve/lxc/101/status/current") => Answer::Data(json!({"status": "stopped"})),
            _ => empty_cluster(call),
        }
    });
    let (_dir, workspace) = made(&pve);
    let saved = plan(&workspace);
    let mut told = String::new();
    let mut refused = |what: &str, saved: &Value| {
        write(&workspace, saved);
        let (code, errors) = activate(&workspace);
        assert_eq!(code, Some(3), "{what}: {errors}");
        told.extend([format!("# {what}\n{errors}\n")]);
    };
    let mut edited = saved.clone();
    edited["plans"][0]["plan"]["steps"].as_array_mut().expect("steps").pop();
    refused("a step was taken out of the file", &edited);
    let mut edited = saved.clone();
    edited["plans"][0]["plan"]["of_tomorrow"] = json!(1);
    refused("a key was put into the file", &edited);
    let mut edited = saved.clone();
    edited["plans"][0]["secrets"] = json!("0".repeat(64));
    refused("a secret has another value since", &edited);
    let mut edited = saved.clone();
    edited["plans"][0]["digest"] = json!("0".repeat(64));
    refused("another machine has the bundle", &edited);
    refused("a file of tomorrow", &json!({ "format": 2, "plans": [] }));
    refused("no plan at all", &json!({ "plans": [] }));
    MOVED_ON.store(true, Ordering::SeqCst);
    refused("somebody made a guest of that number", &saved);
    assert_eq!(pve.changes(), 0, "nothing was changed");
    insta::assert_snapshot!(told);
}

/// What there is to do in it, nobody has seen.
#[test]
fn a_plan_of_a_guest_that_is_off_is_shown_and_neither_saved_nor_carried_out() {
    let pve = Pve::start(|call| {
        if IS_OFF.load(Ordering::SeqCst) { two_stopped_guests(call) } else { empty_cluster(call) }
    });
    let (_dir, workspace) = made(&pve);
    plan(&workspace);
    IS_OFF.store(true, Ordering::SeqCst);
    let (code, errors) = activate(&workspace);
    assert_eq!(code, Some(3), "{errors}");
    assert!(errors.contains("next:  pct start 101 "), "{errors}");
    let file = workspace.join("other.json");
    let (code, _, errors) = stackc(&workspace, &["plan", "shop/dev", "--out", file.as_str()]);
    assert_eq!((code, file.exists()), (Some(3), false), "{errors}");
    assert!(errors.contains("next:  pct start 101 "), "{errors}");
    let (code, told, errors) = stackc(&workspace, &["plan", "shop/dev"]);
    assert_eq!(code, Some(0), "{errors}");
    assert!(told.contains("planned when it runs, and asked about again"), "{told}");
    assert!(!told.contains("  switch  "), "{told}");
    assert_eq!(pve.changes(), 0, "nothing was changed");
}

#[test]
fn a_plan_that_cannot_be_made_is_not_saved() {
    let pve = Pve::start(|_| Answer::Reason(500, "no quorum"));
    let (_dir, workspace) = made(&pve);
    let file = workspace.join("plan.json");
    let (code, _, errors) = stackc(&workspace, &["plan", "shop/dev", "--out", file.as_str()]);
    assert_eq!(code, Some(3), "{errors}");
    assert!(errors.contains("nothing is saved in "), "{errors}");
    assert!(!file.exists());
}
