//! Clock, kernel, journal, accounts, logs and pins on a real guest: as its definition says, and as the next one says.

use crate::{activate_cli::stackc, faults_workspace::Wanted, fixture_lab::RealLab};
use camino::Utf8Path;
use std::{
    fs,
    net::{IpAddr, Ipv4Addr},
};

const VMID: u32 = 120;

/// A guest of the kind base, and what it says besides.
fn project(address: Ipv4Addr, more: &str) -> String {
    format!(
        "[project]\nkind = \"base\"\n[envs.dev]\nname = \"box-dev\"\nvmid = {VMID}\nip = \"{address}/24\"\n{more}"
    )
}

const FIRST: &str = r#"
[project.system]
timezone = "Europe/Berlin"
journal_max_mib = 64
sysctl = { "net.core.somaxconn" = 1024, "net/ipv4/tcp_rmem" = "4096 131072 6291456" }
[project.system.upgrades]
blocked = ["libstdc++6"]
[project.groups.uploads]
gid = 2000
[project.users.deploy]
comment = "Runs 100 % of it"
uid = 2001
groups = ["uploads", "adm"]
sudo = ["/usr/bin/id *", "/usr/bin/systemctl is-active cron.service"]
[project.log_rotation.tool]
paths = "/var/log/tool.log"
every = "day"
[project.apt.pins.never]
packages = ["nodejs"]
pin = "version *"
priority = -1
"#;

/// What `FIRST` brings, as the guest's own programs tell it.
const TOLD_FIRST: [(&str, &str); 11] = [
    ("date -d @0 +%H:%M", "01:00"),
    ("cat /etc/timezone", "Europe/Berlin"),
    ("sysctl -n net.core.somaxconn net.ipv4.tcp_rmem", "1024\n4096\t131072\t6291456"),
    (
        "journalctl -b --no-pager -o cat _COMM=systemd-journal | grep -o 'max 64.0M' | tail -1",
        "max 64.0M",
    ),
    ("getent passwd deploy", "deploy:x:2001:2001:Runs 100 % of it:/home/deploy:/bin/bash"),
    ("id -Gn deploy", "deploy adm uploads"),
    ("runuser -u deploy -- sudo -n /usr/bin/id -u", "0"),
    ("runuser -u deploy -- sudo -n /usr/bin/systemctl is-active cron.service", "active"),
    ("runuser -u deploy -- sudo -n /usr/bin/systemctl is-active ssh.service || echo no", "no"),
    (
        "logrotate -d /etc/logrotate.conf 2>&1 | grep -c -e '^error' -e 'considering log /var/log/tool.log'",
        "1",
    ),
    ("apt-cache policy nodejs | grep Candidate", "Candidate: (none)"),
];

const SECOND: &str = r#"
[project.system]
timezone = "Etc/UTC"
sysctl = { "net.core.somaxconn" = 2048 }
[project.users.deploy]
uid = 2001
"#;

const TOLD_SECOND: [(&str, &str); 5] = [
    ("date -d @0 +%H:%M", "00:00"),
    ("sysctl -n net.core.somaxconn", "2048"),
    ("runuser -u deploy -- sudo -n /usr/bin/id -u || echo no", "no"),
    (
        "ls /etc/apt/preferences.d /etc/logrotate.d/stackc-*",
        "/etc/logrotate.d/stackc-app\n\n/etc/apt/preferences.d:",
    ),
    ("apt-cache policy nodejs | grep -c 'Candidate: [0-9]'", "1"),
];

#[test]
fn a_guest_has_the_clock_kernel_accounts_logs_and_pins_of_its_definition() {
    let Some(lab) = RealLab::start("sys") else { return };
    let folder = tempfile::tempdir().expect("a temporary folder can be made");
    let IpAddr::V4(address) = lab.address(VMID) else { panic!("a lab's network is IPv4") };
    let wanted = Wanted { lab: &lab.info, env: "dev", vmid: VMID, address, version: 1, flaw: None };
    wanted.write(folder.path());
    fs::remove_file(folder.path().join("stacks/tiny.toml")).expect("it was written");
    let workspace = Utf8Path::from_path(folder.path()).expect("UTF-8");
    let live = |more: &str, told: &[(&str, &str)]| {
        fs::write(workspace.join("stacks/box.toml"), project(address, more)).expect("it is ours");
        for verb in [&["build"][..], &["activate", "box/dev", "--yes"]] {
            let (code, told, errors) = stackc(workspace, verb);
            assert_eq!(code, Some(0), "{verb:?}: {told}{errors}");
        }
        for (command, answer) in told {
            assert_eq!(lab.out("box-dev", command), *answer, "{command}");
        }
        let (code, plan, errors) = stackc(workspace, &["plan", "box/dev", "--exit-code"]);
        assert_eq!(code, Some(0), "{plan}{errors}");
    };
    live(FIRST, &TOLD_FIRST);
    live(SECOND, &TOLD_SECOND);
    // Why such a key does not compile for a container.
    let refused = "sysctl -n vm.swappiness >a; sysctl -qw vm.swappiness=7 2>/dev/null; sysctl -n vm.swappiness | cmp - a && echo same";
    assert_eq!(lab.out("box-dev", refused), "same");
}
