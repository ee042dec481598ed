//! Rules of ufw.

use ipnet::IpNet;

/// What a rule does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Action {
    Allow,
    Deny,
    Reject,
    Limit,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Protocol {
    Any,
    Tcp,
    Udp,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Direction {
    In,
    Out,
}

/// One rule of ufw.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rule {
    pub action: Action,
    pub direction: Direction,
    pub protocol: Protocol,
    pub ports: Ports,
    pub from: Option<IpNet>,
    pub to: Option<IpNet>,
    pub interface: Option<String>,
    pub comment: Option<String>,
}

/// Ports as ufw writes them: none for all; ranges from low to high; sorted by number.
#[derive(Debug, Clone, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Ports(pub Vec<(u16, u16)>);

/// Text that names no ports.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "`{text}` is not a port: write 22, \"80,443\" or \"6000:6007\", from 1 to 65535, at most 15 of them"
)]
pub struct ParsePortsError {
    text: String,
}

/// iptables' `multiport` takes 15 ports; a range counts as two.
const PORTS_MAX: usize = 15;

impl std::str::FromStr for Ports {
    type Err = ParsePortsError;
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let number = |text: &str| text.trim().parse::<u16>().ok().filter(|port| *port > 0);
        let range = |text: &str| match text.split_once(':') {
            Some((low, high)) => Some((number(low)?, number(high)?)).filter(|(l, h)| l < h),
            None => number(text).map(|port| (port, port)),
        };
        let ranges: Option<Vec<_>> = text.split(',').map(range).collect();
        let weight = |ranges: &Vec<(u16, u16)>| -> usize {
            ranges.iter().map(|(low, high)| if low == high { 1 } else { 2 }).sum()
        };
        ranges
            .filter(|ranges| weight(ranges) <= PORTS_MAX)
            .map(|mut ranges| {
                ranges.sort_unstable();
                Self(ranges)
            })
            .ok_or_else(|| ParsePortsError { text: text.to_owned() })
    }
}

impl Ports {
    /// Whether more than one port is meant, for which iptables needs `multiport`.
    pub fn is_multi(&self) -> bool {
        self.0.len() > 1 || self.0.iter().any(|(low, high)| low != high)
    }

    pub fn is_multi_or_none(&self) -> bool {
        self.is_multi() || self.0.is_empty()
    }

    pub fn contain(&self, port: u16) -> bool {
        self.0.is_empty() || self.0.iter().any(|(low, high)| (*low..=*high).contains(&port))
    }

    pub fn text(&self) -> String {
        let range = |(low, high): &(u16, u16)| {
            if low == high { low.to_string() } else { format!("{low}:{high}") }
        };
        self.0.iter().map(range).collect::<Vec<_>>().join(",")
    }
}

/// The two families, each with its file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Family {
    V4,
    V6,
}

impl Family {
    pub fn prefix(self) -> &'static str {
        match self {
            Self::V4 => "ufw",
            Self::V6 => "ufw6",
        }
    }

    pub fn everywhere(self) -> &'static str {
        match self {
            Self::V4 => "0.0.0.0/0",
            Self::V6 => "::/0",
        }
    }

    fn holds(self, network: Option<&IpNet>) -> bool {
        match network {
            Some(IpNet::V4(_)) => self == Self::V4,
            Some(IpNet::V6(_)) => self == Self::V6,
            None => true,
        }
    }
}

impl Rule {
    /// The packets that it is for: what it does with them, and its comment, are not of it.
    pub fn packets(&self) -> impl Ord {
        let Self { direction, protocol, ports, from, to, interface, .. } = self;
        (direction, protocol, ports, from, to, interface)
    }

    /// Whether the rule stands in the file of a family.
    pub fn is_for(&self, family: Family) -> bool {
        family.holds(self.from.as_ref()) && family.holds(self.to.as_ref())
    }
}
