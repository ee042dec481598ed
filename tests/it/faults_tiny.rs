//! A guest that is switched a hundred times: one small project in a lab.

use crate::{
    faults_accident::Flaw,
    faults_process::{Ended, Operator},
    faults_workspace::{Wanted, placed_by},
    fixture_lab::{CHEAP, RealLab},
};
use serde::Deserialize;
use stackc::{
    lab,
    model::{Digest, Vmid},
};
use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    io::{self, Read, Write},
    net::{Ipv4Addr, SocketAddr, TcpStream},
    path::PathBuf,
    process::Command,
    thread,
    time::{Duration, Instant},
};

/// The guest's confirm deadline (kind.toml), its undo, and a slow machine.
const QUIET_LIMIT: Duration = Duration::from_secs(180);
/// A whole first activation with its packages on a machine that does other things too; and, when the network stays
/// away, the minutes for which an operator asks what became of a switch, after 15 s of confirming.
pub const RUN_LIMIT: Duration = Duration::from_secs(300);

/// A page of one line, on this machine.
const PAGE_LIMIT: Duration = Duration::from_secs(5);

/// What a guest may be found in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum State {
    /// Nothing of stackc's is live.
    Untouched,
    /// This version is, in all its parts.
    Live(u32),
}

/// A guest, and what its definitions have been so far.
pub struct Tiny<'lab> {
    lab: &'lab RealLab,
    folder: tempfile::TempDir,
    vmid: u32,
    env: String,
    address: Ipv4Addr,
    versions: BTreeMap<u32, Digest>,
    /// Links and files that some version places, each with all that it places there.
    paths: BTreeMap<String, BTreeSet<String>>,
}

/// What `whole.py` found.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Look {
    pub generation: Option<u64>,
    digest: Option<Digest>,
    pub problems: Vec<String>,
}

/// A command of the operator that makes a version live, to be run, disturbed, and run again.
#[derive(Debug, Clone)]
pub struct Run {
    pub version: u32,
    arguments: Vec<String>,
}

impl<'lab> Tiny<'lab> {
    /// A guest to be; it comes with the first activation.
    pub fn new(lab: &'lab RealLab, vmid: u32) -> Self {
        let folder = tempfile::tempdir().expect("a temporary folder can be made");
        let [a, b, c, _] = lab.info.gateway.octets();
        let host = u8::try_from(vmid % 200 + 20).expect("it is at most 219");
        let (env, address) = (format!("e{vmid}"), Ipv4Addr::new(a, b, c, host));
        let (versions, paths) = (BTreeMap::new(), BTreeMap::new());
        Self { lab, folder, vmid, env, address, versions, paths }
    }

    pub fn target(&self) -> String {
        format!("tiny/{}", self.env)
    }

    pub fn sshd(&self) -> SocketAddr {
        SocketAddr::new(self.address.into(), 22)
    }

    pub fn lab_api(&self) -> SocketAddr {
        let address = self.lab.info.url.strip_prefix("https://").and_then(|a| a.parse().ok());
        address.expect("the lab's API is https://127.0.0.1:PORT")
    }

    /// Has stackc call the API at another address when it works with this version: a proxy's.
    pub fn use_api(&self, version: u32, address: SocketAddr) {
        let site = self.wanted(version).site(&format!("https://{address}"));
        let path = self.workspace(version).join("stacks/site.toml");
        fs::write(path, site).expect("the folder is ours");
    }

    /// `activate` of a version, whose workspace is made when it is new.
    pub fn activate(&mut self, version: u32) -> Run {
        if !self.versions.contains_key(&version) {
            self.define(version, None);
        }
        Run { version, arguments: vec!["activate".into(), self.target(), "--yes".into()] }
    }

    /// `rollback` to a generation that has this version.
    pub fn rollback(&self, version: u32, to: u64) -> Run {
        let words = ["rollback", &self.target(), "--yes", "--to", &to.to_string()];
        Run { version, arguments: words.map(str::to_owned).to_vec() }
    }

    /// `activate` of a version that has a flaw.
    pub fn activate_flawed(&mut self, version: u32, flaw: Flaw) -> Run {
        fs::remove_dir_all(self.workspace(version)).expect("the version is defined");
        self.define(version, Some(flaw));
        self.activate(version)
    }

    fn define(&mut self, version: u32, flaw: Option<Flaw>) {
        let root = self.workspace(version);
        Wanted { flaw, ..self.wanted(version) }.write(&root);
        for verb in ["lock", "build"] {
            let run = Run { version, arguments: vec![verb.to_owned()] };
            run.finish(self).expect_done();
        }
        let built = fs::canonicalize(root.join("out/guests").join(self.target()));
        let built = built.expect("`build` links the bundle");
        let name = built.file_name().expect("it has a name").to_string_lossy();
        self.versions.insert(version, name.parse().expect("a bundle's name is its digest"));
        for (path, content) in placed_by(&built) {
            self.paths.entry(path).or_default().extend(content);
        }
    }

    pub fn workspace(&self, version: u32) -> PathBuf {
        self.folder.path().join(format!("v{version}"))
    }

    fn wanted(&self, version: u32) -> Wanted<'_> {
        let (lab, env) = (&self.lab.info, self.env.as_str());
        Wanted { lab, env, vmid: self.vmid, address: self.address, version, flaw: None }
    }

    /// Waits until nothing moves on the guest any more, and says what it is on.
    ///
    /// # Panics
    /// When the guest is not whole: neither untouched nor on one version in all its parts.
    pub fn settle(&self) -> State {
        self.settle_on().0
    }

    /// The same, with the live generation's number.
    pub fn settle_on(&self) -> (State, Option<u64>) {
        if !self.is_running() {
            return (State::Untouched, None);
        }
        self.wait_until_quiet();
        let look = self.look();
        assert!(look.problems.is_empty(), "the guest is torn:\n  {}", look.problems.join("\n  "));
        let Some(digest) = look.digest else { return (State::Untouched, None) };
        let found = self.versions.iter().find(|(_, known)| **known == digest);
        let (&version, _) = found.expect("only these bundles were ever sent");
        let page = Wanted::page(version);
        assert_eq!(self.page(), page, "what answers is not generation {:?}", look.generation);
        (State::Live(version), look.generation)
    }

    /// Judges the guest as it is now.
    pub fn look(&self) -> Look {
        let paths = serde_json::to_string(&self.paths).expect("texts are JSON");
        // A guest without python3 has never had its packages: then nothing may be placed either.
        let script = format!(
            "if [ -x /usr/bin/python3 ]; then exec python3 - '{paths}'; fi; cat >/dev/null; \
             if [ -e /var/lib/stackc/current ] || [ -e /etc/systemd/system/tiny.service ]; \
             then echo '{{\"generation\":null,\"digest\":null,\"problems\":[\"placed without packages\"]}}'; \
             else echo '{{\"generation\":null,\"digest\":null,\"problems\":[]}}'; fi"
        );
        let ended = self.on_guest(&script, include_str!("faults/whole.py"));
        serde_json::from_str(ended.lines.last().map_or("", String::as_str))
            .unwrap_or_else(|error| panic!("the guest cannot be judged ({error}): {ended}"))
    }

    fn vmid(&self) -> Vmid {
        Vmid::try_from(self.vmid).expect("it is a guest's number")
    }

    fn is_running(&self) -> bool {
        let state = lab::state(&self.lab.place).expect("the lab is up");
        state.guests.iter().any(|guest| guest.running && guest.vmid == self.vmid())
    }

    fn wait_until_quiet(&self) {
        let question = "ls /var/lib/stackc/tx 2>/dev/null; pgrep -x stackc-guest";
        let deadline = Instant::now() + QUIET_LIMIT;
        loop {
            let answer = self.on_guest(question, "");
            // pgrep says 1 when it finds none; 255 is ssh's own.
            if answer.code == Some(1) && answer.lines.is_empty() {
                return;
            }
            assert!(Instant::now() < deadline, "the guest does not come to rest: {answer}");
            thread::sleep(Duration::from_millis(200));
        }
    }

    /// Runs a command on the guest as root, with the lab's own key.
    pub fn on_guest(&self, script: &str, stdin: &str) -> Ended {
        let mut ssh = Command::new("ssh");
        // The judge only looks, on the test's own bridge, also at guests whose making was cut short before their host
        // key was known to anyone; that stackc itself pins keys is what other tests are for.
        ssh.args(["-F", "/dev/null", "-o", "BatchMode=yes", "-o", "StrictHostKeyChecking=no"]);
        ssh.args(["-o", "UserKnownHostsFile=/dev/null", "-o", "LogLevel=ERROR"]);
        // sshd closes its port for a moment when a guest's first switch reloads it; one refusal on a busy machine is no verdict.
        ssh.args(["-o", "ConnectTimeout=5", "-o", "ConnectionAttempts=3"]);
        ssh.args(CHEAP).args(["-i", self.lab.info.admin_key.as_str()]);
        ssh.arg(format!("root@{}", self.address)).arg(script);
        Operator::start_with(ssh, stdin).finish(Duration::from_secs(40))
    }

    /// What the web server says to the operator, through the guest's firewall.
    fn page(&self) -> String {
        let ask = || -> io::Result<String> {
            let address = SocketAddr::new(self.address.into(), 8000);
            let mut stream = TcpStream::connect_timeout(&address, PAGE_LIMIT)?;
            stream.set_read_timeout(Some(PAGE_LIMIT))?;
            stream.write_all(b"GET / HTTP/1.0\r\n\r\n")?;
            let mut answer = String::new();
            stream.read_to_string(&mut answer)?;
            Ok(answer)
        };
        let answer = ask().unwrap_or_else(|error| format!("no answer: {error}"));
        answer.split_once("\r\n\r\n").map_or(answer.clone(), |(_, body)| body.to_owned())
    }

    /// Takes the guest off the network: nobody is told.
    pub fn pull_cable(&self) {
        lab::cut_network(&self.lab.info, self.vmid()).expect("the guest runs");
    }

    pub fn plug_cable(&self) {
        lab::mend_network(&self.lab.info, self.vmid()).expect("the guest runs");
    }

    /// Takes the guest away, in whatever state it is, so that the next activation is the first one.
    ///
    /// # Panics
    /// When the lab still holds it after a while.
    pub fn destroy(&self) {
        let path = format!("/nodes/pve/lxc/{}", self.vmid);
        let deadline = Instant::now() + QUIET_LIMIT;
        loop {
            let asked = self.lab.call("DELETE", &path, &[("force", "1")]);
            if asked.status == 200 && self.lab.task(&asked).0 == "OK" {
                return;
            }
            let config = self.lab.call("GET", &format!("{path}/config"), &[]);
            if config.status != 200 {
                return;
            }
            // A killed operator's create or start may still be at work.
            assert!(Instant::now() < deadline, "the guest stays: {asked:?}");
            thread::sleep(Duration::from_millis(500));
        }
    }

    /// What the guest has written down of what happened on it.
    pub fn evidence(&self) -> Ended {
        let script = "journalctl -b --no-pager -o short-precise | tail -400; \
                      ls -lR --time-style=full-iso /var/lib/stackc/tx /var/lib/stackc/generations /var/lib/stackc/current; \
                      for file in /var/lib/stackc/tx/*/*.json /var/lib/stackc/tx/*/journal /var/lib/stackc/lease; do \
                      echo \"== $file\"; cat \"$file\"; done 2>&1";
        self.on_guest(script, "")
    }

    /// Kills every call of the guest's binary from outside; whether there was one.
    pub fn kill_calls(&self) -> bool {
        let mut killed = false;
        for process in fs::read_dir("/proc").expect("Linux has it").flatten() {
            let path = process.path();
            let is_call =
                fs::read_to_string(path.join("comm")).is_ok_and(|c| c == "stackc-guest\n");
            // Each container has a control group of its name. A process that has just ended has none any more.
            let group = fs::read_to_string(path.join("cgroup")).unwrap_or_default();
            if is_call
                && group.contains(&format!("lxc.payload.{}-{}/", self.lab.place.name, self.vmid))
            {
                let name = process.file_name().to_string_lossy().into_owned();
                let ended = Command::new("kill").args(["-KILL", &name]).status();
                killed |= ended.expect("kill runs").success();
            }
        }
        killed
    }

    /// The folder of the lab in which the guest's disk is mounted.
    fn disk(&self) -> PathBuf {
        let name = format!("{}-{}", self.lab.place.name, self.vmid);
        self.lab.info.state.as_std_path().join("guests").join(name).join("disk")
    }

    /// Takes the power, and all that the guest's disk had not written; then gives the power back.
    pub fn lose_power(&self) {
        let disk = self.disk();
        // `FS_IOC_SHUTDOWN` without a flush of the journal. Source: Linux, `include/uapi/linux/fs.h`.
        let cut = "import fcntl, os, struct, sys; \
                   fcntl.ioctl(os.open(sys.argv[1], os.O_RDONLY), 0x8004587D, struct.pack('I', 2))";
        let mounts = fs::read_to_string("/proc/self/mounts").expect("Linux has it");
        let line = mounts.lines().find(|line| line.split(' ').nth(1) == disk.to_str());
        let device = line.and_then(|line| line.split(' ').next()).expect("it is mounted");
        let known = PathBuf::from("/sys/fs/ext4").join(device.trim_start_matches("/dev/"));
        done(Command::new("python3").args(["-c", cut]).arg(&disk));
        self.switch_off();
        done(Command::new("umount").arg(disk.with_file_name("rootfs")));
        done(Command::new("umount").arg(&disk));
        // Mounted again while the kernel still knows it, it would be the dead one.
        let deadline = Instant::now() + QUIET_LIMIT;
        while known.exists() {
            assert!(Instant::now() < deadline, "{} stays", known.display());
            thread::sleep(Duration::from_millis(5));
        }
        self.switch_on();
    }

    /// Leaves no block of the guest's disk free.
    pub fn fill_disk(&self) {
        let fill = "cd \"$0\" && fallocate -l $(($(stat -f -c '%a * %S' .))) fill; \
                    dd if=/dev/zero of=rest bs=4k 2>/dev/null; true";
        done(Command::new("sh").args(["-c", fill]).arg(self.disk()));
    }

    pub fn clear_disk(&self) {
        done(
            Command::new("rm").arg("-f").args(["fill", "rest"].map(|name| self.disk().join(name))),
        );
    }

    /// Gives a guest its power back.
    pub fn switch_on(&self) {
        lab::start_again(&self.lab.info, self.vmid()).expect("the guest boots");
    }

    /// Takes the power from the guest.
    pub fn switch_off(&self) {
        lab::power_cut(&self.lab.info, self.vmid()).expect("the guest runs");
    }
}

/// # Panics
/// When the command does not succeed.
fn done(command: &mut Command) {
    let status = command.status();
    assert!(status.is_ok_and(|status| status.success()), "{command:?}");
}

impl Run {
    pub fn start(&self, tiny: &Tiny<'_>) -> Operator {
        self.start_with(Command::new(env!("CARGO_BIN_EXE_stackc")), tiny)
    }

    /// The same by an operator whose machine has this name.
    pub fn start_at(&self, host: &str, tiny: &Tiny<'_>) -> Operator {
        let mut command = Command::new("unshare");
        let named = "hostname \"$0\" && exec \"$@\"";
        command.args(["--uts", "sh", "-c", named, host, env!("CARGO_BIN_EXE_stackc")]);
        self.start_with(command, tiny)
    }

    fn start_with(&self, mut command: Command, tiny: &Tiny<'_>) -> Operator {
        command.arg("-C").arg(tiny.workspace(self.version)).args(&self.arguments);
        command.env_clear().env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin");
        command.env("HOME", tiny.folder.path());
        Operator::start(command)
    }

    pub fn finish(&self, tiny: &Tiny<'_>) -> Ended {
        self.start(tiny).finish(RUN_LIMIT)
    }
}
