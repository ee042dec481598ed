//! The definitions of the tiny project, one folder per version; from one version to the next everything changes.

use crate::{faults_accident::Flaw, faults_process::Operator};
use camino::{Utf8Path, Utf8PathBuf};
use serde::Deserialize;
use stackc::lab::Lab;
use std::{
    fs::{self, OpenOptions},
    io::Write,
    net::Ipv4Addr,
    os::unix::fs::OpenOptionsExt,
    path::Path,
    process::Command,
    time::Duration,
};
use tempfile::TempDir;

/// What the definitions of a guest say of it.
pub struct Wanted<'a> {
    pub lab: &'a Lab,
    pub env: &'a str,
    pub vmid: u32,
    pub address: Ipv4Addr,
    /// Another number is another release, environment, secret and firewall.
    pub version: u32,
    /// What is wrong with it.
    pub flaw: Option<Flaw>,
}

#[derive(Deserialize)]
struct Listing {
    entries: Vec<Listed>,
}

#[derive(Deserialize)]
struct Listed {
    path: String,
    r#type: String,
    /// Of a file; and where a link leads.
    sha256: Option<String>,
    target: Option<String>,
}

impl Wanted<'_> {
    /// Writes a whole workspace.
    pub fn write(&self, root: &Path) {
        for folder in ["stacks", "templates/tiny", "keys", "repos/tiny/web"] {
            fs::create_dir_all(root.join(folder)).expect("the folder is ours");
        }
        let write = |path: &str, text: &str| {
            fs::write(root.join(path), text).expect("the folder is ours");
        };
        write("templates/tiny/kind.toml", include_str!("faults/kind.toml"));
        let unit = include_str!("faults/tiny.service.tera");
        let unit = self.flaw.map_or(unit.to_owned(), |flaw| flaw.unit(unit));
        write("templates/tiny/tiny.service.tera", &unit);
        write("templates/tiny/deploy_app.sh", include_str!("faults/deploy_app.sh"));
        write("stacks/site.toml", &self.site(&self.lab.url));
        let hook = self.flaw.map_or(String::new(), Flaw::hook);
        write("stacks/tiny.toml", &(self.project() + &hook));
        let server = include_str!("faults/server.py");
        write("repos/tiny/web/server.py", &server.replace("@RELEASE@", &self.version.to_string()));
        commit(&root.join("repos/tiny"));
        fs::copy(&self.lab.ca_file, root.join("keys/ca.pem")).expect("the lab has a CA");
        let key = self.lab.admin_key.as_std_path();
        fs::copy(key, root.join("keys/ops")).expect("the lab has a key");
        fs::copy(key.with_extension("pub"), root.join("keys/ops.pub")).expect("and its other half");
        self.write_secrets(&root.join("stacks/secrets.local.toml"));
    }

    fn write_secrets(&self, path: &Path) {
        let text = format!(
            "tag_key = \"{}\"\n[proxmox]\ntoken = \"{}\"\n[tiny]\nword = \"secret-{}\"\n",
            "5a".repeat(32),
            self.lab.token,
            self.version
        );
        let file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path);
        file.expect("it is new").write_all(text.as_bytes()).expect("the disk has room");
    }

    /// `stacks/site.toml`, with the API at `url`.
    pub fn site(&self, url: &str) -> String {
        let lab = self.lab;
        format!(
            r#"[proxmox]
url = "{url}"
node = "{node}"
token = {{ secret = "proxmox/token" }}
ca = "keys/ca.pem"
[guest]
kind = "lxc"
template = "{template}"
storage = "{storage}"
disk_gib = 4
cores = 1
memory_mib = 512
swap_mib = 0
bridge = "{bridge}"
gateway = "{gateway}"
[access]
user = "root"
identity = "keys/ops"
admin_keys = ["keys/ops.pub"]
management = ["{subnet}"]
"#,
            node = lab.node,
            template = lab.template,
            storage = lab.storage,
            bridge = lab.bridge,
            gateway = lab.gateway,
            subnet = lab.subnet.trunc()
        )
    }

    fn project(&self) -> String {
        format!(
            r#"[project]
kind = "tiny"
repo = "repos/tiny"
[envs.{env}]
name = "tiny-{env}"
vmid = {vmid}
ip = "{address}/24"
branch = "main"
[envs.{env}.env_vars]
GREETING = "hello number {version}"
WORD = {{ secret = "tiny/word" }}
[envs.{env}.firewall.rules.more]
action = "allow"
port = {port}
protocol = "tcp"
"#,
            env = self.env,
            vmid = self.vmid,
            address = self.address,
            version = self.version,
            port = 8100 + self.version
        )
    }

    /// What the web server of this version says.
    pub fn page(version: u32) -> String {
        format!("release={version} greeting=hello number {version} word=secret-{version}")
    }
}

/// A workspace of a lab that has no project yet, and a key `keys/deploy` for a user's logins.
pub fn without_project(lab: &Lab, vmid: u32, address: Ipv4Addr) -> (TempDir, Utf8PathBuf) {
    let folder = tempfile::tempdir().expect("a temporary folder can be made");
    Wanted { lab, env: "dev", vmid, address, version: 1, flaw: None }.write(folder.path());
    fs::remove_file(folder.path().join("stacks/tiny.toml")).expect("it was written");
    let workspace = Utf8Path::from_path(folder.path()).expect("UTF-8").to_owned();
    let key = workspace.join("keys/deploy");
    let keygen = ["-q", "-t", "ed25519", "-N", "", "-C", "deploy", "-f", key.as_str()];
    let made = Command::new("ssh-keygen").args(keygen).status().expect("ssh-keygen runs");
    assert!(made.success());
    (folder, workspace)
}

/// The links and files that a bundle places, each with its hash, or its target; a secret has neither.
pub fn placed_by(bundle: &Path) -> Vec<(String, Option<String>)> {
    let manifest = fs::read(bundle.join("manifest.json")).expect("a bundle has a manifest");
    let listing: Listing = serde_json::from_slice(&manifest).expect("a manifest is JSON");
    let placed = listing.entries.into_iter().filter(|entry| entry.r#type != "directory");
    let placed = placed.filter_map(|entry| {
        let path = entry.path.strip_prefix("rootfs")?.to_owned();
        Some((path, entry.sha256.or(entry.target)))
    });
    placed.collect()
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
        for date in ["GIT_AUTHOR_DATE", "GIT_COMMITTER_DATE"] {
            git.env(date, "2026-01-01T00:00:00Z");
        }
        Operator::start(git).finish(Duration::from_secs(20)).expect_done();
    }
}
