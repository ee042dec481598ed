//! One LXC container: its files, its mount, its life. Source of the method: Proxmox's own unprivileged containers.
//!
//! ```text
//! <state>/guests/<lab>-<vmid>/
//!     proxmox.json   its configuration, as the API has it
//!     config         its configuration, as LXC has it, written at each start
//!     upper work     what differs from the base; the overlay's own
//!     rootfs         where the overlay is mounted
//!     known_hosts    its host keys, for `lab ssh`
//! ```

use super::{
    Lab, LabError,
    base::{Base, PACKAGES_IN_GUEST, ROOT_ID},
    config::Config,
    error::AtPath as _,
    program::{PROGRAM_PATH, run, succeeds},
};
use crate::model::{Digest, Vmid};
use camino::{Utf8Path, Utf8PathBuf};
use std::{
    fs,
    os::unix::fs::{PermissionsExt as _, chown},
    path::Path,
};

/// How long LXC may take to start or kill a container.
const POWER_SECONDS: u32 = 30;

/// Whether a container runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Power {
    Stopped,
    /// `init` is the guest's PID 1, seen from outside.
    Running {
        init: u32,
    },
}

pub(super) struct Container {
    lxc: Lxc,
    base: Base,
    host_bridge: String,
    /// The outer end of its network cable.
    device: String,
}

impl Container {
    pub(super) fn of(lab: &Lab, vmid: Vmid) -> Self {
        // An interface name has at most 15 bytes, and a vmid up to 9 digits.
        let tag = &Digest::of(lab.name.as_str().as_bytes()).to_string()[..4];
        Self {
            lxc: Lxc { guests: lab.guests(), name: format!("{}-{vmid}", lab.name) },
            base: Base::at(&lab.base),
            host_bridge: lab.host_bridge.clone(),
            device: format!("l{tag}{vmid}"),
        }
    }

    pub(super) fn folder(&self) -> Utf8PathBuf {
        self.lxc.folder()
    }

    pub(super) fn rootfs(&self) -> Utf8PathBuf {
        self.lxc.rootfs()
    }

    pub(super) fn device(&self) -> &str {
        &self.device
    }

    pub(super) fn host_bridge(&self) -> &str {
        &self.host_bridge
    }

    /// Makes its folders and lays the overlay over the base.
    pub(super) fn make(&self) -> Result<(), LabError> {
        for name in ["upper", "work", "rootfs"] {
            let folder = self.folder().join(name);
            fs::create_dir_all(&folder).at("make", &folder)?;
            fs::set_permissions(&folder, fs::Permissions::from_mode(0o755))
                .at("open up", &folder)?;
            chown(&folder, Some(ROOT_ID), Some(ROOT_ID)).at("give to the guest", &folder)?;
        }
        self.mount()
    }

    pub(super) fn mount(&self) -> Result<(), LabError> {
        if self.lxc.is_mounted() {
            return Ok(());
        }
        let folder = self.folder();
        // A volatile overlay is never written out, which would stall every unmount; after a crash of this machine, the kernel refuses
        // to mount it again unless told that this is fine. Guests of a lab are not worth more.
        remove_if_there(&folder.join("work/work/incompat/volatile"), |path| fs::remove_dir(path))?;
        // Without redirect_dir, renaming a folder of the base gives EXDEV, which dpkg does not expect.
        let options = format!(
            "lowerdir={},upperdir={folder}/upper,workdir={folder}/work,redirect_dir=on,volatile",
            self.base.root()
        );
        let rootfs = self.rootfs();
        let argv = ["mount", "-t", "overlay", &self.lxc.name, rootfs.as_str(), "-o", &options];
        run("lay the guest over its base", 30, &argv).map(drop)
    }

    /// Whether it runs; asks LXC, since a guest can also power itself off.
    pub(super) fn power(&self) -> Power {
        self.lxc.power()
    }

    /// Ends everything in it at once, as a power cut does. A guest that is down stays down.
    pub(super) fn kill(&self) -> Result<(), LabError> {
        self.lxc.kill()
    }

    /// Removes it whole, running or not, finished or half made.
    pub(super) fn remove(&self) -> Result<(), LabError> {
        self.lxc.remove()
    }

    /// Boots it as its LXC configuration says; returns once its PID 1 runs.
    pub(super) fn start(&self) -> Result<(), LabError> {
        self.mount()?;
        let log = self.folder().join("lxc.log");
        self.lxc
            .run(
                "start the guest",
                POWER_SECONDS,
                "lxc-start",
                &["-d", "-o", log.as_str(), "-l", "WARN"],
            )
            .map(drop)
    }

    /// Asks it to shut down and waits; afterwards kills it if `force` says so.
    pub(super) fn shut_down(&self, seconds: u32, force: bool) -> Result<(), LabError> {
        let limit = seconds.to_string();
        let mut arguments = vec!["-t", &limit];
        if !force {
            arguments.push("--nokill");
        }
        self.lxc
            .run(
                "shut the guest down",
                seconds.saturating_add(POWER_SECONDS),
                "lxc-stop",
                &arguments,
            )
            .map(drop)
    }

    /// Writes its LXC configuration from the API's.
    pub(super) fn configure(&self, config: &Config) -> Result<(), LabError> {
        let (path, script) = (self.folder().join("config"), self.network_script());
        fs::write(&script, network_script(config)).at("write", &script)?;
        fs::set_permissions(&script, fs::Permissions::from_mode(0o755))
            .at("set the mode of", &script)?;
        fs::write(&path, self.lxc_configuration(config)).at("write", &path)
    }

    fn lxc_configuration(&self, config: &Config) -> String {
        let mut lines = vec![
            "lxc.include = /usr/share/lxc/config/common.conf".to_owned(),
            "lxc.include = /usr/share/lxc/config/userns.conf".to_owned(),
            format!("lxc.idmap = u 0 {ROOT_ID} 65536"),
            format!("lxc.idmap = g 0 {ROOT_ID} 65536"),
            "lxc.apparmor.profile = unconfined".to_owned(),
            format!("lxc.rootfs.path = dir:{}", self.rootfs()),
            format!("lxc.uts.name = {}", config.get("hostname").unwrap_or_default()),
            format!(
                "lxc.mount.entry = {} {PACKAGES_IN_GUEST} none bind,ro 0 0",
                self.base.packages()
            ),
            // systemd's orderly power-off. Source: systemd(1), SIGNALS.
            "lxc.signal.halt = SIGRTMIN+3".to_owned(),
        ];
        lines.extend(self.network(config));
        lines.extend(
            limits(config)
                .into_iter()
                .map(|limit| format!("{} = {}", limit.lxc_key(), limit.value)),
        );
        lines.join("\n") + "\n"
    }

    fn network(&self, config: &Config) -> Vec<String> {
        let net = config.net();
        let Some(name) = net.get("name") else {
            return vec!["lxc.net.0.type = empty".to_owned()];
        };
        vec![
            "lxc.net.0.type = veth".to_owned(),
            format!("lxc.net.0.link = {}", self.host_bridge),
            format!("lxc.net.0.veth.pair = {}", self.device),
            format!("lxc.net.0.name = {name}"),
            "lxc.net.0.flags = up".to_owned(),
            format!("lxc.hook.start-host = {}", self.network_script()),
        ]
    }

    fn network_script(&self) -> Utf8PathBuf {
        self.folder().join("network")
    }

    /// Gives the running guest the addresses that its configuration now has.
    pub(super) fn apply_network(&self, init: u32) -> Result<(), LabError> {
        let pid = format!("LXC_PID={init}");
        run("change the guest's network", 20, &["env", &pid, self.network_script().as_str()])
            .map(drop)
    }

    /// Applies limits to the running guest.
    pub(super) fn apply_limits(&self, config: &Config) -> Result<(), LabError> {
        limits(config).iter().try_for_each(|limit| {
            self.lxc
                .run("set the guest's limits", 10, "lxc-cgroup", &[limit.file, &limit.value])
                .map(drop)
        })
    }
}

/// A container as LXC knows it: a name below a folder. Enough to end it and to remove it.
struct Lxc {
    guests: Utf8PathBuf,
    /// Unique on this machine: LXC names control groups after it.
    name: String,
}

/// Removes the container of this name below `guests`, whatever state it is in.
pub(super) fn remove(guests: &Utf8Path, name: &str) -> Result<(), LabError> {
    Lxc { guests: guests.to_owned(), name: name.to_owned() }.remove()
}

impl Lxc {
    fn folder(&self) -> Utf8PathBuf {
        self.guests.join(&self.name)
    }

    fn rootfs(&self) -> Utf8PathBuf {
        self.folder().join("rootfs")
    }

    fn is_mounted(&self) -> bool {
        succeeds(10, &["mountpoint", "-q", self.rootfs().as_str()])
    }

    fn power(&self) -> Power {
        let asked = self.run("ask whether the guest runs", 10, "lxc-info", &["-s", "-p"]);
        let asked = asked.unwrap_or_default();
        let field = |name: &str| asked.lines().find_map(|l| l.strip_prefix(name)).map(str::trim);
        match (field("State:"), field("PID:").and_then(|pid| pid.parse().ok())) {
            (Some("STOPPED") | None, _) | (_, None) => Power::Stopped,
            (_, Some(init)) => Power::Running { init },
        }
    }

    fn kill(&self) -> Result<(), LabError> {
        if self.power() == Power::Stopped {
            return Ok(());
        }
        let killed = self.run("kill the guest", POWER_SECONDS, "lxc-stop", &["-k"]);
        // It may have ended by itself in between.
        if self.power() == Power::Stopped { Ok(()) } else { killed.map(drop) }
    }

    fn remove(&self) -> Result<(), LabError> {
        self.kill()?;
        if self.is_mounted() {
            run("unmount the guest's root", 30, &["umount", self.rootfs().as_str()])?;
        }
        self.remove_traces();
        remove_if_there(&self.folder(), |path| fs::remove_dir_all(path))
    }

    /// What LXC leaves of a container that ended: empty control groups and a lock file. Not being there is fine.
    fn remove_traces(&self) {
        for controller in cgroup_roots() {
            for group in ["lxc.payload", "lxc.monitor"] {
                remove_empty_groups(&controller.join(format!("{group}.{}", self.name)));
            }
        }
        let _ = fs::remove_file(format!("/run/lxc/lock{}/.{}", self.guests, self.name));
    }

    fn run(
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

/// What gives the guest's one interface its addresses, run outside at each of its boots. LXC could do it itself, but it remembers
/// what was true at the first boot, and a guest that reboots by itself would fall back to that.
fn network_script(config: &Config) -> String {
    let net = config.net();
    let mut lines = vec![
        "#!/bin/sh -e".to_owned(),
        format!("PATH={PROGRAM_PATH}"),
        r#"inside() { nsenter --target "$LXC_PID" --net ip "$@"; }"#.to_owned(),
    ];
    if let Some(name) = net.get("name") {
        // A new MAC at each boot would leave neighbours sending to the old one for a minute.
        lines.extend(net.get("hwaddr").map(|mac| format!("inside link set {name} address {mac}")));
        lines.extend(net.get("mtu").map(|mtu| format!("inside link set {name} mtu {mtu}")));
        lines.push(format!("inside link set {name} up"));
        lines.push(format!("inside -4 addr flush dev {name}"));
        let address = net.get("ip").filter(|ip| ip.contains('/'));
        lines.extend(address.map(|ip| format!("inside addr add {ip} brd + dev {name}")));
        let gateway = net.get("gw").filter(|_| address.is_some());
        lines.extend(gateway.map(|gw| format!("inside route replace default via {gw} dev {name}")));
    }
    lines.join("\n") + "\n"
}

/// Removes what may be gone already.
pub(super) fn remove_if_there(
    path: &Utf8Path,
    remove: impl FnOnce(&Utf8Path) -> std::io::Result<()>,
) -> Result<(), LabError> {
    match remove(path) {
        Err(cause) if cause.kind() == std::io::ErrorKind::NotFound => Ok(()),
        removed => removed.at("remove", path),
    }
}

/// A control group's limit, in the version of control groups that this machine has.
struct Limit {
    unified: bool,
    file: &'static str,
    value: String,
}

impl Limit {
    fn lxc_key(&self) -> String {
        format!("lxc.{}.{}", if self.unified { "cgroup2" } else { "cgroup" }, self.file)
    }
}

/// Microseconds of the CPU quota's period; the kernel's own default.
const CPU_PERIOD: u64 = 100_000;

/// Memory and CPU. Proxmox pins `cores` to CPUs; a quota gives the same share without fighting over CPU 0.
fn limits(config: &Config) -> Vec<Limit> {
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
pub(super) fn cgroup_roots() -> Vec<Utf8PathBuf> {
    let root = Utf8PathBuf::from("/sys/fs/cgroup");
    let controllers = root.read_dir_utf8().into_iter().flatten().flatten();
    let folders = controllers
        .filter(|e| e.file_type().is_ok_and(|t| t.is_dir()))
        .map(|e| e.path().to_owned());
    folders.chain([root.clone()]).collect()
}

/// Removes a tree of control groups; the kernel refuses where something still runs.
pub(super) fn remove_empty_groups(group: &Utf8Path) {
    for entry in group.read_dir_utf8().into_iter().flatten().flatten() {
        if entry.file_type().is_ok_and(|t| t.is_dir()) {
            remove_empty_groups(entry.path());
        }
    }
    let _ = fs::remove_dir(group);
}
