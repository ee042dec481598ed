//! What runs on a guest whose files are in memory: a power cut takes all of it.

use super::WeakFs;
use stackc::guest::{
    Alarm, Command, Load, Output, Rules, State, System, SystemError, UnitJob, UnitReport,
};
use stackc::model::{Probe, TxId, UnitName};
use std::collections::BTreeMap;
use std::ops::Range;
use std::time::Duration;

/// Service manager, kernel and clock of a guest in memory. Time passes only while something sleeps.
#[derive(Clone)]
pub struct Memory {
    pub state: State,
    pub uptime: Duration,
    fs: WeakFs,
}

impl Memory {
    /// A boot: nothing is known but its number.
    pub fn booted(boot: u32, fs: &WeakFs) -> Self {
        let state = State { boot_id: format!("boot-{boot}"), manual: true, ..State::default() };
        Self { state, uptime: Duration::ZERO, fs: fs.clone() }
    }

    /// The same running side over other files.
    pub fn over(&self, fs: &WeakFs) -> Self {
        Self { fs: fs.clone(), ..self.clone() }
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
        self.state.job(job, unit)
    }

    fn daemon_reload(&mut self) -> Result<(), SystemError> {
        self.state.jobs.push("daemon-reload".to_owned());
        Ok(())
    }

    fn journal(&mut self, _unit: &UnitName, _during: &Range<Duration>) -> Vec<String> {
        Vec::new()
    }

    fn arm(&mut self, tx: &TxId, alarm: Alarm, after: Duration) -> Result<(), SystemError> {
        if self.state.arm(tx, alarm, after) {
            self.state.jobs.push(format!("arm {}", alarm.name()));
        }
        Ok(())
    }

    fn disarm(&mut self, tx: &TxId) -> Result<(), SystemError> {
        self.state.disarm(tx);
        Ok(())
    }

    /// The tests call `switch` themselves.
    fn start_switch(&mut self, _tx: &TxId) -> Result<(), SystemError> {
        Ok(())
    }

    fn end_switch(&mut self, _tx: &TxId) -> Result<(), SystemError> {
        self.state.jobs.push("end switch".to_owned());
        Ok(())
    }

    fn save_firewall(&mut self) -> Result<Rules, SystemError> {
        Ok(self.state.rules.clone())
    }

    fn load_firewall(&mut self, rules: &Rules, load: Load) -> Result<(), SystemError> {
        if load != Load::Test {
            self.state.load_firewall(rules, load);
        }
        Ok(())
    }

    fn set_ufw(&mut self, enabled: bool) -> Result<(), SystemError> {
        let frame = if enabled { Some(State::ufw_frame(&mut self.fs)?) } else { None };
        self.state.set_ufw(frame);
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
        Err(SystemError::NoSystem { program: command.argv.join(" ") })
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
