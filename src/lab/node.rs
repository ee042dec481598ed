//! The node: its guests and tasks, as the API sees them. All of it is on disk, so that a new daemon goes on where a killed one stopped.

use super::{
    Lab, LabError, config::Config, container::Container, error::AtPath as _, journal::Journal,
    lxc::Power,
};
use crate::model::Vmid;
use camino::Utf8Path;
use std::{
    collections::BTreeMap,
    fs::{self, File},
    io::Read as _,
    sync::{Arc, Mutex, MutexGuard, PoisonError, TryLockError},
    time::{Duration, Instant},
};

/// How long a call waits for another call's work on the same guest. Source: pve-guest-common, `PVE/AbstractConfig.pm`.
const LOCK_WAIT: Duration = Duration::from_secs(10);

pub(super) struct Node {
    pub lab: Lab,
    pub journal: Arc<Journal>,
    guests: Mutex<BTreeMap<Vmid, Arc<Guest>>>,
}

pub(super) struct Guest {
    pub vmid: Vmid,
    pub container: Container,
    config: Mutex<Config>,
    /// Held by whoever changes the guest, as the lock on its file is on a node.
    work: Mutex<()>,
}

impl Node {
    pub(super) fn open(lab: Lab) -> Result<Self, LabError> {
        let journal = Arc::new(Journal::open(&lab.state.join("tasks"), &lab.node)?);
        fs::create_dir_all(lab.guests()).at("make", lab.guests())?;
        let mut guests = BTreeMap::new();
        for vmid in vmids(&lab)? {
            if let Some(guest) = Guest::open(&lab, vmid)? {
                guests.insert(vmid, Arc::new(guest));
            }
        }
        Ok(Self { lab, journal, guests: Mutex::new(guests) })
    }

    pub(super) fn guests(&self) -> Vec<Arc<Guest>> {
        self.table().values().map(Arc::clone).collect()
    }

    pub(super) fn guest(&self, vmid: Vmid) -> Option<Arc<Guest>> {
        self.table().get(&vmid).map(Arc::clone)
    }

    /// Takes the number for a guest that is about to be made; nothing when it is taken.
    pub(super) fn reserve(&self, vmid: Vmid) -> Result<Option<Arc<Guest>>, LabError> {
        let mut guests = self.table();
        if guests.contains_key(&vmid) {
            return Ok(None);
        }
        let guest = Arc::new(Guest::new(&self.lab, vmid, Config::locked_for_create()));
        fs::create_dir_all(guest.container.folder()).at("make", guest.container.folder())?;
        guest.save()?;
        guests.insert(vmid, Arc::clone(&guest));
        Ok(Some(guest))
    }

    pub(super) fn forget(&self, vmid: Vmid) {
        self.table().remove(&vmid);
    }

    fn table(&self) -> MutexGuard<'_, BTreeMap<Vmid, Arc<Guest>>> {
        self.guests.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Guest {
    fn new(lab: &Lab, vmid: Vmid, config: Config) -> Self {
        Self {
            vmid,
            container: Container::of(lab, vmid),
            config: Mutex::new(config),
            work: Mutex::new(()),
        }
    }

    /// Reads a guest from disk. One whose making was cut short is removed, as a node's create does when it fails.
    fn open(lab: &Lab, vmid: Vmid) -> Result<Option<Self>, LabError> {
        let guest = Self::new(lab, vmid, Config::default());
        match read_config(&guest.container.folder()) {
            Some(config) => {
                *guest.edit() = config;
                Ok(Some(guest))
            }
            None => guest.container.remove().map(|()| None),
        }
    }

    pub(super) fn config(&self) -> Config {
        self.edit().clone()
    }

    pub(super) fn power(&self) -> Power {
        self.container.power()
    }

    /// Makes this the guest's configuration, on disk first.
    pub(super) fn replace(&self, config: Config) -> Result<(), LabError> {
        write_config(&self.container.folder(), &config)?;
        *self.edit() = config;
        Ok(())
    }

    fn save(&self) -> Result<(), LabError> {
        write_config(&self.container.folder(), &self.config())
    }

    fn edit(&self) -> MutexGuard<'_, Config> {
        self.config.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The right to change this guest, or Proxmox's text when somebody else has it for too long.
    pub(super) fn lock(&self) -> Result<MutexGuard<'_, ()>, String> {
        let deadline = Instant::now() + LOCK_WAIT;
        loop {
            match self.work.try_lock() {
                Ok(guard) => return Ok(guard),
                Err(TryLockError::Poisoned(poisoned)) => return Ok(poisoned.into_inner()),
                Err(TryLockError::WouldBlock) if Instant::now() < deadline => {
                    std::thread::sleep(Duration::from_millis(20));
                }
                Err(TryLockError::WouldBlock) => {
                    let file = format!("/run/lock/lxc/pve-config-{}.lock", self.vmid);
                    return Err(format!("can't lock file '{file}' - got timeout"));
                }
            }
        }
    }
}

fn write_config(folder: &Utf8Path, config: &Config) -> Result<(), LabError> {
    let (path, fresh) = (folder.join("proxmox.json"), folder.join("proxmox.json.new"));
    fs::write(&fresh, serde_json::to_vec_pretty(config).expect("a config is JSON"))
        .at("write", &fresh)?;
    fs::rename(&fresh, &path).at("replace", &path)
}

/// The configuration of the guest in this folder; nothing when it is only half made.
pub(super) fn read_config(folder: &Utf8Path) -> Option<Config> {
    let text = fs::read(folder.join("proxmox.json")).ok()?;
    let config = serde_json::from_slice::<Config>(&text).ok()?;
    (config.get("lock") != Some("create")).then_some(config)
}

/// Numbers of the guests whose folders are there.
pub(super) fn vmids(lab: &Lab) -> Result<Vec<Vmid>, LabError> {
    let folder = lab.guests();
    if !folder.exists() {
        return Ok(Vec::new());
    }
    let mut vmids = Vec::new();
    for entry in folder.read_dir_utf8().at("list", &folder)? {
        let entry = entry.at("list", &folder)?;
        let number = entry.file_name().rsplit('-').next().and_then(|n| n.parse::<u32>().ok());
        vmids.extend(number.and_then(|n| Vmid::try_from(n).ok()));
    }
    vmids.sort_unstable();
    Ok(vmids)
}

/// Bytes that nobody can foretell.
pub(super) fn random_bytes() -> [u8; 16] {
    let mut bytes = [0; 16];
    let source = File::open("/dev/urandom").and_then(|mut file| file.read_exact(&mut bytes));
    source.expect("Linux has /dev/urandom");
    bytes
}
