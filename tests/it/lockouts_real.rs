//! Lock-outs that no compiler sees, made by a hook on a real guest: it is reachable again by itself, soon after its deadline.

use crate::{
    fixture_lab::RealLab,
    guest_bundle::{Made, hooks, seal},
    guest_fixture::{caller, name},
    guest_real::{RealGuest, open_ports, wait_until},
};
use stackc::model::{
    FileClass, FirewallAction, HealthDocument, HooksDocument, Ledger, Phase, Probe, Switch,
    protocol::{BeginRequest, Done},
};
use std::{
    collections::BTreeMap,
    thread,
    time::{Duration, Instant},
};

/// What a hook does, by name. Every one keeps new connections, or whoever makes them, out.
const LOCK_OUTS: [(&str, &str); 26] = [
    ("a rule that drops", "iptables -I INPUT -p tcp --dport 22 -j DROP"),
    ("rules flushed and a policy that drops", "iptables -F; iptables -P INPUT DROP"),
    ("a table that was not there", "iptables -t raw -I PREROUTING -p tcp --dport 22 -j DROP"),
    ("answers dropped", "iptables -I OUTPUT -p tcp --sport 22 -j DROP"),
    (
        "the port led elsewhere",
        "iptables -t nat -I PREROUTING -p tcp --dport 22 -j REDIRECT --to-ports 9",
    ),
    ("address removed", "ip addr flush dev eth0"),
    ("link down", "ip link set eth0 down"),
    ("route into nothing", "ip route add blackhole GATEWAY/32"),
    ("route to the operators removed", "ip route flush table main"),
    ("rule of routing into nothing", "ip rule add pref 10 blackhole"),
    ("the operators' address taken", "ip addr add GATEWAY/32 dev lo"),
    ("sshd stopped", "systemctl stop ssh"),
    ("sshd masked", "systemctl mask --now ssh"),
    ("sshd masked until the next boot", "systemctl mask --runtime --now ssh"),
    (
        "sshd's unit broken",
        "mkdir -p /etc/systemd/system/ssh.service.d; printf '[Service]\\nExecStart=\\nExecStart=/bin/false\\n' >/etc/systemd/system/ssh.service.d/x.conf; systemctl daemon-reload; systemctl restart ssh || true",
    ),
    (
        "sshd on another port",
        "echo Port 2222 >/etc/ssh/sshd_config.d/00-x.conf; systemctl restart ssh",
    ),
    ("sshd's options", "echo SSHD_OPTS=-p2222 >/etc/default/ssh; systemctl restart ssh"),
    (
        "sshd for nobody",
        "echo AllowUsers nobody >/etc/ssh/sshd_config.d/00-x.conf; systemctl reload ssh",
    ),
    (
        "sshd with a bad file",
        "echo Garbage yes >>/etc/ssh/sshd_config; systemctl restart ssh || true",
    ),
    ("host keys removed", "rm /etc/ssh/ssh_host_*; systemctl restart ssh || true"),
    ("keys removed", "rm /root/.ssh/authorized_keys"),
    ("a home that anybody may write to", "chmod 777 /root"),
    ("PAM that denies", "echo 'account required pam_deny.so' >/etc/pam.d/sshd"),
    ("a shell that ends", "usermod --shell /usr/sbin/nologin root"),
    ("an account that is over", "usermod --expiredate 1 root"),
    ("a limit that nothing fits in", "echo 'root hard as 1' >>/etc/security/limits.conf"),
];

const CONFIRM_SECONDS: u32 = 5;
/// The guest goes back at its deadline, and the first login comes soon after that: within 5 s, and with what the other tests take of
/// the processors within 15. A login that hangs is only given up after 6 s.
const REACHABLE: Duration = Duration::from_secs(20);
/// Trials run on so many guests side by side.
const GUESTS: usize = 4;

/// What a person's way in consists of, and what runs.
const PICTURE: &str = "iptables-save | sed -n '/^-A/p;/^:.* DROP/s/ \\[.*//p' | sort; ip6tables-save | grep -c -- -A; \
    ip -o addr show dev eth0 scope global | tr -s ' ' | cut -d' ' -f2-8; ip -o link show up | grep -c .; ip route; ip rule; \
    find /etc/ssh /etc/pam.d /etc/security /root -maxdepth 1 -printf '%p %y %m %u %g\\n' | sort; \
    cat /etc/ssh/* /etc/ssh/*/* /etc/pam.d/* /etc/security/* /root/.ssh/* /etc/default/ssh /etc/hosts.* 2>/dev/null | sha256sum; \
    getent passwd root; getent shadow root; readlink /var/lib/stackc/current; ls -R /etc/systemd/system | grep -v recover; \
    systemctl is-active app ssh";

fn bundle(guest: &RealGuest, version: u32, hook: Option<&str>) -> Made {
    let text = format!("[Service]\nExecStart=/bin/sleep infinity\nX-Version={version}\n");
    let file = ("/etc/systemd/system/app.service", FileClass::Linked, "0644", text);
    let [v4, v6] = &guest.found_rules;
    let rules = [open_ports(v4, "ufw", &[22]), open_ports(v6, "ufw6", &[22])];
    let probes = BTreeMap::from([("app".to_owned(), Probe::Unit { unit: name("app.service") })]);
    let health = HealthDocument {
        probes,
        window_seconds: 0,
        start_seconds: 5,
        confirm_seconds: CONFIRM_SECONDS,
    };
    let mut made = seal(version, &[file], rules, health);
    if let Some(script) = hook {
        let after_switch = hooks(&[("out", &["/bin/sh", "-ec", script])]);
        made.set_hooks(HooksDocument { after_switch, ..HooksDocument::default() });
    }
    made
}

/// A guest that is on generation 1.
fn on_first(lab: &RealLab, vmid: u32) -> (RealGuest, Made) {
    let own = format!("out{vmid}");
    lab.boot(vmid, &own);
    let mut guest = RealGuest::new(lab, &own);
    guest.install_ufw();
    let first = bundle(&guest, 1, None);
    let switch = first.switch(&tx(1), 0, 1, &Ledger::default());
    guest.prepare(&tx(1), &first);
    assert_eq!(guest.begin(&switch).phase, Phase::AwaitingConfirm);
    assert_eq!(guest.confirm(&switch).phase, Phase::Confirmed);
    (guest, first)
}

fn tx(number: u64) -> String {
    format!("{number:016x}")
}

/// One trial; what is wrong with it.
fn attempt(guest: &RealGuest, first: &Made, number: u64, script: &str) -> Result<Duration, String> {
    let old = guest.says(PICTURE);
    let made = bundle(guest, u32::try_from(number).expect("it is small"), Some(script));
    let mut switch = made.switch(&tx(number), 1, number, &first.ledger());
    // The bundle has the live rules: nothing of the firewall is the switch's.
    switch.firewall = FirewallAction::Keep;
    // Nor is sshd: else its state would be watched, and what breaks it undone at once.
    switch.units.reload.clear();
    switch.undo_units.reload.clear();
    guest.prepare(&tx(number), &made);
    let request = BeginRequest { caller: caller(switch.tx.as_str()), switch: switch.clone() };
    guest.call::<Done>("begin", &request).map_err(|refusal| format!("{refusal:?}"))?;
    let begun = Instant::now();
    let mut out = None;
    loop {
        let asked = Instant::now();
        match (guest.lets_in(), out) {
            (false, None) => out = Some(asked),
            (true, Some(since)) => {
                let took = asked.duration_since(since);
                return finish(guest, &switch, &old).map(|()| took);
            }
            _ => {}
        }
        if out.is_some_and(|since| since.elapsed() > REACHABLE) {
            return Err(format!("out for {REACHABLE:?}"));
        }
        if out.is_none() && begun.elapsed() > REACHABLE {
            // A login that began before the hook may have outlasted it on a busy machine; what was put back tells.
            let state = guest.result(&switch);
            let told = state.failure.map_or(Vec::new(), |failure| failure.evidence);
            let harmed = told.iter().any(|line| line.starts_with("put back"));
            return if harmed {
                finish(guest, &switch, &old).map(|()| Duration::ZERO)
            } else {
                Err("it kept nobody out".to_owned())
            };
        }
        thread::sleep(Duration::from_millis(100));
    }
}

/// The guest that lets in again has gone back, all of it.
fn finish(guest: &RealGuest, switch: &Switch, old: &str) -> Result<(), String> {
    let state = guest.result(switch);
    if state.phase != Phase::Undone {
        return Err(format!("it is {state:?}"));
    }
    let now = guest.says(PICTURE);
    let (old, now): (Vec<&str>, Vec<&str>) = (old.lines().collect(), now.lines().collect());
    let gone: Vec<_> = old.iter().filter(|line| !now.contains(line)).collect();
    let come: Vec<_> = now.iter().filter(|line| !old.contains(line)).collect();
    if old == now { Ok(()) } else { Err(format!("reachable, but gone: {gone:?}, come: {come:?}")) }
}

/// What fail2ban does at a ban, and Docker when it starts and publishes a port, as they do it.
const OTHERS: &str = "iptables -N f2b-sshd; iptables -A f2b-sshd -j RETURN; \
    iptables -I INPUT -p tcp -m multiport --dports 22 -j f2b-sshd; \
    iptables -I f2b-sshd 1 -s 203.0.113.9 -j REJECT --reject-with icmp-port-unreachable; \
    iptables -N DOCKER; iptables -I FORWARD -o docker0 -j DOCKER; \
    iptables -A DOCKER -d 172.17.0.2/32 -o docker0 -p tcp --dport 80 -j ACCEPT; \
    iptables -t nat -N DOCKER; iptables -t nat -A PREROUTING -m addrtype --dst-type LOCAL -j DOCKER; \
    iptables -t nat -A DOCKER -p tcp --dport 8080 -j DNAT --to-destination 172.17.0.2:80; \
    echo '# by hand' >/etc/ssh/sshd_config.d/99-hand.conf";

/// The rules that are theirs.
const THEIRS: &str = "iptables-save | grep -E 'f2b-sshd|DOCKER' | sed 's/ \\[.*//'";

#[test]
fn bans_and_published_ports_that_came_while_a_switch_was_open_are_there_when_it_is_undone() {
    let Some(lab) = RealLab::start("others") else { return };
    let (guest, first) = on_first(&lab, 101);
    let made = bundle(&guest, 2, Some("iptables -I INPUT -s 198.51.100.0/24 -j DROP"));
    let mut switch = made.switch(&tx(2), 1, 2, &first.ledger());
    switch.firewall = FirewallAction::Keep;
    guest.prepare(&tx(2), &made);
    assert_eq!(guest.begin(&switch).phase, Phase::AwaitingConfirm);
    let theirs = guest.says(&format!("{OTHERS}; {THEIRS}"));
    assert_eq!(theirs.lines().count(), 10, "{theirs}");
    wait_until(REACHABLE, "the undo", || guest.result(&switch).phase == Phase::Undone);
    let state = guest.result(&switch);
    assert_eq!(guest.says(THEIRS), theirs);
    assert_eq!(guest.says("iptables-save | grep -c 198.51.100.0"), "0");
    let evidence = state.failure.expect("it is told").evidence;
    let hooks = "firewall, without IPv4 filter: -A INPUT -s 198.51.100.0/24 -j DROP";
    assert!(evidence.iter().any(|line| line.ends_with(hooks)), "{evidence:?}");
    let copies =
        format!("cd /var/lib/stackc/drift/{}; find . -type f | sort; cat ./etc/ssh/*/*", tx(2));
    assert_eq!(
        guest.says(&copies),
        "./etc/ssh/sshd_config.d/99-hand.conf\n./ip6tables-save\n./iptables-save\n# by hand"
    );
}

#[test]
fn whatever_a_hook_locks_out_is_let_in_again_soon_after_the_deadline() {
    let Some(lab) = RealLab::start("lock") else { return };
    let only = std::env::var("STACKC_LOCKOUT").ok();
    let trials =
        LOCK_OUTS.iter().filter(|(what, _)| only.as_deref().is_none_or(|o| what.contains(o)));
    let trials: Vec<_> = trials.collect();
    let gateway = lab.info.gateway.to_string();
    let run = |guest: usize| -> Vec<String> {
        let mut failed = Vec::new();
        let mine = trials.iter().skip(guest).step_by(GUESTS);
        let vmid = 101 + u32::try_from(guest).expect("there are few");
        let mut ready = None;
        for (number, (what, script)) in (2..).zip(mine) {
            let (guest, first) = ready.get_or_insert_with(|| on_first(&lab, vmid));
            let done = attempt(guest, first, number, &script.replace("GATEWAY", &gateway));
            eprintln!("lock-out, {what}: {done:?}");
            if let Err(problem) = done {
                failed.push(format!("{what}: {problem}"));
                // The next one gets a guest that nothing was done to.
                lab.done("DELETE", &format!("/nodes/pve/lxc/{vmid}"), &[("force", "1")]);
                ready = None;
            }
        }
        failed
    };
    let failed: Vec<String> = thread::scope(|scope| {
        let run = &run;
        let workers: Vec<_> = (0..GUESTS).map(|n| scope.spawn(move || run(n))).collect();
        workers.into_iter().flat_map(|w| w.join().expect("no trial panics")).collect()
    });
    assert!(failed.is_empty(), "{} of {}:\n{}", failed.len(), trials.len(), failed.join("\n"));
}
