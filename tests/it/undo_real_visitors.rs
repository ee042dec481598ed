//! Those who come to a guest while its firewall changes: none of them is kept out for a moment.

use crate::{
    fault_summary::Verdict,
    faults_all::asked,
    fixture_lab::RealLab,
    guest_bundle::Made,
    guest_fixture::identity,
    guest_real::{RealGuest, wait_until},
    undo_real::{keep, results, sort, tx, well},
};
use stackc::model::{
    HooksDocument, Ledger, Phase, Switch, TxState, UnitActions, protocol::UndoRequest,
};
use std::{
    fs,
    io::Read as _,
    net::{SocketAddr, TcpStream},
    path::{Path, PathBuf},
    sync::{
        Mutex, MutexGuard,
        atomic::{AtomicBool, AtomicU64, Ordering::SeqCst},
    },
    thread,
    time::{Duration, Instant},
};

const VMID: u32 = 101;
/// The second is for those who come after the firewall was enabled first. Whose connection ended in that very moment was
/// first seen by the kernel at its end: it keeps the half of it for days as one from the guest, and takes nobody in who comes
/// from the same port to the same door (`nf_conntrack_tcp_loose`; measured here, as after `ufw enable`).
const DOORS: [u16; 2] = [3002, 3003];
/// Takes whoever comes, and closes.
const DOORMAN: &str = "for door in 3002 3003; do nohup python3 -c \"import socket\ndoor = socket.create_server(('', $door), backlog=4096)\n\
    while True: door.accept()[0].close()\" </dev/null >/dev/null 2>&1 & done";
/// A lost packet is sent again after a second.
const PATIENCE: Duration = Duration::from_millis(900);
/// Who is let in is also served, in the time that a busy machine takes.
const SERVED: Duration = Duration::from_secs(20);
const VISITORS: usize = 3;
const ENOUGH: u64 = 1_000;
/// Of so many switches at most; one is long enough for dozens of visitors.
const SWITCHES_MAX: u64 = 120;
/// The short form: each sort of change once.
const SWITCHES: u32 = 6;

/// What happens from one switch to the next, again and again.
const CHANGES: [Change; 5] =
    [Change::Rules, Change::Ipv6Off, Change::Ipv6On, Change::Undone, Change::Rules];

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Change {
    FirstEnable,
    Rules,
    Ipv6Off,
    Ipv6On,
    /// Rules that come, and go again with the undo.
    Undone,
}

impl Change {
    fn words(self) -> &'static str {
        match self {
            Self::FirstEnable => "switch that enables it first",
            Self::Rules => "switch of rules",
            Self::Ipv6Off => "switch that shuts IPv6",
            Self::Ipv6On => "switch that filters IPv6 again",
            Self::Undone => "switch of rules and its undo",
        }
    }
}

/// What visitors are told, and have seen.
struct Visits {
    /// Whether a switch or an undo changes the guest at this moment.
    under_way: AtomicBool,
    is_over: AtomicBool,
    /// Where they come to.
    address: Mutex<SocketAddr>,
    /// Those let in who came while it did.
    met: AtomicU64,
    /// Why somebody was not let in, of each, whenever he came.
    lost: Mutex<Vec<String>>,
}

/// Ends the visits also when a test panics.
struct Ends<'a>(&'a Visits);

impl Drop for Ends<'_> {
    fn drop(&mut self) {
        self.0.is_over.store(true, SeqCst);
    }
}

impl Visits {
    fn to(address: SocketAddr) -> Self {
        Self {
            under_way: AtomicBool::default(),
            is_over: AtomicBool::default(),
            address: Mutex::new(address),
            met: AtomicU64::default(),
            lost: Mutex::default(),
        }
    }

    /// Comes again and again: now and then, and one after the other while something changes.
    fn visit(&self) {
        while !self.is_over.load(SeqCst) {
            let was_under_way = self.under_way.load(SeqCst);
            let visit = get_in(self.address());
            let has_met = was_under_way || self.under_way.load(SeqCst);
            match visit {
                Err(why) => self.lost().push(why),
                Ok(()) if has_met => _ = self.met.fetch_add(1, SeqCst),
                Ok(()) => (),
            }
            thread::sleep(Duration::from_millis(if has_met { 1 } else { 20 }));
        }
    }

    /// Looks from below at which phase the guest's transactions are in: asking it would take a connection.
    fn watch(&self, transactions: &Path) {
        while !self.is_over.load(SeqCst) {
            self.under_way.store(is_under_way(transactions), SeqCst);
            thread::sleep(Duration::from_millis(1));
        }
    }

    fn address(&self) -> SocketAddr {
        *self.address.lock().expect("no visitor panics with it")
    }

    fn lost(&self) -> MutexGuard<'_, Vec<String>> {
        self.lost.lock().expect("no visitor panics with it")
    }
}

/// The other end closes first, so that no port of this machine waits for a minute.
fn get_in(address: SocketAddr) -> Result<(), String> {
    let started = Instant::now();
    let said = |what: &str, error| format!("{what}, after {:?}: {error}", started.elapsed());
    let mut stream = TcpStream::connect_timeout(&address, PATIENCE)
        .map_err(|error| said("not connected", error))?;
    let port = stream.local_addr().map_or(0, |address| address.port());
    stream.set_read_timeout(Some(SERVED)).expect("it is a time");
    match stream.read(&mut [0]) {
        Ok(0) => Ok(()),
        Ok(_) => Err("the door says something".to_owned()),
        Err(error) => Err(said(&format!("not served from port {port}"), error)),
    }
}

/// From the first change of a switch to the last one, firewall included; and all of an undo.
fn is_under_way(transactions: &Path) -> bool {
    let phases = fs::read_dir(transactions).into_iter().flatten().flatten();
    let mut phases = phases.map(|tx| fs::read_to_string(tx.path().join("phase")));
    phases.any(|phase| {
        phase.is_ok_and(|text| ["switching", "undoing"].iter().any(|word| text.contains(word)))
    })
}

/// Where the guest keeps its open transactions, as this machine sees it.
fn transactions(lab: &RealLab) -> PathBuf {
    let guest = format!("{}-{VMID}", lab.place.name);
    lab.info.state.as_std_path().join("guests").join(guest).join("rootfs/var/lib/stackc/tx")
}

/// A guest whose firewall is changed while others come.
struct Changing {
    guest: RealGuest,
    live: Made,
    /// Of the live generation, and of the last switch.
    live_number: u64,
    number: u64,
    ipv6: bool,
}

impl Changing {
    fn bundle(&self, ipv6: bool) -> Made {
        let port = 4_000 + u32::try_from(self.number).expect("it is small");
        let mut next = well(&self.guest, 1, &[DOORS[0].into(), DOORS[1].into(), port]);
        next.set_hooks(HooksDocument::default());
        if !ipv6 {
            next.set_ipv6(false);
        }
        next
    }

    fn change(&mut self, change: Change) {
        self.number += 1;
        let ipv6 = match change {
            Change::Ipv6Off => false,
            Change::Ipv6On => true,
            _ => self.ipv6,
        };
        let next = self.bundle(ipv6);
        let name = tx(self.number);
        let owned = if self.live_number == 0 { Ledger::default() } else { self.live.ledger() };
        let mut switch = next.switch(&name, self.live_number, self.number, &owned);
        if change != Change::FirstEnable {
            // Nothing but the firewall is another.
            switch.units = UnitActions::default();
            switch.undo_units = UnitActions::default();
        }
        self.guest.prepare(&name, &next);
        if change == Change::Undone {
            self.go_back(&switch);
            return;
        }
        keep(&self.guest, &switch);
        self.expect_rule(self.number, "1");
        (self.live, self.live_number, self.ipv6) = (next, self.number, ipv6);
    }

    fn go_back(&self, switch: &Switch) {
        let state = self.guest.begin(switch);
        assert_eq!(state.phase, Phase::AwaitingConfirm, "{state:?}");
        self.expect_rule(self.number, "1");
        let undo =
            UndoRequest { identity: identity(), tx: switch.tx.clone(), who: "me".to_owned() };
        let state: TxState = self.guest.call("undo", &undo).expect("it goes back");
        assert_eq!(state.phase, Phase::Undone, "{state:?}");
        self.expect_rule(self.number, "0");
    }

    /// The rules did change.
    fn expect_rule(&self, number: u64, count: &str) {
        let port = 4_000 + number;
        let rule = format!("iptables -S ufw-user-input | grep -c -- '--dport {port} '");
        assert_eq!(self.guest.says(&rule), count, "port {port}");
    }
}

#[test]
fn ufw_2_no_new_connection_is_lost_while_the_firewall_changes() {
    let Some(lab) = RealLab::start("conn") else { return };
    lab.boot(VMID, "conn");
    let switches = asked("STACKC_FAULTS_TRIALS").unwrap_or(SWITCHES);
    let what = "New connections while a firewall changes";
    let mut results = results("connections", what, switches, "ufw_2_no_new_connection");
    let mut guest = RealGuest::new(&lab, "conn");
    guest.install_ufw();
    guest.says(DOORMAN);
    let [first, second] = DOORS.map(|door| SocketAddr::new(lab.address(VMID), door));
    wait_until(SERVED, "the doors", || get_in(first).is_ok() && get_in(second).is_ok());
    let visits = &Visits::to(first);
    let live = well(&guest, 1, &[]);
    let mut changing = Changing { guest, live, live_number: 0, number: 0, ipv6: true };
    let transactions = transactions(&lab);
    thread::scope(|scope| {
        let _ends = Ends(visits);
        scope.spawn(|| visits.watch(&transactions));
        for _ in 0..VISITORS {
            scope.spawn(|| visits.visit());
        }
        let changes = [Change::FirstEnable].into_iter().chain(CHANGES.into_iter().cycle());
        for (number, change) in (1..=SWITCHES_MAX).zip(changes) {
            let is_enough = number > u64::from(switches) && results.summary.states() >= ENOUGH;
            if is_enough || results.stops() {
                break;
            }
            let before = visits.met.load(SeqCst);
            changing.change(change);
            // Who came before the end of it is waited for.
            thread::sleep(PATIENCE);
            let met = visits.met.load(SeqCst) - before;
            *visits.address.lock().expect("no visitor panics with it") = second;
            let lost = std::mem::take(&mut *visits.lost());
            eprintln!("{number}, {}: {met} connections, lost: {lost:?}", change.words());
            let sort = sort("new connection".to_owned(), change.words());
            results.summary.add(&sort, Verdict::LetIn, met);
            for why in lost {
                results.add(&sort, Verdict::Failed, Some(&why), &number);
            }
            results.keep();
        }
        see_a_hole(&changing.guest, visits);
    });
    results.finish(ENOUGH - 1);
}

/// The hole that `ufw reload` makes is seen by the same visitors: otherwise none lost would mean nothing.
fn see_a_hole(guest: &RealGuest, visits: &Visits) {
    visits.lost().clear();
    for _ in 0..10 {
        guest.says("ufw reload");
        thread::sleep(PATIENCE);
        if !visits.lost().is_empty() {
            return;
        }
    }
    panic!("ten reloads of ufw, and nobody was lost");
}
