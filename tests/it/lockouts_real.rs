//! Lock-outs that no compiler sees, made by a hook on a real guest: it is reachable again by itself, soon after its deadline.

use crate::{
    fault_asks::LET_IN,
    fault_results::{Results, stops},
    fault_summary::{Sort, Summary, Verdict},
    fixture_lab::RealLab,
    guest_bundle::{Made, hooks, seal},
    guest_fixture::{caller, name},
    guest_real::{PROGRAM, RealGuest, open_ports, wait_until},
    lockouts_hooks::LOCK_OUTS,
};
use stackc::model::{
    FileClass, FirewallAction, HealthDocument, HooksDocument, Ledger, Phase, Probe, Switch,
    protocol::{BeginRequest, BundleRequest, Done, ReceiveRequest},
};
use std::{
    collections::BTreeMap,
    fs,
    process::Stdio,
    sync::{Mutex, mpsc},
    thread,
    time::{Duration, Instant},
};

const CONFIRM_SECONDS: u32 = 5;
/// From the guest's own deadline to the end of a fresh login.
const LIMIT: Duration = Duration::from_secs(5);
/// What a login takes on a machine that does nothing else.
const IDLE_LOGIN: Duration = Duration::from_millis(400);
/// A new login begins so often, whatever has become of the others.
const OFTEN: Duration = Duration::from_millis(250);
/// More at once would be kept out by sshd itself (`MaxStartups`), or wait for each other.
const AT_ONCE: u32 = 6;
/// Who is not let in after this will not be.
pub const NEVER: Duration = Duration::from_secs(30);
/// Trials run on so many guests side by side.
const GUESTS: usize = 4;
/// In the long form, where the limit is meant.
const LONG_GUESTS: usize = 2;

/// What a person's way in consists of, and what runs.
const PICTURE: &str = "iptables-save | sed -n '/^-A/p;/^:.* DROP/s/ \\[.*//p' | sort; ip6tables-save | grep -c -- -A; \
    ip -o link show dev eth0 | grep -c NOARP; tc qdisc show dev eth0; cat /etc/nsswitch.conf; \
    ip -o addr show dev eth0 scope global | tr -s ' ' | cut -d' ' -f2-8; ip -o link show up | grep -c .; ip route; ip rule; \
    find /etc/ssh /etc/pam.d /etc/security /root -maxdepth 1 -printf '%p %y %m %u %g\\n' | sort; \
    cat /etc/ssh/* /etc/ssh/*/* /etc/pam.d/* /etc/security/* /root/.ssh/* /etc/default/ssh /etc/hosts.* 2>/dev/null | sha256sum; \
    getent passwd root; getent shadow root; readlink /var/lib/stackc/current; ls -R /etc/systemd/system | grep -v recover; \
    systemctl is-active app ssh";

pub fn bundle(guest: &RealGuest, version: u32, hook: Option<&str>) -> Made {
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
    on_first_after(lab, vmid, "true")
}

/// The same, where a command ran before.
pub fn on_first_after(lab: &RealLab, vmid: u32, script: &str) -> (RealGuest, Made) {
    let own = format!("out{vmid}");
    lab.boot(vmid, &own);
    let mut guest = RealGuest::new(lab, &own);
    guest.install_ufw();
    guest.says(script);
    let mut first = bundle(&guest, 1, None);
    // Nobody is locked out of this one: a machine that is busy is no reason to fail.
    let health = first.health.clone();
    first.set_health(HealthDocument { confirm_seconds: 60, start_seconds: 60, ..health });
    let switch = first.switch(&tx(1), 0, 1, &Ledger::default());
    guest.prepare(&tx(1), &first);
    let state = guest.begin(&switch);
    assert_eq!(state.phase, Phase::AwaitingConfirm, "{state:?}");
    assert_eq!(guest.confirm(&switch).phase, Phase::Confirmed);
    (guest, first)
}

pub fn tx(number: u64) -> String {
    format!("{number:016x}")
}

/// A guest and what is tried on it.
pub struct Trial<'a> {
    pub lab: &'a RealLab,
    pub vmid: u32,
    pub guest: &'a RealGuest,
    pub first: &'a Made,
    pub number: u64,
}

impl Trial<'_> {
    /// How long nobody was let in after the deadline, and for how long that may be so.
    pub fn attempt(&self, script: &str, strict: bool) -> Result<(Duration, Duration), String> {
        let Self { guest, first, number, .. } = *self;
        let old = guest.says(PICTURE);
        let limit = if strict { LIMIT } else { LIMIT.mul_f64(busyness(guest)) };
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
        let deadline = self.deadline(&switch)?;
        let (is_out, back) = try_logins(guest, deadline);
        let back = back.ok_or_else(|| format!("out for {NEVER:?} after the deadline"))?;
        let took = back.saturating_duration_since(deadline);
        finish(guest, &switch, &old)?;
        // A login that began before the hook may have outlasted it on a busy machine; what was put back tells.
        let told = guest.result(&switch).failure.map_or(Vec::new(), |failure| failure.evidence);
        if !is_out && !told.iter().any(|line| line.starts_with("put back")) {
            return Err("it kept nobody out".to_owned());
        }
        if took > limit {
            return Err(format!("out for {took:?} after the deadline, and {limit:?} is allowed"));
        }
        Ok((took, limit))
    }

    /// When the guest goes back by itself.
    fn deadline(&self, switch: &Switch) -> Result<Instant, String> {
        let phase = format!("tx/{}/phase", switch.tx);
        deadline(self.lab, self.vmid, &phase, "awaiting-confirm").ok_or_else(|| {
            format!("it does not wait for its confirm: {:?}", self.guest.result(switch))
        })
    }
}

/// When a guest goes back by itself that waits from the moment on at which a file says so; none when it does not say so.
/// Nobody gets in to ask: the file is read from below.
fn deadline(lab: &RealLab, vmid: u32, file: &str, says: &str) -> Option<Instant> {
    let name = format!("{}-{vmid}", lab.place.name);
    let guests = lab.info.state.as_std_path().join("guests");
    let file = guests.join(name).join("rootfs/var/lib/stackc").join(file);
    let begun = Instant::now();
    while begun.elapsed() < NEVER {
        let now = Instant::now();
        if fs::read_to_string(&file).is_ok_and(|text| text.contains(says)) {
            return Some(now + Duration::from_secs(u64::from(CONFIRM_SECONDS)));
        }
        thread::sleep(Duration::from_millis(5));
    }
    None
}

/// How many times as long as on an idle machine a login takes now; no more than four are made up for.
fn busyness(guest: &RealGuest) -> f64 {
    let begun = Instant::now();
    wait_until(NEVER, "a login to a guest that nothing was done to", || guest.lets_in());
    (begun.elapsed().as_secs_f64() / IDLE_LOGIN.as_secs_f64()).clamp(1.0, 4.0)
}

/// Whether a login before the deadline was kept out, and when the first one that began after it was over.
fn try_logins(guest: &RealGuest, deadline: Instant) -> (bool, Option<Instant>) {
    let (sender, ended) = mpsc::channel();
    thread::scope(|scope| {
        let before = scope.spawn(|| !guest.lets_in());
        thread::sleep(deadline.saturating_duration_since(Instant::now()));
        let (mut back, mut at_once) = (None, 0);
        while back.is_none() && deadline.elapsed() < NEVER {
            if at_once < AT_ONCE {
                let sender = sender.clone();
                at_once += 1;
                // Nobody listens to those that come after the first.
                scope.spawn(move || sender.send(guest.lets_in().then(Instant::now)));
            }
            if let Ok(ended) = ended.recv_timeout(OFTEN) {
                at_once -= 1;
                back = ended;
            }
        }
        (before.join().expect("ssh can be run"), back)
    })
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
pub const OTHERS: &str = "iptables -N f2b-sshd; iptables -A f2b-sshd -j RETURN; \
    iptables -I INPUT -p tcp -m multiport --dports 22 -j f2b-sshd; \
    iptables -I f2b-sshd 1 -s 203.0.113.9 -j REJECT --reject-with icmp-port-unreachable; \
    iptables -N DOCKER; iptables -I FORWARD -o docker0 -j DOCKER; \
    iptables -A DOCKER -d 172.17.0.2/32 -o docker0 -p tcp --dport 80 -j ACCEPT; \
    iptables -t nat -N DOCKER; iptables -t nat -A PREROUTING -m addrtype --dst-type LOCAL -j DOCKER; \
    iptables -t nat -A DOCKER -p tcp --dport 8080 -j DNAT --to-destination 172.17.0.2:80; \
    echo '# by hand' >/etc/ssh/sshd_config.d/99-hand.conf";

/// The rules that are theirs.
pub const THEIRS: &str = "iptables-save | grep -E 'f2b-sshd|DOCKER' | sed 's/ \\[.*//'";

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
    wait_until(NEVER, "the undo", || guest.result(&switch).phase == Phase::Undone);
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

/// Hooks before a switch that shut whoever called for them out, too: the switch never begins.
const EARLY: [&str; 2] = [
    "iptables -I INPUT -p tcp --dport 22 -j DROP",
    "echo AllowUsers nobody >/etc/ssh/sshd_config.d/00-x.conf; systemctl restart ssh; ip addr flush dev eth0",
];

#[test]
fn what_a_hook_before_a_switch_that_never_begins_locks_out_is_let_in_again_soon() {
    let Some(lab) = RealLab::start("early") else { return };
    let (guest, _) = on_first(&lab, 101);
    for (number, script) in (2..).zip(EARLY) {
        let old = guest.says(PICTURE);
        let limit = LIMIT.mul_f64(busyness(&guest));
        let mut made = bundle(&guest, number, None);
        guest.prepare(&tx(number.into()), &made);
        let before_switch = hooks(&[("out", &["/bin/sh", "-ec", script])]);
        made.set_hooks(HooksDocument { before_switch, ..HooksDocument::default() });
        let caller = caller(&tx(number.into()));
        let archive = made.archive();
        let digest = made.bundle.digest;
        let receive =
            ReceiveRequest { caller: caller.clone(), digest, bytes: archive.len() as u64 };
        guest.call_with::<Done>("receive", &receive, &archive).expect("it is taken");
        let request = BundleRequest { caller, digest };
        let request = crate::guest_fixture::input(&request, &[]);
        let mut call = guest.command(&format!("{PROGRAM} hooks"));
        let mut call = call.stdin(Stdio::piped()).stdout(Stdio::null()).spawn().expect("ssh runs");
        let mut stdin = call.stdin.take().expect("it is piped");
        std::io::Write::write_all(&mut stdin, &request).expect("it is read");
        drop(stdin);
        let deadline = deadline(&lab, 101, "hooks.json", "\"done\":true").expect("they are over");
        let (is_out, back) = try_logins(&guest, deadline);
        call.kill().expect("it is ours");
        call.wait().expect("it ends");
        let back = back.unwrap_or_else(|| panic!("{script}: nobody is let in"));
        let took = back.saturating_duration_since(deadline);
        eprintln!("hook before the switch, {script}: {took:?}");
        assert!(is_out, "{script}: it kept nobody out");
        assert!(took <= limit, "{script}: out for {took:?}, and {limit:?} is allowed");
        assert_eq!(guest.says(PICTURE), old, "{script}");
    }
}

/// All lock-outs on so many guests; what went wrong.
fn lock_out_all(lab: &RealLab, guests: usize, strict: bool, results: &Mutex<Results>) {
    let only = std::env::var("STACKC_LOCKOUT").ok();
    let trials =
        LOCK_OUTS.iter().filter(|(what, _)| only.as_deref().is_none_or(|o| what.contains(o)));
    let trials: Vec<_> = trials.collect();
    let gateway = lab.info.gateway.to_string();
    let run = |worker: usize| {
        let mine = trials.iter().skip(worker).step_by(guests);
        let vmid = 101 + u32::try_from(worker).expect("there are few");
        let mut ready = None;
        for (number, (what, script)) in (2..).zip(mine) {
            if stops(results) {
                return;
            }
            let (guest, first) = ready.get_or_insert_with(|| on_first(lab, vmid));
            let trial = Trial { lab, vmid, guest, first, number };
            let done = trial.attempt(&script.replace("GATEWAY", &gateway), strict);
            eprintln!("lock-out, {what}: {done:?}");
            add(&mut results.lock().expect("no trial panics"), what, &done);
            if done.is_err() {
                // The next one gets a guest that nothing was done to.
                lab.done("DELETE", &format!("/nodes/pve/lxc/{vmid}"), &[("force", "1")]);
                ready = None;
            }
        }
    };
    thread::scope(|scope| {
        for worker in 0..guests {
            let run = &run;
            scope.spawn(move || run(worker));
        }
    });
}

fn add(results: &mut Results, what: &str, done: &Result<(Duration, Duration), String>) {
    let on = "Debian 12".to_owned();
    let sort = Sort {
        fault: format!("lock-out: {what}"),
        verb: "hook".to_owned(),
        on: on.clone(),
        size: String::new(),
    };
    match done {
        Ok((took, _)) => {
            let took = u64::try_from(took.as_millis()).expect("it is short");
            results.summary.measure(LET_IN, &on, took);
            results.add(&sort, Verdict::LetIn, None, &took);
        }
        Err(problem) => results.add(&sort, Verdict::Failed, Some(problem), &sort),
    }
}

/// A run by this name, of the test that ends with these words.
fn results(name: &str, test: &str) -> Mutex<Results> {
    let what = "Lock-outs by hooks on real guests, let in again within 5 s of the deadline";
    let again = format!("cargo test --test it {test} -- --ignored");
    Mutex::new(Results::new(name, Summary::new(what, &again, None)))
}

/// Other tests take their part of the processors: a limit is as much longer as logins are.
#[test]
fn whatever_a_hook_locks_out_is_let_in_again_soon_after_the_deadline() {
    let Some(lab) = RealLab::start("lock") else { return };
    let results = results("lock-outs-short", "whatever_a_hook_locks_out");
    lock_out_all(&lab, GUESTS, false, &results);
    results.into_inner().expect("no trial panics").finish(0);
}

#[test]
#[ignore = "takes minutes; its limit is that of a machine that does nothing else"]
fn every_lock_out_is_over_within_seconds_of_the_deadline() {
    let Some(lab) = RealLab::start("outs") else { return };
    let results = results("lock-outs", "every_lock_out");
    lock_out_all(&lab, LONG_GUESTS, true, &results);
    results.into_inner().expect("no trial panics").finish(0);
}
