//! What is disturbed: one call of the guest's binary, in the state in which it is made, with bundles of one size.

use crate::{
    guest_bundle::{Made, health, hooks, rules, seal},
    guest_fixture::{Folder, SENT, caller, feed, identity, in_memory, input, messages, reply},
    guest_gc::approved,
};
use serde::de::DeserializeOwned;
use stackc::model::{
    Digest, FileClass, HooksDocument, Ledger, Switch,
    protocol::{BeginRequest, ConfirmRequest, Refusal, UndoRequest},
};
use std::{
    collections::BTreeMap,
    ffi::OsStr,
    fs,
    os::unix::ffi::OsStrExt as _,
    path::{Path, PathBuf},
};

pub const TX: &str = "00000000000000a2";
pub const NEXT_TX: &str = "00000000000000a3";
const UNUSED_TX: &str = "00000000000000a9";
/// Runs before the switch and after it, of the new version both times.
const HOOK: &str = "/usr/local/bin/app";

/// Every managed path with what is there, and what a reader finds behind links.
pub type Picture = BTreeMap<String, String>;

/// The calls that change a guest between two generations, in their order; then those beside it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Verb {
    Receive,
    Secrets,
    Begin,
    Switch,
    Confirm,
    Undo,
    Recover,
    Gc,
}

impl Verb {
    pub const ALL: [Self; 8] = [
        Self::Receive,
        Self::Secrets,
        Self::Begin,
        Self::Switch,
        Self::Confirm,
        Self::Undo,
        Self::Recover,
        Self::Gc,
    ];

    pub fn word(self) -> &'static str {
        match self {
            Self::Receive => "receive",
            Self::Secrets => "secrets",
            Self::Begin => "begin",
            Self::Switch => "switch",
            Self::Confirm => "confirm",
            Self::Undo => "undo",
            Self::Recover => "recover",
            Self::Gc => "gc",
        }
    }
}

/// A guest on generation 1, on its way to generation 2 as far as the call.
pub struct Scene {
    pub verb: Verb,
    pub files: usize,
    pub start: Folder,
    pub first: Made,
    pub second: Made,
    pub switch: Switch,
    pub old: Picture,
    pub new: Picture,
    /// What runs on the old generation.
    pub running: String,
    pub request: Vec<u8>,
    folder: tempfile::TempDir,
}

/// A bundle with so many files in its overlay, beside its hook: of ten, one is a copy, one is of this version only, and four
/// are what a person may think of who means ill.
fn sized(version: u32, files: usize) -> Made {
    let unit = format!("[Service]\nExecStart=/usr/bin/env true\n# {version}\n");
    let script = format!("#!/bin/sh\necho {version}\n");
    let mut overlay = vec![
        ("/etc/systemd/system/app.service".to_owned(), FileClass::Linked, "0644", unit),
        (HOOK.to_owned(), FileClass::Linked, "0755", script),
    ];
    for number in 1..files {
        let (path, class, mode) = file(version, number);
        let text = match number % 10 {
            4 => String::new(),
            _ => format!("# {number} of version {version}\n"),
        };
        overlay.push((path, class, mode, text));
    }
    let overlay: Vec<_> = overlay
        .iter()
        .map(|(path, class, mode, text)| (path.as_str(), *class, *mode, text.clone()))
        .collect();
    let mut made =
        seal(version, &overlay, [rules("ufw", version), rules("ufw6", version)], health(60));
    let say = hooks(&[("say", &[HOOK])]);
    made.set_hooks(HooksDocument { before_switch: say.clone(), after_switch: say });
    made
}

/// Where a file is, and how it comes there.
fn file(version: u32, number: usize) -> (String, FileClass, &'static str) {
    let (class, mode) = (FileClass::Linked, "0644");
    let path = match number % 10 {
        1 => {
            let path = format!("/etc/ssh/sshd_config.d/{number:03}.conf");
            return (path, FileClass::Copied, "0600");
        }
        2 => only(version, number),
        // As long as a name may be, with all that a shell would trip over.
        3 => format!("/etc/{number:03} '\"$(x)` *\\x{}", "\u{e4}".repeat(120)),
        5 => format!("/etc/{number:03}{}/file", "/deep".repeat(12)),
        7 => format!("/etc/systemd/system/app-{number:03}@.service"),
        _ => format!("/etc/profile.d/{number:03}.sh"),
    };
    (path, class, mode)
}

/// Of one version only; what was found there comes back when it leaves.
fn only(version: u32, number: usize) -> String {
    format!("/etc/profile.d/{number:03}-of-{version}.sh")
}

/// What stands where the bundles' files come, and beside them: nobody's text.
fn put_foreign(folder: &Folder, files: usize) {
    for number in (2..files).step_by(10) {
        for version in [1, 2] {
            folder.put(&only(version, number), "");
            fs::write(folder.at(&only(version, number)), b"\xff\0foreign").expect("there is room");
        }
    }
    let beside = folder.at("/etc/profile.d");
    fs::create_dir_all(&beside).expect("there is room");
    fs::write(beside.join(OsStr::from_bytes(b"\xff\xfe foreign")), "").expect("there is room");
}

impl Scene {
    pub fn new(verb: Verb, files: usize) -> Self {
        let start = Folder { binary: SENT, ..Folder::new() };
        put_foreign(&start, files);
        let (first, second) = (sized(1, files), sized(2, files));
        start.activate(&first, &first.switch("00000000000000a1", 0, 1, &Ledger::default()));
        let switch = second.switch(TX, 1, 2, &first.ledger());
        let (old, running) = (picture(&start), start.running());
        let done = start.copy();
        done.activate(&second, &switch);
        let new = picture(&done);
        let mut scene = Self {
            verb,
            files,
            start,
            first,
            second,
            switch,
            old,
            new,
            running,
            request: Vec::new(),
            folder: in_memory(),
        };
        scene.go_as_far_as_the_call();
        scene.request = scene.request();
        fs::write(scene.input(), &scene.request).expect("there is room");
        scene
    }

    pub fn size(&self) -> String {
        format!("{} file{}", self.files, if self.files == 1 { "" } else { "s" })
    }

    /// A file of what the call reads.
    pub fn input(&self) -> PathBuf {
        self.folder.path().join("input")
    }

    pub fn words(&self) -> Vec<&'static str> {
        match self.verb {
            Verb::Switch => vec!["switch", TX],
            verb => vec![verb.word()],
        }
    }

    fn request(&self) -> Vec<u8> {
        let (tx, nonce) = (self.switch.tx.clone(), self.switch.nonce.clone());
        let message = |verb: &str| {
            let mut all = messages(TX, &self.second).into_iter();
            let (_, request, more) = all.find(|(v, ..)| *v == verb).expect("it is one of them");
            [request, more].concat()
        };
        match self.verb {
            Verb::Receive | Verb::Secrets => message(self.verb.word()),
            Verb::Begin => self.begin(),
            Verb::Switch | Verb::Recover => Vec::new(),
            Verb::Confirm => input(&ConfirmRequest { identity: identity(), tx, nonce }, &[]),
            Verb::Undo => {
                let who = "ops@desk".to_owned();
                input(&UndoRequest { identity: identity(), tx, who }, &[])
            }
            Verb::Gc => input(&approved(&self.start, UNUSED_TX, 1), &[]),
        }
    }

    fn begin(&self) -> Vec<u8> {
        input(&BeginRequest { caller: caller(TX), switch: self.switch.clone() }, &[])
    }

    fn go_as_far_as_the_call(&self) {
        let start = &self.start;
        match self.verb {
            Verb::Receive => {}
            Verb::Gc => start.prepare(UNUSED_TX, &sized(3, self.files)),
            Verb::Secrets => {
                for (verb, request, more) in messages(TX, &self.second) {
                    if verb != "secrets" {
                        feed(start.command(&[verb]), &[request, more].concat());
                    }
                }
            }
            _ => start.prepare(TX, &self.second),
        }
        if self.verb > Verb::Begin && self.verb != Verb::Gc {
            feed(start.command(&["begin"]), &self.begin());
        }
        if matches!(self.verb, Verb::Confirm | Verb::Undo | Verb::Recover) {
            start.run_switch(TX);
        }
        if self.verb == Verb::Recover {
            start.boot();
        }
    }

    /// The same call again, undisturbed.
    pub fn again<T: DeserializeOwned>(&self, folder: &Folder) -> Result<T, Refusal> {
        let said = feed(folder.command(&self.words()), &self.request);
        reply(&said).unwrap_or_else(|| panic!("{:?} again says nothing", self.verb))
    }

    /// The switch to the second bundle by somebody who comes next.
    pub fn next_switch(&self, folder: &Folder) -> Switch {
        let last = folder.observe(self.second.bundle.digest).last_number.0;
        self.second.switch(NEXT_TX, 1, last + 1, &self.first.ledger())
    }
}

/// The managed paths as `Folder::picture` has them, and the text that is read through each link into the store.
pub fn picture(folder: &Folder) -> Picture {
    let mut picture = folder.picture();
    let links: Vec<(String, String)> = picture
        .iter()
        .filter_map(|(path, what)| Some((path.clone(), what.strip_prefix("-> /var/")?.to_owned())))
        .collect();
    for (path, target) in links {
        let read = fs::read_to_string(folder.at(&format!("/var/{target}")));
        picture.insert(format!("{path} reads"), format!("{read:?}"));
    }
    picture
}

/// All that is in a folder, to the byte: names, kinds, modes, owners, texts, and which names are one file. But not when
/// the lease ends, nor in one that is half-made.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Fingerprint {
    pub kept: Digest,
    /// What a boot takes from it.
    pub memory: Digest,
}

const LEASE: &[u8] = b"var/lib/stackc/lease";
/// What runs on the guest.
const MEMORY: &str = "run/stackc/system.json";

pub fn fingerprint(folder: &Folder) -> Fingerprint {
    let mut text = Vec::new();
    let mut names_of_inode = BTreeMap::new();
    let root = folder.dir.path();
    let is_kept = |entry: &walkdir::DirEntry| entry.file_name() != "lost+found";
    for entry in walkdir::WalkDir::new(root).sort_by_file_name().into_iter().filter_entry(is_kept) {
        let path = entry.expect("it is readable").into_path();
        let below = path.strip_prefix(root).expect("it is below").as_os_str().as_encoded_bytes();
        if below != MEMORY.as_bytes() {
            describe(&path, below, &mut names_of_inode, &mut text);
        }
    }
    let memory = fs::read(folder.at(MEMORY)).unwrap_or_default();
    Fingerprint { kept: Digest::of(&text), memory: Digest::of(&memory) }
}

fn describe(path: &Path, below: &[u8], first: &mut BTreeMap<u64, Vec<u8>>, text: &mut Vec<u8>) {
    use std::os::unix::fs::MetadataExt as _;
    let stat = fs::symlink_metadata(path).expect("it is there");
    // A folder has one name.
    let same = first.entry(stat.ino()).or_insert_with(|| below.to_vec());
    let access = format!("\0{:o} {} {}\0", stat.mode(), stat.uid(), stat.gid());
    text.extend([below, b"\0", same, access.as_bytes()].concat());
    if stat.is_symlink() {
        let target = fs::read_link(path).expect("it is a link");
        text.extend(target.as_os_str().as_encoded_bytes());
    } else if below.starts_with(LEASE) {
        text.push(u8::from(stat.len() == 0));
    } else if stat.is_file() {
        let bytes = fs::read(path).expect("it is readable");
        text.extend(Digest::of(&bytes).to_string().as_bytes());
    }
    text.push(0);
}
