//! A folder as a guest, driven by the real binary.

use crate::folder_copy::copy_folder;
use crate::guest_bundle::{Made, make};
use serde::Serialize;
use serde::de::DeserializeOwned;
use stackc::guest::State;
use stackc::model::protocol::{
    BeginRequest, BundleRequest, Caller, ConfirmRequest, Done, Identity, Line, ObserveRequest,
    ObservedGuest, ReceiveRequest, Refusal, ResultRequest, SecretFile, SecretsRequest, UndoRequest,
};
use stackc::model::*;
use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io::Write as _;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

pub const BINARY: &str = env!("CARGO_BIN_EXE_stackc-guest");
/// The same, as it is sent to guests: static and small, and quicker.
pub const SENT: &str = env!("STACKC_GUEST_BINARY");
/// Folders in memory begin with it, and go on with the process's number.
pub const LEFT_OVER: &str = "stackc-it-";
pub const LEASE: &str = "/var/lib/stackc/lease";
/// A file of the guest's own at a path that the bundles take.
pub const FOREIGN: &str = "# the guest's own\n";

pub fn name<T: std::str::FromStr>(text: &str) -> T
where
    T::Err: std::fmt::Debug,
{
    text.parse().expect("it is a valid name")
}

/// A folder as a guest: nothing of it starts by itself, and the tests drive the switch.
pub struct Folder {
    pub dir: tempfile::TempDir,
    /// The binary that is called.
    pub binary: &'static str,
}

pub fn identity() -> Identity {
    Identity { project: name("shop"), env: name("dev"), uuid: "u-1".to_owned() }
}

pub fn caller(tx: &str) -> Caller {
    let who = "ops@desk".to_owned();
    Caller { identity: identity(), tx: name(tx), who, why: "activate".to_owned(), over: None }
}

impl Folder {
    pub fn new() -> Self {
        let dir = in_memory();
        let folder = Self { dir, binary: BINARY };
        let owner = fs::metadata(folder.dir.path()).expect("it was just made");
        folder.put(
            "/etc/passwd",
            &format!("root:x:{}:{}::/root:/bin/sh\n", owner.uid(), owner.gid()),
        );
        folder.put("/etc/group", &format!("root:x:{}:\n", owner.gid()));
        folder.put("/etc/ssh/sshd_config.d/10-stackc.conf", FOREIGN);
        folder.put("/etc/ufw/user.rules", "*filter\nCOMMIT\n");
        folder.put("/etc/ufw/user6.rules", "*filter\nCOMMIT\n");
        folder.put("/etc/ufw/ufw.conf", "# ufw\nENABLED=no\nLOGLEVEL=low\n");
        folder.put("/usr/lib/os-release", "VERSION_ID=\"12\"\n");
        fs::create_dir_all(folder.at("/etc/systemd/system")).expect("it can be made");
        folder.boot();
        folder
    }

    /// The same guest once more, second names and all.
    pub fn copy(&self) -> Self {
        let dir = in_memory();
        copy_folder(self.dir.path(), dir.path());
        Self { dir, binary: self.binary }
    }

    /// A boot: what was in memory is gone, and another boot id is there.
    pub fn boot(&self) {
        let state =
            State { boot_id: format!("boot-{}", fastrand()), manual: true, ..State::default() };
        self.put("/run/stackc/system.json", &serde_json::to_string(&state).expect("it is JSON"));
    }

    pub fn put(&self, path: &str, text: &str) {
        let path = self.at(path);
        fs::create_dir_all(path.parent().expect("it is below the root")).expect("it can be made");
        fs::write(path, text).expect("it can be written");
    }

    /// A program of the guest's own.
    pub fn put_program(&self, path: &str, text: &str) {
        self.put(path, text);
        let mode = std::os::unix::fs::PermissionsExt::from_mode(0o755);
        fs::set_permissions(self.at(path), mode).expect("it is ours");
    }

    pub fn at(&self, path: &str) -> PathBuf {
        self.dir.path().join(path.trim_start_matches('/'))
    }

    pub fn text(&self, path: &str) -> String {
        fs::read_to_string(self.at(path)).expect("it is there")
    }

    pub fn system(&self) -> State {
        serde_json::from_str(&self.text("/run/stackc/system.json")).expect("it is the state")
    }

    pub fn change_system(&self, change: impl FnOnce(&mut State)) {
        let mut state = self.system();
        change(&mut state);
        self.put("/run/stackc/system.json", &serde_json::to_string(&state).expect("it is JSON"));
    }

    pub fn command(&self, words: &[&str]) -> Command {
        let mut command = Command::new(self.binary);
        command.arg("--root").arg(self.dir.path()).args(words);
        command
    }

    /// One call of the real binary.
    pub fn call<T: DeserializeOwned>(
        &self,
        words: &[&str],
        request: &impl Serialize,
        more: &[u8],
    ) -> Result<T, Refusal> {
        let output = feed(self.command(words), &input(request, more));
        reply(&output).unwrap_or_else(|| panic!("{words:?} says nothing"))
    }

    pub fn observe(&self, digest: Digest) -> ObservedGuest {
        let units = BTreeSet::from([name("app.service")]);
        let (digest, packages, paths) = (Some(digest), BTreeSet::new(), BTreeSet::new());
        let request = ObserveRequest { identity: identity(), digest, units, packages, paths };
        self.call(&["observe"], &request, &[]).expect("observe is never refused here")
    }

    /// Everything before the switch.
    pub fn prepare(&self, tx: &str, made: &Made) {
        self.outlast_lease_of_others(tx);
        for (verb, request, more) in messages(tx, made) {
            let done: Result<Done, Refusal> =
                reply(&feed(self.command(&[verb]), &[request, more].concat()))
                    .unwrap_or_else(|| panic!("{verb} says nothing"));
            done.unwrap_or_else(|refusal| panic!("{verb}: {refusal:?}"));
        }
    }

    /// The run that had it is dead, and its time is up.
    pub fn outlast_lease_of_others(&self, tx: &str) {
        let Ok(lease) = fs::read_to_string(self.at(LEASE)) else { return };
        if !lease.contains(tx) {
            let expires = regex::Regex::new(r#""expires_at_seconds":\d+"#).expect("it is one");
            let over = expires.replace(&lease, r#""expires_at_seconds":0"#);
            fs::write(self.at(LEASE), &*over).expect("it is ours");
        }
    }

    pub fn begin(&self, switch: &Switch) -> Result<Done, Refusal> {
        let request = BeginRequest { caller: caller(switch.tx.as_str()), switch: switch.clone() };
        self.call(&["begin"], &request, &[])
    }

    /// The guest's own part of the switch.
    pub fn run_switch(&self, tx: &str) {
        self.command(&["switch", tx]).output().expect("it can be run");
    }

    pub fn result(&self, tx: &str) -> TxState {
        let request = ResultRequest { tx: name(tx), wait_seconds: 0 };
        self.call(&["result"], &request, &[]).expect("the transaction is there")
    }

    pub fn confirm(&self, switch: &Switch) -> Result<TxState, Refusal> {
        let (identity, tx, nonce) = (identity(), switch.tx.clone(), switch.nonce.clone());
        self.call(&["confirm"], &ConfirmRequest { identity, tx, nonce }, &[])
    }

    /// A person asks for the way back.
    pub fn undo(&self, tx: &str) -> TxState {
        let request =
            UndoRequest { identity: identity(), tx: name(tx), who: "ops@desk".to_owned() };
        self.call(&["undo"], &request, &[]).expect("it goes back")
    }

    /// Generation 1 of version 1, confirmed.
    pub fn on_first() -> (Self, Made, Switch) {
        let folder = Self::new();
        let made = make(1, 60);
        let switch = made.switch("00000000000000a1", 0, 1, &Ledger::default());
        folder.activate(&made, &switch);
        (folder, made, switch)
    }

    /// Everything up to the confirm: what the guest then waits for, unless it was undone.
    pub fn switch_over(&self, made: &Made, switch: &Switch) {
        let tx = switch.tx.as_str();
        self.prepare(tx, made);
        self.begin(switch).expect("the switch begins");
        self.run_switch(tx);
    }

    pub fn activate(&self, made: &Made, switch: &Switch) {
        self.switch_over(made, switch);
        let state = self.confirm(switch).expect("the confirm is heard");
        assert_eq!(state.phase, Phase::Confirmed, "{state:?}");
    }

    /// Every path outside stackc's own folder with what is there, and what the kernel and the units are.
    pub fn picture(&self) -> BTreeMap<String, String> {
        let mut picture = BTreeMap::new();
        for top in ["/etc", "/usr"] {
            walk(self.dir.path(), Path::new(top), &mut picture);
        }
        picture
            .retain(|path, _| !path.contains("stackc-recover") && !path.contains("sysinit.target"));
        let current = fs::read_link(self.at(layout::CURRENT)).ok();
        picture.insert("current".to_owned(), format!("{current:?}"));
        picture
    }

    /// What runs: unit states and the kernel's rules.
    pub fn running(&self) -> String {
        let state = self.system();
        let app = state.units.get(&name::<UnitName>("app.service")).cloned().unwrap_or_default();
        let active = if app.is_active() { "active" } else { "inactive" };
        let ports: Vec<&str> =
            state.rules.v4.lines().filter(|line| line.contains("--dport 300")).collect();
        format!("app {active}, {ports:?}")
    }
}

/// The messages before `begin`, each a verb, its request line and the bytes after it.
pub fn messages(tx: &str, made: &Made) -> Vec<(&'static str, Vec<u8>, Vec<u8>)> {
    let archive = made.archive();
    let digest = made.bundle.digest;
    let receive = ReceiveRequest { caller: caller(tx), digest, bytes: archive.len() as u64 };
    let bundle = BundleRequest { caller: caller(tx), digest };
    let files = made.secrets.iter().map(|(path, file)| {
        (path.clone(), SecretFile { access: file.access.clone(), text: file.text.clone() })
    });
    let secrets = SecretsRequest {
        caller: caller(tx),
        version: made.secrets_version,
        files: files.collect(),
    };
    let mut messages = vec![
        ("receive", input(&receive, &[]), archive),
        ("packages", input(&bundle, &[]), Vec::new()),
        ("accounts", input(&bundle, &[]), Vec::new()),
        ("secrets", input(&secrets, &[]), Vec::new()),
    ];
    if !made.hooks.before_switch.is_empty() {
        messages.push(("hooks", input(&bundle, &[]), Vec::new()));
    }
    messages
}

pub fn input(request: &impl Serialize, more: &[u8]) -> Vec<u8> {
    let mut input = serde_json::to_vec(request).expect("a request is JSON");
    input.push(b'\n');
    input.extend_from_slice(more);
    input
}

pub fn feed(mut command: Command, input: &[u8]) -> Vec<u8> {
    let mut child = command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .expect("the binary can be run");
    // A call that was killed does not read to the end.
    let _unread = child.stdin.take().expect("it is piped").write_all(input);
    child.wait_with_output().expect("it ends").stdout
}

/// The reply on the last line; none when the call was killed before it.
pub fn reply<T: DeserializeOwned>(output: &[u8]) -> Option<Result<T, Refusal>> {
    let text = String::from_utf8_lossy(output);
    let line: Line<T> =
        serde_json::from_str(text.lines().last()?).expect("the last line is a reply");
    match line {
        Line::Reply(reply) => Some(Ok(reply)),
        Line::Refused(refusal) => Some(Err(refusal)),
        Line::Event { .. } | Line::Output(_) => None,
    }
}

fn walk(root: &Path, below: &Path, picture: &mut BTreeMap<String, String>) {
    let at = root.join(below.strip_prefix("/").expect("it is absolute"));
    let stat = fs::symlink_metadata(&at).expect("it is there");
    let what = if stat.is_symlink() {
        format!("-> {}", fs::read_link(&at).expect("it is a link").display())
    } else if stat.is_file() {
        let bytes = fs::read(&at).expect("it is readable");
        let text = String::from_utf8(bytes).unwrap_or_else(|bytes| format!("{bytes:?}"));
        format!("{:o} {text}", stat.mode() & 0o7777)
    } else {
        for entry in fs::read_dir(&at).expect("it is a folder") {
            walk(root, &below.join(entry.expect("it is listed").file_name()), picture);
        }
        format!("{:o} folder", stat.mode() & 0o7777)
    };
    picture.insert(below.display().to_string(), what);
}

/// Thousands of durable writes go to memory where there is some: what is killed between them is the process only.
pub fn in_memory() -> tempfile::TempDir {
    let memory = Path::new("/dev/shm");
    // Whose process is dead is left over: `crash_disk` clears those away.
    let prefix = format!("{LEFT_OVER}{}-", std::process::id());
    let mut builder = tempfile::Builder::new();
    let builder = builder.prefix(&prefix);
    let made = if memory.is_dir() { builder.tempdir_in(memory) } else { builder.tempdir() };
    made.expect("there is room for a folder")
}

/// Another number at each call, of this process.
fn fastrand() -> u64 {
    static NEXT: std::sync::atomic::AtomicU64 = std::sync::atomic::AtomicU64::new(0);
    NEXT.fetch_add(1, std::sync::atomic::Ordering::Relaxed)
}
