//! What a switch and its undo cost those who use the guest: how soon the old generation serves again, and that rules are never absent.

use crate::{
    fault_asks::SERVES,
    fault_results::Results,
    fault_summary::{Sort, Summary, Verdict},
    faults_all::asked,
    fixture_lab::RealLab,
    guest_bundle::{Made, hooks, seal},
    guest_fixture::{caller, identity},
    guest_real::{RealGuest, open_ports, wait_until},
};
use stackc::model::{
    FileClass, HealthDocument, HooksDocument, Ledger, Phase, Probe, Switch, TxState, UnitActions,
    protocol::{BeginRequest, Done, UndoRequest},
};
use std::{collections::BTreeMap, thread, time::Duration};

const APP: u16 = 3001;
/// The longest time without the old generation that anybody accepts.
const LONGEST_MS: u64 = 10_000;
/// As `fault_asks` asks of the median.
const MEDIAN_MS: u64 = 3_000;

/// Notes 20 times a second how long the guest is up, which phase a transaction is in, and what the app says.
const WATCH: &str = "rm -f /run/watched; while [ ! -e /run/enough ]; do \
    echo $(cut -d' ' -f1 /proc/uptime) $(cat /var/lib/stackc/tx/*/phase 2>/dev/null || echo none) $(curl -s -m 1 http://127.0.0.1:3001/); \
    sleep 0.05; done >/run/watched";

/// What is wrong with a version, as the app's start and as a hook.
const FAILURES: [(&str, &str); 4] = [
    ("ExecStart=/bin/false", "exit 0"),
    ("ExecStart=/bin/sh -c 'sleep 0.3; exit 1'", "exit 0"),
    ("ExecStart=/bin/sleep infinity", "exit 0"),
    ("ExecStart=/usr/local/bin/app", "exit 1"),
];

/// Says its version at once.
fn server(version: u64) -> String {
    format!(
        "#!/usr/bin/python3\nimport http.server\n\nclass Server(http.server.ThreadingHTTPServer):\n    \
         # A busy machine takes its time to accept.\n    request_queue_size = 4096\n\nclass Answer(http.server.BaseHTTPRequestHandler):\n    def do_GET(self):\n        \
         self.send_response(200)\n        self.end_headers()\n        self.wfile.write(b'version-{version}')\n    \
         def log_message(self, *_):\n        pass\n\nServer(('', {APP}), Answer).serve_forever()\n"
    )
}

/// A version whose app starts like this, with more ports open.
fn bundle(guest: &RealGuest, version: u64, start: &str, hook: &str, more: &[u32]) -> Made {
    let unit = format!("[Service]\nEnvironmentFile=/etc/app/env\n{start}\n");
    let files = [
        ("/etc/systemd/system/app.service", FileClass::Linked, "0644", unit),
        ("/usr/local/bin/app", FileClass::Linked, "0755", server(version)),
    ];
    let [v4, v6] = &guest.found_rules;
    let ports = [&[22, u32::from(APP)], more].concat();
    let rules = [open_ports(v4, "ufw", &ports), open_ports(v6, "ufw6", &ports)];
    let probe = Probe::Http {
        address: [127, 0, 0, 1].into(),
        port: APP,
        path: "/".to_owned(),
        status: 200,
        // The machine may be busy with other tests.
        timeout_seconds: 5,
    };
    let health = HealthDocument {
        probes: BTreeMap::from([("app".to_owned(), probe)]),
        window_seconds: 1,
        start_seconds: 3,
        confirm_seconds: 60,
    };
    let version = u32::try_from(version).expect("it is small");
    let mut made = seal(version, &files, rules, health);
    let after_switch = hooks(&[("hook", &["/bin/sh", "-c", hook])]);
    made.set_hooks(HooksDocument { after_switch, ..HooksDocument::default() });
    made
}

/// A version with nothing wrong.
pub fn well(guest: &RealGuest, version: u64, more: &[u32]) -> Made {
    bundle(guest, version, "ExecStart=/usr/local/bin/app", "exit 0", more)
}

pub fn tx(number: u64) -> String {
    format!("{number:016x}")
}

pub fn keep(guest: &RealGuest, switch: &Switch) {
    let state = guest.begin(switch);
    assert_eq!(state.phase, Phase::AwaitingConfirm, "{state:?}");
    assert_eq!(guest.confirm(switch).phase, Phase::Confirmed);
}

/// A guest on generation 1 in a lab of its own.
fn on_first(lab: &RealLab) -> (RealGuest, Made) {
    lab.boot(101, "undo");
    let mut guest = RealGuest::new(lab, "undo");
    guest.install_ufw();
    let first = well(&guest, 1, &[4001]);
    let switch = first.switch(&tx(1), 0, 1, &Ledger::default());
    guest.prepare(&tx(1), &first);
    keep(&guest, &switch);
    (guest, first)
}

/// Milliseconds from the failure to the first answer of the old generation.
fn undone_after(watched: &str) -> Option<u64> {
    let samples = watched.lines().map(|line| line.split(' ').collect::<Vec<_>>());
    let is_undoing = |words: &[&str]| words.get(1).is_some_and(|phase| phase.contains("undoing"));
    let mut failed = samples.skip_while(|words| !is_undoing(words)).peekable();
    let at = |words: &[&str]| words.first()?.replace('.', "").parse::<u64>().ok();
    let since = at(failed.peek()?)?;
    let back = failed.find(|words| words.get(2) == Some(&"version-1"))?;
    // The kernel counts in hundredths.
    Some((at(&back)? - since) * 10)
}

/// Results of trials on a guest of this project's own.
pub fn results(name: &str, what: &str, trials: u32, test: &str) -> Results {
    let again =
        format!("STACKC_FAULTS_TRIALS={trials} cargo test --test it {test} -- --include-ignored");
    Results::new(name, Summary::new(what, &again, None))
}

/// Faults on such a guest.
pub fn sort(fault: String, verb: &str) -> Sort {
    Sort { fault, verb: verb.to_owned(), on: "Debian 12".to_owned(), size: String::new() }
}

/// Milliseconds until the old generation answers again, when a version starts so.
fn undo_of(guest: &RealGuest, first: &Made, number: u64, (start, hook): (&str, &str)) -> u64 {
    let broken = bundle(guest, number, start, hook, &[4001]);
    let switch = broken.switch(&tx(number), 1, number, &first.ledger());
    guest.prepare(&tx(number), &broken);
    guest.says("rm -f /run/enough");
    let mut watch = guest.command(WATCH).spawn().expect("ssh runs");
    let request = BeginRequest { caller: caller(&tx(number)), switch: switch.clone() };
    guest.call::<Done>("begin", &request).expect("it begins");
    let limit = Duration::from_secs(30);
    wait_until(limit, "the undo", || guest.result(&switch).phase == Phase::Undone);
    thread::sleep(Duration::from_millis(300));
    guest.says("touch /run/enough");
    watch.wait().expect("it ends");
    let watched = guest.says("cat /run/watched");
    undone_after(&watched).unwrap_or_else(|| panic!("{start}:\n{watched}"))
}

/// So many versions that do not work; the first limit is the median's.
fn undo_all(lab: &RealLab, test: &str, trials: u32, median_ms: Option<u64>) {
    let mut results = results("undo-time", "Failures that are seen", trials, test);
    let (guest, first) = on_first(lab);
    let mut times = Vec::new();
    for (number, (start, hook)) in (2..2 + u64::from(trials)).zip(FAILURES.iter().cycle()) {
        if results.stops() {
            break;
        }
        let sort = sort(format!("failure: {start}, hook {hook}"), "switch");
        let took = undo_of(&guest, &first, number, (start, hook));
        eprintln!("from a failure to the old generation's answer, {start}: {took} ms");
        times.push(took);
        results.summary.measure(SERVES, &sort.on, took);
        let late = (took > LONGEST_MS).then(|| format!("{took} ms"));
        results.add(&sort, Verdict::Old, late.as_deref(), &took);
    }
    results.finish(0);
    times.sort_unstable();
    let median = times.get(times.len() / 2);
    let is_soon = |limit| median.is_some_and(|median| *median <= limit);
    assert!(median_ms.is_none_or(is_soon), "median {median:?} ms: {times:?}");
}

#[test]
fn devenv_a_a_failure_that_is_seen_is_undone_within_seconds() {
    let Some(lab) = RealLab::start("undo") else { return };
    undo_all(&lab, "a_failure_that_is_seen", 4, None);
}

#[test]
#[ignore = "takes minutes; its median is that of a machine that does nothing else"]
fn sixty_failures_that_are_seen_are_undone_within_three_seconds_by_the_median() {
    let Some(lab) = RealLab::start("undl") else { return };
    let trials = asked("STACKC_FAULTS_TRIALS").unwrap_or(60);
    undo_all(&lab, "sixty_failures_that_are_seen", trials, Some(MEDIAN_MS));
}

/// Counts looks at the kernel at which a rule of the operators, of the policy or of others is missing.
const LOOKS: &str = "looks=0; holes=0; while [ ! -e /run/enough ]; do looks=$((looks + 1)); four=$(iptables -S); six=$(ip6tables -S); \
    for rule in '-P INPUT DROP' '-A INPUT -j f2b' '-A f2b -s 203.0.113.9/32 -j DROP' '-A ufw-user-input -p tcp -m tcp --dport 22 -j ACCEPT'; do \
    case \"$four\" in *\"$rule\"*) ;; *) holes=$((holes + 1)); echo \"$rule\" >>/run/missing;; esac; done; \
    for rule in '-P INPUT DROP' '-A INPUT -j f2b' '-A f2b -s 2001:db8::9/128 -j DROP'; do \
    case \"$six\" in *\"$rule\"*) ;; *) holes=$((holes + 1)); echo \"6 $rule\" >>/run/missing;; esac; done; \
    done; echo $looks $holes >/run/looked";

#[test]
fn ipv6_goes_off_and_on_without_a_moment_without_rules_or_the_chains_of_others() {
    let Some(lab) = RealLab::start("six") else { return };
    let (guest, first) = on_first(&lab);
    guest.says(
        "for six in '' 6; do ip${six}tables -N f2b; ip${six}tables -I INPUT -j f2b; done; \
         iptables -A f2b -s 203.0.113.9 -j DROP; ip6tables -A f2b -s 2001:db8::9 -j DROP",
    );
    guest.says(&format!(
        "cat >/run/look <<'E'\n{LOOKS}\nE\nrm -f /run/enough; nohup sh /run/look </dev/null >/dev/null 2>&1 &"
    ));
    let mut live = first;
    let hooked = "ip6tables -S INPUT | grep -c ufw6-before-input";
    for (number, ipv6) in [(2, false), (3, true), (4, false)] {
        let mut next = well(&guest, 1, &[4001]);
        next.set_ipv6(ipv6);
        let mut switch = next.switch(&tx(number), number - 1, number, &live.ledger());
        switch.units = UnitActions::default();
        switch.undo_units = UnitActions::default();
        guest.prepare(&tx(number), &next);
        if number < 4 {
            keep(&guest, &switch);
            live = next;
        } else {
            assert_eq!(guest.begin(&switch).phase, Phase::AwaitingConfirm);
            assert_eq!(guest.says(hooked), "0");
            let undo =
                UndoRequest { identity: identity(), tx: switch.tx.clone(), who: "me".to_owned() };
            let state: TxState = guest.call("undo", &undo).expect("it goes back");
            assert_eq!(state.phase, Phase::Undone, "{state:?}");
        }
        let expected = if number == 2 { "0" } else { "1" };
        assert_eq!(guest.says(hooked), expected, "generation {number}");
        assert!(guest.says("ufw status").starts_with("Status: active"));
    }
    guest.says("touch /run/enough");
    wait_until(Duration::from_secs(20), "the last look", || {
        !guest.says("cat /run/looked").is_empty()
    });
    let looked = guest.says("cat /run/looked; sort /run/missing | uniq -c");
    let (looks, holes) = looked.split_once(' ').expect("two numbers");
    assert!(looks.parse::<u32>().is_ok_and(|looks| looks > 100), "{looked}");
    assert_eq!(holes, "0", "{looked}");
    // What a boot makes of the files is what was loaded.
    let loaded = "ip6tables-save -t filter | grep -v -e '^#' -e f2b | sed 's/ \\[.*//' | sort";
    let apart =
        format!("unshare --net sh <<'E'\n/lib/ufw/ufw-init start >/dev/null\n{loaded}\nE\n");
    assert_eq!(guest.says(loaded), guest.says(&apart));
}
