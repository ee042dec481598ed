//! The way in and hooks before a switch: what they shut is open again whether the switch begins, fails, or never comes.

use crate::door_listeners::set;
use crate::folder_copy::copy_folder;
use crate::guest_bundle::{Made, hooks, make};
use crate::guest_fixture::{Folder, LEASE, caller, in_memory, name};
use crate::left_out::is_left_out;
use stackc::model::protocol::{AbandonRequest, BundleRequest, Done, Refusal};
use stackc::model::{HooksDocument, Phase, Switch};
use std::fs;
use std::process::Command;

const TX: &str = "00000000000000a2";
const NEXT_TX: &str = "00000000000000a3";
pub const SSHD: &str = "/etc/ssh/sshd_config";
const SHUT: &str = "AllowUsers nobody\n";
pub const OPEN: &str = "Port 22\n";
const KEPT: &str = "/var/lib/stackc/way-in";

/// A guest on generation 1, and a version 2 whose hook before the switch shuts it, then ends like this.
fn ready(ending: &str) -> (Folder, Made, Switch) {
    let (folder, first, _) = Folder::on_first();
    folder.put(SSHD, OPEN);
    let path = folder.at(SSHD).display().to_string();
    folder.put_program(
        "/usr/local/bin/shut",
        &format!("#!/bin/sh\nprintf '{}' >{path}\n{ending}\n", SHUT.replace('\n', "\\n")),
    );
    let mut made = make(2, 60);
    let before_switch = hooks(&[("shut", &["/usr/local/bin/shut"])]);
    made.set_hooks(HooksDocument { before_switch, ..HooksDocument::default() });
    let switch = made.switch(TX, 1, 2, &first.ledger());
    (folder, made, switch)
}

/// The same where the hook has run and the switch may begin.
pub fn shut() -> (Folder, Made, Switch) {
    let (folder, made, switch) = ready("");
    folder.prepare(TX, &made);
    assert_eq!(folder.text(SSHD), SHUT);
    assert!(folder.at(KEPT).exists());
    (folder, made, switch)
}

fn assert_open(folder: &Folder) {
    assert_eq!(folder.text(SSHD), OPEN);
    assert!(!folder.at(KEPT).exists(), "no secret outlives it");
}

fn alarms(folder: &Folder) -> Vec<String> {
    folder.system().alarms.into_iter().collect()
}

fn bundle_request(made: &Made, tx: &str) -> BundleRequest {
    BundleRequest { caller: caller(tx), digest: made.bundle.digest }
}

#[test]
fn hooks_before_a_switch_that_never_comes_are_undone_by_an_alarm_and_it_may_not_come_later() {
    let (folder, _, switch) = shut();
    assert_eq!(alarms(&folder), [format!("{TX} begin"), format!("{TX} hooks")]);
    folder.command(&["timer-hooks", NEXT_TX, "0"]).output().expect("it can be run");
    assert_eq!(folder.text(SSHD), SHUT, "another one's alarm");
    folder.command(&["timer-hooks", TX, "0"]).output().expect("it can be run");
    assert_open(&folder);
    assert_eq!(alarms(&folder), [""; 0]);
    let copy = folder.text(&format!("/var/lib/stackc/drift/{TX}{SSHD}"));
    assert_eq!(copy, SHUT, "what the hook wrote is not lost");
    let refusal = folder.begin(&switch).expect_err("its hooks were taken back");
    assert!(refusal.message.contains("activate again"), "{refusal:?}");
}

#[test]
fn hooks_before_a_switch_that_is_undone_are_undone_with_it() {
    let (folder, _, switch) = shut();
    folder.begin(&switch).expect("it begins");
    assert!(!folder.at(KEPT).exists(), "it is the transaction's now");
    let all = ["begin", "hooks", "switch"].map(|alarm| format!("{TX} {alarm}"));
    assert_eq!(alarms(&folder), all, "whoever dies now leaves somebody who undoes it");
    folder.command(&["timer-hooks", TX, "0"]).output().expect("it can be run");
    assert_eq!(folder.text(SSHD), SHUT, "an alarm that rang meanwhile does nothing");
    folder.run_switch(TX);
    assert_eq!(folder.result(TX).phase, Phase::AwaitingConfirm);
    assert_eq!(folder.undo(TX).phase, Phase::Undone);
    assert_open(&folder);
}

#[test]
fn what_hooks_before_a_confirmed_switch_did_stays() {
    let (folder, made, switch) = ready("");
    folder.activate(&made, &switch);
    assert_eq!(folder.text(SSHD), SHUT);
    assert!(!folder.at(KEPT).exists());
}

#[test]
fn rules_of_the_kernel_that_a_hook_before_the_switch_set_go_with_it() {
    let (folder, _, switch) = shut();
    let rule = "-A INPUT -p tcp --dport 22 -j DROP";
    let came = format!("*filter\n:INPUT DROP [0:0]\n{rule}\nCOMMIT\n");
    folder.change_system(|state| state.rules.v4.push_str(&came));
    folder.begin(&switch).expect("it begins");
    folder.run_switch(TX);
    assert_eq!(folder.undo(TX).phase, Phase::Undone);
    assert!(!folder.system().rules.v4.contains(rule), "{}", folder.system().rules.v4);
}

#[test]
fn a_hook_before_the_switch_that_shuts_the_way_in_and_fails_is_undone_at_once() {
    let (folder, made, _) = ready("exit 3");
    let mut plain = make(2, 60);
    plain.bundle = made.bundle.clone();
    folder.prepare(TX, &plain);
    let ran: Result<Done, Refusal> = folder.call(&["hooks"], &bundle_request(&made, TX), &[]);
    assert_eq!(ran.expect_err("it fails").message, "`hook shut` did not succeed");
    assert_open(&folder);
    assert_eq!(alarms(&folder), [""; 0]);
}

#[test]
fn a_preparation_that_is_given_up_takes_its_hooks_with_it() {
    let (folder, ..) = shut();
    let request = AbandonRequest { caller: caller(TX) };
    let done: Result<Done, Refusal> = folder.call(&["abandon"], &request, &[]);
    assert!(!done.expect("it is heard").already);
    assert_open(&folder);
}

#[test]
fn the_next_activation_finds_the_way_in_as_it_was_before_the_hooks_of_a_dead_one() {
    let (folder, made, _) = shut();
    folder.outlast_lease_of_others(NEXT_TX);
    let request = bundle_request(&made, NEXT_TX);
    folder.call::<Done>(&["packages"], &request, &[]).expect("the guest takes the next call");
    assert_open(&folder);
}

#[test]
fn a_reboot_before_the_switch_undoes_its_hooks_before_anybody_listens() {
    let (folder, ..) = shut();
    folder.boot();
    let output = folder.command(&["recover"]).output().expect("it can be run");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stdout));
    assert_open(&folder);
    let jobs = folder.system().jobs;
    assert!(!jobs.iter().any(|job| job.starts_with("start ")), "{jobs:?}");
}

#[test]
fn what_a_boot_could_not_take_back_of_hooks_is_tried_again_when_the_guest_is_up() {
    let ssh = || name("ssh.service");
    let (folder, made, _) = ready("");
    folder.change_system(|state| state.units.entry(ssh()).or_default().active = "active".into());
    folder.prepare(TX, &made);
    folder.boot();
    folder.change_system(|state| assert!(state.failing.insert(ssh())));
    let recover = |words: &[&str]| folder.command(words).output().expect("it can be run").status;
    assert!(!recover(&["recover"]).success(), "sshd cannot be started");
    recover(&["recover-ended"]);
    assert_eq!(alarms(&folder), [format!("{TX} reopen")]);
    folder.change_system(|state| {
        state.failing.clear();
        state.jobs.clear();
        state.units.entry(ssh()).or_default().active = "active".into();
    });
    recover(&["timer-hooks", TX, "0"]);
    assert_open(&folder);
    let jobs = folder.system().jobs;
    assert_eq!(jobs, ["daemon-reload", "restart ssh.service"], "it has read what the hook left");
}

#[test]
fn what_a_hook_before_the_switch_wrote_where_the_switch_writes_too_is_not_gone_back_to() {
    let (folder, _, switch) = shut();
    let placed = "/etc/ssh/sshd_config.d/10-stackc.conf";
    let old = folder.text(placed);
    folder.put(placed, SHUT);
    folder.begin(&switch).expect("it begins");
    folder.run_switch(TX);
    assert_eq!(folder.undo(TX).phase, Phase::Undone);
    assert_eq!(folder.text(placed), old);
    assert_open(&folder);
}

#[test]
fn a_guest_whose_sshd_is_led_by_a_socket_is_open_again_after_its_hooks() {
    let (folder, made, _) = ready("");
    folder.change_system(|state| {
        for unit in ["ssh.service", "ssh.socket"] {
            set(state, unit, "active");
        }
    });
    folder.prepare(TX, &made);
    folder.change_system(|state| state.jobs.clear());
    folder.command(&["timer-hooks", TX, "0"]).output().expect("it can be run");
    assert_open(&folder);
    assert_eq!(folder.system().jobs, ["restart ssh.service"]);
}

/// A lease may be gone, as of a call of its own that failed: a shut door must not pass for the one of before.
#[test]
fn a_door_that_hooks_have_shut_is_opened_by_the_next_activation_and_at_boot_without_their_lease() {
    let (folder, made, _) = shut();
    fs::remove_file(folder.at(LEASE)).expect("it is there");
    let request = bundle_request(&made, NEXT_TX);
    folder.call::<Done>(&["packages"], &request, &[]).expect("the guest takes the next call");
    assert_open(&folder);
    let unit = folder.text("/etc/systemd/system/stackc-recover.service");
    let runs = format!("ConditionPathExists=|{KEPT}");
    assert!(unit.lines().any(|line| line == runs), "{unit}");
}

#[test]
fn hooks_whose_way_back_was_cut_off_at_its_end_are_none_that_a_switch_may_follow() {
    let (folder, _, switch) = shut();
    // All of it was done but for the last step.
    folder.put(SSHD, OPEN);
    fs::rename(folder.at(KEPT), folder.at("/aside")).expect("it is there");
    assert!(folder.text("/var/lib/stackc/hooks.json").contains("\"done\":true"));
    let refusal = folder.begin(&switch).expect_err("its hooks were taken back");
    assert!(refusal.message.contains("activate again"), "{refusal:?}");
}

/// Enough for what is received, which leaves 16 MiB free.
const DISK: &str = "size=40m";

#[test]
fn a_hook_before_the_switch_that_empties_a_file_and_fills_the_disk_is_taken_back() {
    if is_left_out("root, who may mount", rustix::process::geteuid().is_root()) {
        return;
    }
    crate::crash_disk::own_mounts();
    let (found, made, _) = ready("");
    let dir = in_memory();
    let at = dir.path().to_owned();
    let run = |words: &[&str]| {
        let status = Command::new(words[0]).args(&words[1..]).arg(&at).status();
        assert!(status.expect("it can be run").success(), "{words:?}");
    };
    run(&["mount", "-t", "tmpfs", "-o", DISK, "tmpfs"]);
    copy_folder(found.dir.path(), &at);
    let folder = Folder { dir, binary: found.binary };
    let (sshd, filler) = (folder.at(SSHD), folder.at("/filler"));
    let (sshd, filler) = (sshd.display(), filler.display());
    let script = format!("#!/bin/sh\n: >{sshd}\ndd if=/dev/zero of={filler} bs=4k\nexit 1\n");
    folder.put_program("/usr/local/bin/shut", &script);
    let mut plain = make(2, 60);
    plain.bundle = made.bundle.clone();
    folder.prepare(TX, &plain);
    let ran: Result<Done, Refusal> = folder.call(&["hooks"], &bundle_request(&made, TX), &[]);
    assert!(ran.is_err(), "it fails");
    assert!(fs::write(folder.at("/more"), vec![1; 1 << 20]).is_err(), "there is no room");
    assert_eq!(folder.text(SSHD), OPEN);
    assert!(!folder.at(KEPT).exists());
    run(&["umount", "--lazy"]);
}
