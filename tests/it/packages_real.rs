//! apt and dpkg on a real guest: what they refuse is explained, who holds their lock is waited for, services are held back,
//! and an installation that was killed is finished by the same call.

use crate::fixture_lab::RealLab;
use crate::guest_bundle::{Made, make};
use crate::guest_fixture::{caller, feed, input, messages, name};
use crate::guest_real::{PROGRAM, RealGuest};
use stackc::model::protocol::{
    AbandonRequest, BundleRequest, Caller, Done, Garbage, GcRequest, Refusal,
};
use stackc::model::{AptDocument, canonical, document};
use std::collections::BTreeMap;
use std::time::Duration;

const TX: &str = "00000000000000f1";
const NO_POLICY: &str = "ls /usr/sbin/policy-rc.d* 2>&1 | grep -c 'No such file'";

/// Shell functions that make packages in the guest, and the index of a repository of them.
const TOOLS: &str = r#"
deb() { n=$1 v=$2; shift 2; d=/srv/src/$n; mkdir -p $d/DEBIAN
  { printf 'Package: %s\nVersion: %s\nArchitecture: all\nMaintainer: t <t@t>\n' $n $v
    for field; do echo "$field"; done; echo 'Description: t'; } >$d/DEBIAN/control
  chmod -f 755 $d/DEBIAN/postinst; rm -f /srv/repo/$n.deb; dpkg-deb -b $d /srv/repo/$n.deb >/dev/null; }
postinst() { mkdir -p /srv/src/$1/DEBIAN; printf '#!/bin/sh\nset -e\n%s\n' "$2" >/srv/src/$1/DEBIAN/postinst; }
service() { d=/srv/src/$1; mkdir -p $d/lib/systemd/system
  printf '[Unit]\nDescription=%s\n[Service]\nExecStart=/bin/sleep infinity\n[Install]\nWantedBy=multi-user.target\n' $1 >$d/lib/systemd/system/$1.service
  postinst $1 "deb-systemd-helper enable $1.service >/dev/null; systemctl daemon-reload
if test -n \"\$2\"; then deb-systemd-invoke restart $1.service || true; else deb-systemd-invoke start $1.service || true; fi"; }
index() { cd /srv/repo; for f in *.deb; do dpkg-deb -f $f
  printf 'Filename: ./%s\nSize: %s\nSHA256: %s\n\n' $f $(stat -c %s $f) $(sha256sum $f | cut -d' ' -f1); done >Packages; }
"#;

/// A guest with a repository of its own, beside the lab's.
struct Apt {
    guest: RealGuest,
}

impl Apt {
    fn says(&self, script: &str) -> String {
        self.guest.says(&format!("{TOOLS}\n{script}"))
    }

    /// A bundle that needs these packages, sent; each a name and a version.
    fn wants(&self, packages: &[(&str, &str)], may_start: &[&str]) -> Made {
        let mut made = make(1, 60);
        let source = "Types: deb\nURIs: file:/srv/repo\nSuites: ./\nTrusted: yes\n".to_owned();
        let apt = AptDocument {
            packages: packages.iter().map(|(p, v)| (name(p), (*v).to_owned())).collect(),
            sources: BTreeMap::from([("own".to_owned(), source)]),
            pins: BTreeMap::new(),
            may_start: may_start.iter().map(|service| name(service)).collect(),
        };
        made.set_document(document::APT, canonical::to_bytes(&apt));
        let (verb, request, archive) = messages(TX, &made).swap_remove(0);
        let request: serde_json::Value = serde_json::from_slice(&request).expect("it is JSON");
        self.guest.call_with::<Done>(verb, &request, &archive).expect("it is received");
        made
    }

    fn request(made: &Made) -> BundleRequest {
        BundleRequest { caller: caller(TX), digest: made.bundle.digest }
    }

    fn install(&self, made: &Made) -> Result<Done, Refusal> {
        self.guest.call("packages", &Self::request(made))
    }

    /// Asks for a package that cannot be had: the message begins with `what`, and a line of the evidence has `shows`.
    fn is_refused(&self, package: (&str, &str), what: &str, shows: &str) {
        let refusal = self
            .install(&self.wants(&[package], &[]))
            .err()
            .unwrap_or_else(|| panic!("{package:?} can be had"));
        let has = refusal.details.iter().any(|line| line.contains(shows));
        assert!(refusal.message.starts_with(what) && has, "{package:?}: {refusal:#?}");
        assert!(refusal.message.contains("; "), "what to do next: {}", refusal.message);
        assert_eq!(self.says(NO_POLICY), "1", "{package:?}");
    }
}

#[test]
fn what_apt_and_dpkg_do_on_a_real_guest_is_explained_held_back_and_finished() {
    let Some(lab) = RealLab::start("apt") else { return };
    lab.boot(104, "apt1");
    let apt = Apt { guest: RealGuest::new(&lab, "apt1") };
    refusals_are_explained(&apt);
    a_script_that_failed_goes_on_when_it_is_mended(&apt);
    somebody_elses_installation_is_waited_for(&apt);
    services_are_held_back(&apt);
    what_a_preparation_without_a_switch_has_started_rests(&apt);
    killed_installations_are_finished(&apt, &lab);
}

fn refusals_are_explained(apt: &Apt) {
    apt.says("mkdir -p /srv/repo; deb fine 1; deb broken 1; deb gone 1; deb unmet 1 'Depends: no-such'; mkdir -p /srv/src/big/srv/small && head -c 4000000 /dev/urandom >/srv/src/big/srv/small/blob; deb big 1; index; printf x >>broken.deb; rm gone.deb; mkdir -p /srv/small && mount -t tmpfs -o size=1m none /srv/small");
    apt.is_refused(
        ("nowhere", ""),
        "no source of the guest has a package `nowhere`; mend the name",
        "apt-cache knows nothing of `nowhere`",
    );
    apt.is_refused(
        ("fine", "2.*"),
        "no source of the guest has version 2.* of `fine`",
        "Candidate: 1",
    );
    apt.is_refused(
        ("unmet", ""),
        "packages depend on what cannot be installed",
        "Depends: no-such",
    );
    apt.is_refused(("broken", ""), "what was downloaded is not what", "broken.deb");
    apt.is_refused(("gone", ""), "a source does not have an index or a package", "gone.deb");
    apt.is_refused(
        ("big", ""),
        "there is not enough room for the packages",
        "No space left on device",
    );
    apt.says("umount /srv/small; mv /srv/repo /srv/away");
    apt.is_refused(("fine", ""), "a source does not have an index or a package", "/srv/repo");
    apt.says("mv /srv/away /srv/repo; echo nonsense >/etc/apt/sources.list.d/own.list");
    apt.is_refused(("fine", ""), "apt cannot read its own sources", "own.list");
    apt.says("rm /etc/apt/sources.list.d/own.list; apt-get -q update; apt-get install -qy fine; apt-mark hold fine; deb fine 2; index");
    apt.is_refused(("fine", "2"), "a package would change that somebody has put on hold", "fine");
    apt.says("apt-mark unhold fine");
}

fn a_script_that_failed_goes_on_when_it_is_mended(apt: &Apt) {
    apt.says("postinst picky 'echo no such luck; exit 3'; deb picky 1; index");
    apt.is_refused(
        ("picky", ""),
        "the post-installation script of the package `picky` failed",
        "no such luck",
    );
    let made = apt.wants(&[("picky", "")], &[]);
    apt.install(&made).expect_err("nobody has mended it");
    apt.says("postinst picky 'exit 0'; deb picky 2; index");
    assert!(!apt.install(&made).expect("its next version is well").already);
    assert_eq!(apt.says("dpkg --audit"), "");
}

fn somebody_elses_installation_is_waited_for(apt: &Apt) {
    apt.says("postinst slow 'touch /run/slow; sleep 15'; deb slow 1; deb quick 1; index; apt-get -q update");
    let made = apt.wants(&[("quick", "")], &[]);
    apt.says("nohup apt-get -qy install slow >/dev/null 2>&1 & until test -e /run/slow; do sleep 0.1; done");
    let command = apt.guest.command(&format!("{PROGRAM} packages"));
    let told = feed(command, &input(&Apt::request(&made), &[]));
    let told = String::from_utf8_lossy(&told);
    assert!(told.contains("waiting: `apt-get` (process "), "{told}");
    assert!(told.lines().last().is_some_and(|line| line.contains("\"already\":false")), "{told}");
    assert_eq!(apt.says("dpkg-query -Wf '${db:Status-Status} ' slow quick"), "installed installed");
}

fn services_are_held_back(apt: &Apt) {
    let states = "systemctl is-active held may dep | tr '\\n' ' '; systemctl is-enabled held may dep | tr '\\n' ' '";
    // A trigger of one package wants to start the service of another, as needrestart would.
    apt.says("service held; service may; service dep; deb held 1 'Depends: dep'; deb may 1; deb dep 1; mkdir -p /srv/src/pull/DEBIAN; echo 'interest-noawait /lib/systemd/system' >/srv/src/pull/DEBIAN/triggers; postinst pull 'deb-systemd-invoke start held.service dep.service || true'; deb pull 1; index");
    let first = apt.wants(&[("held", "1"), ("may", "1"), ("pull", "1")], &["may"]);
    apt.install(&first).expect("all is there");
    assert_eq!(apt.says(states), "inactive active inactive enabled enabled enabled");
    assert_eq!(apt.says(NO_POLICY), "1");
    let record = apt.says("cat /var/lib/stackc/packages.json");
    let digest = first.bundle.digest.to_string();
    for package in ["held", "dep", "may", "pull", "quick"] {
        assert!(record.contains(&format!("\"{package}\":{{\"digest\":\"")), "{package}: {record}");
    }
    assert!(record.contains(&digest) && !record.contains("\"slow\""), "{record}");

    // An upgrade restarts what may start, and nothing else.
    apt.says("systemctl start held");
    let pids = "for unit in held may; do systemctl show -P MainPID $unit; done";
    let before = apt.says(pids);
    apt.says("deb held 2 'Depends: dep'; deb may 2; index");
    apt.install(&apt.wants(&[("held", "2"), ("may", "2"), ("pull", "1")], &["may"]))
        .expect("they are there");
    let after = apt.says(pids);
    let (before, after) = (before.split_once('\n'), after.split_once('\n'));
    let ((held, may), (held_after, may_after)) = (before.expect("two"), after.expect("two"));
    assert!(held == held_after && held != "0", "{held} {held_after}");
    assert_ne!(may, may_after);
}

/// What may start runs for the preparation that asked for it, and no longer.
fn what_a_preparation_without_a_switch_has_started_rests(apt: &Apt) {
    let made = apt.wants(&[("may", "")], &["may"]);
    let install = || apt.install(&made).expect("it is there");
    install();
    assert_eq!(apt.says("systemctl is-active may"), "active");
    let abandon = || {
        let request = AbandonRequest { caller: caller(TX) };
        apt.guest.call::<Done>("abandon", &request).expect("it is ours")
    };
    abandon();
    assert_eq!(apt.says("systemctl is-active may"), "inactive");
    assert_eq!(apt.says("systemctl start may; systemctl is-active may"), "inactive", "it rests");
    assert_eq!(apt.says("ls /var/lib/stackc/lease 2>&1 | grep -c 'No such'"), "1", "it is free");
    install();
    assert_eq!(apt.says("systemctl is-active may"), "active", "the next one needs it as well");
    // Somebody else is sent away, and stops nothing.
    let request = BundleRequest { caller: caller("00000000000000f2"), ..Apt::request(&made) };
    let others = Caller { who: "other@desk".to_owned(), ..request.caller.clone() };
    let refused =
        apt.guest.call::<Done>("accounts", &BundleRequest { caller: others, ..request.clone() });
    refused.expect_err("the lease is held");
    assert_eq!(apt.says("systemctl is-active may"), "active");
    // That operator dies; what the next one calls first is not about packages.
    let next = Caller { over: Some(name(TX)), ..request.caller.clone() };
    let request = BundleRequest { caller: next, ..request };
    apt.guest.call::<Done>("accounts", &request).expect("the next try on the same machine");
    assert_eq!(apt.says("systemctl is-active may"), "inactive");
    assert_eq!(apt.says("systemctl is-active ssh cron"), "active\nactive", "they are not stackc's");
    let request = AbandonRequest { caller: request.caller };
    apt.guest.call::<Done>("abandon", &request).expect("it is ours");
}

/// The whole of an installation is killed at ever later moments: apt, dpkg, scripts, and the guest's own program.
fn killed_installations_are_finished(apt: &Apt, lab: &RealLab) {
    let made = apt.wants(&[("redis-server", ""), ("jq", ""), ("held", "2")], &[]);
    let request = String::from_utf8(input(&Apt::request(&made), &[])).expect("it is JSON");
    apt.says(&format!("printf '%s' '{request}' >/root/request"));
    let mut cut = 0;
    for round in 0..10_u64 {
        apt.says("DEBIAN_FRONTEND=noninteractive apt-get -qy purge redis-server redis-tools jq libjq1; apt-get -qy autoremove --purge");
        let pause = Duration::from_millis(250 + 220 * round).as_secs_f64();
        apt.says(&format!("systemd-run -q --unit=inst --property=StandardInput=file:/root/request {PROGRAM} packages; sleep {pause}; systemctl kill --signal=KILL inst; sleep 0.1; systemctl reset-failed inst"));
        if round == 5 {
            lab.done("POST", "/nodes/pve/lxc/104/status/stop", &[]);
            lab.done("POST", "/nodes/pve/lxc/104/status/start", &[]);
            lab.wait_for_ssh(104);
            let held =
                "test -e /usr/sbin/policy-rc.d && ! /usr/sbin/policy-rc.d cron start && echo held";
            assert_eq!(apt.says(held), "", "a policy of the boot before holds nothing");
        }
        let done =
            apt.install(&made).unwrap_or_else(|refusal| panic!("round {round}: {refusal:?}"));
        cut += usize::from(!done.already);
        assert_eq!(
            apt.says("dpkg --audit; dpkg-query -Wf '${db:Status-Status} ' redis-server jq libjq1"),
            "installed installed installed",
            "round {round}"
        );
        assert_eq!(apt.says(NO_POLICY), "1", "round {round}");
        assert_eq!(apt.says("systemctl is-active redis-server"), "inactive", "round {round}");
        let record = apt.says("cat /var/lib/stackc/packages.json");
        for package in ["redis-server", "redis-tools", "jq", "libjq1"] {
            assert!(
                record.contains(&format!("\"{package}\":")),
                "round {round} {package}: {record}"
            );
        }
    }
    assert!(cut > 2, "only {cut} of the installations were cut off");
}

/// How far a removal is when it is killed, in moments from dpkg's start.
const MOMENTS: u32 = 6;

#[test]
fn removals_that_were_killed_at_any_moment_are_finished_by_the_same_call() {
    let Some(lab) = RealLab::start("aptgc") else { return };
    lab.boot(105, "apt2");
    let apt = Apt { guest: RealGuest::new(&lab, "apt2") };
    // Scripts that take their time, so that there is something to be killed in.
    apt.says("mkdir -p /srv/repo; for n in slow late; do mkdir -p /srv/src/$n/DEBIAN; for s in prerm postrm; do printf '#!/bin/sh\\nsleep 0.2\\n' >/srv/src/$n/DEBIAN/$s; chmod 755 /srv/src/$n/DEBIAN/$s; done; mkdir -p /srv/src/$n/usr/share/$n; seq 2000 >/srv/src/$n/usr/share/$n/list; done; service serves; deb slow 1 'Depends: late'; deb late 1; deb serves 1; deb own 1; index; dpkg -i own.deb");
    let made = apt.wants(&[("slow", "1"), ("serves", "1"), ("jq", "")], &["serves"]);
    let collect = |approved| apt.guest.call::<Garbage>("gc", &collection(approved));
    let mut cut = 0;
    for moment in 0..MOMENTS {
        apt.wants(&[("slow", "1"), ("serves", "1"), ("jq", "")], &["serves"]);
        apt.install(&made).unwrap_or_else(|refusal| panic!("moment {moment}: {refusal:?}"));
        let seen = collect(None).unwrap_or_else(|no| panic!("moment {moment}: {no:?}"));
        let names: Vec<_> = seen.packages.keys().map(ToString::to_string).collect();
        assert_eq!(names, ["jq", "late", "libjq1", "libonig5", "serves", "slow"], "{moment}");
        let line = input(&collection(Some(seen.clone())), &[]);
        let line = String::from_utf8(line).expect("it is JSON");
        apt.says(&format!("printf '%s' '{line}' >/root/request"));
        let pause = f64::from(moment) * 0.3;
        apt.says(&format!("systemd-run -q --unit=rm --property=StandardInput=file:/root/request {PROGRAM} gc; until pgrep -x dpkg >/dev/null || ! systemctl is-active -q rm; do sleep 0.02; done; sleep {pause}; systemctl kill --signal=KILL rm; sleep 0.1; systemctl reset-failed rm"));
        cut += usize::from(
            apt.says("dpkg-query -Wf '${db:Status-Status} ' slow late serves jq")
                .contains("installed"),
        );
        collect(Some(seen)).unwrap_or_else(|no| panic!("moment {moment}: {no:#?}"));
        let left = "dpkg --audit; dpkg-query -Wf '${Package} ${db:Status-Status}\n' | grep -E '^(slow|late|serves|jq|libjq1|own) installed'; apt-get check 2>&1 | grep -i err; systemctl is-active serves";
        assert_eq!(apt.says(left), "own installed\ninactive", "moment {moment}");
        assert_eq!(apt.says(NO_POLICY), "1", "moment {moment}");
    }
    assert!(cut > 2, "only {cut} of the removals were cut off");
}

/// A call that looks for what can go, or removes what was seen.
fn collection(approved: Option<Garbage>) -> GcRequest {
    GcRequest { caller: caller(TX), keep: 0, packages: true, approved }
}
