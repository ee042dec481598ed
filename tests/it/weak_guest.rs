//! A guest on a weak disk: it is called, it loses its power, it boots.

use crate::fake::{Disk, Memory, SSHD, Site, Skipping, WeakFs};
use crate::guest_fixture::{FOREIGN, name};
use stackc::guest::{Answer, Guest, GuestFs, Kind, Sync, UnitJob, UnitReport, answer};
use stackc::model::{UnitName, layout};
use std::collections::{BTreeMap, BTreeSet};

const RECOVER_UNIT: &str = "/etc/systemd/system/stackc-recover.service";
const RECOVER_WANTED: &str = "/etc/systemd/system/sysinit.target.wants/stackc-recover.service";
const TRANSACTIONS: &str = "/var/lib/stackc/tx";
/// Any of these is a reason for recovery, too.
const REASONS: [&str; 3] =
    ["/var/lib/stackc/lease", "/var/lib/stackc/migrating.json", "/usr/sbin/policy-rc.d"];
const APP: &str = "app.service";
const APP_WANTED: &str = "/etc/systemd/system/multi-user.target.wants/app.service";

/// Every path that people see, with what is there; and what runs.
pub type Picture = BTreeMap<String, String>;

pub struct WeakGuest {
    pub fs: WeakFs,
    pub memory: Memory,
    /// The effect that this guest's code lacks.
    pub skip: Option<Site>,
    /// Every effect that its calls came by.
    pub seen: BTreeSet<Site>,
    /// How many effects there had been when it was left out.
    pub left_out: Option<usize>,
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
            (SSHD, "# as it was found\n"),
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
        Self { fs, memory, skip: None, seen: BTreeSet::new(), left_out: None, boots: 0 }
    }

    /// The same guest once more, with this disk: nothing but its files differs.
    pub fn with_disk(&self, disk: Disk) -> Self {
        let fs = WeakFs::new(disk);
        let (memory, skip) = (self.memory.over(&fs), self.skip.clone());
        Self { fs, memory, skip, seen: BTreeSet::new(), left_out: None, boots: self.boots }
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
        let mut fs = Skipping::new(self.fs.clone(), words[0], self.skip.as_ref());
        let mut guest = Guest { fs: &mut fs, system: &mut self.memory, news: &mut |_| {} };
        let words: Vec<String> = words.iter().map(|&word| word.to_owned()).collect();
        let answer = answer(&mut guest, &words, &mut &bytes[..]);
        self.seen.append(&mut fs.seen);
        self.left_out = self.left_out.or(fs.left_out);
        answer
    }

    /// Boots from a disk: recovers where the service manager runs that, and starts what is enabled. Whether it recovered.
    ///
    /// # Errors
    /// When recovery is refused, or the firewall does not start.
    pub fn boot(&self, disk: Disk) -> Result<(Self, bool), String> {
        let mut guest = self.booted(disk);
        let recovers = guest.recovers_at_boot();
        if recovers && !matches!(guest.call(&["recover"], &[]), Answer::Reply(_)) {
            return Err("recovery is refused".to_owned());
        }
        guest.start_enabled()?;
        Ok((guest, recovers))
    }

    /// Whether its service manager runs `recover` at this boot: the unit and its link are there, and so is a transaction, or
    /// what a call has left that a reboot cut off.
    fn recovers_at_boot(&mut self) -> bool {
        let unit = self.fs.read(RECOVER_UNIT).unwrap_or_default();
        let is_whole = String::from_utf8_lossy(&unit).ends_with("WantedBy=sysinit.target\n");
        let is_wanted = self.fs.read_link(RECOVER_WANTED).is_ok();
        let is_open = self.fs.list(TRANSACTIONS).is_ok_and(|names| !names.is_empty());
        let mut is_there = |path: &str| self.fs.stat(path).is_ok_and(|stat| stat.is_some());
        let has_reason = is_open || REASONS.into_iter().any(&mut is_there);
        is_whole && is_wanted && has_reason
    }

    /// What a boot starts after recovery.
    ///
    /// # Errors
    /// When the firewall does not start.
    pub fn start_enabled(&mut self) -> Result<(), String> {
        self.memory.start_ufw().map_err(|error| format!("ufw does not start: {error}"))?;
        if self.fs.read_link(APP_WANTED).is_ok() {
            let started = self.memory.state.job(UnitJob::StartLater, &name(APP));
            started.map_err(|error| error.to_string())?;
        }
        Ok(())
    }

    /// What runs: the app, and the kernel's rules for its port.
    fn running(&self) -> String {
        let app: UnitName = name(APP);
        let is_active = self.memory.state.units.get(&app).is_some_and(UnitReport::is_active);
        let rules = self.memory.state.rules.v4.lines();
        let ports: Vec<&str> = rules.filter(|line| line.contains("--dport 300")).collect();
        format!("app {}, {ports:?}", if is_active { "active" } else { "inactive" })
    }

    /// Every managed path and whatever is beside it, the one pointer, and what runs.
    pub fn picture(&mut self) -> Picture {
        let mut picture = BTreeMap::new();
        for top in ["/etc", "/usr"] {
            walk(&mut self.fs, top, &mut picture);
        }
        picture
            .retain(|path, _| !path.contains("stackc-recover") && !path.contains("sysinit.target"));
        let current = self.fs.read_link(layout::CURRENT).ok();
        picture.insert("current".to_owned(), format!("{current:?}"));
        picture.insert("running".to_owned(), self.running());
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
