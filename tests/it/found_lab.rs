//! Generation 0 and `detach` on a real guest: what stackc was, and nothing else, is gone.

use crate::{
    activate_cli::stackc,
    faults_judge::sees_what_is_left,
    faults_tiny::{State, Tiny},
    fixture_lab::RealLab,
};
use camino::Utf8Path;

#[test]
fn a_real_guest_is_as_it_was_found_again_comes_back_from_there_and_is_let_go() {
    let Some(lab) = RealLab::start("zero") else { return };
    let mut tiny = Tiny::new(&lab, 100);
    tiny.activate(1).finish(&tiny).expect_done();
    assert_eq!(tiny.settle(), State::Live(1));
    let workspace = tiny.workspace(1);
    let workspace = Utf8Path::from_path(&workspace).expect("UTF-8");
    let target = tiny.target();
    let (code, _, errors) = stackc(workspace, &["rollback", &target, "--yes"]);
    assert_eq!(code, Some(3), "{errors}");
    assert!(errors.contains(&format!("stackc rollback {target} --to 0")), "{errors}");

    tiny.rollback(1, 0).finish(&tiny).expect_done();
    assert_eq!(tiny.settle(), State::Untouched, "neither links, nor rules, nor units");
    let enabled = tiny.on_guest("grep ENABLED /etc/ufw/ufw.conf", "");
    assert_eq!(enabled.lines, ["ENABLED=no"], "{enabled}");
    sees_what_is_left(&tiny);
    let (_, table, errors) = stackc(workspace, &["status", &target]);
    assert!(table.contains("as found (generation 2)"), "{table}{errors}");
    let (code, table, _) = stackc(workspace, &["rollback", &target, "--to", "0", "--yes"]);
    assert!(code == Some(0) && table.contains("nothing to do"), "{table}");

    // Back to what was live, by the rule for a plain rollback.
    let (code, _, errors) = stackc(workspace, &["rollback", &target, "--yes"]);
    assert_eq!(code, Some(0), "{errors}");
    assert_eq!(tiny.settle(), State::Live(1));

    let (code, table, errors) = stackc(workspace, &["detach", &target]);
    assert_eq!(code, Some(3), "nobody was asked: {errors}");
    assert!(table.contains("stackc leaves the guest, which nothing undoes"), "{table}");
    assert_eq!(tiny.settle(), State::Live(1));
    let (code, _, errors) = stackc(workspace, &["detach", &target, "--yes"]);
    assert_eq!(code, Some(0), "{errors}");
    let left = tiny.on_guest(
        "find / -xdev -name '*stackc*'; systemctl list-units --all --no-legend '*stackc*'",
        "",
    );
    assert_eq!(left.lines, Vec::<String>::new(), "{left}");
    let config = lab.call("GET", "/nodes/pve/lxc/100/config", &[]).body;
    let description = config["data"]["description"].as_str().unwrap_or_default();
    assert!(!description.contains("stackc"), "{config}");
    let (_, table, _) = stackc(workspace, &["status"]);
    assert!(table.contains("not created"), "{table}");
    let (code, _, errors) = stackc(workspace, &["detach", &target, "--yes"]);
    assert_eq!(code, Some(3), "{errors}");
    assert!(errors.contains("no guest in Proxmox has the mark"), "{errors}");
}
