//! The rule that leads a guest's SSH through a proxy.

use crate::cut_proxy::OWN_PORTS;
use std::{
    io::Write,
    net::{IpAddr, SocketAddr},
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
