//! Takes pictures of a lab's guest, from outside: its files through its root on this machine, the rest by programs that are
//! run in it without a login, which would leave traces.

use crate::{
    exact_packages::LISTS,
    exact_picture::{Picture, Rules, Seen, What},
    exact_units,
};
use stackc::{lab::Lab, model::Digest};
use std::{
    collections::BTreeMap,
    fs, io,
    os::unix::fs::MetadataExt as _,
    path::{Path, PathBuf},
    process::Command,
};

/// Files that are judged line by line.
const READ: [&str; 11] = [
    "/etc/passwd",
    "/etc/group",
    "/etc/shadow",
    "/etc/gshadow",
    "/etc/subuid",
    "/etc/subgid",
    "/etc/ufw/ufw.conf",
    "/etc/default/ufw",
    "/etc/ufw/user.rules",
    "/etc/ufw/user6.rules",
    "/var/lib/stackc/generations/0/found.json",
];
/// Between what two programs print.
const CUT: &str = "\n@@@@\n";
/// What tells a file's bytes apart without reading them: its times and its number.
type Stamp = (i64, i64, i64, i64, u64, u64);

pub struct Eye {
    /// The guest's root.
    root: PathBuf,
    guests: PathBuf,
    name: String,
    /// The guest's user 0 on this machine.
    shift: u32,
    known: BTreeMap<String, (Stamp, Digest)>,
}

impl Eye {
    pub fn new(lab: &Lab, vmid: u32) -> Self {
        let guests = lab.state.join("guests").into_std_path_buf();
        let name = format!("{}-{vmid}", lab.name.as_str());
        let root = guests.join(&name).join("rootfs");
        let shift = fs::metadata(&root).expect("the guest has a root").uid();
        Self { root, guests, name, shift, known: BTreeMap::new() }
    }

    pub fn picture(&mut self) -> Picture {
        let (units, rules) = self.running();
        let mut picture = Picture { units, rules, ..Picture::default() };
        self.look("", &mut picture.paths);
        let text = |path: &&str| {
            let text = fs::read_to_string(self.root.join(&path[1..])).ok()?;
            Some(((*path).to_owned(), text))
        };
        let is_list = |path: &&str| path.starts_with(LISTS) && path.strip_suffix(".list").is_some();
        let lists = picture.paths.keys().map(String::as_str).filter(is_list);
        picture.texts = lists.chain(READ).filter_map(|path| text(&path)).collect();
        picture
    }

    /// Everything below a folder; what goes meanwhile is not seen.
    fn look(&mut self, folder: &str, seen: &mut BTreeMap<String, Seen>) {
        let at = self.root.join(folder.trim_start_matches('/'));
        let Some(names) = or_gone(fs::read_dir(&at)) else { return };
        for name in names {
            let name = name.expect("it is listed").file_name();
            let path = format!("{folder}/{}", name.to_string_lossy());
            let Some(one) = or_gone(self.look_at(&path)) else { continue };
            let is_folder = one.is_folder();
            seen.insert(path.clone(), one);
            if is_folder {
                self.look(&path, seen);
            }
        }
    }

    fn look_at(&mut self, path: &str) -> io::Result<Seen> {
        let at = self.root.join(&path[1..]);
        let found = fs::symlink_metadata(&at)?;
        let what = if found.is_symlink() {
            let target = fs::read_link(&at)?;
            What::Link { target: target.to_string_lossy().into_owned() }
        } else if found.is_dir() {
            What::Directory
        } else if found.is_file() {
            What::File { sha256: self.hash(path, &at, &found)? }
        } else {
            What::Special
        };
        let mode = if found.is_symlink() { 0 } else { found.mode() & 0o7777 };
        let own = |id: u32| id.wrapping_sub(self.shift);
        let attributes = attributes(&at)?;
        Ok(Seen { what, mode, uid: own(found.uid()), gid: own(found.gid()), attributes })
    }

    /// Reads a file only when it may be another than before: no program can set the time of its last change.
    fn hash(&mut self, path: &str, at: &Path, found: &fs::Metadata) -> io::Result<Digest> {
        let stamp = (
            found.ctime(),
            found.ctime_nsec(),
            found.mtime(),
            found.mtime_nsec(),
            found.ino(),
            found.size(),
        );
        if let Some((known, digest)) = self.known.get(path)
            && *known == stamp
        {
            return Ok(*digest);
        }
        let digest = Digest::of(&fs::read(at)?);
        self.known.insert(path.to_owned(), (stamp, digest));
        Ok(digest)
    }

    fn running(&self) -> (BTreeMap<String, exact_units::Unit>, Rules) {
        let save = "iptables-save; ip6tables-save";
        let script = format!(
            "systemctl show '*' --all --property={}; printf '{cut}'; {save}; printf '{cut}'; \
             unshare --net sh -c '/lib/ufw/ufw-init start >/dev/null 2>&1; {save}'",
            exact_units::PROPERTIES,
            cut = CUT.replace('\n', "\\n"),
        );
        let said = self.run(&script);
        let parts: Vec<&str> = said.split(CUT).collect();
        let [units, kernel, files] = parts[..] else { panic!("three answers: {said}") };
        let rules = Rules { kernel: without_counters(kernel), files: without_counters(files) };
        (exact_units::read(units), rules)
    }

    /// What a script prints that root of the guest runs.
    pub fn run(&self, script: &str) -> String {
        let mut command = Command::new("lxc-attach");
        command.arg("-P").arg(&self.guests).args(["-n", &self.name, "--clear-env", "--"]);
        command.args(["env", "PATH=/usr/sbin:/usr/bin:/sbin:/bin", "sh", "-c", script]);
        let output = command.output().expect("lxc-attach runs");
        assert!(output.status.success(), "{script}: {output:?}");
        String::from_utf8_lossy(&output.stdout).into_owned()
    }
}

fn or_gone<T>(found: io::Result<T>) -> Option<T> {
    match found {
        Err(error) if error.kind() == io::ErrorKind::NotFound => None,
        found => Some(found.expect("root may look at it")),
    }
}

fn attributes(at: &Path) -> io::Result<BTreeMap<String, Digest>> {
    let mut names = vec![0; 4096];
    let length = rustix::fs::llistxattr(at, &mut names)?;
    let names = names[..length].split(|byte| *byte == 0).filter(|name| !name.is_empty());
    let value = |name: &[u8]| {
        let mut value = vec![0; 65_536];
        let length = rustix::fs::lgetxattr(at, name, &mut value)?;
        Ok((String::from_utf8_lossy(name).into_owned(), Digest::of(&value[..length])))
    };
    names.map(value).collect()
}

/// Rules as they were saved, but for what the kernel has counted, and when; and for tables that somebody has looked into,
/// which have no rule and let everything through.
pub fn without_counters(saved: &str) -> Vec<String> {
    let mut rules = Vec::new();
    for table in saved.split_inclusive("COMMIT\n") {
        let lines = table.lines().filter(|line| !line.starts_with('#'));
        let lines = lines.map(|line| line.split(" [").next().unwrap_or_default().to_owned());
        let lines: Vec<String> = lines.collect();
        let is_open = |line: &String| line.ends_with(" ACCEPT") && line.starts_with(':');
        if !lines.iter().all(|line| line.starts_with('*') || line == "COMMIT" || is_open(line)) {
            rules.extend(lines);
        }
    }
    rules
}
