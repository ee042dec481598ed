//! The unit that starts sshd, as the bundle's drop-ins change it.
//!
//! Source: Debian's `ssh.service` of OpenSSH 9.2 and 10.0; systemd.exec(5), systemd.resource-control(5), systemd.unit(5).

use super::{
    Login,
    criteria::{self, Fit},
};
use crate::{
    compile::{
        sections::{
            firewall::admission::SSH_PORT,
            overlay::Overlay,
            units::{Directive, Unit, boolean},
        },
        view::View,
    },
    model::unit_commands,
};
use ipnet::IpNet;

/// Debian's unit, and its other name.
const NAMES: [&str; 2] = ["ssh.service", "sshd.service"];

/// What the drop-ins say, in the order in which systemd reads them.
struct Said<'u>(Vec<Directive<'u>>);

impl<'u> Said<'u> {
    /// The directives of a key since one without a value took back those before it, the last one first.
    fn standing(&self, section: &str, key: &str) -> impl Iterator<Item = Directive<'u>> {
        let all = self.0.iter().rev().filter(move |d| d.section == section && d.key == key);
        all.take_while(|d| !d.value.is_empty()).copied()
    }

    /// The value of a key that has one.
    fn value(&self, key: &str) -> Option<Directive<'u>> {
        self.standing("Service", key).next()
    }
}

/// Reports what of its drop-ins keeps operators out.
pub fn check(stack: &View<'_>, overlay: &Overlay, units: &[Unit], login: &Login<'_>) {
    let drop_ins = units.iter().filter(|unit| NAMES.contains(&unit.name.as_str()));
    let said = Said(drop_ins.flat_map(Unit::assignments).collect());
    let report = |(found, help): (Directive<'_>, &str)| {
        let what = format!("`{}={}` of ssh.service", found.key, found.value);
        super::report(stack, found.at, &what, help);
    };
    confined(&said, login).into_iter().for_each(report);
    started(&said).into_iter().for_each(report);
    for from in login.management {
        let help = "add `IPAddressAllow=` with the networks of operators";
        denied(&said, from).map(|found| (found, help)).into_iter().for_each(report);
    }
    for key in ["ConditionPathExists", "AssertPathExists"] {
        let never = said.standing("Unit", key).find(|d| is_made(d.value, overlay));
        let help = "leave it out: the bundle itself makes what must not be there";
        never.map(|found| (found, help)).into_iter().for_each(report);
    }
}

/// The directives that sshd cannot let anybody in with.
fn confined<'u>(said: &Said<'u>, login: &Login<'_>) -> Vec<(Directive<'u>, &'static str)> {
    let is_on = |d: &Directive<'_>| boolean(d.value) == Some(true);
    let root = "leave it out: only root may become the user who logs in";
    let families: Vec<_> = said.standing("Service", "RestrictAddressFamilies").collect();
    let names = |d: &Directive<'_>| d.value.split_whitespace().any(|word| word == "AF_INET");
    let is_named = families.iter().any(|d| d.value.starts_with('~') || names(d));
    let found = [
        said.value("PrivateNetwork")
            .filter(is_on)
            .map(|d| (d, "leave it out: sshd has to be reached from outside")),
        said.value("User").filter(|d| !["root", "0"].contains(&d.value)).map(|d| (d, root)),
        said.value("DynamicUser").filter(is_on).map(|d| (d, root)),
        said.value("ProtectHome")
            .filter(|d| login.user == "root" && (is_on(d) || d.value == "tmpfs"))
            .map(|d| (d, "write \"read-only\", or leave it out: operators' keys are in /root")),
        families
            .first()
            .filter(|_| !is_named)
            .map(|d| (*d, "add AF_INET, by which operators come")),
    ];
    found.into_iter().flatten().collect()
}

/// What keeps systemd from starting sshd, or starts something else.
fn started<'u>(said: &Said<'u>) -> Option<(Directive<'u>, &'static str)> {
    let mut all = said.0.iter().filter(|d| d.section == "Service" && d.key == "ExecStart");
    let has_reset = all.clone().any(|d| d.value.is_empty());
    let (last, standing) = (all.next_back()?, said.standing("Service", "ExecStart").count());
    let two = "write `ExecStart=` alone on a line before it: systemd refuses a service that starts two programs";
    match (has_reset, standing) {
        // Types have rules of their own.
        _ if said.value("Type").is_some() => None,
        (true, 0) => Some((*last, "add an `ExecStart=` below it that starts /usr/sbin/sshd")),
        (true, 1) => Some((*last, other_program(last.value)?)),
        _ => Some((*last, two)),
    }
}

/// What to do when a command starts something else, or sshd where stackc does not come.
fn other_program(value: &str) -> Option<&'static str> {
    let words = unit_commands(value)?.into_iter().next()?;
    let program = words[0].trim_start_matches(['-', '@', ':', '+', '!']);
    let folders = ["/bin/", "/sbin/", "/usr/bin/", "/usr/sbin/"];
    if !words.iter().any(|word| word.contains("sshd")) {
        let is_debians = folders.iter().any(|folder| program.starts_with(folder));
        return is_debians.then_some("let it start /usr/sbin/sshd");
    }
    let port = |(n, word): (usize, &String)| match word.strip_prefix("-p")? {
        "" => words.get(n + 1)?.parse::<u16>().ok(),
        port => port.parse().ok(),
    };
    let ports: Vec<_> = words.iter().enumerate().filter_map(port).collect();
    let is_elsewhere = !ports.is_empty() && !ports.contains(&SSH_PORT);
    is_elsewhere.then_some("add `-p 22`, by which stackc comes")
}

/// The directive that denies all of a network. Source: systemd.resource-control(5): what is allowed comes first.
fn denied<'u>(said: &Said<'u>, from: &IpNet) -> Option<Directive<'u>> {
    let fit = |d: &Directive<'_>| d.value.split_whitespace().map(|word| of_word(word, from)).max();
    let is_allowed = said.standing("Service", "IPAddressAllow").any(|d| fit(&d) != Some(Fit::No));
    let denied = said.standing("Service", "IPAddressDeny").find(|d| fit(d) == Some(Fit::Yes));
    denied.filter(|_| !is_allowed)
}

/// Whether a condition asks that something be missing which the bundle makes.
fn is_made(value: &str, overlay: &Overlay) -> bool {
    let path = value.strip_prefix('!');
    path.is_some_and(|path| overlay.items.keys().any(|other| other.as_str() == path))
}

fn of_word(word: &str, from: &IpNet) -> Fit {
    match (word, criteria::network(word)) {
        ("any", _) => Fit::Yes,
        ("localhost" | "link-local" | "multicast", _) => Fit::No,
        (_, Some(network)) => criteria::of_network(&network, from),
        _ => Fit::Maybe,
    }
}
