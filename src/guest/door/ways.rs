//! Who was in when the switch began, and by which ports.

use super::super::error::GuestError;
use super::super::system::{Command, System};
use super::answers::{LIMIT, lines_of};
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;
use std::net::IpAddr;

/// Where sshd listens unless it is told otherwise.
const SSH: u16 = 22;
const ESTABLISHED: [&str; 4] = ["ss", "-Htn", "state", "established"];

/// Connections by which somebody was in. Not everybody of them logs in, but whoever does is among them.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Ways {
    ports: BTreeSet<u16>,
    peers: BTreeSet<IpAddr>,
    /// The guest's own addresses by which somebody was at sshd.
    #[serde(default)]
    pub(super) own: BTreeSet<IpAddr>,
}

impl Ways {
    pub fn look(system: &mut dyn System) -> Result<Self, GuestError> {
        // A guest that serves thousands is none to refuse: the end of the list has to do.
        let lines = lines_of(system, &Command::new(&ESTABLISHED, LIMIT))?;
        Ok(parse(&lines))
    }

    #[cfg(test)]
    pub fn of(ports: &[u16], peers: &[&str]) -> Self {
        let peers = peers.iter().filter_map(|peer| peer.parse().ok()).collect();
        Self { ports: ports.iter().copied().collect(), peers, ..Self::default() }
    }

    pub fn has_port(&self, port: u16) -> bool {
        port == SSH || self.ports.contains(&port)
    }

    pub fn has_peer(&self, host: &str) -> bool {
        host.parse().is_ok_and(|host| self.peers.contains(&host))
    }

    pub fn has_own(&self, host: &str) -> bool {
        host.parse().is_ok_and(|host| self.own.contains(&host))
    }
}

/// The last two words of a line of ss(8) are the two ends.
fn parse(lines: &[String]) -> Ways {
    let mut ways = Ways::default();
    for line in lines {
        let mut words = line.split(' ').rev();
        let (peer, own) = (words.next().and_then(end), words.next().and_then(end));
        ways.peers.extend(peer.map(|(host, _)| host));
        ways.ports.extend(own.map(|(_, port)| port));
        // Other ports are those of what the guest serves, by addresses that it may share.
        ways.own.extend(own.filter(|(_, port)| *port == SSH).map(|(host, _)| host));
    }
    ways
}

/// `10.0.0.5:22`, `[::ffff:10.0.0.1]:22` or `[fe80::1]%eth0:22`.
fn end(text: &str) -> Option<(IpAddr, u16)> {
    let (host, port) = text.rsplit_once(':')?;
    let host = host.split('%').next().unwrap_or(host).trim_matches(['[', ']']);
    Some((host.parse::<IpAddr>().ok()?.to_canonical(), port.parse().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_is_in_is_known_however_its_address_is_written() {
        let lines = [
            "0 36 10.0.0.5:2222 10.0.0.1:51234",
            "0 0 [::ffff:10.0.0.5]:443 [::ffff:192.0.2.7]:40000",
            "0 0 [fe80::5]%eth0:22 [fe80::1]%eth0:40001",
            "Recv-Q Send-Q",
        ];
        let mut ways = parse(&lines.map(str::to_owned));
        let own = std::mem::take(&mut ways.own);
        assert_eq!(own, ["fe80::5".parse().expect("it is one")].into());
        assert_eq!(ways, Ways::of(&[22, 443, 2222], &["10.0.0.1", "192.0.2.7", "fe80::1"]));
        assert!(ways.has_port(22) && ways.has_peer("192.0.2.7") && !ways.has_peer("192.0.2.8"));
        assert!(Ways::default().has_port(22));
    }
}
