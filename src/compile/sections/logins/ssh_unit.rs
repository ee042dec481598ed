//! The unit that starts sshd, as the bundle's drop-ins change it.
//!
//! Source: Debian's `ssh.service` of OpenSSH 9.2 and 10.0; systemd.exec(5), systemd.resource-control(5), systemd.unit(5).

use super::{
    Login,
    criteria::{self, Fit},
    ssh_start,
};
use crate::compile::sections::units::{Directive, Makers, Unit, boolean};
use ipnet::IpNet;

/// Debian's unit, and its other name.
const NAMES: [&str; 2] = ["ssh.service", "sshd.service"];

/// What the drop-ins say, in the order in which systemd reads them.
pub struct Said<'u>(Vec<Directive<'u>>);

impl<'u> Said<'u> {
    /// All directives of a key.
    pub fn all(
        &self,
        section: &str,
        key: &str,
    ) -> impl DoubleEndedIterator<Item = Directive<'u>> + Clone {
        self.0.iter().filter(move |d| d.section == section && d.key == key).copied()
    }

    /// Those since one without a value took back those before it, the last one first.
    pub fn standing(&self, section: &str, key: &str) -> impl Iterator<Item = Directive<'u>> {
        self.all(section, key).rev().take_while(|d| !d.value.is_empty())
    }

    /// The conditions of a sort that stand: one of any key without a value takes back all before it.
    pub fn conditions(&self, sort: &str) -> impl Iterator<Item = Directive<'u>> {
        let all =
            self.0.iter().rev().filter(move |d| d.section == "Unit" && d.key.starts_with(sort));
        all.take_while(|d| !d.value.is_empty()).copied()
    }

    /// The value of a key that has one.
    pub fn value(&self, key: &str) -> Option<Directive<'u>> {
        self.standing("Service", key).next()
    }
}

/// Reports what of its drop-ins keeps operators out.
pub fn check(makers: &Makers<'_>, login: &Login<'_>) {
    let drop_ins = makers.units.iter().filter(|unit| NAMES.contains(&unit.name.as_str()));
    let said = Said(drop_ins.flat_map(Unit::assignments).collect());
    let report = |(found, help): (Directive<'_>, &str)| {
        let what = format!("`{}={}` of ssh.service", found.key, found.value);
        super::report(makers.stack, found.at, &what, help);
    };
    confined(&said, login).into_iter().for_each(report);
    ssh_start::check(makers, &said).into_iter().for_each(report);
    for from in login.management {
        let help = "add `IPAddressAllow=` with the networks of operators";
        denied(&said, from).map(|found| (found, help)).into_iter().for_each(report);
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

/// The directive that denies all of a network. Source: systemd.resource-control(5): what is allowed comes first.
fn denied<'u>(said: &Said<'u>, from: &IpNet) -> Option<Directive<'u>> {
    let fit = |d: &Directive<'_>| d.value.split_whitespace().map(|word| of_word(word, from)).max();
    let is_allowed = said.standing("Service", "IPAddressAllow").any(|d| fit(&d) != Some(Fit::No));
    let denied = said.standing("Service", "IPAddressDeny").find(|d| fit(d) == Some(Fit::Yes));
    denied.filter(|_| !is_allowed)
}

fn of_word(word: &str, from: &IpNet) -> Fit {
    match (word, criteria::network(word)) {
        ("any", _) => Fit::Yes,
        ("localhost" | "link-local" | "multicast", _) => Fit::No,
        (_, Some(network)) => criteria::of_network(&network, from),
        _ => Fit::Maybe,
    }
}
