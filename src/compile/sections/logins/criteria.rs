//! Whether a condition is about operators who come from a network. Source: `sshd_config(5)`, `Match`; `ssh_config(5)`, PATTERNS.

use super::Login;
use crate::{compile::sections::firewall::admission::SSH_PORT, model::pattern::fits};
use ipnet::IpNet;
use std::net::IpAddr;

/// How sure it is that something is about operators.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Fit {
    No,
    /// About some of them, or nobody knows before they come.
    Maybe,
    Yes,
}

impl Fit {
    fn of(is_fit: bool) -> Self {
        if is_fit { Self::Yes } else { Self::No }
    }
}

/// Whether what stands below a `Match` is about operators who come from a network.
pub fn of_block(block: &[&str], login: &Login<'_>, from: &IpNet) -> Fit {
    if let [word] = block
        && word.eq_ignore_ascii_case("all")
    {
        return Fit::Yes;
    }
    let criterion = |pair: &[&str]| match pair {
        [name, patterns] => of_criterion(&name.to_lowercase(), patterns, login, from),
        _ => Fit::Maybe,
    };
    block.chunks(2).map(criterion).min().unwrap_or(Fit::Maybe)
}

fn of_criterion(name: &str, patterns: &str, login: &Login<'_>, from: &IpNet) -> Fit {
    match (name, login.own.first()) {
        ("user", _) => of_list(patterns, login.user),
        // Root is in the group of its name and in no other; of other accounts only the guest knows.
        ("group", _) if login.user == "root" => of_list(patterns, "root"),
        ("localport", _) => of_list(patterns, &SSH_PORT.to_string()),
        ("localaddress", Some(own)) => of_addresses(patterns, &IpNet::from(*own)),
        ("address", _) => of_addresses(patterns, from),
        _ => Fit::Maybe,
    }
}

/// Whether a text fits a list of patterns, none of those with `!` among them.
fn of_list(patterns: &str, text: &str) -> Fit {
    let (denied, wanted): (Vec<_>, Vec<_>) =
        patterns.split(',').partition(|pattern| pattern.starts_with('!'));
    let is_denied = denied.iter().any(|pattern| fits(&pattern[1..], text));
    Fit::of(!is_denied && wanted.iter().any(|pattern| fits(pattern, text)))
}

/// Whether a list of addresses is about a network; what is neither address nor network is known on the guest only.
pub fn of_addresses(list: &str, from: &IpNet) -> Fit {
    let one = |item: &str| match network(item) {
        _ if item == "*" => Fit::Yes,
        Some(network) => of_network(&network, from),
        None => Fit::Maybe,
    };
    if list.contains('!') {
        return Fit::Maybe;
    }
    list.split(',').map(one).max().unwrap_or(Fit::Maybe)
}

pub fn of_network(network: &IpNet, from: &IpNet) -> Fit {
    match (network.contains(from), from.contains(network)) {
        (true, _) => Fit::Yes,
        (_, true) => Fit::Maybe,
        _ => Fit::No,
    }
}

pub fn network(text: &str) -> Option<IpNet> {
    text.parse().ok().or_else(|| text.parse::<IpAddr>().ok().map(IpNet::from))
}

/// Whether `USER` or `USER@HOST` is about operators: each word of the list stands for itself, and none takes another back.
pub fn of_account(pattern: &str, login: &Login<'_>, from: &IpNet) -> Fit {
    let (user, host) = pattern.split_once('@').unwrap_or((pattern, "*"));
    Fit::of(fits(user, login.user)).min(of_addresses(host, from))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_block_is_about_operators_for_sure_perhaps_or_not() {
        let own = ["10.0.10.101".parse().expect("an address")];
        let login = Login { user: "root", own: &own, management: &[], admin_keys: &[] };
        let from = "10.0.10.0/24".parse().expect("a network");
        let fit = |text: &str| of_block(&text.split(' ').collect::<Vec<_>>(), &login, &from);
        for text in [
            "all",
            "User root",
            "user ops,r??t",
            "Group root",
            "LocalPort 22",
            "LocalAddress 10.0.10.0/24",
            "Address 192.0.2.1,10.0.0.0/8 User root",
        ] {
            assert_eq!(fit(text), Fit::Yes, "{text}");
        }
        for text in [
            "Address 10.0.10.7",
            "Address !10.0.0.0/8",
            "Host *.example.org",
            "Invalid-User",
            "User",
        ] {
            assert_eq!(fit(text), Fit::Maybe, "{text}");
        }
        for text in
            ["User sftp", "User *,!root", "Group sftp", "Address 192.0.2.0/24", "LocalPort 2222"]
        {
            assert_eq!(fit(text), Fit::No, "{text}");
        }
    }
}
