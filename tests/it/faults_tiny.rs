//! A guest that is switched a hundred times: one small project in a lab, in two versions that differ in everything.

use crate::{
    faults_process::{Ended, Operator},
    fixture_lab::RealLab,
};
use serde::Deserialize;
use stackc::{
    lab,
    model::{Digest, Vmid},
};
use std::{
    fs,
    net::{Ipv4Addr, SocketAddr},
    os::unix::fs::OpenOptionsExt,
    path::{Path, PathBuf},
    process::Command,
    thread,
    time::{Duration, Instant},
};

pub const TARGET: &str = "tiny/dev";
/// The guest's confirm deadline (kind.toml), its undo, and a slow machine.
const QUIET_LIMIT: Duration = Duration::from_secs(60);
/// A whole first activation with its packages, on a machine that does other things too.
pub const RUN_LIMIT: Duration = Duration::from_secs(240);

/// Which definitions.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Version {
    One,
    Two,
}

/// What a guest may be found in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum State {
    /// Nothing of stackc's is live.
    Untouched,
    Live(Version),
}

/// A guest and the two workspaces that define it.
pub struct Tiny<'lab> {
    lab: &'lab RealLab,
    folder: tempfile::TempDir,
    vmid: u32,
    address: Ipv4Addr,
    digests: [Digest; 2],
    /// Links and files that either version places.
    paths: Vec<String>,
}

/// What `whole.py` found.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Look {
    pub generation: Option<u64>,
    digest: Option<Digest>,
    problems: Vec<String>,
}

#[derive(Deserialize)]
struct Listing {
    entries: Vec<Listed>,
}

#[derive(Deserialize)]
struct Listed {
    path: String,
    r#type: String,
}

impl Version {
    pub const BOTH: [Self; 2] = [Self::One, Self::Two];

    pub fn other(self) -> Self {
        match self {
            Self::One => Self::Two,
            Self::Two => Self::One,
        }
    }

    fn number(self) -> usize {
        match self {
            Self::One => 1,
            Self::Two => 2,
        }
    }

    /// What the web server says.
    fn page(self) -> String {
        let n = self.number();
        format!("release={n} greeting=hello number {n} word=secret-{n}")
    }
}

impl<'lab> Tiny<'lab> {
    /// Makes both workspaces and builds them; the guest itself comes with the first activation.
    pub fn new(lab: &'lab RealLab, vmid: u32) -> Self {
        let folder = tempfile::tempdir().expect("a temporary folder can be made");
        let [a, b, c, _] = lab.info.gateway.octets();
        let host = u8::try_from(vmid % 200 + 20).expect("it is at most 219");
        let mut tiny = Self {
            lab,
            folder,
            vmid,
            address: Ipv4Addr::new(a, b, c, host),
            digests: [Digest::of(b""); 2],
            paths: Vec::new(),
        };
        for version in Version::BOTH {
            tiny.define(version);
            tiny.finish(version, &["lock"]).expect_done();
            tiny.finish(version, &["build"]).expect_done();
            let built = tiny.workspace(version).join("out/guests").join(TARGET);
            let built = fs::canonicalize(built).expect("`build` links the bundle");
            let name = built.file_name().expect("it has a name").to_string_lossy();
            tiny.digests[version.number() - 1] =
                name.parse().expect("a bundle's name is its digest");
            tiny.paths.extend(placed_by(&built));
        }
        tiny
    }

    /// Where the lab's own API listens.
    pub fn api(&self) -> SocketAddr {
        let address = self.lab.info.url.strip_prefix("https://").and_then(|a| a.parse().ok());
        address.expect("the lab's API is https://127.0.0.1:PORT")
    }

    /// Has stackc call the API at another address: a proxy's.
    pub fn use_api(&self, address: SocketAddr) {
        for version in Version::BOTH {
            let site = self.site(&format!("https://{address}"));
            fs::write(self.workspace(version).join("stacks/site.toml"), site)
                .expect("the folder is ours");
        }
    }

    /// Leaves the guest, so that many can be made one after another.
    pub fn switch_off(self) {
        let vmid = Vmid::try_from(self.vmid).expect("it is a guest's number");
        lab::power_cut(&self.lab.info, vmid).expect("the guest runs");
    }

    pub fn address(&self) -> Ipv4Addr {
        self.address
    }

    fn workspace(&self, version: Version) -> PathBuf {
        self.folder.path().join(format!("v{}", version.number()))
    }

    fn define(&self, version: Version) {
        let root = self.workspace(version);
        let n = version.number();
        for folder in ["stacks", "templates/tiny", "keys", "repos/tiny/web"] {
            fs::create_dir_all(root.join(folder)).expect("the folder is ours");
        }
        let write = |path: &str, text: &str| {
            fs::write(root.join(path), text).expect("the folder is ours");
        };
        write("templates/tiny/kind.toml", include_str!("faults/kind.toml"));
        write("templates/tiny/tiny.service.tera", include_str!("faults/tiny.service.tera"));
        write("templates/tiny/deploy_app.sh", include_str!("faults/deploy_app.sh"));
        write("stacks/site.toml", &self.site(&self.lab.info.url));
        write("stacks/tiny.toml", &self.project(n));
        fs::copy(&self.lab.info.ca_file, root.join("keys/ca.pem")).expect("the lab has a CA");
        let key = self.lab.info.admin_key.as_std_path();
        fs::copy(key, root.join("keys/ops")).expect("the lab has a key");
        fs::copy(key.with_extension("pub"), root.join("keys/ops.pub")).expect("and its public one");
        write(
            "repos/tiny/web/server.py",
            &include_str!("faults/server.py").replace("@RELEASE@", &n.to_string()),
        );
        commit(&root.join("repos/tiny"));
        let secrets = format!(
            "tag_key = \"{}\"\n[proxmox]\ntoken = \"{}\"\n[tiny]\nword = \"secret-{n}\"\n",
            "5a".repeat(32),
            self.lab.info.token
        );
        let path = root.join("stacks/secrets.local.toml");
        let file = fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(path);
        std::io::Write::write_all(&mut file.expect("it is new"), secrets.as_bytes())
            .expect("the disk has room");
    }

    fn site(&self, url: &str) -> String {
        let lab = &self.lab.info;
        format!(
            "[proxmox]\nurl = \"{url}\"\nnode = \"{}\"\ntoken = {{ secret = \"proxmox/token\" }}\nca = \"keys/ca.pem\"\n\
             [guest]\nkind = \"lxc\"\ntemplate = \"{}\"\nstorage = \"{}\"\ndisk_gib = 4\ncores = 1\nmemory_mib = 512\n\
             swap_mib = 0\nbridge = \"{}\"\ngateway = \"{}\"\n\
             [access]\nuser = \"root\"\nidentity = \"keys/ops\"\nadmin_keys = [\"keys/ops.pub\"]\nmanagement = [\"{}\"]\n",
            lab.node,
            lab.template,
            lab.storage,
            lab.bridge,
            lab.gateway,
            lab.subnet.trunc()
        )
    }

    /// Version 2 has another release, environment, secret and firewall.
    fn project(&self, n: usize) -> String {
        let text = format!(
            "[project]\nkind = \"tiny\"\nrepo = \"repos/tiny\"\n[envs.dev]\nname = \"tiny-{vmid}\"\nvmid = {vmid}\n\
             ip = \"{ip}/24\"\nbranch = \"main\"\n[envs.dev.env_vars]\nGREETING = \"hello number {n}\"\n\
             WORD = {{ secret = \"tiny/word\" }}\n",
            vmid = self.vmid,
            ip = self.address
        );
        let rule =
            "[envs.dev.firewall.rules.more]\naction = \"allow\"\nport = 8100\nprotocol = \"tcp\"\n";
        if n == 2 { text + rule } else { text }
    }

    pub fn command(&self, version: Version, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_stackc"));
        command.arg("-C").arg(self.workspace(version)).args(arguments);
        command
            .env_clear()
            .env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin")
            .env("HOME", self.folder.path());
        command
    }

    pub fn finish(&self, version: Version, arguments: &[&str]) -> Ended {
        Operator::start(self.command(version, arguments)).finish(RUN_LIMIT)
    }

    pub fn activate(version: Version) -> Run {
        Run { version, arguments: vec!["activate".into(), TARGET.into(), "--yes".into()] }
    }

    pub fn rollback(version: Version, to: u64) -> Run {
        let mut run = Self::activate(version);
        run.arguments[0] = "rollback".into();
        run.arguments.extend(["--to".into(), to.to_string()]);
        run
    }

    /// Waits until nothing moves on the guest any more, and says what it is on.
    ///
    /// # Panics
    /// When the guest is not whole: neither untouched nor on one version in all its parts.
    pub fn settle(&self) -> State {
        if !self.is_running() {
            return State::Untouched;
        }
        self.wait_until_quiet();
        let look = self.look();
        assert!(look.problems.is_empty(), "the guest is torn:\n  {}", look.problems.join("\n  "));
        let Some(digest) = look.digest else { return State::Untouched };
        let found = Version::BOTH.into_iter().find(|v| self.digests[v.number() - 1] == digest);
        let version = found.expect("only these two bundles were ever sent");
        assert_eq!(
            self.page(),
            version.page(),
            "what answers is not generation {:?}",
            look.generation
        );
        State::Live(version)
    }

    pub fn look(&self) -> Look {
        let paths = serde_json::to_string(&self.paths).expect("texts are JSON");
        // A guest without python3 has never had its packages: stackc placed nothing on it, or `current` would be there.
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

    fn is_running(&self) -> bool {
        let state = lab::state(&self.lab.place).expect("the lab is up");
        state
            .guests
            .iter()
            .any(|guest| guest.running && guest.vmid.to_string() == self.vmid.to_string())
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

    fn on_guest(&self, script: &str, stdin: &str) -> Ended {
        let mut ssh = Command::new("ssh");
        ssh.args([
            "-o",
            "BatchMode=yes",
            "-o",
            "StrictHostKeyChecking=no",
            "-o",
            "UserKnownHostsFile=/dev/null",
        ]);
        ssh.args(["-o", "LogLevel=ERROR", "-o", "ConnectTimeout=5", "-F", "/dev/null", "-i"]);
        ssh.arg(self.lab.info.admin_key.as_str()).arg(format!("root@{}", self.address)).arg(script);
        Operator::start_with(ssh, stdin).finish(Duration::from_secs(40))
    }

    /// What the web server says to the operator, through the guest's firewall.
    fn page(&self) -> String {
        let mut curl = Command::new("curl");
        curl.args(["--silent", "--show-error", "--max-time", "5"])
            .arg(format!("http://{}:8000/", self.address));
        Operator::start(curl).finish(Duration::from_secs(10)).lines.join("\n")
    }
}

/// A command of the operator, to be run, disturbed, and run again.
#[derive(Debug, Clone)]
pub struct Run {
    pub version: Version,
    pub arguments: Vec<String>,
}

impl Run {
    pub fn start(&self, tiny: &Tiny<'_>) -> Operator {
        let arguments: Vec<&str> = self.arguments.iter().map(String::as_str).collect();
        Operator::start(tiny.command(self.version, &arguments))
    }

    pub fn finish(&self, tiny: &Tiny<'_>) -> Ended {
        self.start(tiny).finish(RUN_LIMIT)
    }
}

fn placed_by(bundle: &Path) -> Vec<String> {
    let manifest = fs::read(bundle.join("manifest.json")).expect("a bundle has a manifest");
    let listing: Listing = serde_json::from_slice(&manifest).expect("a manifest is JSON");
    let placed = listing.entries.iter().filter(|entry| entry.r#type != "directory");
    placed.filter_map(|e| e.path.strip_prefix("rootfs").map(str::to_owned)).collect()
}

fn commit(repo: &Path) {
    for arguments in [
        &["init", "--quiet", "--initial-branch=main"][..],
        &["add", "."],
        &["-c", "user.name=t", "-c", "user.email=t@localhost", "commit", "--quiet", "-m", "tiny"],
    ] {
        let mut git = Command::new("git");
        git.arg("-C").arg(repo).args(arguments);
        git.env("GIT_CONFIG_GLOBAL", "/dev/null").env("GIT_CONFIG_NOSYSTEM", "1");
        git.env("GIT_COMMITTER_DATE", "2026-01-01T00:00:00Z")
            .env("GIT_AUTHOR_DATE", "2026-01-01T00:00:00Z");
        Operator::start(git).finish(Duration::from_secs(20)).expect_done();
    }
}
