//! The way in while a switch is open: what is taken back of others is kept and told, and the secrets in it are nowhere else.

use crate::found_guest::{ZERO, go, on_first, to_found};
use crate::guest_bundle::{Made, make};
use crate::guest_fixture::{Folder, identity};
use crate::guest_gc::collect;
use stackc::model::protocol::{HistoryReply, HistoryRequest};
use stackc::model::{DriftReply, DriftRequest, Phase, Switch, layout::STATE};
use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

const TX: &str = "00000000000000a2";
const SUDOERS: &str = "/etc/sudoers.d/helper";
const SSHD: &str = "/etc/ssh/sshd_config";
const HOST_KEY: &str = "/etc/ssh/ssh_host_ed25519_key";
const SECRET_KEY: &str = "-----BEGIN KEY----- b3BlbnNzaC1r";
const SECRET_ROW: &str = "$y$j9T$sWvrdfysh";

fn copy_of(path: &str) -> String {
    format!("{STATE}/drift/{TX}{path}")
}

/// A guest with secrets in its way in, on whose second generation a switch waits for its confirm.
fn waiting() -> (Folder, Made, Switch) {
    let (folder, first, _) = Folder::on_first();
    folder.put(HOST_KEY, SECRET_KEY);
    folder.put("/etc/shadow", &format!("root:{SECRET_ROW}:19000:0:99999:7:::\nmail:*:1::::::\n"));
    folder.put(SSHD, "Port 22\n");
    folder.put("/etc/ufw/user.rules.old", "# somebody's\n");
    let second = make(2, 60);
    let switch = second.switch(TX, 1, 2, &first.ledger());
    folder.switch_over(&second, &switch);
    assert_eq!(folder.result(TX).phase, Phase::AwaitingConfirm);
    (folder, second, switch)
}

/// Files below a folder that hold one of the secrets.
fn holders(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).expect("it is a folder") {
        let path = entry.expect("it is listed").path();
        if path.is_symlink() {
            continue;
        }
        if path.is_dir() {
            found.extend(holders(&path));
            continue;
        }
        let text = String::from_utf8_lossy(&fs::read(&path).expect("it is ours")).into_owned();
        if text.contains(SECRET_KEY) || text.contains(SECRET_ROW) {
            found.push(path);
        }
    }
    found
}

fn mode(path: &Path) -> u32 {
    fs::metadata(path).expect("it is there").permissions().mode() & 0o7777
}

/// What the calls that tell something of a guest print, all in one.
fn told(folder: &Folder, made: &Made) -> String {
    let identity = identity();
    let request = HistoryRequest { identity: identity.clone() };
    let history: HistoryReply = folder.call(&["history"], &request, &[]).expect("it is told");
    let request = DriftRequest { identity };
    let drift: DriftReply = folder.call(&["drift"], &request, &[]).expect("it is told");
    let (state, observed) = (folder.result(TX), folder.observe(made.bundle.digest));
    let garbage = collect(folder, 1);
    format!("{history:?} {drift:?} {state:?} {observed:?} {garbage:?}")
}

fn assert_untold(folder: &Folder, made: &Made) {
    let told = told(folder, made);
    assert!(!told.contains(SECRET_KEY) && !told.contains(SECRET_ROW), "{told}");
}

#[test]
fn host_keys_and_password_hashes_lie_in_one_private_file_while_a_switch_is_open_and_nowhere_after()
{
    let (folder, second, switch) = waiting();
    let state = folder.at(STATE);
    let kept = folder.at(&format!("{STATE}/tx/{TX}/way-in-texts"));
    assert_eq!(holders(&state), std::slice::from_ref(&kept));
    assert_eq!([mode(&kept), mode(kept.parent().expect("it has one"))], [0o600, 0o700]);
    folder.confirm(&switch).expect("the confirm is heard");
    assert_eq!(holders(&state), [""; 0].map(PathBuf::from));
    assert_untold(&folder, &second);
}

#[test]
fn host_keys_and_password_hashes_that_a_hook_changed_come_back_and_are_nowhere_but_in_place() {
    let (folder, second, _) = waiting();
    let shadow = folder.text("/etc/shadow");
    fs::remove_file(folder.at(HOST_KEY)).expect("it is there");
    let other = shadow.replace(SECRET_ROW, "!");
    folder.put("/etc/shadow", &other.replace("mail:*:1", "mail:*:2"));
    let state = folder.undo(TX);
    assert_eq!(state.phase, Phase::Undone);
    assert_eq!(folder.text(HOST_KEY), SECRET_KEY);
    let back = shadow.replace("mail:*:1", "mail:*:2");
    assert_eq!(folder.text("/etc/shadow"), back, "who does not log in is left alone");
    assert_eq!(holders(&folder.at(STATE)), [""; 0].map(PathBuf::from));
    let evidence = state.failure.expect("it is told").evidence.join("\n");
    assert!(evidence.contains("/etc/shadow") && evidence.contains(HOST_KEY), "{evidence}");
    assert_eq!(state.drift_copies, [""; 0], "no copy of either outlives the switch");
    assert_untold(&folder, &second);
}

#[test]
fn what_a_crash_left_of_host_keys_and_password_hashes_is_swept_by_the_next_call() {
    for left in ["tx/.tmp-00000000000000a2", ".gone-00000000000000a2"] {
        let (folder, _, switch) = waiting();
        let (left, aside) = (folder.at(&format!("{STATE}/{left}")), folder.at("/aside"));
        let pending = folder.at(&format!("{STATE}/tx/{TX}"));
        let copied = std::process::Command::new("cp").arg("-a").args([&pending, &aside]).status();
        assert!(copied.expect("cp can be run").success());
        folder.confirm(&switch).expect("the confirm is heard");
        fs::rename(&aside, &left).expect("nothing has that name");
        assert_eq!(mode(&left), 0o700, "nobody else gets in meanwhile");
        assert_eq!(holders(&folder.at(STATE)), [left.join("way-in-texts")]);
        collect(&folder, 1);
        assert!(holders(&folder.at(STATE)).is_empty() && !left.exists());
    }
}

#[test]
fn what_others_changed_of_the_way_in_meanwhile_is_taken_back_told_and_kept() {
    let (folder, _, _) = waiting();
    folder.put(SUDOERS, "helper ALL=(ALL) ALL\n");
    folder.put(SSHD, "Port 22\n# by hand\n");
    fs::remove_file(folder.at("/etc/ufw/user.rules.old")).expect("it is there");
    let state = folder.undo(TX);
    assert_eq!(state.phase, Phase::Undone);
    assert!(!folder.at(SUDOERS).exists());
    assert_eq!(folder.text(SSHD), "Port 22\n");
    assert_eq!(folder.text("/etc/ufw/user.rules.old"), "# somebody's\n");
    assert_eq!(folder.text(&copy_of(SUDOERS)), "helper ALL=(ALL) ALL\n");
    assert_eq!(folder.text(&copy_of(SSHD)), "Port 22\n# by hand\n");
    assert_eq!(mode(&folder.at(&copy_of(SUDOERS))), 0o600);
    assert_eq!(state.drift_copies, [SSHD, SUDOERS].map(copy_of));
    let evidence = state.failure.expect("it is told").evidence;
    for path in [SSHD, "/etc/sudoers.d", "/etc/ufw/user.rules.old"] {
        let line = format!("put back, and no part of the bundle: {path}");
        assert!(evidence.contains(&line), "{path}: {evidence:?}");
    }
    collect(&folder, 1);
    assert!(!folder.at(&copy_of(SSHD)).exists(), "their transaction is over");
}

#[test]
fn a_way_in_that_nobody_else_changed_comes_back_without_a_copy() {
    let (folder, _, _) = waiting();
    let state = folder.undo(TX);
    assert_eq!((state.phase, state.drift_copies), (Phase::Undone, Vec::new()));
}

#[test]
fn bans_that_came_meanwhile_stay_in_the_kernel_and_a_lock_out_goes_into_a_copy() {
    let (folder, ..) = waiting();
    let came = "*filter\n:INPUT DROP [0:0]\n:f2b-sshd - [0:0]\n-A INPUT -p tcp -j f2b-sshd\n\
        -A INPUT -p tcp --dport 22 -j DROP\n-A f2b-sshd -s 203.0.113.9/32 -j REJECT\nCOMMIT\n";
    folder.change_system(|state| state.rules.v4.push_str(came));
    let before = folder.system().rules.v4;
    let state = folder.undo(TX);
    assert_eq!(state.phase, Phase::Undone, "{state:?}");
    let rules = folder.system().rules.v4;
    assert!(rules.contains("-A f2b-sshd -s 203.0.113.9/32 -j REJECT"), "{rules}");
    assert!(rules.contains("-A INPUT -p tcp -j f2b-sshd"), "{rules}");
    assert!(!rules.contains("--dport 22 -j DROP"), "{rules}");
    let lost = "put back, and no part of the bundle: the firewall, without IPv4 filter: -A INPUT -p tcp --dport 22 -j DROP";
    let evidence = state.failure.expect("it is told").evidence;
    assert!(evidence.iter().any(|line| line == lost), "{evidence:?}");
    assert_eq!(folder.text(&copy_of("/iptables-save")), before);
    let copies = ["/ip6tables-save", "/iptables-save"].map(copy_of);
    assert_eq!(state.drift_copies, copies);
}

#[test]
fn rules_of_others_that_a_way_to_generation_0_takes_away_are_kept_and_told() {
    let (folder, ..) = on_first();
    let came = "*filter\n:INPUT DROP [0:0]\n-A INPUT -p tcp --dport 25 -j DROP\nCOMMIT\n";
    folder.change_system(|state| state.rules.v4.push_str(came));
    let before = folder.system().rules.v4;
    go(&folder, &to_found(&folder, ZERO));
    assert!(!folder.system().rules.v4.contains("--dport 25"), "{}", folder.system().rules.v4);
    let copies = ["/ip6tables-save", "/iptables-save"];
    let copies = copies.map(|name| format!("{STATE}/drift/{ZERO}{name}"));
    assert_eq!(folder.result(ZERO).drift_copies, copies);
    assert_eq!(folder.text(&copies[1]), before);
}
