//! ufw's frame beside the chains of others: that of IPv6 comes or goes in one atomic commit while that of IPv4 stays.
//!
//! What the frame is made of is asked of ufw's own start, in a network namespace of its own, where no packet is.

use super::super::Guest;
use super::super::error::GuestError;
use super::super::system::{Load, Rules};
use super::rule::{is_ufw, leads_to_ufw};
use super::tables::{Chain, Tables, parse, text};

/// All that ufw lets pass in IPv6 when it does not filter it. Source: `ufw_start` of `ufw-init-functions`, Debian 12 and 13.
const CLOSED: [(&str, &str); 2] = [("INPUT", "-i lo -j ACCEPT"), ("OUTPUT", "-o lo -j ACCEPT")];

/// Brings IPv6 to what ufw's own start makes of its files as they are now.
pub fn change_ipv6(guest: &mut Guest, kernel: &Rules) -> Result<(), GuestError> {
    let frame = guest.system.ufw_frame6()?;
    let v6 = text(&beside_others(&parse(&frame), &parse(&kernel.v6)));
    Ok(guest.system.load_firewall(&Rules { v4: String::new(), v6 }, Load::Tables)?)
}

/// Takes away what a stop of ufw leaves where it let no IPv6 pass: no later start of it would.
pub fn forget_ipv6(guest: &mut Guest) -> Result<(), GuestError> {
    let kernel = guest.system.save_firewall()?;
    let v6 = text(&without_closed(parse(&kernel.v6)));
    Ok(guest.system.load_firewall(&Rules { v4: String::new(), v6 }, Load::Tables)?)
}

fn without_closed(mut tables: Tables) -> Tables {
    for (name, chain) in tables.values_mut().flatten() {
        chain.rules.retain(|rule| !CLOSED.contains(&(name, rule)));
    }
    tables
}

/// Brings back what ufw's own start has flushed of others: whole tables, where half a frame was in its way, or where it shuts
/// IPv6.
pub fn keep_others(guest: &mut Guest, before: &Rules) -> Result<(), GuestError> {
    let now = guest.system.save_firewall()?;
    let with_others = |before: &str, now: &str| {
        let now = parse(now);
        let both = beside_others(&now, &parse(before));
        if both == now { String::new() } else { text(&both) }
    };
    let (v4, v6) = (with_others(&before.v4, &now.v4), with_others(&before.v6, &now.v6));
    Ok(guest.system.load_firewall(&Rules { v4, v6 }, Load::Tables)?)
}

/// The frame instead of the one that is there, with all that is others'.
fn beside_others(frame: &Tables, now: &Tables) -> Tables {
    let mut tables = now.clone();
    for (name, frame) in frame {
        let table = tables.entry(name.clone()).or_default();
        table.retain(|chain, _| !is_ufw(chain));
        for (name, wanted) in frame {
            let rules = match (&wanted.policy, table.get(name)) {
                (Some(_), Some(now)) => in_place(name, wanted, now),
                _ => wanted.rules.clone(),
            };
            table.insert(name.clone(), Chain { policy: wanted.policy.clone(), rules });
        }
    }
    tables
}

/// The rules of one of the kernel's own chains, where those of the old frame were; behind all when there were none.
fn in_place(name: &str, wanted: &Chain, now: &Chain) -> Vec<String> {
    let is_own = |rule: &String| {
        leads_to_ufw(rule) || CLOSED.contains(&(name, rule)) || wanted.rules.contains(rule)
    };
    let first = now.rules.iter().position(is_own).unwrap_or(now.rules.len());
    let (before, behind) = now.rules.split_at(first);
    let behind = behind.iter().filter(|rule| !is_own(rule));
    before.iter().chain(&wanted.rules).chain(behind).cloned().collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const OPEN: &str = "*filter
:INPUT DROP [0:0]
:FORWARD DROP [0:0]
:OUTPUT ACCEPT [0:0]
:ufw6-before-input - [0:0]
-A INPUT -j ufw6-before-input
-A FORWARD -j ufw6-before-forward
-A ufw6-before-input -i lo -j ACCEPT
COMMIT
";
    const SHUT: &str = "*filter
:INPUT DROP [0:0]
:FORWARD DROP [0:0]
:OUTPUT DROP [0:0]
-A INPUT -i lo -j ACCEPT
-A OUTPUT -o lo -j ACCEPT
COMMIT
";

    /// With a ban before all, and what Docker has behind.
    fn with_others(rules: &str) -> String {
        let rules = rules.replacen("*filter\n", "*filter\n:f2b - [0:0]\n:DOCKER - [0:0]\n", 1);
        let ban = "-A INPUT -p tcp -j f2b\n-A INPUT ";
        let rules = rules.replacen("-A INPUT ", ban, 1);
        let rest = "-A FORWARD -o docker0 -j DOCKER\n-A f2b -s 2001:db8::7/128 -j DROP\nCOMMIT\n";
        rules.replacen("COMMIT\n", rest, 1) + "*nat\n:PREROUTING ACCEPT [0:0]\nCOMMIT\n"
    }

    #[test]
    fn ipv6_goes_on_and_off_beside_the_chains_of_others() {
        for (from, to) in [(OPEN, SHUT), (SHUT, OPEN), (SHUT, SHUT), (OPEN, OPEN)] {
            let now = parse(&with_others(from));
            let mut wanted = parse(&with_others(to));
            if (from, to) == (SHUT, OPEN) {
                // Nothing of ufw's was there: its rules come behind those of others, as ufw itself would put them.
                wanted
                    .get_mut("filter")
                    .expect("it is there")
                    .get_mut("FORWARD")
                    .expect("so too")
                    .rules
                    .reverse();
            }
            assert_eq!(beside_others(&parse(to), &now), wanted, "{from}\n{to}");
        }
    }

    #[test]
    fn what_ufw_let_pass_without_ipv6_goes_with_its_firewall_and_the_rules_of_others_stay() {
        let left = with_others(SHUT);
        let own = ["-A INPUT -i lo -j ACCEPT\n", "-A OUTPUT -o lo -j ACCEPT\n"];
        let rest = own.iter().fold(left.clone(), |rest, rule| rest.replace(rule, ""));
        assert_eq!(without_closed(parse(&left)), parse(&rest));
    }

    #[test]
    fn what_a_start_of_ufw_flushed_of_others_comes_back_and_what_it_left_is_as_it_left_it() {
        for frame in [OPEN, SHUT] {
            let (half, whole) = (parse(&with_others(OPEN)), parse(&with_others(frame)));
            assert_eq!(beside_others(&parse(frame), &half), whole, "flushed: {frame}");
            assert_eq!(beside_others(&whole, &half), whole, "left: {frame}");
        }
    }

    #[test]
    fn a_kernel_without_rules_gets_the_frame_alone() {
        assert_eq!(beside_others(&parse(OPEN), &Tables::new()), parse(OPEN));
    }
}
