//! `status`, `history` and `rollback` in workspaces whose definitions are broken, on an API whose guests are stopped: how
//! far the verbs get without a guest that answers.

use crate::{
    activate_cli::{made, stackc},
    fake::pve::{Answer, Call, Pve},
};
use camino::Utf8Path;
use serde_json::{Value, json};
use std::fs;

/// Two guests: one of a target that the definitions have, one of an env that was taken out.
const GUESTS: [(u32, &str); 2] = [(101, "shop/dev"), (177, "shop/old")];

pub fn two_stopped_guests(call: &Call) -> Answer {
    stopped_guests(call, &format!("stackc-hostkey SHA256:{}\n", "k".repeat(43)))
}

/// With this line in their descriptions, which a guest has when its creation came to its end.
fn stopped_guests(call: &Call, host_key: &str) -> Answer {
    let path = call.path.split('?').next().unwrap_or_default();
    if path == "/cluster/resources" {
        let guest = |(vmid, _): (u32, &str)| json!({ "vmid": vmid, "type": "lxc", "node": "pve", "name": "x", "status": "stopped" });
        return Answer::Data(GUESTS.map(guest).into());
    }
    if path == "/cluster/nextid" {
        return Answer::Data(json!("999"));
    }
    let of = |(vmid, target): (u32, &str)| {
        let what = path.strip_prefix(&format!("/nodes/pve/lxc/{vmid}/"))?;
        let mark = format!("{host_key}stackc {target} {}", "0".repeat(32));
        let rootfs = "local-lvm:vm-101-disk-0,size=1G";
        Some(Answer::Data(match what {
            "config" => {
                json!({ "description": mark, "digest": "0", "hostname": "x", "rootfs": rootfs })
            }
            "status/current" => json!({ "status": "stopped" }),
            _ => json!([]),
        }))
    };
    let answer = GUESTS.into_iter().find_map(of);
    answer.unwrap_or(Answer::Reason(501, "Method not implemented"))
}

fn edit(workspace: &Utf8Path, file: &str, change: impl Fn(&str) -> String) {
    let path = workspace.join("stacks").join(file);
    let text = fs::read_to_string(&path).expect("the examples have it");
    fs::write(path, change(&text)).expect("the folder is ours");
}

/// A slip of the pen in a file's first section.
fn slip(text: &str) -> String {
    text.replacen("[project]", "[project]\nkidn = 1", 1)
}

#[test]
fn status_names_one_mistake_a_guest_and_a_guest_that_left_the_definitions() {
    let pve = Pve::start(two_stopped_guests);
    let (_dir, workspace) = made(&pve);
    edit(&workspace, "shop.toml", slip);
    let (code, table, errors) = stackc(&workspace, &["status"]);
    assert_eq!((code, errors.as_str()), (Some(0), ""), "{table}");
    insta::assert_snapshot!(table);
}

#[test]
fn a_guest_whose_creation_was_cut_short_is_not_called_stopped_nor_to_be_started() {
    let pve = Pve::start(|call| stopped_guests(call, ""));
    let (_dir, workspace) = made(&pve);
    for verb in ["status", "drift"] {
        let (code, told, errors) = stackc(&workspace, &[verb, "shop/dev"]);
        assert_eq!((code, errors.as_str()), (Some(0), ""), "{verb}");
        assert!(told.contains("not fully created") && !told.contains("stopped"), "{told}");
    }
    for verb in ["rollback", "history"] {
        let (code, _, errors) = stackc(&workspace, &[verb, "shop/dev"]);
        assert_eq!(code, Some(3), "{verb}: {errors}");
        assert!(errors.contains("next:  stackc activate shop/dev "), "{verb}: {errors}");
        assert!(!errors.contains("pct start"), "{verb}: {errors}");
    }
}

#[test]
fn a_mistake_in_one_project_leaves_the_others_compared() {
    let pve = Pve::start(two_stopped_guests);
    let (_dir, workspace) = made(&pve);
    edit(&workspace, "reports.toml", slip);
    let (code, document, _) = stackc(&workspace, &["status", "--json"]);
    assert_eq!(code, Some(0), "{document}");
    let document: Value = serde_json::from_str(&document).expect("it is one document");
    let guests = document["guests"].as_array().expect("they are listed");
    let of = |target: &str| guests.iter().find(|guest| guest["target"] == target);
    assert_eq!(of("shop/dev").expect("it is there")["definition"], "compiles");
    let reports = of("reports/dev").expect("it is there");
    assert_eq!(reports["definition"], "broken");
    let mistake = reports["mistake"].as_str().expect("it is named");
    assert!(mistake.starts_with("stacks/reports.toml:"), "{mistake}");
    assert_eq!(of("shop/old").expect("Proxmox has it")["definition"], "absent");
}

#[test]
fn going_back_gets_to_the_guest_whatever_is_broken_beside_the_site() {
    let pve = Pve::start(two_stopped_guests);
    let (_dir, workspace) = made(&pve);
    stackc(&workspace, &["build"]);
    let unreadable = |text: &str| format!("{text}\n[[[\n");
    edit(&workspace, "shop.toml", unreadable);
    edit(&workspace, "reports.toml", slip);
    edit(&workspace, "site.toml", |text| format!("{text}\n[packages]\ncurl = 7\n"));
    edit(&workspace, "lock.toml", unreadable);
    // No build takes files from so deep, and no way back needs one.
    let deep = workspace.join("keys").join("d/".repeat(17));
    fs::create_dir_all(&deep).expect("the folder is ours");
    fs::write(deep.join("note.txt"), "").expect("the folder is ours");
    for (target, vmid) in [("shop/dev", 101), ("shop/old", 177)] {
        for verb in ["rollback", "history"] {
            let (code, _, errors) = stackc(&workspace, &[verb, target]);
            assert_eq!(code, Some(3), "{verb} {target}: {errors}");
            assert!(errors.contains(&format!("guest {vmid} of {target} does not run")), "{errors}");
        }
    }
    // What lies about in the workspace that no build takes is in nobody's way either.
    std::os::unix::fs::symlink("/etc", workspace.join("keys/link.pub"))
        .expect("the folder is ours");
    let (code, table, _) = stackc(&workspace, &["status", "shop/dev"]);
    assert_eq!(code, Some(0));
    assert!(table.contains("neither a file nor a folder"), "{table}");
}

#[test]
fn a_known_target_is_reached_although_the_other_guests_cannot_be_listed() {
    let pve = Pve::start(|call| match call.path.as_str() {
        "/nodes/pve/lxc/177/config" => Answer::Error(500, json!({ "message": "node is away" })),
        _ => two_stopped_guests(call),
    });
    let (_dir, workspace) = made(&pve);
    let (code, _, errors) = stackc(&workspace, &["rollback", "shop/dev"]);
    assert!(errors.contains("guest 101 of shop/dev does not run"), "{errors}");
    assert_eq!(code, Some(3));
    let (_, table, errors) = stackc(&workspace, &["status"]);
    assert!(table.contains("shop/dev") && table.contains("stopped"), "{table}");
    assert!(errors.contains("may be missing here"), "{errors}");
    assert!(errors.contains("node is away"), "{errors}");
}

#[test]
fn a_rollback_of_several_guests_tells_each_that_cannot_and_counts_generations_of_one() {
    let pve = Pve::start(two_stopped_guests);
    let (_dir, workspace) = made(&pve);
    let (code, _, errors) = stackc(&workspace, &["rollback", "shop"]);
    assert_eq!(code, Some(3), "{errors}");
    for told in ["guest 101 of shop/dev does not run", "guest 177 of shop/old does not run"] {
        assert!(errors.contains(told), "{errors}");
    }
    let (code, _, errors) = stackc(&workspace, &["rollback", "shop", "--to", "3"]);
    assert_eq!(code, Some(2), "{errors}");
    assert!(errors.contains("each guest counts its own generations"), "{errors}");
    let (code, _, errors) = stackc(&workspace, &["rollback", "shop", "--to", "0"]);
    assert_eq!(code, Some(3), "as found is the same of each: {errors}");
    let (code, _, errors) = stackc(&workspace, &["rollback", "shop/dev", "--to", "x"]);
    assert_eq!(code, Some(2), "{errors}");
    assert!(errors.contains("`stackc history` has their numbers"), "{errors}");
    let (code, _, errors) = stackc(&workspace, &["rollback", "--plan", "/dev/null"]);
    assert_eq!(code, Some(3), "{errors}");
    assert!(errors.contains("is empty; `stackc plan --out FILE` saves a plan"), "{errors}");
}

#[test]
fn a_site_that_cannot_be_read_is_told_with_its_place() {
    let pve = Pve::start(two_stopped_guests);
    let (_dir, workspace) = made(&pve);
    edit(&workspace, "site.toml", |text| text.replacen("url =", "ulr =", 1));
    for verb in ["rollback", "history", "status"] {
        let (code, _, errors) = stackc(&workspace, &[verb, "shop/dev"]);
        assert_eq!(code, Some(1), "{errors}");
        assert!(errors.contains("stacks/site.toml:4:1"), "{errors}");
        assert!(errors.contains("did you mean `url`?"), "{errors}");
    }
}

#[test]
fn a_target_that_nobody_knows_is_a_wrong_use() {
    let pve = Pve::start(two_stopped_guests);
    let (_dir, workspace) = made(&pve);
    let (code, _, errors) = stackc(&workspace, &["rollback", "shop/none"]);
    assert_eq!(code, Some(2));
    assert!(errors.contains("no guest is meant by `shop/none`"), "{errors}");
    assert!(errors.contains("shop/old"), "guests of Proxmox count: {errors}");
}

#[test]
fn history_is_one_document_also_when_guests_do_not_answer() {
    let pve = Pve::start(two_stopped_guests);
    let (_dir, workspace) = made(&pve);
    let (code, document, _) = stackc(&workspace, &["history", "--json", "shop"]);
    assert_eq!(code, Some(3), "{document}");
    let document: Value = serde_json::from_str(&document).expect("it is one document");
    let targets = |of: &str| -> Vec<String> {
        let guests = document[of].as_array().expect("they are listed").iter();
        guests.filter_map(|guest| guest["target"].as_str().map(str::to_owned)).collect()
    };
    assert_eq!(targets("failures"), ["shop/dev", "shop/old"], "they are stopped");
    assert_eq!(targets("guests"), ["shop/prod", "shop/qa"], "they have no generation yet");
}

#[test]
fn mistakes_are_a_document_where_a_document_is_awaited() {
    let pve = Pve::start(two_stopped_guests);
    let (_dir, workspace) = made(&pve);
    edit(&workspace, "shop.toml", slip);
    for arguments in [&["check", "--json"][..], &["build", "--json"], &["plan", "--json"]] {
        let (code, document, errors) = stackc(&workspace, arguments);
        assert_eq!(code, Some(1), "{arguments:?}");
        assert!(errors.contains("kidn"), "people are told too: {errors}");
        let document: Value = serde_json::from_str(&document).expect("it is one document");
        let mistake = &document["mistakes"][0];
        assert_eq!(mistake["file"], "stacks/shop.toml");
        assert!(mistake["line"].as_u64() > Some(1) && mistake["column"] == 1, "{mistake}");
        assert!(mistake["message"].as_str().is_some_and(|text| text.contains("kidn")));
        assert!(mistake["help"].as_str().is_some_and(|text| text.contains("kind")), "{mistake}");
    }
    let (code, document, _) = stackc(&workspace.join("keys"), &["check", "--json"]);
    let document: Value = serde_json::from_str(&document).expect("it is one document");
    assert_eq!((code, &document["mistakes"][0]["line"]), (Some(1), &Value::Null));
}
