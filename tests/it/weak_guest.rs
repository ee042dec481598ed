//! A guest on a weak disk: it is called, it loses its power, it boots.

use crate::fake::{Disk, Memory, Site, Skipping, WeakFs};
use crate::guest_fixture::FOREIGN;
use stackc::guest::{Answer, Guest, GuestFs, Kind, Sync, answer};
use stackc::model::layout;
use std::collections::{BTreeMap, BTreeSet};

const RECOVER_UNIT: &str = "/etc/systemd/system/stackc-recover.service";
const RECOVER_WANTED: &str = "/etc/systemd/system/sysinit.target.wants/stackc-recover.service";
const TRANSACTIONS: &str = "/var/lib/stackc/tx";

/// Every path that people see, with what is there.
pub type Picture = BTreeMap<String, String>;

pub struct WeakGuest {
    pub fs: WeakFs,
    pub memory: Memory,
    /// The effect that this guest's code lacks.
    pub skip: Option<Site>,
    /// Every effect that its calls came by.
    pub seen: BTreeSet<Site>,
    boots: u32,
}

impl WeakGuest {
    /// A Debian as it is found, all of it durable.
    pub fn found() -> Self {
        let mut fs = WeakFs::new(Disk::new());
        for (path, text) in [
            ("/etc/passwd", "root:x:0:0::/root:/bin/sh\n"),
            ("/etc/group", "root:x:0:\n"),
            ("/etc/ssh/sshd_config.d/10-stackc.conf", FOREIGN),
            (layout::USER_RULES, "*filter\nCOMMIT\n"),
            (layout::USER6_RULES, "*filter\nCOMMIT\n"),
            (layout::UFW_CONF, "# ufw\nENABLED=no\nLOGLEVEL=low\n"),
            ("/usr/lib/os-release", "VERSION_ID=\"12\"\n"),
            ("/etc/systemd/system/.keep", ""),
        ] {
            put(&mut fs, path, text);
        }
        fs.sync_all("/").expect("the root is there");
        fs.take_cuts();
        let memory = Memory::booted(0, &fs);
        Self { fs, memory, skip: None, seen: BTreeSet::new(), boots: 0 }
    }

    /// The same guest once more, with this disk: nothing but its files differs.
    pub fn with_disk(&self, disk: Disk) -> Self {
        let fs = WeakFs::new(disk);
        let memory = self.memory.over(&fs);
        Self { fs, memory, skip: self.skip.clone(), seen: BTreeSet::new(), boots: self.boots }
    }

    pub fn fork(&self) -> Self {
        self.with_disk(self.fs.disk())
    }

    /// The same guest once more, with all of its code.
    pub fn whole(&self) -> Self {
        Self { skip: None, ..self.fork() }
    }

    /// The guest booted from a disk: what was in memory is gone.
    pub fn booted(&self, disk: Disk) -> Self {
        let mut guest = self.with_disk(disk);
        guest.boots += 1;
        guest.memory = Memory::booted(guest.boots, &guest.fs);
        guest
    }

    /// One call of the guest's binary.
    pub fn call(&mut self, words: &[&str], bytes: &[u8]) -> Answer {
        let mut fs = self.fs.clone();
        let mut fs = Skipping::new(&mut fs, words[0], self.skip.as_ref());
        let mut guest = Guest { fs: &mut fs, system: &mut self.memory, news: &mut |_| {} };
        let words: Vec<String> = words.iter().map(|&word| word.to_owned()).collect();
        let answer = answer(&mut guest, &words, &mut &bytes[..]);
        self.seen.append(&mut fs.seen);
        answer
    }

    /// Whether its service manager runs `recover` at this boot: the unit and its link are there, and so is a transaction.
    pub fn recovers_at_boot(&mut self) -> bool {
        let unit = self.fs.read(RECOVER_UNIT).unwrap_or_default();
        let is_whole = String::from_utf8_lossy(&unit).ends_with("WantedBy=sysinit.target\n");
        let is_wanted = self.fs.read_link(RECOVER_WANTED).is_ok();
        is_whole && is_wanted && self.fs.list(TRANSACTIONS).is_ok_and(|names| !names.is_empty())
    }

    /// Every managed path and whatever is beside it, and the one pointer.
    pub fn picture(&mut self) -> Picture {
        let mut picture = BTreeMap::new();
        for top in ["/etc", "/usr"] {
            walk(&mut self.fs, top, &mut picture);
        }
        picture
            .retain(|path, _| !path.contains("stackc-recover") && !path.contains("sysinit.target"));
        let current = self.fs.read_link(layout::CURRENT).ok();
        picture.insert("current".to_owned(), format!("{current:?}"));
        picture
    }

    pub fn text(&mut self, path: &str) -> String {
        let bytes = self.fs.read(path).expect("it is there");
        String::from_utf8(bytes).expect("it is text")
    }

    /// Half-made things: prepared neighbours, and folders that have no name of their own yet or no longer.
    pub fn leftovers(&mut self) -> Vec<String> {
        let mut paths = BTreeMap::new();
        for top in ["/etc", "/usr", layout::STATE] {
            walk(&mut self.fs, top, &mut paths);
        }
        let marks = [".stackc-0", "/.tmp-", "/.gone-"];
        paths.into_keys().filter(|path| marks.iter().any(|mark| path.contains(mark))).collect()
    }
}

fn put(fs: &mut WeakFs, path: &str, text: &str) {
    let mut at = String::new();
    let (folder, _) = path.rsplit_once('/').expect("it is absolute");
    for name in folder.split('/').skip(1) {
        at = format!("{at}/{name}");
        fs.mkdir(&at, 0o755).expect("nothing is in the way");
    }
    fs.write(path, &mut text.as_bytes(), 0o644, Sync::Later).expect("nothing is in the way");
}

fn walk(fs: &mut WeakFs, path: &str, picture: &mut Picture) {
    let Ok(Some(stat)) = fs.stat(path) else { return };
    let ids = stat.ids;
    let what = match stat.kind {
        Kind::Link => format!("-> {}", fs.read_link(path).expect("it is a link")),
        Kind::Directory => {
            for name in fs.list(path).expect("it is a directory") {
                walk(fs, &format!("{path}/{name}"), picture);
            }
            format!("{:o} {}:{} folder", ids.mode, ids.uid, ids.gid)
        }
        _ => {
            let bytes = fs.read(path).expect("it is a file");
            let text = String::from_utf8_lossy(&bytes).into_owned();
            format!("{:o} {}:{} {text}", ids.mode, ids.uid, ids.gid)
        }
    };
    picture.insert(path.to_owned(), what);
}
