//! Small guests of a lab of their own, as an operator has them.

use std::{
    ffi::OsStr,
    fmt::Write as _,
    fs,
    net::Ipv4Addr,
    path::{Path, PathBuf},
    process::{Child, Command, Output, Stdio},
};

pub const MANY: usize = 20;
pub const WEB: u16 = 8000;
pub const STILL: u16 = 8001;

const LAB: &str = "bench";
const KIND: [(&str, &str); 2] =
    [("kind.toml", include_str!("kind.toml")), ("serve.pl", include_str!("serve.pl"))];
const NUMBER_OF_FIRST: usize = 101;

/// The lab with its guests; gone when it is dropped.
pub struct Guests {
    folder: tempfile::TempDir,
    addresses: Vec<Ipv4Addr>,
}

/// Takes the lab down, whatever happens.
impl Drop for Guests {
    fn drop(&mut self) {
        run(&mut stackc(Path::new("/"), &["lab", "down", "--name", LAB]));
    }
}

impl Guests {
    /// Starts the lab, makes the guests and activates all of them once.
    pub fn up() -> Self {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let mut guests = Self { folder, addresses: Vec::new() };
        let workspace = guests.workspace();
        let path = workspace.to_str().expect("temporary folders are UTF-8");
        must(&mut stackc(Path::new("/"), &["lab", "up", "--name", LAB]));
        must(&mut stackc(Path::new("/"), &["lab", "workspace", "--name", LAB, path]));
        guests.addresses = addresses(&workspace);
        leave_site_only(&workspace);
        let kind = workspace.join("templates/bench");
        fs::create_dir_all(&kind).expect("the folder is ours");
        for (name, text) in KIND {
            fs::write(kind.join(name), text).expect("the folder is ours");
        }
        guests.define("0", 0);
        guests.activate(MANY);
        guests
    }

    pub fn workspace(&self) -> PathBuf {
        self.folder.path().join("workspace")
    }

    pub fn address(&self) -> Ipv4Addr {
        self.addresses[0]
    }

    /// Where operators come from.
    pub fn network(&self) -> String {
        let [a, b, c, _] = self.address().octets();
        format!("{a}.{b}.{c}.0/24")
    }

    /// Writes the definitions, and builds them: the first guest with this value, and so many files besides.
    pub fn define(&self, value: &str, files: usize) {
        let mut text = "[project]\nkind = \"bench\"\n".to_owned();
        for (at, address) in self.addresses.iter().enumerate() {
            let (value, files) = if at == 0 { (value, files) } else { ("0", 0) };
            let number = NUMBER_OF_FIRST + at;
            write!(
                text,
                "[envs.e{at}]\nname = \"bench-{at}\"\nvmid = {number}\nip = \"{address}/24\"\n\
                 guest = {{ memory_mib = 256, cores = 2 }}\n[envs.e{at}.env_vars]\nVALUE = \"{value}\"\n"
            )
            .expect("text takes it");
            for file in 0..files {
                let path = format!("/srv/bench/many/{file}");
                writeln!(
                    text,
                    "[envs.e{at}.files.f{file}]\npath = \"{path}\"\ntext = \"{file} of {value}\""
                )
                .expect("text takes it");
            }
        }
        let path = self.workspace().join("stacks/bench.toml");
        fs::write(path, text).expect("the workspace is ours");
        must(&mut stackc(&self.workspace(), &["build"]));
    }

    /// Activates the first so many guests.
    pub fn activate(&self, count: usize) {
        let targets = (0..count).map(|at| format!("bench/e{at}"));
        let words = ["activate", "--yes"].into_iter().map(str::to_owned);
        must(&mut self.stackc(&words.chain(targets).collect::<Vec<_>>()));
    }

    pub fn stackc<S: AsRef<OsStr>>(&self, words: &[S]) -> Command {
        stackc(&self.workspace(), words)
    }

    /// As many cold connections at once as there are guests: new TCP, key exchange, login, one command.
    pub fn ssh_true(&self, count: usize) {
        let start = |address: &Ipv4Addr| self.ssh(*address, "true").spawn().expect("ssh runs");
        let sessions: Vec<Child> = self.addresses[..count].iter().map(start).collect();
        for mut session in sessions {
            assert!(session.wait().expect("ssh ends").success(), "a guest lets us in");
        }
    }

    /// A cold connection of its own with one command of the shell.
    pub fn ssh(&self, address: Ipv4Addr, command: &str) -> Command {
        let mut ssh = Command::new("ssh");
        ssh.args(["-F", "none", "-i", "keys/ops", "-o", "BatchMode=yes", "-o", "ControlPath=none"])
            .args(["-o", "UserKnownHostsFile=known_hosts", "-o", "LogLevel=ERROR"])
            .args(["-o", "StrictHostKeyChecking=accept-new"])
            .args([&format!("root@{address}"), command])
            .current_dir(self.workspace());
        ssh
    }

    /// Runs a script of bash on the first guest.
    pub fn shell(&self, script: &str) {
        self.say(&format!("bash -c '{script}'"));
    }

    /// What a command on the first guest prints.
    pub fn say(&self, command: &str) -> String {
        let output = self.ssh(self.address(), command).output().expect("ssh runs");
        text_of(&output)
    }
}

/// The lab's workspace has the worked examples: what is left of them is where guests are, and who gets in.
fn leave_site_only(workspace: &Path) {
    for file in fs::read_dir(workspace.join("stacks")).expect("it was just made") {
        let path = file.expect("readable").path();
        let name = path.file_name().and_then(OsStr::to_str).unwrap_or_default();
        if !["site.toml", "secrets.local.toml"].contains(&name) {
            fs::remove_file(&path).expect("the workspace is ours");
        }
    }
}

/// Addresses of the lab's network, one for each guest.
fn addresses(workspace: &Path) -> Vec<Ipv4Addr> {
    let site = fs::read_to_string(workspace.join("stacks/site.toml")).expect("it was just made");
    let site: toml::Table = site.parse().expect("it is TOML");
    let gateway = site["guest"]["gateway"].as_str().expect("the site has a gateway");
    let gateway: Ipv4Addr = gateway.parse().expect("it is an address");
    let [a, b, c, _] = gateway.octets();
    let last = |at: usize| u8::try_from(NUMBER_OF_FIRST + at).expect("they are few");
    (0..MANY).map(|at| Ipv4Addr::new(a, b, c, last(at))).collect()
}

fn stackc<S: AsRef<OsStr>>(folder: &Path, words: &[S]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_stackc"));
    command.args(words).current_dir(folder);
    command
}

/// Runs a command that must do well; what it says is shown when it does not.
pub fn must(command: &mut Command) {
    text_of(&command.stdin(Stdio::null()).output().expect("the program runs"));
}

fn text_of(output: &Output) -> String {
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{said}");
    String::from_utf8_lossy(&output.stdout).trim().to_owned()
}

fn run(command: &mut Command) {
    let status = command.stdout(Stdio::null()).stderr(Stdio::null()).status();
    status.expect("the program runs");
}
