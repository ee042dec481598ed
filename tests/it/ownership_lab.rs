//! Whose is what on a real guest: what a hand changes is told and put back, and what leaves the definitions leaves the guest.

use crate::{
    activate_cli::stackc,
    faults_workspace::{placed_by, without_project},
    fixture_lab::RealLab,
};
use camino::Utf8PathBuf;
use std::{
    collections::BTreeSet,
    fs,
    net::{IpAddr, Ipv4Addr},
    process::Command,
    thread,
    time::{Duration, Instant},
};

const VMID: u32 = 122;
pub const GUEST: &str = "own-dev";

/// One of each sort that can leave.
const OWNED: &str = r#"
[project.files.note]
path = "/etc/own/note"
text = "one\ntwo\n"
[project.files.folders]
path = "/etc/tmpfiles.d/own.conf"
text = "d /run/own 0755 root root -\nd /srv/own.d 0755 root root -\n"
[project.files.more]
path = "/etc/own/more"
text = "more\n"
restart = ["reader.service"]
[project.services.own]
exec = ["/usr/bin/sleep", "infinity"]
[project.services.reader]
exec = ["/bin/sh", "-c", "cat /etc/own/more >/run/own.read; exec sleep infinity"]
[project.cron.own]
schedule = "* * * * *"
user = "root"
run = "date >/run/own.cron"
[project.firewall.rules.own]
port = 8123
protocol = "tcp"
[project.users.deploy]
keys = ["keys/deploy.pub"]
sudo = ["/usr/bin/id *"]
[project.system]
sysctl = { "net.core.somaxconn" = 2048 }
"#;

/// What tells each of them on the guest, and what it says while it is there.
const TOLD: [(&str, &str); 8] = [
    ("cat /etc/own/note", "one\ntwo"),
    ("systemctl is-active own.service reader.service", "active\nactive"),
    ("cat /run/own.read", "more"),
    ("iptables -S ufw-user-input | grep -c 8123", "1"),
    ("ufw status | grep -c 8123/tcp", "2"),
    ("runuser -u deploy -- sudo -n /usr/bin/id -u", "0"),
    ("cat /etc/sysctl.d/*stackc* | grep -c somaxconn", "1"),
    ("cat /proc/sys/net/core/somaxconn", "2048"),
];

/// The same without them.
const GONE: [(&str, &str); 6] = [
    ("systemctl show -p LoadState -p ActiveState own", "LoadState=not-found\nActiveState=inactive"),
    ("iptables-save | grep -c 8123 || ip6tables-save | grep 8123", "0"),
    ("ufw status | grep 8123/tcp || cat /etc/ufw/*.rules | grep -c 8123", "0"),
    ("runuser -u deploy -- sudo -n /usr/bin/id -u 2>/dev/null || echo no", "no"),
    ("pgrep -x sleep || echo none", "none"),
    ("cat /proc/sys/net/core/somaxconn", "4096"),
];

/// A lab, and a workspace with the project `own`.
pub struct Owned {
    pub lab: RealLab,
    address: Ipv4Addr,
    _folder: tempfile::TempDir,
    workspace: Utf8PathBuf,
}

impl Owned {
    pub fn start(name: &str) -> Option<Self> {
        let lab = RealLab::start(name)?;
        let IpAddr::V4(address) = lab.address(VMID) else { panic!("a lab's network is IPv4") };
        let (folder, workspace) = without_project(&lab.info, VMID, address);
        Some(Self { lab, address, _folder: folder, workspace })
    }

    pub fn define(&self, more: &str) {
        let (address, path) = (self.address, self.workspace.join("stacks/own.toml"));
        let text = format!(
            "[project]\nkind = \"base\"\n[envs.dev]\nname = \"{GUEST}\"\nvmid = {VMID}\nip = \"{address}/24\"\n{more}"
        );
        fs::write(path, text).expect("the folder is ours");
    }

    /// A verb that must end with this code; what it said.
    pub fn stackc(&self, words: &[&str], code: i32) -> String {
        let (found, out, errors) = stackc(&self.workspace, words);
        eprintln!("{words:?}\n{out}{errors}");
        assert_eq!(found, Some(code), "{words:?}: {out}{errors}");
        out + &errors
    }

    /// Every path that the last build places.
    fn placed(&self) -> BTreeSet<String> {
        let built = fs::canonicalize(self.workspace.join("out/guests/own/dev"));
        let placed = placed_by(&built.expect("`build` links the bundle")).into_iter();
        placed.map(|(path, _)| path).collect()
    }

    fn tells(&self, told: &[(&str, &str)]) {
        for (command, answer) in told {
            let said = self.lab.ssh(GUEST, command).stdout;
            assert_eq!(String::from_utf8_lossy(&said).trim(), *answer, "{command}");
        }
    }

    /// Whether the user's key lets in.
    fn lets_in(&self) -> bool {
        let mut ssh = Command::new("ssh");
        ssh.args(["-F", "/dev/null", "-o", "BatchMode=yes", "-o", "StrictHostKeyChecking=no"]);
        ssh.args(["-o", "UserKnownHostsFile=/dev/null", "-o", "IdentitiesOnly=yes"]);
        ssh.args(["-i", self.workspace.join("keys/deploy").as_str()]);
        let output = ssh.arg(format!("deploy@{}", self.address)).arg("echo in").output();
        output.expect("ssh runs").stdout == b"in\n"
    }

    /// Whether cron runs the job within a minute and a little more.
    fn cron_runs(&self) -> bool {
        self.lab.out(GUEST, "rm -f /run/own.cron");
        let started = Instant::now();
        while started.elapsed() < Duration::from_secs(65) {
            if self.lab.ssh(GUEST, "test -s /run/own.cron").status.success() {
                return true;
            }
            thread::sleep(Duration::from_secs(1));
        }
        false
    }
}

#[test]
fn what_a_hand_changes_is_told_and_put_back_and_what_leaves_the_definitions_leaves_the_guest() {
    let Some(guest) = Owned::start("own") else { return };
    guest.define(OWNED);
    guest.stackc(&["build"], 0);
    guest.stackc(&["activate", "own/dev", "--yes"], 0);
    guest.tells(&TOLD);
    assert!(guest.lets_in() && guest.cron_runs());
    let told = guest.stackc(&["drift", "own/dev", "--exit-code"], 0);
    assert!(told.contains("own/dev  generation 1") && told.contains("no drift"), "{told}");
    let placed = guest.placed();

    put_back(&guest);
    failed_is_started(&guest);

    // Somebody else has a file where the definitions want one from now on.
    guest.lab.out(GUEST, "echo foreign >/etc/own.conf");
    guest.define("[project.files.conf]\npath = \"/etc/own.conf\"\ntext = \"ours\\n\"\n");
    guest.stackc(&["build"], 0);
    let left: Vec<String> = placed.difference(&guest.placed()).cloned().collect();
    let plan = guest.stackc(&["activate", "own/dev", "--yes"], 0);
    assert!(plan.contains("! /etc/own.conf takes the place of what is there"), "{plan}");
    assert!(plan.contains("-foreign") && plan.contains("+ours"), "{plan}");
    let told = "~ sysctl net.core.somaxconn is 4096 again, as it was found";
    assert!(plan.contains(told), "{plan}");
    assert!(plan.contains("what tmpfiles.d has made stays: /home/deploy, /srv/own.d"), "{plan}");
    for sort in ["own/note", "tmpfiles.d/own", "own.service", "cron.d/", "deploy", "sudoers.d/"] {
        assert!(left.iter().any(|path| path.contains(sort)), "{sort} does not leave: {left:?}");
    }
    let ls = format!("ls -d {} 2>/dev/null; echo end", left.join(" "));
    assert_eq!(guest.lab.out(GUEST, &ls), "end", "it left the definitions, and not the guest");
    guest.tells(&GONE);
    assert!(!guest.lets_in(), "the key still lets in");
    assert!(!guest.cron_runs(), "cron still runs the job");
    assert_eq!(guest.lab.out(GUEST, "cat /etc/own.conf"), "ours");
    guest.stackc(&["plan", "own/dev", "--exit-code"], 0);

    // What was found comes back when its path is given up, by going back as well.
    guest.stackc(&["rollback", "own/dev", "--yes"], 0);
    assert_eq!(guest.lab.out(GUEST, "cat /etc/own.conf"), "foreign");
    guest.tells(&TOLD);
    assert!(guest.lets_in());
}

/// A hand replaces a file, stops a unit, and opens a port in the kernel.
fn put_back(guest: &Owned) {
    let hand = "sed -i s/two/2/ /etc/own/note && echo hand >>/etc/own/more && systemctl restart reader && \
                systemctl stop own && \
                iptables -A ufw-user-input -p tcp --dport 9 -j ACCEPT";
    guest.lab.out(GUEST, hand);
    let status = guest.stackc(&["status", "own/dev"], 0);
    for told in
        ["2 files changed by hand", "own.service stopped by hand", "firewall changed by hand"]
    {
        assert!(status.contains(told), "{told}: {status}");
    }
    let drift = guest.stackc(&["drift", "own/dev", "--exit-code"], 10);
    for told in ["/etc/own/note: a file", "-two", "+2", "+hand", "own.service: stopped by hand"] {
        assert!(drift.contains(told), "{told}: {drift}");
    }
    // The definitions' third way, and two ways where they do not compile.
    let own = fs::read_to_string(guest.workspace.join("stacks/own.toml")).expect("it is there");
    guest.define(&OWNED.replace("one\\n", "1\\n"));
    let three = guest.stackc(&["drift", "own/dev"], 0);
    assert!(three.contains("the definitions have something else there"), "{three}");
    guest.define("[project.nonsense]\n");
    let two = guest.stackc(&["drift", "own/dev", "--json"], 0);
    assert!(two.contains("\"definition\":\"broken\"") && two.contains("+2"), "{two}");
    fs::write(guest.workspace.join("stacks/own.toml"), own).expect("it is ours");

    let refused = guest.stackc(&["activate", "own/dev", "--yes"], 3);
    assert!(refused.contains("own/dev was changed by hand"), "{refused}");
    assert!(refused.contains("next:  stackc drift own/dev"), "{refused}");
    let told = guest.stackc(&["activate", "own/dev", "--yes", "--overwrite-drift"], 0);
    let mut copies = told.lines().filter_map(|line| line.split("kept on the guest: ").nth(1));
    let copy = copies.find(|copy| copy.ends_with("/etc/own/note"));
    let copy = copy.expect("it says where the copy is");
    assert_eq!(guest.lab.out(GUEST, &format!("cat {copy}")), "one\n2");
    guest.tells(&TOLD);
    assert_eq!(
        guest.lab.out(GUEST, "iptables -S ufw-user-input | grep -c 'dport 9 ' || true"),
        "0"
    );
    guest.stackc(&["drift", "own/dev", "--exit-code"], 0);
    let history = guest.stackc(&["history", "own/dev", "--json"], 0);
    assert!(history.contains(copy), "{history}");
}

/// A unit that failed is no hand's doing: it is started again, unasked.
fn failed_is_started(guest: &Owned) {
    guest.lab.out(GUEST, "systemctl kill -s KILL own; sleep 1; systemctl is-failed own");
    let status = guest.stackc(&["status", "own/dev"], 0);
    assert!(status.contains("own.service failed"), "{status}");
    guest.stackc(&["drift", "own/dev", "--exit-code"], 0);
    let plan = guest.stackc(&["activate", "own/dev", "--yes"], 0);
    assert!(plan.contains("start      own.service: failed"), "{plan}");
    guest.tells(&TOLD);
}
