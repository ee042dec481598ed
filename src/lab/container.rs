//! One LXC container: its files, its mount, its life. Source of the method: Proxmox's own unprivileged containers.
//!
//! ```text
//! <state>/guests/<lab>-<vmid>/
//!     proxmox.json   its configuration, as the API has it
//!     config         its configuration, as LXC has it, written at each start
//!     base           a link to the base that it is laid over
//!     upper work     what differs from the base; the overlay's own
//!     disk.img disk  where these two are instead, when guests have disks: a file system, and where it is mounted
//!     rootfs         where the overlay is mounted
//!     known_hosts    its host keys, for `lab ssh`
//! ```

use super::{
    Lab, LabError,
    base::{Base, PACKAGES_IN_GUEST, ROOT_ID},
    config::Config,
    control_groups::limits,
    disk::Disk,
    error::{AtPath as _, remove_if_there},
    lxc::{Lxc, POWER_SECONDS, Power},
    program::{PROGRAM_PATH, run},
};
use crate::model::{Digest, Vmid};
use camino::Utf8PathBuf;
use std::{
    fs,
    os::unix::fs::{PermissionsExt as _, chown, symlink},
};

pub(super) struct Container {
    lxc: Lxc,
    host_bridge: String,
    disk_mib: Option<u32>,
    /// The outer end of its network cable.
    device: String,
}

impl Container {
    pub(super) fn of(lab: &Lab, vmid: Vmid) -> Self {
        // An interface name has at most 15 bytes, and a vmid up to 9 digits.
        let tag = &Digest::of(lab.name.as_str().as_bytes()).to_string()[..4];
        Self {
            lxc: Lxc::at(lab.guests(), format!("{}-{vmid}", lab.name)),
            host_bridge: lab.host_bridge.clone(),
            disk_mib: lab.disk_mib,
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

    /// Makes its folders and lays the overlay over a base, which is its own from then on.
    pub(super) fn make(&self, base: &Base) -> Result<(), LabError> {
        if let Some(mebibytes) = self.disk_mib {
            Disk::below(&self.folder()).make(mebibytes)?;
        }
        let layers = self.layers()?;
        for folder in [layers.join("upper"), layers.join("work"), self.rootfs()] {
            fs::create_dir_all(&folder).at("make", &folder)?;
            fs::set_permissions(&folder, fs::Permissions::from_mode(0o755))
                .at("open up", &folder)?;
            chown(&folder, Some(ROOT_ID), Some(ROOT_ID)).at("give to the guest", &folder)?;
        }
        let link = self.folder().join("base");
        symlink(base.folder(), &link).at("make", &link)?;
        self.mount()
    }

    /// Where what differs from the base is; its disk, when it has one, is mounted then.
    fn layers(&self) -> Result<Utf8PathBuf, LabError> {
        match self.disk_mib {
            Some(_) => Disk::below(&self.folder()).mount(),
            None => Ok(self.folder()),
        }
    }

    fn base(&self) -> Result<Base, LabError> {
        let link = self.folder().join("base");
        link.read_link_utf8().at("read", &link).map(Base::at)
    }

    pub(super) fn mount(&self) -> Result<(), LabError> {
        if self.lxc.is_mounted() {
            return Ok(());
        }
        let layers = self.layers()?;
        // A volatile overlay is never written out, which would stall every unmount; after a crash of this machine, the kernel refuses
        // to mount it again unless told that this is fine. Guests of a lab are not worth more, unless they have disks to lose.
        remove_if_there(&layers.join("work/work/incompat/volatile"), |path| fs::remove_dir(path))?;
        let volatile = if self.disk_mib.is_none() { ",volatile" } else { "" };
        // Without redirect_dir, renaming a folder of the base gives EXDEV, which dpkg does not expect.
        let options = format!(
            "lowerdir={},upperdir={layers}/upper,workdir={layers}/work,redirect_dir=on{volatile}",
            self.base()?.root()
        );
        let rootfs = self.rootfs();
        let argv = ["mount", "-t", "overlay", self.lxc.name(), rootfs.as_str(), "-o", &options];
        run("lay the guest over its base", 30, &argv).map(drop)
    }

    /// Whether it runs, or has powered itself off.
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
        let text = self.lxc_configuration(config, &self.base()?);
        fs::write(&path, text).at("write", &path)
    }

    fn lxc_configuration(&self, config: &Config, base: &Base) -> String {
        let mut lines = vec![
            "lxc.include = /usr/share/lxc/config/common.conf".to_owned(),
            "lxc.include = /usr/share/lxc/config/userns.conf".to_owned(),
            format!("lxc.idmap = u 0 {ROOT_ID} 65536"),
            format!("lxc.idmap = g 0 {ROOT_ID} 65536"),
            "lxc.apparmor.profile = unconfined".to_owned(),
            format!("lxc.rootfs.path = dir:{}", self.rootfs()),
            format!("lxc.uts.name = {}", config.get("hostname").unwrap_or_default()),
            format!("lxc.mount.entry = {} {PACKAGES_IN_GUEST} none bind,ro 0 0", base.packages()),
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
