//! sshd that a socket leads: an undo has it listen as it did, and asks nothing of the socket that it cannot do.

use crate::door_hooks::{OPEN, SSHD};
use crate::guest_bundle::make;
use crate::guest_fixture::{Folder, identity, name};
use stackc::guest::{State, UnitReport};
use stackc::model::protocol::{Refusal, UndoRequest};
use stackc::model::{Phase, TxState};
use std::fs;

const TX: &str = "00000000000000a2";
const SHUT: &str = "AllowUsers nobody\n";

pub fn set(state: &mut State, unit: &str, active: &str) {
    active.clone_into(&mut state.units.entry(name(unit)).or_default().active);
}

/// A guest where these listen, on whose second generation a switch waits for its confirm.
fn waiting(listeners: &[&str]) -> Folder {
    let (folder, first, _) = Folder::on_first();
    folder.put(SSHD, OPEN);
    folder.change_system(|state| {
        for unit in listeners {
            set(state, unit, "active");
        }
    });
    let second = make(2, 60);
    folder.switch_over(&second, &second.switch(TX, 1, 2, &first.ledger()));
    assert_eq!(folder.result(TX).phase, Phase::AwaitingConfirm);
    folder.change_system(|state| state.jobs.clear());
    folder
}

/// What the undo had done to those who listen.
fn jobs_of_undo(folder: &Folder) -> Vec<String> {
    let state = folder.undo(TX);
    assert_eq!(state.phase, Phase::Undone, "{state:?}");
    let mut jobs = folder.system().jobs;
    jobs.retain(|job| job.contains(" ssh."));
    jobs
}

fn are_active(folder: &Folder, units: [&str; 2]) -> [bool; 2] {
    let state = folder.system();
    units.map(|unit| state.units.get(&name(unit)).is_some_and(UnitReport::is_active))
}

const BOTH: [&str; 2] = ["ssh.service", "ssh.socket"];

#[test]
fn neither_a_socket_nor_the_sshd_that_it_leads_is_asked_to_reload() {
    let folder = waiting(&BOTH);
    let jobs = jobs_of_undo(&folder);
    assert!(jobs.contains(&"restart ssh.service".to_owned()), "its own file was another: {jobs:?}");
    assert!(!jobs.iter().any(|job| job.starts_with("reload")), "{jobs:?}");
    assert!(!jobs.iter().any(|job| job.ends_with("ssh.socket")), "{jobs:?}");
}

#[test]
fn sshd_reads_its_file_again_while_its_socket_goes_on_listening() {
    let folder = waiting(&BOTH);
    folder.put(SSHD, SHUT);
    let jobs = jobs_of_undo(&folder);
    assert_eq!(jobs[0], "restart ssh.service");
    assert!(!jobs.iter().any(|job| job.ends_with("ssh.socket")), "{jobs:?}");
    assert_eq!(folder.text(SSHD), OPEN);
}

#[test]
fn sshd_that_serves_by_its_old_file_is_not_ended_while_that_cannot_be_put_back() {
    let folder = waiting(&BOTH[..1]);
    folder.put(SSHD, SHUT);
    fs::remove_file(folder.at(&format!("/var/lib/stackc/tx/{TX}/way-in-texts"))).expect("is there");
    let request = UndoRequest { identity: identity(), tx: name(TX), who: "ops@desk".to_owned() };
    let refusal: Result<TxState, Refusal> = folder.call(&["undo"], &request, &[]);
    refusal.expect_err("the way in is not as it was");
    assert_eq!(folder.text(SSHD), SHUT);
    let jobs = folder.system().jobs;
    assert!(jobs.contains(&"reload ssh.service".to_owned()), "{jobs:?}");
    assert!(!jobs.contains(&"restart ssh.service".to_owned()), "{jobs:?}");
}

#[test]
fn a_socket_that_was_stopped_or_led_elsewhere_comes_back_before_its_service() {
    let back = ["stop ssh.service", "restart ssh.socket", "restart ssh.service"];
    let folder = waiting(&BOTH);
    folder.change_system(|state| set(state, "ssh.socket", "inactive"));
    assert_eq!(jobs_of_undo(&folder)[..3], back);
    assert_eq!(are_active(&folder, BOTH), [true; 2]);
    let folder = waiting(&BOTH);
    let other = "/etc/systemd/system/ssh.socket.d/x.conf";
    folder.put(other, "[Socket]\nListenStream=\nListenStream=2222\n");
    assert_eq!(jobs_of_undo(&folder)[..3], back);
    assert!(!folder.at(other).exists());
}

#[test]
fn a_socket_that_came_since_goes_so_that_sshd_has_its_own_ports_again() {
    let folder = waiting(&BOTH[..1]);
    folder.change_system(|state| set(state, "ssh.socket", "active"));
    let jobs = jobs_of_undo(&folder);
    assert_eq!(jobs[..2], ["stop ssh.socket", "restart ssh.service"], "{jobs:?}");
    assert_eq!(are_active(&folder, BOTH), [true, false]);
}
