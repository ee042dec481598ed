//! Tasks: what Proxmox does after it has answered, followed to their ends.

use crate::{
    fake::pve::{Answer, Pve},
    handmade::name,
    proxmox_client::{MARK, UPID, client, is_task, node, vmid},
};
use serde_json::json;
use stackc::proxmox::{Proxmox, ProxmoxError};
use std::time::{Duration, Instant};

/// The task that `start` makes, ending so.
fn starting(exit: &'static str) -> Pve {
    Pve::start(move |call| match call {
        call if call.is("POST", "/nodes/pve/lxc/101/status/start") => Answer::Data(json!(UPID)),
        call if is_task(call, "/status") => {
            Answer::Data(json!({"status": "stopped", "exitstatus": exit}))
        }
        call if is_task(call, "/log") => {
            let lines = (1..=40).map(|n| json!({"n": n, "t": format!("line {n}")}));
            Answer::Data(lines.collect())
        }
        _ => Answer::Reason(501, "Method not implemented"),
    })
}

#[test]
fn a_task_with_warnings_is_a_success() {
    let pve = starting("WARNINGS: 1");
    client(&pve).start(&name("pve"), vmid()).expect("it did start");
}

#[test]
fn a_failed_task_shows_the_end_of_its_log() {
    let pve = starting("startup for container '101' failed");
    let error = client(&pve).start(&name("pve"), vmid()).expect_err("it did not start");
    assert!(error.to_string().contains("could not start guest 101: startup for container"));
    let log = error.evidence();
    assert_eq!((log.len(), log[0].as_str(), log[14].as_str()), (15, "line 26", "line 40"));
}

/// A node whose task runs for so long.
fn working_for(time: Duration) -> Pve {
    let started = Instant::now();
    Pve::start(move |call| match call {
        call if call.is("POST", "/nodes/pve/lxc/101/status/start") => Answer::Data(json!(UPID)),
        call if is_task(call, "/status") && started.elapsed() < time => {
            Answer::Data(json!({"status": "running"}))
        }
        call if is_task(call, "/status") => {
            Answer::Data(json!({"status": "stopped", "exitstatus": "OK"}))
        }
        // What has no answer is read again: the guest is there, and off.
        call => node(call, Some(MARK)),
    })
}

/// The bound that was asked for is the one that counts, to the second, and nothing is called off on the node.
#[test]
fn bpg_1107_a_task_is_waited_for_as_long_as_asked_and_no_longer() {
    let pve = working_for(Duration::from_secs(3600));
    let mut limited = client(&pve).with_task_limit(Duration::from_secs(1));
    let started = Instant::now();
    let error = limited.start(&name("pve"), vmid()).expect_err("it never ends");
    assert!(matches!(error, ProxmoxError::Slow { seconds: 1, .. }), "{error}");
    assert!(error.to_string().contains(UPID), "{error}");
    assert!(error.outcome_unknown(), "it may still end well");
    assert!(started.elapsed() < Duration::from_secs(20), "{:?}", started.elapsed());
    assert_eq!(pve.changes(), 1, "the start, and nothing after it");
}

/// No other bound is hit before it: not that of one request, nor that of a pause.
#[test]
fn bpg_1160_a_task_that_needs_longer_than_a_look_is_followed_to_its_end() {
    let pve = working_for(Duration::from_secs(4));
    client(&pve).start(&name("pve"), vmid()).expect("it starts in the end");
    assert!(pve.calls().len() > 5, "it was looked at {} times", pve.calls().len());
}
