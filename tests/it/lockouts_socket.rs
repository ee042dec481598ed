//! Lock-outs on a real guest whose sshd is led by its socket: it is reachable again, by the socket.

use crate::{
    fixture_lab::RealLab,
    lockouts_real::{Trial, on_first_after},
};

/// As `systemctl enable ssh.socket` and a boot leave it, once somebody has logged in.
const LED: &str = "systemctl stop ssh.service && systemctl enable --now ssh.socket && \
    systemctl disable ssh.service && systemctl start ssh.service";

const LOCK_OUTS: [&str; 4] = [
    "echo AllowUsers nobody >/etc/ssh/sshd_config.d/00-x.conf; systemctl restart ssh.service",
    "systemctl stop ssh.socket ssh.service",
    "mkdir -p /etc/systemd/system/ssh.socket.d; \
        printf '[Socket]\\nListenStream=\\nListenStream=2222\\n' >/etc/systemd/system/ssh.socket.d/x.conf; \
        systemctl daemon-reload; systemctl stop ssh.service; systemctl restart ssh.socket",
    "systemctl stop ssh.socket; echo Port 2222 >/etc/ssh/sshd_config.d/00-x.conf; systemctl restart ssh.service",
];

#[test]
fn a_guest_whose_sshd_is_led_by_a_socket_lets_in_again_by_it() {
    let Some(lab) = RealLab::start("socket") else { return };
    let (guest, first) = on_first_after(&lab, 101, LED);
    let listens = || guest.says("systemctl is-active ssh.socket ssh.service");
    assert_eq!(listens(), "active\nactive");
    for (number, script) in (2..).zip(LOCK_OUTS) {
        let trial = Trial { lab: &lab, vmid: 101, guest: &guest, first: &first, number };
        let done = trial.attempt(script, false);
        eprintln!("lock-out, {script}: {done:?}");
        assert!(done.is_ok(), "{script}: {done:?}");
        assert_eq!(listens(), "active\nactive", "{script}");
    }
}
