//! Control groups: a guest's limits, and what LXC leaves of them. Machines have version 1 or the unified version 2.

use super::config::Config;
use camino::{Utf8Path, Utf8PathBuf};
use std::{fs, path::Path};

/// A control group's limit, in the version of control groups that this machine has.
pub(super) struct Limit {
    unified: bool,
    pub file: &'static str,
    pub value: String,
}

impl Limit {
    /// Its key in LXC's configuration.
    pub(super) fn lxc_key(&self) -> String {
        format!("lxc.{}.{}", if self.unified { "cgroup2" } else { "cgroup" }, self.file)
    }
}

/// Microseconds of the CPU quota's period; the kernel's own default.
const CPU_PERIOD: u64 = 100_000;

/// Memory and CPU. Proxmox pins `cores` to CPUs; a quota gives the same share without fighting over CPU 0.
pub(super) fn limits(config: &Config) -> Vec<Limit> {
    let unified = Path::new("/sys/fs/cgroup/cgroup.controllers").exists();
    let controller = |name: &str| unified || Path::new("/sys/fs/cgroup").join(name).exists();
    let memory = config.number("memory").filter(|_| controller("memory")).map(|mebibytes| Limit {
        unified,
        file: if unified { "memory.max" } else { "memory.limit_in_bytes" },
        value: (mebibytes << 20).to_string(),
    });
    let here = std::thread::available_parallelism().map_or(1, |n| n.get() as u64);
    let cores =
        config.number("cores").filter(|cores| *cores < here && controller("cpu")).map(|cores| {
            Limit {
                unified,
                file: if unified { "cpu.max" } else { "cpu.cfs_quota_us" },
                value: if unified {
                    format!("{} {CPU_PERIOD}", cores * CPU_PERIOD)
                } else {
                    (cores * CPU_PERIOD).to_string()
                },
            }
        });
    memory.into_iter().chain(cores).collect()
}

/// The root of control groups, and of each controller in version 1.
pub(super) fn roots() -> Vec<Utf8PathBuf> {
    let root = Utf8PathBuf::from("/sys/fs/cgroup");
    let controllers = root.read_dir_utf8().into_iter().flatten().flatten();
    let folders = controllers
        .filter(|e| e.file_type().is_ok_and(|t| t.is_dir()))
        .map(|e| e.path().to_owned());
    folders.chain([root.clone()]).collect()
}

/// Removes a tree of control groups; the kernel refuses where something still runs.
pub(super) fn remove_empty(group: &Utf8Path) {
    for entry in group.read_dir_utf8().into_iter().flatten().flatten() {
        if entry.file_type().is_ok_and(|t| t.is_dir()) {
            remove_empty(entry.path());
        }
    }
    let _ = fs::remove_dir(group);
}
