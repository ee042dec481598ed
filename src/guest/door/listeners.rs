//! Who listens: sshd, and a socket that may do so in its place and gives it its ports.

use super::super::Guest;
use super::super::error::GuestError;
use super::super::system::{System, UnitJob, UnitReport};
use super::files::Changed;
use crate::model::UnitName;
use std::collections::BTreeSet;

const SERVICE: &str = "ssh.service";
const SOCKET: &str = "ssh.socket";
/// What says where the socket listens, in any of systemd's folders.
const OF_SOCKET: &str = "/systemd/system/ssh.socket";

/// Those of the two that are active.
pub type Listeners = BTreeSet<UnitName>;

/// Those who listen now.
pub fn look(system: &mut dyn System) -> Result<Listeners, GuestError> {
    let reports = system.units(&[unit(SERVICE), unit(SOCKET)])?;
    let is_active = |(_, report): &(UnitName, UnitReport)| report.is_active();
    Ok(reports.into_iter().filter(is_active).map(|(unit, _)| unit).collect())
}

/// Whether a unit is sshd, and its socket listens: told to read its files again it would take its ports anew, which the socket
/// has, and end. It has to start again.
pub fn is_led(system: &mut dyn System, service: &UnitName) -> Result<bool, GuestError> {
    Ok(service.as_str() == SERVICE && look(system)?.contains(&unit(SOCKET)))
}

fn unit(name: &str) -> UnitName {
    name.parse().expect("both are names of units")
}

/// Has sshd read what it reads at its start, and listen as it did.
pub fn restore(
    guest: &mut Guest,
    was: &Listeners,
    changed: &Changed,
    reload: bool,
) -> Result<(), GuestError> {
    let has = |part: &str| changed.roots.iter().any(|path| path.contains(part));
    if has("/systemd/system") {
        guest.system.daemon_reload()?;
    }
    let read = match reload {
        // A start may come to nothing by what stayed, and who listens would be gone: sshd judges it before it is reloaded.
        _ if changed.stays => Some(UnitJob::Reload),
        _ if !changed.roots.is_empty() => Some(UnitJob::Restart),
        true => Some(UnitJob::Reload),
        false => None,
    };
    // One that hangs as it starts would be waited for by another start.
    run(guest, was, &Way { read, start: UnitJob::Restart, is_other: has(OF_SOCKET) })
}

/// At boot nobody listens yet, and no job can be waited for. Who listens has read what was left: this is another try.
pub fn restore_after_boot(guest: &mut Guest, was: &Listeners) -> Result<(), GuestError> {
    guest.system.daemon_reload()?;
    let read = Some(UnitJob::Restart);
    run(guest, was, &Way { read, start: UnitJob::StartLater, is_other: true })
}

/// How they come back.
struct Way {
    /// By what a service that runs reads its files again.
    read: Option<UnitJob>,
    /// By what one starts that does not run.
    start: UnitJob,
    /// Whether a socket that listens may do so by other files than before.
    is_other: bool,
}

fn run(guest: &mut Guest, was: &Listeners, way: &Way) -> Result<(), GuestError> {
    let now = look(guest.system)?;
    let mut first = Ok(());
    for (job, name) in jobs(was, &now, way) {
        first = first.and(guest.system.job(job, &unit(name)));
    }
    Ok(first?)
}

/// A socket has nothing to reload, and does not start while its service runs, which has its ports by then.
fn jobs(was: &Listeners, now: &Listeners, way: &Way) -> Vec<(UnitJob, &'static str)> {
    let of = |units: &Listeners| (units.contains(&unit(SERVICE)), units.contains(&unit(SOCKET)));
    let ((was_service, was_socket), (service, socket)) = (of(was), of(now));
    let start = if service { UnitJob::Restart } else { way.start };
    let mut jobs = Vec::new();
    match (was_socket, socket) {
        (true, _) if way.is_other || !socket => {
            // One that hangs as it starts is in the way, too; at boot there is none yet.
            if service || way.start == UnitJob::Restart {
                jobs.push((UnitJob::Stop, SERVICE));
            }
            jobs.push((if socket { UnitJob::Restart } else { way.start }, SOCKET));
        }
        // The service would go on at the ports of one that has come since.
        (false, true) if was_service => jobs.push((UnitJob::Stop, SOCKET)),
        _ if service && !was.is_empty() => {
            let read = way.read.map(|job| if socket { UnitJob::Restart } else { job });
            jobs.extend(read.map(|job| (job, SERVICE)));
            return jobs;
        }
        _ => {}
    }
    if was_service {
        jobs.push((start, SERVICE));
    }
    jobs
}

#[cfg(test)]
mod tests {
    use super::*;
    use UnitJob::{Reload, Restart, StartLater, Stop};

    const READ: Way = Way { read: Some(Restart), start: Restart, is_other: false };
    const BOOT: Way = Way { read: Some(Restart), start: StartLater, is_other: true };

    fn of(was: &[&str], now: &[&str], way: &Way) -> Vec<(UnitJob, &'static str)> {
        let units = |names: &[&str]| names.iter().map(|name| unit(name)).collect();
        jobs(&units(was), &units(now), way)
    }

    #[test]
    fn a_socket_that_listens_is_left_alone_while_its_service_reads_again() {
        let both = [SERVICE, SOCKET];
        let reload = Way { read: Some(Reload), ..READ };
        assert_eq!(of(&both, &both, &reload), [(Restart, SERVICE)]);
        assert_eq!(of(&both, &both, &READ), [(Restart, SERVICE)]);
        assert_eq!(of(&both, &both, &Way { read: None, ..READ }), []);
        assert_eq!(of(&[SOCKET], &both, &READ), [(Restart, SERVICE)], "it came with a login");
        assert_eq!(of(&[SOCKET], &[SOCKET], &READ), []);
    }

    #[test]
    fn a_socket_that_has_to_come_back_comes_before_its_service() {
        let both = [SERVICE, SOCKET];
        let back = [(Stop, SERVICE), (Restart, SOCKET), (Restart, SERVICE)];
        for now in [&both[..1], &[]] {
            assert_eq!(of(&both, now, &READ), back, "{now:?}");
        }
        assert_eq!(of(&both, &both, &Way { is_other: true, ..READ }), back);
        assert_eq!(of(&[SOCKET], &[SERVICE], &READ), back[..2]);
    }

    #[test]
    fn a_socket_that_came_since_gives_the_service_no_ports_of_its_own() {
        let both = [SERVICE, SOCKET];
        let back = [(Stop, SOCKET), (Restart, SERVICE)];
        assert_eq!(of(&[SERVICE], &both, &READ), back);
        assert_eq!(of(&[SERVICE], &[SOCKET], &READ), back);
        assert_eq!(of(&[], &both, &READ), [], "nobody got in by sshd before");
    }

    #[test]
    fn at_boot_both_are_only_queued_and_who_runs_later_begins_anew() {
        let both = [SERVICE, SOCKET];
        assert_eq!(of(&both, &[], &BOOT), [(StartLater, SOCKET), (StartLater, SERVICE)]);
        assert_eq!(of(&[SERVICE], &[], &BOOT), [(StartLater, SERVICE)]);
        assert_eq!(of(&[SERVICE], &[SERVICE], &BOOT), [(Restart, SERVICE)]);
        let anew = [(Stop, SERVICE), (Restart, SOCKET), (Restart, SERVICE)];
        assert_eq!(of(&both, &both, &BOOT), anew);
    }
}
