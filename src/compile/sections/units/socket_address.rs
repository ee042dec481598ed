//! What a socket listens on.

use crate::model::GuestPath;
use std::{
    fmt,
    net::{IpAddr, SocketAddr},
};

/// A port, an address with a port, or a path: systemd.socket(5), `ListenStream=`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SocketAddress {
    /// On all addresses of the guest.
    Port(u16),
    Address(SocketAddr),
    Path(GuestPath),
}

impl SocketAddress {
    pub fn port(&self) -> Option<u16> {
        match self {
            Self::Port(port) => Some(*port),
            Self::Address(address) => Some(address.port()),
            Self::Path(_) => None,
        }
    }

    /// Whether only one of the two can be listened on. `[::]` takes IPv4 as well: systemd.socket(5), `BindIPv6Only=`.
    pub fn excludes(&self, other: &Self) -> bool {
        let (one, two) = (self.ip(), other.ip());
        let is_one = one == two;
        let takes_all = |a: Option<IpAddr>, b: Option<IpAddr>| match a {
            None => true,
            Some(a) if a.is_unspecified() => a.is_ipv6() || b.is_none_or(|b| b.is_ipv4()),
            Some(_) => false,
        };
        match (self, other) {
            (Self::Path(a), Self::Path(b)) => a == b,
            (Self::Path(_), _) | (_, Self::Path(_)) => false,
            _ => {
                self.port() == other.port()
                    && (is_one || takes_all(one, two) || takes_all(two, one))
            }
        }
    }

    /// The one address that it is on.
    fn ip(&self) -> Option<IpAddr> {
        match self {
            Self::Address(address) => Some(address.ip()),
            Self::Port(_) | Self::Path(_) => None,
        }
    }
}

impl fmt::Display for SocketAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Port(port) => write!(f, "{port}"),
            Self::Address(address) => write!(f, "{address}"),
            Self::Path(path) => write!(f, "{path}"),
        }
    }
}

/// Text that is none.
#[derive(Debug, thiserror::Error)]
#[error(
    "`{text}` is nothing to listen on: write a port, ADDRESS:PORT, [ADDRESS]:PORT for IPv6, or a path of at most 107 bytes"
)]
pub struct ParseSocketAddressError {
    text: String,
}

/// The longest path of a socket. Source: unix(7), `sun_path`, with the NUL at its end.
const PATH_BYTES_MAX: usize = 107;

impl std::str::FromStr for SocketAddress {
    type Err = ParseSocketAddressError;
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let is_number = text.bytes().all(|b| b.is_ascii_digit());
        let port = || text.parse().ok().filter(|_| is_number).map(Self::Port);
        let address = || text.parse().ok().map(Self::Address);
        let is_short = text.len() <= PATH_BYTES_MAX && !text.contains('\\');
        let path = || text.parse().ok().filter(|_| is_short).map(Self::Path);
        port()
            .or_else(address)
            .or_else(path)
            .filter(|found| found.port() != Some(0))
            .ok_or_else(|| ParseSocketAddressError { text: text.to_owned() })
    }
}

#[cfg(test)]
mod tests {
    use super::SocketAddress;

    #[test]
    fn two_sockets_on_one_port_exclude_each_other_where_their_addresses_meet() {
        let excludes = |one: &str, two: &str| {
            let of = |text: &str| text.parse::<SocketAddress>().expect("an address");
            assert_eq!(of(one).excludes(&of(two)), of(two).excludes(&of(one)), "{one} {two}");
            of(one).excludes(&of(two))
        };
        for (one, two) in [
            ("80", "80"),
            ("80", "127.0.0.1:80"),
            ("80", "[::1]:80"),
            ("[::]:80", "127.0.0.1:80"),
            ("[::]:80", "0.0.0.0:80"),
            ("0.0.0.0:80", "10.0.0.1:80"),
            ("10.0.0.1:80", "10.0.0.1:80"),
            ("/run/a.sock", "/run/a.sock"),
        ] {
            assert!(excludes(one, two), "{one} {two}");
        }
        for (one, two) in [
            ("80", "81"),
            ("0.0.0.0:80", "[::1]:80"),
            ("10.0.0.1:80", "10.0.0.2:80"),
            ("[::1]:80", "127.0.0.1:80"),
            ("/run/a.sock", "/run/b.sock"),
            ("80", "/run/80"),
        ] {
            assert!(!excludes(one, two), "{one} {two}");
        }
    }
}
