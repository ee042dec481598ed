//! A container as LXC knows it: a name below a folder. Enough to ask it, to end it and to remove it.

use super::{
    LabError, control_groups,
    disk::Disk,
    error::remove_if_there,
    program::{run, succeeds},
};
use camino::Utf8PathBuf;
use std::{
    fs,
    sync::{Mutex, PoisonError},
};

/// How long LXC may take to start or kill a container.
pub(super) const POWER_SECONDS: u32 = 30;

/// Whether a container runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Power {
    Stopped,
    /// `init` is the guest's PID 1, seen from outside.
    Running {
        init: u32,
    },
}

pub(super) struct Lxc {
    guests: Utf8PathBuf,
    /// Unique on this machine: LXC names control groups after it.
    name: String,
    /// The guest's PID 1 when it was last seen running.
    seen: Mutex<Option<Init>>,
}

/// A guest's PID 1. Numbers are given again, but not with the same start. Source: proc(5), `/proc/PID/stat`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Init {
    pid: u32,
    started: u64,
}

impl Init {
    /// The process of this number; none when it has ended, reaped or not.
    fn of(pid: u32) -> Option<Self> {
        let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
        // The name, in brackets, may hold anything; the state is the first field behind it, the start the twentieth.
        let mut fields = stat.rsplit_once(')')?.1.split_whitespace();
        let is_alive = !matches!(fields.next()?, "Z" | "X");
        let started = fields.nth(18)?.parse().ok()?;
        is_alive.then_some(Self { pid, started })
    }
}

impl Lxc {
    /// The container of this name below `guests`, whether it is there or not.
    pub(super) fn at(guests: impl Into<Utf8PathBuf>, name: impl Into<String>) -> Self {
        Self { guests: guests.into(), name: name.into(), seen: Mutex::default() }
    }

    pub(super) fn name(&self) -> &str {
        &self.name
    }

    pub(super) fn folder(&self) -> Utf8PathBuf {
        self.guests.join(&self.name)
    }

    pub(super) fn rootfs(&self) -> Utf8PathBuf {
        self.folder().join("rootfs")
    }

    pub(super) fn is_mounted(&self) -> bool {
        succeeds(10, &["mountpoint", "-q", self.rootfs().as_str()])
    }

    /// Whether it runs. LXC is asked only when the process that was its PID 1 is gone: that takes 10 ms of a CPU, and
    /// each list of guests asks for all of them.
    pub(super) fn power(&self) -> Power {
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(init) = seen.filter(|init| Init::of(init.pid) == Some(*init)) {
            return Power::Running { init: init.pid };
        }
        let power = self.ask();
        *seen = match power {
            Power::Running { init } => Init::of(init),
            Power::Stopped => None,
        };
        power
    }

    /// A guest can also power itself off, so nobody but LXC knows.
    fn ask(&self) -> Power {
        let asked = self.run("ask whether the guest runs", 10, "lxc-info", &["-s", "-p"]);
        let asked = asked.unwrap_or_default();
        let field = |name: &str| asked.lines().find_map(|l| l.strip_prefix(name)).map(str::trim);
        match (field("State:"), field("PID:").and_then(|pid| pid.parse().ok())) {
            (Some("STOPPED") | None, _) | (_, None) => Power::Stopped,
            (_, Some(init)) => Power::Running { init },
        }
    }

    /// Ends everything in it at once, as a power cut does. A guest that is down stays down.
    pub(super) fn kill(&self) -> Result<(), LabError> {
        if self.power() == Power::Stopped {
            return Ok(());
        }
        let killed = self.run("kill the guest", POWER_SECONDS, "lxc-stop", &["-k"]);
        // It may have ended by itself in between.
        if self.power() == Power::Stopped { Ok(()) } else { killed.map(drop) }
    }

    /// Removes it whole, running or not, finished or half made.
    pub(super) fn remove(&self) -> Result<(), LabError> {
        self.kill()?;
        if self.is_mounted() {
            run("unmount the guest's root", 30, &["umount", self.rootfs().as_str()])?;
        }
        Disk::below(&self.folder()).unmount()?;
        self.remove_traces();
        remove_if_there(&self.folder(), |path| fs::remove_dir_all(path))
    }

    /// What LXC leaves of a container that ended: empty control groups and a lock file. Not being there is fine.
    fn remove_traces(&self) {
        for controller in control_groups::roots() {
            for group in ["lxc.payload", "lxc.monitor"] {
                control_groups::remove_empty(&controller.join(format!("{group}.{}", self.name)));
            }
        }
        let _ = fs::remove_file(format!("/run/lxc/lock{}/.{}", self.guests, self.name));
    }

    /// Runs one of LXC's programs on this container. `doing` completes "cannot …", before its name.
    pub(super) fn run(
        &self,
        doing: &str,
        seconds: u32,
        program: &str,
        arguments: &[&str],
    ) -> Result<String, LabError> {
        let doing = format!("{doing} `{}`", self.name);
        let mut argv = vec![program, "-P", self.guests.as_str(), "-n", &self.name];
        argv.extend(arguments);
        run(&doing, seconds, &argv)
    }
}

#[cfg(test)]
mod tests {
    use super::Init;
    use std::process::{Command, Stdio};

    #[test]
    fn a_process_that_has_ended_is_none_before_anybody_asked_for_its_end() {
        let mut child = Command::new("cat").stdin(Stdio::piped()).spawn().expect("cat runs");
        let seen = Init::of(child.id());
        assert!(seen.is_some() && Init::of(child.id()) == seen, "{seen:?}");
        drop(child.stdin.take());
        // Its end is seen by its parent alone, who does not ask yet.
        let ended = (0..1000).any(|_| {
            std::thread::sleep(std::time::Duration::from_millis(5));
            Init::of(child.id()).is_none()
        });
        assert!(ended, "{:?}", Init::of(child.id()));
        child.wait().expect("it is ours");
    }
}
