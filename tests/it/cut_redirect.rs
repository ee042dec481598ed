//! The rule that leads a guest's SSH through a proxy.
#![expect(clippy::print_stderr, reason = "a skipped test must say so")]

use crate::cut_proxy::OWN_PORTS;
use std::{
    io::Write,
    net::{IpAddr, SocketAddr},
    path::Path,
    process::{Command, Stdio},
    sync::atomic::{AtomicU16, Ordering},
};

/// Leads this machine's connections to a guest's SSH through a proxy, until dropped. Needs root and nft.
pub struct Redirect {
    table: String,
}

impl Redirect {
    pub fn install(guest: IpAddr, proxy: SocketAddr) -> Self {
        static NUMBER: AtomicU16 = AtomicU16::new(0);
        let number = NUMBER.fetch_add(1, Ordering::SeqCst);
        let table = format!("stackc_cut_{}_{number}", std::process::id());
        let (low, high) = OWN_PORTS;
        nft(&format!(
            "table ip {table} {{\n chain output {{\n  type nat hook output priority -100; policy accept;\n  \
             ip daddr {guest} tcp dport 22 tcp sport != {low}-{high} dnat to {proxy}\n }}\n}}\n"
        ));
        Self { table }
    }
}

/// Removes the rules that killed tests left: they would lead the next guest with such an address to nobody.
pub fn remove_rules_of_the_dead() {
    let listed = Command::new("nft").args(["list", "tables", "ip"]).output();
    let Ok(listed) = listed else { return };
    let listed = String::from_utf8_lossy(&listed.stdout).into_owned();
    let tables = listed.lines().filter_map(|line| line.strip_prefix("table ip stackc_cut_"));
    for table in tables {
        let pid = table.split('_').next().expect("split gives one part at least");
        if !Path::new("/proc").join(pid).exists() {
            // Another test may remove it at this moment.
            let name = format!("stackc_cut_{table}");
            let _ = Command::new("nft").args(["delete", "table", "ip", &name]).output();
        }
    }
}

impl Drop for Redirect {
    fn drop(&mut self) {
        nft(&format!("delete table ip {}\n", self.table));
    }
}

fn nft(rules: &str) {
    let mut nft = Command::new("nft").args(["-f", "-"]).stdin(Stdio::piped()).spawn();
    let nft = nft.as_mut().expect("nft is installed (apt-get install nftables)");
    let mut stdin = nft.stdin.take().expect("it is piped");
    stdin.write_all(rules.as_bytes()).expect("nft reads its rules");
    drop(stdin);
    assert!(nft.wait().expect("nft is a child").success(), "nft refuses:\n{rules}");
}

#[test]
fn rules_of_a_killed_test_are_removed_and_those_of_the_living_stay() {
    if !rustix::process::geteuid().is_root() {
        eprintln!("skipped: rules need root");
        return;
    }
    let mut dead = Command::new("true").spawn().expect("it is everywhere");
    let pid = dead.id();
    dead.wait().expect("it is a child");
    let (orphan, own) =
        (format!("stackc_cut_{pid}_0"), format!("stackc_cut_{}_own", std::process::id()));
    nft(&format!("add table ip {orphan}\nadd table ip {own}\n"));
    remove_rules_of_the_dead();
    let tables = Command::new("nft").args(["list", "tables", "ip"]).output().expect("it runs");
    let tables = String::from_utf8_lossy(&tables.stdout).into_owned();
    nft(&format!("delete table ip {own}\n"));
    assert!(tables.contains(&own) && !tables.contains(&orphan), "{tables}");
}
