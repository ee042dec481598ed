//! A firewall that shuts operators out does not compile.

use super::{
    Firewall,
    admission::{By, Guard, SSH_PORT},
    rule::{Action, Rule},
};
use crate::compile::{
    report::{Code, Mistake},
    source::At,
    view::View,
};
use ipnet::IpNet;

/// Tells what shuts out the networks that operators come from: each rule of its own, the policy once.
pub fn check(view: &View<'_>, firewall: &Firewall, guard: Guard<'_>, management: &[IpNet]) {
    let mut by_policy = Vec::new();
    for (network, by) in management.iter().flat_map(|network| guard.pieces(*network, SSH_PORT)) {
        match by {
            _ if guard.lets_in(by) => {}
            By::Policy => by_policy.push(network),
            By::Rule(n) => report(view, of_rule(&firewall.rules[n], firewall.places[n], network)),
            By::Ipv6Off => report(view, of_ipv6(view, network)),
        }
    }
    if !by_policy.is_empty() {
        report(view, of_policy(view, &by_policy, management));
    }
}

fn report(view: &View<'_>, mistake: Mistake) {
    view.report(mistake.in_guest(view.lowering.target));
}

fn of_rule(rule: &Rule, at: At, network: IpNet) -> Mistake {
    let is_limit = rule.action == Action::Limit;
    let title = if is_limit {
        format!(
            "this rule lets operators of {network} in only 6 times in 30 seconds, too few for a switch"
        )
    } else {
        shuts_out("this rule", &[network])
    };
    let is_theirs = rule.from == Some(network) && rule.ports.0 == [(SSH_PORT, SSH_PORT)];
    let help = match (is_theirs, is_limit) {
        (true, _) => "write `action = \"allow\"`: it is the rule by which operators come in",
        (false, true) => {
            "let \"management\" in by a rule with a lower `order`, and limit the others"
        }
        (false, false) => {
            "give it a higher `order` than the rule that lets \"management\" in, or a narrower `from`"
        }
    };
    Mistake::new(Code::OperatorsShutOut, at, title).help(help)
}

fn of_ipv6(view: &View<'_>, network: IpNet) -> Mistake {
    let title = shuts_out("`ipv6 = false`", &[network]);
    Mistake::new(Code::OperatorsShutOut, place_of(view, "ipv6"), title)
        .help("leave `ipv6` out: a firewall without it drops all of IPv6")
}

fn of_policy(view: &View<'_>, networks: &[IpNet], management: &[IpNet]) -> Mistake {
    let at = place_of(view, "incoming");
    let title = shuts_out("the policy for what no rule lets in", networks);
    let from = if networks == management {
        "\"management\"".to_owned()
    } else {
        let quoted: Vec<_> = networks.iter().map(|network| format!("\"{network}\"")).collect();
        format!("[{}]", quoted.join(", "))
    };
    let (file, layer) = layer_of(view, at);
    let name = free_name(view);
    let help = format!(
        "let them in, at the end of {file}:\n[{layer}firewall.rules.{name}]\nport = {SSH_PORT}\nprotocol = \"tcp\"\nfrom = {from}"
    );
    Mistake::new(Code::OperatorsShutOut, at, title).help(help)
}

fn shuts_out(what: &str, networks: &[IpNet]) -> String {
    let networks: Vec<_> = networks.iter().map(IpNet::to_string).collect();
    format!("{what} shuts operators of {} out of port {SSH_PORT}", networks.join(" and "))
}

/// Where a key of the firewall was written, or the firewall itself.
fn place_of(view: &View<'_>, key: &str) -> At {
    view.table.get(key).map_or(view.at, |member| member.node.at)
}

/// The file that a rule may be added to for a mistake in one, and what stands before `firewall` there. Nobody edits built-in kinds.
fn layer_of<'a>(view: &View<'a>, at: At) -> (&'a str, &'static str) {
    match view.lowering.files.name(at.file) {
        name if name.starts_with("builtin:") => ("stacks/site.toml", ""),
        name if name.starts_with("stacks/") && name != "stacks/site.toml" => (name, "project."),
        name => (name, ""),
    }
}

/// A name that no rule has.
fn free_name(view: &View<'_>) -> String {
    let rules = view.table("rules");
    let names = std::iter::once("operators".to_owned())
        .chain((2..).map(|number| format!("operators_{number}")));
    let is_free = |name: &String| !rules.table.contains_key(name.as_str());
    names.into_iter().find(is_free).expect("rules have an end")
}
