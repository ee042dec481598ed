//! The running side of a guest that is only a folder (`--root DIR`): it remembers what a service manager and a kernel
//! would know in `DIR/run/stackc/system.json`, so that store, journal, switch, undo and recovery run as they are.

use super::fs::{FsError, GuestFs, mkdir_all, replace, text};
use super::real_fs::RealFs;
use super::system::{
    Alarm, Command, Load, Output, Rules, System, SystemError, UnitJob, UnitReport,
};
use super::{child, probe};
use crate::model::{Probe, TxId, UnitName, layout};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

/// Below `/run`, which a booting guest empties: a folder "reboots" when this folder is removed.
const FOLDER: &str = "/run/stackc";
const STATE: &str = "/run/stackc/system.json";
/// What stands here for the rules of ufw's own that hook its chains.
const FRAME: &str = "*filter\n:INPUT DROP [0:0]\n-A INPUT -j ufw-before-input\nCOMMIT\n";
const FRAME6: &str = "*filter\n:INPUT DROP [0:0]\n-A INPUT -j ufw6-before-input\nCOMMIT\n";
/// The same where IPv6 is not filtered.
const SHUT6: &str = "*filter\n:INPUT DROP [0:0]\n:OUTPUT DROP [0:0]\nCOMMIT\n";

/// What the folder's service manager and kernel remember.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct State {
    pub boot_id: String,
    /// Nothing starts by itself: switches and alarms are only noted here.
    #[serde(default)]
    pub manual: bool,
    #[serde(default)]
    pub units: BTreeMap<UnitName, UnitReport>,
    /// Units whose next starts fail.
    #[serde(default)]
    pub failing: BTreeSet<UnitName>,
    /// Units that end only when they are killed.
    #[serde(default)]
    pub deaf: BTreeSet<UnitName>,
    /// The folder is being "shut down".
    #[serde(default)]
    pub going_down: bool,
    #[serde(default)]
    pub rules: Rules,
    #[serde(default)]
    pub alarms: BTreeSet<String>,
    /// Every alarm that was asked for since the folder "booted", with after how many seconds it is to ring.
    #[serde(default)]
    pub asked: Vec<String>,
    /// Every job since the folder "booted", in order.
    #[serde(default)]
    pub jobs: Vec<String>,
}

impl State {
    /// What the service manager says of these units.
    pub fn reports(&self, names: &[UnitName]) -> BTreeMap<UnitName, UnitReport> {
        let report = |name: &UnitName| self.units.get(name).cloned().unwrap_or_default();
        let runs =
            |report: &UnitReport| !matches!(report.active.as_str(), "" | "inactive" | "failed");
        let instances = self.units.iter().filter(|(name, report)| {
            runs(report) && name.template().is_some_and(|template| names.contains(&template))
        });
        let instances = instances.map(|(name, _)| name);
        names.iter().chain(instances).map(|name| (name.clone(), report(name))).collect()
    }

    /// Runs one job: it is noted, and fails when the unit is one that fails.
    pub fn job(&mut self, job: UnitJob, unit: &UnitName) -> Result<(), SystemError> {
        let ends = matches!(job, UnitJob::Stop | UnitJob::StopLater | UnitJob::Kill);
        let refused = self.refuses(job, unit);
        let hangs = self.hangs(job, unit);
        let fails = match job {
            UnitJob::Kill => !self.deaf.remove(unit),
            _ => hangs || (!ends && (self.failing.contains(unit) || refused)),
        };
        let active = match (ends, fails) {
            _ if hangs => "deactivating",
            (true, true) | (false, false) => "active",
            (false, true) => "failed",
            (true, false) => "inactive",
        };
        let report = UnitReport {
            load: "loaded".to_owned(),
            active: active.to_owned(),
            stopped: job == UnitJob::Stop,
            ..UnitReport::default()
        };
        // What cannot be reloaded goes on as it is.
        if !refused || job != UnitJob::Reload {
            self.units.insert(unit.clone(), report);
        }
        let command = format!("{job:?} {unit}").to_lowercase();
        self.jobs.push(command.clone());
        if fails {
            let ending = "the unit is one that fails here".to_owned();
            return Err(SystemError::Failed { command, ending, tail: Vec::new() });
        }
        Ok(())
    }

    /// Whether a job waits for the end of a unit that does not end.
    fn hangs(&self, job: UnitJob, unit: &UnitName) -> bool {
        let is_ending = self.units.get(unit).is_some_and(UnitReport::is_ending);
        let waits = match job {
            UnitJob::Stop | UnitJob::StopLater | UnitJob::Restart => true,
            UnitJob::Start | UnitJob::StartLater | UnitJob::Reload => is_ending,
            UnitJob::Kill => false,
        };
        waits && self.deaf.contains(unit)
    }

    /// What a service manager does for no socket: it has nothing to reload, and does not start while its service runs.
    fn refuses(&self, job: UnitJob, unit: &UnitName) -> bool {
        let Some(stem) = unit.as_str().strip_suffix(".socket") else { return false };
        let is_its = |name: &UnitName| name.as_str().strip_suffix(".service") == Some(stem);
        let runs = self.units.iter().any(|(name, report)| is_its(name) && report.is_active());
        let listens = self.units.get(unit).is_some_and(UnitReport::is_active);
        match job {
            UnitJob::Reload => true,
            UnitJob::Restart => runs,
            UnitJob::Start | UnitJob::StartLater => runs && !listens,
            UnitJob::Stop | UnitJob::StopLater | UnitJob::Kill => false,
        }
    }

    /// Sets an alarm; false when it is set already.
    pub fn arm(&mut self, tx: &TxId, alarm: Alarm, after: Duration) -> bool {
        self.asked.push(format!("{tx} {} {}", alarm.name(), after.as_secs()));
        self.alarms.insert(format!("{tx} {}", alarm.name()))
    }

    pub fn disarm(&mut self, tx: &TxId) {
        self.alarms.retain(|alarm| !alarm.starts_with(tx.as_str()));
    }

    /// Loads rules into the kernel: chains are added to the frame, tables replace it. A family without any stays.
    pub fn load_firewall(&mut self, rules: &Rules, load: Load) {
        let families =
            [(&mut self.rules.v4, &rules.v4, FRAME), (&mut self.rules.v6, &rules.v6, FRAME6)];
        for (kernel, text, frame) in families.into_iter().filter(|(_, text, _)| !text.is_empty()) {
            *kernel = if load == Load::Chains { format!("{text}{frame}") } else { text.clone() };
        }
    }

    /// Loads the frame that ufw makes of its files, or takes it out of the kernel.
    pub fn set_ufw(&mut self, frame: Option<Rules>) {
        self.rules = frame.unwrap_or_default();
    }

    /// ufw's frame with the rules of its files.
    pub fn ufw_frame(fs: &mut dyn GuestFs) -> Result<Rules, FsError> {
        let mut read =
            |path| fs.read(path).map(|bytes| String::from_utf8_lossy(&bytes).into_owned());
        let (v4, v6) = (read(layout::USER_RULES)?, read(layout::USER6_RULES)?);
        let filters_ipv6 = !text(fs, layout::UFW_DEFAULTS)?.contains("IPV6=no");
        let v6 = if filters_ipv6 { v6 + FRAME6 } else { SHUT6.to_owned() };
        Ok(Rules { v4: v4 + FRAME, v6 })
    }
}

/// A folder as a guest.
#[derive(Debug)]
pub struct Offline {
    root: PathBuf,
    fs: RealFs,
}

impl Offline {
    pub fn open(root: &Path) -> Result<Self, SystemError> {
        Ok(Self { root: root.to_owned(), fs: RealFs::open(root)? })
    }

    /// What is remembered; a fresh boot when nothing is.
    pub fn state(&mut self) -> Result<State, SystemError> {
        if self.fs.stat(STATE)?.is_some() {
            return Ok(serde_json::from_slice(&self.fs.read(STATE)?)?);
        }
        let boot_id = RealFs::open(Path::new("/"))?.read("/proc/sys/kernel/random/uuid")?;
        let boot_id = String::from_utf8_lossy(&boot_id).trim().to_owned();
        let state = State { boot_id, ..State::default() };
        self.keep(&state)?;
        Ok(state)
    }

    pub fn keep(&mut self, state: &State) -> Result<(), SystemError> {
        mkdir_all(&mut self.fs, FOLDER, 0o755)?;
        Ok(replace(&mut self.fs, STATE, &serde_json::to_vec(state)?, 0o644)?)
    }

    fn change(&mut self, change: impl FnOnce(&mut State)) -> Result<(), SystemError> {
        let mut state = self.state()?;
        change(&mut state);
        self.keep(&state)
    }

    fn below(&self, path: &str) -> PathBuf {
        self.root.join(path.trim_start_matches('/'))
    }

    /// The folder's own program that a command names, by its path or in the command's `PATH`.
    fn find(&mut self, command: &Command) -> Result<String, SystemError> {
        let program = command.argv.first().cloned().unwrap_or_default();
        let path = command.environment.get("PATH").filter(|_| !program.starts_with('/'));
        let folders = path.map_or("", String::as_str);
        for folder in folders.split(':') {
            let there = format!("{folder}/{}", program.trim_start_matches('/'));
            if self.fs.stat(&there)?.is_some() {
                return Ok(there);
            }
        }
        Err(SystemError::NoSystem { program })
    }

    /// Runs this very program once more, apart from us.
    fn detach(&mut self, words: &[&str]) -> Result<(), SystemError> {
        let spawn = std::env::current_exe().and_then(|program| {
            use std::os::unix::process::CommandExt;
            let mut child = std::process::Command::new(program);
            child.arg("--root").arg(&self.root).args(words).process_group(0);
            child.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).spawn()
        });
        let program = words.join(" ");
        spawn.map(drop).map_err(|cause| SystemError::Spawn { program, cause })
    }
}

impl System for Offline {
    fn boot_id(&mut self) -> Result<String, SystemError> {
        Ok(self.state()?.boot_id)
    }

    fn uptime(&mut self) -> Duration {
        super::debian::uptime()
    }

    fn sleep(&mut self, time: Duration) {
        std::thread::sleep(time);
    }

    fn is_going_down(&mut self) -> bool {
        self.state().is_ok_and(|state| state.going_down)
    }

    fn units(&mut self, names: &[UnitName]) -> Result<BTreeMap<UnitName, UnitReport>, SystemError> {
        Ok(self.state()?.reports(names))
    }

    fn job(&mut self, job: UnitJob, unit: &UnitName) -> Result<(), SystemError> {
        let mut state = self.state()?;
        let done = state.job(job, unit);
        self.keep(&state)?;
        done
    }

    fn daemon_reload(&mut self) -> Result<(), SystemError> {
        self.change(|state| state.jobs.push("daemon-reload".to_owned()))
    }

    fn journal(&mut self, _unit: &UnitName, _during: &Range<Duration>) -> Vec<String> {
        Vec::new()
    }

    fn arm(&mut self, tx: &TxId, alarm: Alarm, after: Duration) -> Result<(), SystemError> {
        let mut state = self.state()?;
        let fresh = state.arm(tx, alarm, after);
        self.keep(&state)?;
        if state.manual || !fresh {
            return Ok(());
        }
        self.detach(&[alarm.verb(), tx.as_str(), &after.as_millis().to_string()])
    }

    fn disarm(&mut self, tx: &TxId) -> Result<(), SystemError> {
        self.change(|state| state.disarm(tx))
    }

    fn start_switch(&mut self, tx: &TxId) -> Result<(), SystemError> {
        if self.state()?.manual {
            return Ok(());
        }
        self.detach(&["switch", tx.as_str()])
    }

    fn end_switch(&mut self, _tx: &TxId) -> Result<(), SystemError> {
        Ok(())
    }

    fn save_firewall(&mut self) -> Result<Rules, SystemError> {
        Ok(self.state()?.rules)
    }

    fn load_firewall(&mut self, rules: &Rules, load: Load) -> Result<(), SystemError> {
        if load == Load::Test {
            return Ok(());
        }
        self.change(|state| state.load_firewall(rules, load))
    }

    fn set_ufw(&mut self, enabled: bool) -> Result<(), SystemError> {
        let frame = if enabled { Some(State::ufw_frame(&mut self.fs)?) } else { None };
        self.change(|state| state.set_ufw(frame))
    }

    fn ufw_frame6(&mut self) -> Result<String, SystemError> {
        Ok(State::ufw_frame(&mut self.fs)?.v6)
    }

    /// Only programs that the folder itself has are run, as whoever runs us.
    fn run_aloud(
        &mut self,
        command: &Command,
        said: &mut dyn FnMut(&str),
    ) -> Result<Output, SystemError> {
        let program = self.find(command)?;
        let below = |path: &str| self.below(path).display().to_string();
        let mut inside = Command { user: None, ..command.clone() };
        inside.argv[0] = below(&program);
        inside.folder = command.folder.as_deref().map(below);
        if let Some(mark) = inside.environment.get_mut(child::MARK) {
            *mark = below(mark);
        }
        child::run(&inside, said)
    }

    fn end_all_in(&mut self, folder: &str) -> Result<(), SystemError> {
        child::end_all_in(&self.below(folder))
    }

    fn program(&mut self) -> Result<String, SystemError> {
        super::debian::own_program()
    }

    fn probe(&mut self, probe: &Probe) -> Result<(), String> {
        probe::ask(probe)
    }
}
