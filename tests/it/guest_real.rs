//! A real Debian guest over SSH: units, the kernel's firewall, health, the confirm's window, a reboot.

use crate::fixture_lab::{CHEAP, RealLab};
use crate::guest_bundle::{Made, seal};
use crate::guest_fixture::{LEASE, caller, feed, identity, input, messages, name, reply};
use serde::Serialize;
use serde::de::DeserializeOwned;
use stackc::lab::Debian;
use stackc::model::protocol::{
    BeginRequest, BundleRequest, ConfirmRequest, Done, ObserveRequest, ObservedGuest, Refusal,
    ResultRequest,
};
use stackc::model::*;
use std::collections::{BTreeMap, BTreeSet};
use std::net::Ipv4Addr;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

/// A booted guest that root can log in to.
pub struct RealGuest {
    /// The words that run a command on it: `ssh -F … NAME`.
    pub ssh: Vec<String>,
    /// ufw's rules files as its package made them.
    pub found_rules: [String; 2],
}

pub const PROGRAM: &str = "/usr/local/lib/stackc/0/stackc-guest";

impl RealGuest {
    /// Puts the static binary on the lab's guest.
    pub fn new(lab: &RealLab, guest: &str) -> Self {
        let arguments = stackc::lab::ssh_arguments(&lab.place, guest).expect("the guest exists");
        let ssh = ["ssh"].into_iter().chain(CHEAP).map(str::to_owned).chain(arguments).collect();
        let guest = Self { ssh, found_rules: [String::new(), String::new()] };
        let binary = Path::new(env!("STACKC_GUEST_BINARY"));
        let bytes = std::fs::read(binary).expect("the guest's binary is built");
        let script =
            format!("mkdir -p $(dirname {PROGRAM}) && cat >{PROGRAM} && chmod 755 {PROGRAM}");
        feed(guest.command(&script), &bytes);
        guest
    }

    /// Installs ufw by hand, and remembers the rules that it came with.
    pub fn install_ufw(&mut self) {
        let guest = self;
        guest.says("DEBIAN_FRONTEND=noninteractive apt-get -q update && apt-get -qy install --no-install-recommends ufw python3 curl");
        let found = |file: &str| guest.says(&format!("cat /etc/ufw/{file}")) + "\n";
        guest.found_rules = [found("user.rules"), found("user6.rules")];
    }

    pub fn command(&self, script: &str) -> Command {
        let mut command = Command::new(&self.ssh[0]);
        command.args(&self.ssh[1..]).arg(script);
        command
    }

    /// What a command on the guest prints.
    pub fn says(&self, script: &str) -> String {
        let output = self.command(script).output().expect("ssh can be run");
        String::from_utf8_lossy(&output.stdout).trim().to_owned()
    }

    /// Whether a new connection logs in: it comes about within 2 s, and the login ends within 6, as it does on a busy machine.
    pub fn lets_in(&self) -> bool {
        let mut command = Command::new("timeout");
        command.args(["6", "ssh", "-o", "ConnectTimeout=2"]).args(&self.ssh[1..]).arg("echo in");
        command.output().expect("timeout can be run").stdout == b"in\n"
    }

    /// A call that is made again while no connection comes about: each is idempotent.
    pub fn call<T: DeserializeOwned>(
        &self,
        verb: &str,
        request: &impl Serialize,
    ) -> Result<T, Refusal> {
        self.call_with(verb, request, &[])
    }

    /// As `call`, with bytes after the request.
    pub fn call_with<T: DeserializeOwned>(
        &self,
        verb: &str,
        request: &impl Serialize,
        more: &[u8],
    ) -> Result<T, Refusal> {
        let started = Instant::now();
        loop {
            let output = feed(self.command(&format!("{PROGRAM} {verb}")), &input(request, more));
            if let Some(reply) = reply(&output) {
                return reply;
            }
            assert!(started.elapsed() < Duration::from_secs(30), "{verb} says nothing");
            std::thread::sleep(Duration::from_millis(500));
        }
    }

    pub fn prepare(&self, tx: &str, made: &Made) {
        self.validate(tx, made).unwrap_or_else(|refusal| panic!("{refusal:?}"));
    }

    /// Everything before the switch; what the guest's own tools say of it.
    fn validate(&self, tx: &str, made: &Made) -> Result<Done, Refusal> {
        self.outlast_lease_of_others(tx);
        for (verb, request, more) in messages(tx, made) {
            let output =
                feed(self.command(&format!("{PROGRAM} {verb}")), &[request, more].concat());
            let done: Result<Done, Refusal> = reply(&output).expect("it answers");
            done.unwrap_or_else(|refusal| panic!("{verb}: {refusal:?}"));
        }
        let bundle = BundleRequest { caller: caller(tx), digest: made.bundle.digest };
        self.call("validate", &bundle)
    }

    /// The run that had it is dead, and its time is up.
    fn outlast_lease_of_others(&self, tx: &str) {
        self.says(&format!(
            r#"! test -e {LEASE} || grep -q {tx} {LEASE} ||
               sed -i -E 's/("expires_at_seconds":)[0-9]+/\10/' {LEASE}"#
        ));
    }

    pub fn begin(&self, switch: &Switch) -> TxState {
        let request = BeginRequest { caller: caller(switch.tx.as_str()), switch: switch.clone() };
        self.call::<Done>("begin", &request).unwrap_or_else(|refusal| panic!("{refusal:?}"));
        self.result(switch)
    }

    pub fn result(&self, switch: &Switch) -> TxState {
        let request = ResultRequest { tx: switch.tx.clone(), wait_seconds: 60 };
        self.call("result", &request).expect("the transaction is there")
    }

    pub fn confirm(&self, switch: &Switch) -> TxState {
        let (tx, nonce) = (switch.tx.clone(), switch.nonce.clone());
        self.call("confirm", &ConfirmRequest { identity: identity(), tx, nonce })
            .expect("it is heard")
    }

    fn observe(&self, digest: Digest) -> ObservedGuest {
        let units = BTreeSet::from([name("app.service")]);
        let packages = BTreeSet::from(["ufw".to_owned(), "no-such-package".to_owned()]);
        let (digest, paths) = (Some(digest), BTreeSet::new());
        let request = ObserveRequest { identity: identity(), digest, units, packages, paths };
        self.call("observe", &request).expect("observe is never refused here")
    }

    /// What the app, the firewall and `current` are.
    pub fn picture(&self) -> String {
        self.says(
            "curl -s -m 2 http://127.0.0.1:3001/; readlink /var/lib/stackc/current; iptables -S ufw-user-input | grep -c -- --dport; \
             iptables -S INPUT | head -1; grep ENABLED= /etc/ufw/ufw.conf; cat /etc/ssh/sshd_config.d/10-stackc.conf; systemctl is-active app ssh",
        )
    }
}

/// A server that needs a moment, then answers with its version and its secret.
fn server(version: u32) -> String {
    format!(
        "#!/usr/bin/python3
import http.server, os, time
time.sleep(1.5)
class Answer(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200)
        self.end_headers()
        self.wfile.write(b'version {version} ' + os.environ['TOKEN'].encode() + b'\\n')
    def log_message(self, *words):
        pass
http.server.ThreadingHTTPServer(('', 3001), Answer).serve_forever()
"
    )
}

/// The guest's own rules file with these ports open.
pub fn open_ports(found: &str, prefix: &str, ports: &[u32]) -> String {
    let rule = |port: &u32| format!("-A {prefix}-user-input -p tcp --dport {port} -j ACCEPT\n");
    let rules: String = ports.iter().map(rule).collect();
    found.replacen("### RULES ###\n", &format!("### RULES ###\n{rules}"), 1)
}

/// Bundle of a service that answers with its version; its firewall lets these ports in.
pub fn bundle(
    guest: &RealGuest,
    version: u32,
    start: &str,
    ports: &[u32],
    confirm_seconds: u32,
) -> Made {
    let unit = format!(
        "[Unit]\nDescription=App {version}\n\n[Service]\nEnvironmentFile=/etc/app/env\nExecStart={start}\nRestart=always\nRestartSec=100ms\n\n[Install]\nWantedBy=multi-user.target\n"
    );
    let files = [
        ("/etc/systemd/system/app.service", FileClass::Linked, "0644", unit),
        ("/usr/local/bin/app", FileClass::Linked, "0755", server(version)),
        (
            "/etc/ssh/sshd_config.d/10-stackc.conf",
            FileClass::Copied,
            "0600",
            format!("# version {version}\n"),
        ),
    ];
    let [v4, v6] = &guest.found_rules;
    let rules = [open_ports(v4, "ufw", ports), open_ports(v6, "ufw6", ports)];
    let http = Probe::Http {
        address: Ipv4Addr::LOCALHOST.into(),
        port: 3001,
        path: "/".to_owned(),
        status: 200,
        timeout_seconds: 2,
    };
    let health = HealthDocument {
        probes: BTreeMap::from([("app".to_owned(), http)]),
        window_seconds: 1,
        start_seconds: 5,
        confirm_seconds,
    };
    seal(version, &files, rules, health)
}

pub const APP: &str = "/usr/local/bin/app";

/// A file of every sort that a tool of the guest refuses, and one that all of them take.
fn refused(guest: &RealGuest) -> Made {
    let files = [
        ("/etc/ssh/sshd_config.d/20-bad.conf", "Prot 22\n"),
        ("/etc/systemd/system/bad.timer", "[Timer]\nOnCalendar=never ever\n"),
        ("/etc/systemd/system/bad.service.d/10-bad.conf", "[Service]\nMemoryMax=lots\n"),
        ("/etc/systemd/system/service.d/10-bad.conf", "[Service]\nNo equals sign\n"),
        ("/etc/systemd/system/good.service.d/10-bad.conf", "[Service]\nMemoryMax=1G\n"),
        ("/usr/local/bin/bad.bash", "#!/usr/bin/env bash\na=(1\n"),
        ("/usr/local/bin/bad.sh", "#!/bin/sh\nif true\n"),
    ];
    let files = files.map(|(path, text)| (path, FileClass::Copied, "0644", text.to_owned()));
    let [v4, v6] = &guest.found_rules;
    let rules = [open_ports(v4, "ufw", &[22]), open_ports(v6, "ufw6", &[22])];
    seal(9, &files, rules, crate::guest_bundle::health(20))
}

pub fn wait_until(limit: Duration, what: &str, mut holds: impl FnMut() -> bool) {
    let started = Instant::now();
    while !holds() {
        assert!(started.elapsed() < limit, "{what} takes more than {limit:?}");
        std::thread::sleep(Duration::from_millis(300));
    }
}

/// The whole story on one guest; `reboot` kills all of it at once and boots it again.
pub fn story(guest: &RealGuest, reboot: impl Fn()) {
    // What the guest's tools refuse is told at once, before anything changes.
    let untouched = guest.picture();
    let refusal = guest.validate("00000000000000a0", &refused(guest)).expect_err("it is refused");
    let paths = refusal.details.iter().filter_map(|line| line.split('`').nth(1));
    let bad = [
        "/etc/ssh/sshd_config.d/20-bad.conf",
        "/etc/systemd/system/bad.service.d/10-bad.conf",
        "/etc/systemd/system/bad.timer",
        "/etc/systemd/system/service.d/10-bad.conf",
        "/usr/local/bin/bad.bash",
        "/usr/local/bin/bad.sh",
    ];
    assert_eq!(paths.collect::<BTreeSet<_>>(), BTreeSet::from(bad), "{refusal:?}");
    assert_eq!(guest.says("find /var/lib/stackc -name '.tmp-*'"), "", "nothing is left of it");
    assert_eq!(guest.picture(), untouched);

    let first = bundle(guest, 1, APP, &[22, 3001], 20);
    let switch = first.switch("00000000000000a1", 0, 1, &Ledger::default());
    guest.prepare("00000000000000a1", &first);
    let state = guest.begin(&switch);
    assert_eq!(state.phase, Phase::AwaitingConfirm, "{state:?}");
    assert_eq!(guest.confirm(&switch).phase, Phase::Confirmed);
    let picture = guest.picture();
    let lines: Vec<&str> = picture.lines().collect();
    assert_eq!(lines[..4], ["version 1 t1", "generations/1", "2", "-P INPUT DROP"], "{picture}");
    assert_eq!(lines[4..], ["ENABLED=yes", "# version 1", "active", "active"], "{picture}");
    let observed = guest.observe(first.bundle.digest);
    assert!(observed.firewall_active && observed.drift.is_empty(), "{observed:?}");
    assert_eq!(observed.missing_packages, BTreeSet::from(["no-such-package".to_owned()]));
    let timers = "systemctl list-timers --all --no-legend 'stackc-*'";
    assert_eq!(guest.says(timers), "", "a confirmed switch leaves no timer");

    // A unit that exits at once: known to have failed, undone at once, with its own words as evidence.
    let broken = bundle(guest, 2, "/bin/sh -c 'echo no such luck; exit 3'", &[22, 3001, 3002], 20);
    let switch = broken.switch("00000000000000a2", 1, 2, &first.ledger());
    guest.prepare("00000000000000a2", &broken);
    let started = Instant::now();
    guest.begin(&switch);
    wait_until(Duration::from_secs(20), "the undo", || {
        guest.result(&switch).phase == Phase::Undone
    });
    assert!(started.elapsed() < Duration::from_secs(10), "{:?}", started.elapsed());
    let failure = guest.result(&switch).failure.expect("it says why");
    assert!(failure.evidence.iter().any(|line| line.contains("no such luck")), "{failure:?}");
    assert_eq!(guest.picture(), picture);

    // A firewall that shuts the operator out: nothing on the guest notices, and the silence undoes it.
    let shut = bundle(guest, 3, APP, &[3001], 4);
    let switch = shut.switch("00000000000000a3", 1, 3, &first.ledger());
    guest.prepare("00000000000000a3", &shut);
    let request = BeginRequest { caller: caller("00000000000000a3"), switch: switch.clone() };
    guest.call::<Done>("begin", &request).expect("it begins");
    wait_until(Duration::from_secs(40), "the undo", || {
        guest.says("echo in") == "in" && guest.result(&switch).phase == Phase::Undone
    });
    assert_eq!(guest.picture(), picture);

    // The switch killed by the kernel's hand while a unit starts: what it did is undone at once, not at its deadline.
    let slow = format!("{APP}\nExecStartPre=/bin/sleep 5");
    let slow = bundle(guest, 5, &slow, &[22, 3001], 60);
    let switch = slow.switch("00000000000000a6", 1, 4, &first.ledger());
    guest.prepare("00000000000000a6", &slow);
    let request = BeginRequest { caller: caller("00000000000000a6"), switch: switch.clone() };
    guest.call::<Done>("begin", &request).expect("it begins");
    let starting = "systemctl show -p ActiveState app.service";
    wait_until(Duration::from_secs(20), "the start", || {
        guest.says(starting).ends_with("=activating")
    });
    guest.says("systemctl kill --signal=KILL stackc-tx-00000000000000a6.service");
    wait_until(Duration::from_secs(20), "the undo", || {
        guest.result(&switch).phase == Phase::Undone
    });
    assert_eq!(guest.picture(), picture);

    // A power cut in the confirm's window.
    let second = bundle(guest, 4, APP, &[22, 3001, 3002], 60);
    let switch = second.switch("00000000000000a4", 1, 5, &first.ledger());
    guest.prepare("00000000000000a4", &second);
    let state = guest.begin(&switch);
    assert_eq!(state.phase, Phase::AwaitingConfirm, "{state:?}");
    assert!(guest.picture().starts_with("version 4 t4\ngenerations/5\n3\n"), "{}", guest.picture());
    reboot();
    wait_until(Duration::from_secs(20), "the boot", || guest.picture() == picture);
    assert_eq!(guest.result(&switch).phase, Phase::Undone);
    assert_eq!(guest.says("systemctl --failed --no-legend | grep -v modules-load"), "");

    // And then all goes well.
    let switch = second.switch("00000000000000a5", 1, 6, &first.ledger());
    guest.prepare("00000000000000a5", &second);
    assert_eq!(guest.begin(&switch).phase, Phase::AwaitingConfirm);
    let state = guest.confirm(&switch);
    assert_eq!(state.phase, Phase::Confirmed);
    let down = state.downtime_ms[&name::<UnitName>("app.service")];
    assert!(down < 5000 && state.switch_ms < 10_000, "{state:?}");
    assert!(guest.picture().starts_with("version 4 t4\ngenerations/6\n3\n"), "{}", guest.picture());
}

#[test]
fn guest_that_is_real_switches_undoes_and_recovers() {
    of_debian("gst", Debian::Twelve);
}

/// Its systemd, its apt and its sshd are others, and sshd locks out who knocks without logging in.
#[test]
fn guest_of_debian_13_switches_undoes_and_recovers() {
    of_debian("gs13", Debian::Thirteen);
}

fn of_debian(name: &str, debian: Debian) {
    let Some(lab) = RealLab::of(name, debian) else { return };
    lab.boot(101, "gst1");
    let found =
        lab.out("gst1", ". /etc/os-release; echo $VERSION_ID; systemctl is-system-running --wait");
    assert_eq!(found, format!("{debian}\nrunning"));
    let mut guest = RealGuest::new(&lab, "gst1");
    guest.install_ufw();
    story(&guest, || {
        // `stop` is Proxmox's power cut; `shutdown` would be the polite one.
        lab.done("POST", "/nodes/pve/lxc/101/status/stop", &[]);
        lab.done("POST", "/nodes/pve/lxc/101/status/start", &[]);
        lab.wait_for_ssh(101);
    });
}
