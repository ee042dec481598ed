//! What a hand has units and the kernel do otherwise on a real guest, without a file of stackc's being touched.

use crate::ownership_lab::{GUEST, Owned};
use std::{
    thread,
    time::{Duration, Instant},
};

const DEFINED: &str = r#"
[project.services.own]
exec = ["/usr/bin/sleep", "infinity"]
[project.firewall.rules.own]
port = 8123
protocol = "tcp"
[project.firewall.rules.office]
port = 8124
protocol = "tcp"
from = ["192.0.2.0/24", "2001:db8::/32"]
comment = "the office"
[project.firewall.rules.slow]
action = "limit"
port = 8125
protocol = "tcp"
"#;

/// What a hand does, what `drift` says of it, and the same state on the guest once it is put back.
struct Row {
    hand: &'static str,
    told: &'static [&'static str],
    state: &'static str,
}

const ROWS: [Row; 5] = [
    Row {
        hand: "systemctl set-property own.service CPUWeight=50",
        told: &["50-CPUWeight.conf: a drop-in of others for own.service", "+CPUWeight=50"],
        state: "systemctl show -p CPUWeight -p DropInPaths own.service",
    },
    Row {
        hand: "systemctl set-property --runtime own.service TasksMax=7",
        told: &["/run/systemd/system.control/own.service.d/50-TasksMax.conf", "+TasksMax=7"],
        state: "systemctl show -p TasksMax -p DropInPaths own.service",
    },
    Row {
        hand: "mkdir -p /etc/systemd/system/own.service.d && printf '[Service]\\nEnvironment=A=1\\n' >/etc/systemd/system/own.service.d/override.conf && systemctl daemon-reload && systemctl restart own",
        told: &["own.service.d/override.conf: a drop-in of others", "+Environment=A=1"],
        state: "systemctl show -p Environment -p DropInPaths own.service; tr '\\0' '\\n' </proc/$(systemctl show -P MainPID own)/environ | grep -c ^A=",
    },
    Row {
        hand: "iptables -R ufw-user-input $(iptables -S ufw-user-input | grep -n 8123 | cut -d: -f1 | awk '{print $1-1}') -p tcp --dport 9123 -j ACCEPT",
        told: &[
            "IPv4 lacks `-A ufw-user-input -p tcp -m tcp --dport 8123 -j ACCEPT`",
            "--dport 9123",
        ],
        state: "iptables -S ufw-user-input",
    },
    Row {
        hand: "ip6tables -F ufw6-skip-to-policy-input; iptables -P INPUT ACCEPT",
        told: &["IPv6 lacks `-A ufw6-skip-to-policy-input", "policy ACCEPT for INPUT"],
        state: "ip6tables -S; iptables -S INPUT",
    },
];

/// What is not the bundle's: Docker's chains, drop-ins for every service, another unit's.
const OTHERS: &str = "iptables -N DOCKER-USER && iptables -I FORWARD -j DOCKER-USER && \
    iptables -N f2b-sshd && iptables -I INPUT -p tcp --dport 22 -j f2b-sshd && \
    mkdir -p /etc/systemd/system/service.d /etc/systemd/system/cron.service.d && \
    printf '[Service]\\nEnvironment=B=1\\n' | tee /etc/systemd/system/service.d/all.conf >/etc/systemd/system/cron.service.d/x.conf && \
    systemctl daemon-reload";

#[test]
fn what_a_hand_has_units_and_rules_do_otherwise_is_told_refused_and_put_back() {
    let Some(guest) = Owned::start("hand") else { return };
    guest.define(DEFINED);
    guest.stackc(&["activate", "own/dev", "--yes"], 0);
    guest.stackc(&["drift", "own/dev", "--exit-code"], 0);
    for row in ROWS {
        let (hand, state) = (row.hand, format!("{}; true", row.state));
        let before = guest.lab.out(GUEST, &state);
        guest.lab.out(GUEST, hand);
        assert_ne!(guest.lab.out(GUEST, &state), before, "{hand}");
        let drift = guest.stackc(&["drift", "own/dev", "--exit-code"], 10);
        for told in row.told {
            assert!(drift.contains(told), "{told}: {drift}");
        }
        guest.stackc(&["activate", "own/dev", "--yes"], 3);
        guest.stackc(&["activate", "own/dev", "--yes", "--overwrite-drift"], 0);
        assert_eq!(guest.lab.out(GUEST, &state), before, "{hand}");
        guest.stackc(&["drift", "own/dev", "--exit-code"], 0);
    }
    guest.lab.out(GUEST, OTHERS);
    let drift = guest.stackc(&["drift", "own/dev", "--exit-code"], 0);
    assert!(
        drift.contains("/etc/systemd/system/service.d/all.conf: a drop-in of others, not only")
    );
    let status = guest.lab.out(GUEST, "ufw status verbose");
    for told in ["Status: active", "deny (incoming)", "8123/tcp", "192.0.2.0/24", "LIMIT IN"] {
        assert!(status.contains(told), "{told}: {status}");
    }
    // The kernel keeps the rules in the same words when ufw has loaded them at a boot.
    let boot = || guest.lab.ssh(GUEST, "cat /proc/sys/kernel/random/boot_id").stdout;
    let before = boot();
    guest.lab.ssh(GUEST, "systemctl reboot");
    let started = Instant::now();
    while [&before[..], b""].contains(&&boot()[..]) {
        assert!(started.elapsed() < Duration::from_secs(60), "it does not boot again");
        thread::sleep(Duration::from_millis(500));
    }
    guest.stackc(&["drift", "own/dev", "--exit-code"], 0);
}
