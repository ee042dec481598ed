//! Programs of Debian and of its packages that read files below a folder of their own.

use super::{Differences, UnitChange, UnitDecision, is_active, mentioned_inputs};
use crate::model::{GuestPath, Manifest, UnitName, protocol::UnitState};
use std::collections::{BTreeMap, BTreeSet};

/// Debian's own, and what a change there takes. Of the other folders of a minimal Debian nobody keeps what he read, such as
/// of `/etc/sudoers.d` and `/etc/logrotate.d`, or it counts from the next login or boot on.
const OF_DEBIAN: [(&str, &str, UnitDecision); 8] = [
    // cron compares modification times, which stackc's files all share.
    ("/etc/cron.d/", "cron.service", UnitDecision::Restart),
    ("/etc/ssh/", "ssh.service", UnitDecision::Reload),
    ("/etc/sysctl.d/", "systemd-sysctl.service", UnitDecision::Restart),
    ("/etc/systemd/journald.conf.d/", "systemd-journald.service", UnitDecision::Restart),
    ("/etc/systemd/logind.conf.d/", "systemd-logind.service", UnitDecision::Restart),
    ("/etc/systemd/resolved.conf.d/", "systemd-resolved.service", UnitDecision::Restart),
    ("/etc/systemd/timesyncd.conf.d/", "systemd-timesyncd.service", UnitDecision::Restart),
    ("/etc/rsyslog.d/", "rsyslog.service", UnitDecision::Restart),
];

/// Packages' well-known ones. Whether a reload is enough for a change there only its author knows, so that nothing happens
/// that is not declared; but it is said.
const OF_PACKAGES: [(&str, &str); 16] = [
    ("/etc/apache2/", "apache2.service"),
    ("/etc/caddy/", "caddy.service"),
    ("/etc/chrony/", "chrony.service"),
    ("/etc/dnsmasq.d/", "dnsmasq.service"),
    ("/etc/docker/", "docker.service"),
    ("/etc/fail2ban/", "fail2ban.service"),
    ("/etc/haproxy/", "haproxy.service"),
    ("/etc/mysql/", "mariadb.service"),
    ("/etc/nginx/", "nginx.service"),
    ("/etc/postfix/", "postfix.service"),
    ("/etc/postgresql/", "postgresql.service"),
    ("/etc/prometheus/", "prometheus.service"),
    ("/etc/rabbitmq/", "rabbitmq-server.service"),
    ("/etc/redis/", "redis-server.service"),
    ("/etc/unbound/", "unbound.service"),
    ("/etc/varnish/", "varnish.service"),
];

pub fn of_debian() -> impl Iterator<Item = UnitName> {
    OF_DEBIAN.iter().filter_map(|(_, unit, _)| unit.parse().ok())
}

/// The package's unit that reads a path at its start: by its folder, or by its name below `/etc/default`.
pub fn of_package(path: &GuestPath) -> Option<UnitName> {
    let path = path.as_str();
    if let Some(name) = path.strip_prefix("/etc/default/") {
        return format!("{name}.service").parse().ok();
    }
    let (_, unit) = OF_PACKAGES.iter().find(|(folder, _)| path.starts_with(folder))?;
    unit.parse().ok()
}

/// What happens to Debian's own whose files change.
pub fn changes(
    differences: &Differences<'_>,
    states: &BTreeMap<UnitName, UnitState>,
) -> BTreeMap<UnitName, UnitChange> {
    let mut found: BTreeMap<UnitName, UnitChange> = BTreeMap::new();
    for (folder, unit, decision) in OF_DEBIAN {
        let Ok(unit) = unit.parse::<UnitName>() else { continue };
        let files = differences.files.keys().chain(differences.drifted);
        let read: BTreeSet<_> = files.filter(|path| path.as_str().starts_with(folder)).collect();
        // A one-shot such as systemd-sysctl is active once it has run.
        let causes: Vec<String> = read.iter().map(|path| format!("{path} changes")).collect();
        if !causes.is_empty() && is_active(states, &unit) {
            found.insert(unit, UnitChange { decision, causes });
        }
    }
    found
}

/// Changed files of packages' units that run on without reading them: nobody has declared that they do, and nothing else
/// happens to them.
pub fn unread<'p>(
    changed: impl Iterator<Item = &'p GuestPath>,
    manifests: [Option<&Manifest>; 2],
    decided: &BTreeMap<UnitName, UnitChange>,
    states: &BTreeMap<UnitName, UnitState>,
) -> BTreeMap<GuestPath, UnitName> {
    let declared: BTreeSet<GuestPath> =
        manifests.into_iter().flatten().flat_map(mentioned_inputs).collect();
    let unread = changed.filter(|path| !declared.contains(*path)).filter_map(|path| {
        let unit = of_package(path)?;
        let runs_on = is_active(states, &unit) && !decided.contains_key(&unit);
        runs_on.then(|| (path.clone(), unit))
    });
    unread.collect()
}
