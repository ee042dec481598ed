//! Rules and settings for tests.

use super::rule::{Action, Direction, Ports, Protocol, Rule};
use crate::model::UfwDocument;

/// ufw's own settings once it is enabled.
pub fn settings() -> UfwDocument {
    let text = |text: &str| text.to_owned();
    UfwDocument {
        enabled: true,
        ipv6: true,
        logging: text("low"),
        incoming: text("drop"),
        outgoing: text("accept"),
        routed: text("drop"),
    }
}

/// A rule for TCP that comes in; no ports are all of them.
pub fn rule(action: Action, ports: &str, from: Option<&str>) -> Rule {
    Rule {
        action,
        direction: Direction::In,
        protocol: Protocol::Tcp,
        ports: if ports.is_empty() { Ports::default() } else { ports.parse().expect("ports") },
        from: from.map(|from| from.parse().expect("a network")),
        to: None,
        interface: None,
        comment: None,
    }
}
