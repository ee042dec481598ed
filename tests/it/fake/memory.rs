//! What runs on a guest whose files are in memory: a power cut takes all of it.

use super::WeakFs;
use stackc::guest::{
    Alarm, Command, GuestFs as _, Load, Output, Rules, State, Sync, System, SystemError, UnitJob,
    UnitReport,
};
use stackc::model::{Probe, TxId, UnitName, layout};
use std::collections::BTreeMap;
use std::ops::Range;
use std::time::Duration;

/// The one program that runs here. It changes the way in, as hooks may, and none of it is part of a bundle.
pub const HOOK: &str = "/usr/local/sbin/hook";
pub const SSHD: &str = "/etc/ssh/sshd_config";
const HOOKED: &str = "# changed by a hook\n";

/// Service manager, kernel and clock of a guest in memory. Time passes only while something sleeps.
#[derive(Clone)]
pub struct Memory {
    pub state: State,
    pub uptime: Duration,
    fs: WeakFs,
    /// What it was before each change, with how many effects the files had had by then.
    past: Vec<(usize, State)>,
}

impl Memory {
    /// A boot: nothing is known but its number.
    pub fn booted(boot: u32, fs: &WeakFs) -> Self {
        let state = State { boot_id: format!("boot-{boot}"), manual: true, ..State::default() };
        Self { state, uptime: Duration::ZERO, fs: fs.clone(), past: Vec::new() }
    }

    /// The same running side over other files.
    pub fn over(&self, fs: &WeakFs) -> Self {
        Self { state: self.state.clone(), uptime: self.uptime, fs: fs.clone(), past: Vec::new() }
    }

    /// The running side when the files had had so many effects, over other files.
    pub fn after(&self, effects: usize, fs: &WeakFs) -> Self {
        let state = self.past.iter().find(|(count, _)| *count >= effects).map(|(_, state)| state);
        Self { state: state.unwrap_or(&self.state).clone(), ..self.over(fs) }
    }

    fn change(&mut self) -> &mut State {
        self.past.push((self.fs.effects(), self.state.clone()));
        &mut self.state
    }

    /// What a boot starts when recovery is over: the firewall, as ufw's files have it.
    pub fn start_ufw(&mut self) -> Result<(), SystemError> {
        let conf = self.fs.read(layout::UFW_CONF)?;
        let is_enabled = String::from_utf8_lossy(&conf).contains("ENABLED=yes");
        if is_enabled { self.set_ufw(true) } else { Ok(()) }
    }
}

impl System for Memory {
    fn boot_id(&mut self) -> Result<String, SystemError> {
        Ok(self.state.boot_id.clone())
    }

    fn uptime(&mut self) -> Duration {
        self.uptime
    }

    fn sleep(&mut self, time: Duration) {
        self.uptime += time;
    }

    fn is_going_down(&mut self) -> bool {
        self.state.going_down
    }

    fn units(&mut self, names: &[UnitName]) -> Result<BTreeMap<UnitName, UnitReport>, SystemError> {
        Ok(self.state.reports(names))
    }

    fn job(&mut self, job: UnitJob, unit: &UnitName) -> Result<(), SystemError> {
        self.change().job(job, unit)
    }

    fn daemon_reload(&mut self) -> Result<(), SystemError> {
        self.change().jobs.push("daemon-reload".to_owned());
        Ok(())
    }

    fn journal(&mut self, _unit: &UnitName, _during: &Range<Duration>) -> Vec<String> {
        Vec::new()
    }

    fn arm(&mut self, tx: &TxId, alarm: Alarm, after: Duration) -> Result<(), SystemError> {
        if self.change().arm(tx, alarm, after) {
            self.state.jobs.push(format!("arm {}", alarm.name()));
        }
        Ok(())
    }

    fn disarm(&mut self, tx: &TxId) -> Result<(), SystemError> {
        self.change().disarm(tx);
        Ok(())
    }

    /// The tests call `switch` themselves.
    fn start_switch(&mut self, _tx: &TxId) -> Result<(), SystemError> {
        Ok(())
    }

    fn end_switch(&mut self, _tx: &TxId) -> Result<(), SystemError> {
        self.change().jobs.push("end switch".to_owned());
        Ok(())
    }

    fn save_firewall(&mut self) -> Result<Rules, SystemError> {
        Ok(self.state.rules.clone())
    }

    fn load_firewall(&mut self, rules: &Rules, load: Load) -> Result<(), SystemError> {
        if load != Load::Test {
            self.change().load_firewall(rules, load);
        }
        Ok(())
    }

    fn set_ufw(&mut self, enabled: bool) -> Result<(), SystemError> {
        let frame = if enabled { Some(State::ufw_frame(&mut self.fs)?) } else { None };
        self.change().set_ufw(frame);
        Ok(())
    }

    fn ufw_frame6(&mut self) -> Result<String, SystemError> {
        Ok(State::ufw_frame(&mut self.fs)?.v6)
    }

    fn run_aloud(
        &mut self,
        command: &Command,
        _said: &mut dyn FnMut(&str),
    ) -> Result<Output, SystemError> {
        if command.argv != [HOOK] {
            return Err(SystemError::NoSystem { program: command.argv.join(" ") });
        }
        let fresh = format!("{SSHD}.new");
        self.fs.write(&fresh, &mut HOOKED.as_bytes(), 0o644, Sync::Now)?;
        self.fs.rename(&fresh, SSHD)?;
        Ok(Output { code: Some(0), text: String::new() })
    }

    fn end_all_in(&mut self, _folder: &str) -> Result<(), SystemError> {
        Ok(())
    }

    fn program(&mut self) -> Result<String, SystemError> {
        Ok("/usr/local/lib/stackc/stackc-guest".to_owned())
    }

    fn probe(&mut self, _probe: &Probe) -> Result<(), String> {
        Err("nothing listens in memory".to_owned())
    }
}
