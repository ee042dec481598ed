//! The guest's two seams, failing at call n: before its effect or after it, once or from then on.

use stackc::guest::{
    Alarm, Command, FsError, Guard, GuestFs, Ids, Load, Output, Rules, Stat, Sync, System,
    SystemError, UnitJob, UnitReport,
};
use stackc::model::{Probe, TxId, UnitName};
use std::cell::Cell;
use std::collections::BTreeMap;
use std::io::Read;
use std::ops::Range;
use std::rc::Rc;
use std::time::Duration;

/// When calls fail; shared by both seams, so that n counts over both.
#[derive(Debug, Clone)]
pub struct Fault {
    pub calls_left: Rc<Cell<usize>>,
    pub after_effect: bool,
    /// Every later call fails too: a dead disk.
    pub lasting: bool,
    pub struck: Rc<Cell<bool>>,
}

impl Fault {
    pub fn at(call: usize, after_effect: bool, lasting: bool) -> Self {
        let (calls_left, struck) = (Rc::new(Cell::new(call)), Rc::default());
        Self { calls_left, after_effect, lasting, struck }
    }

    fn strikes(&self) -> bool {
        if self.lasting && self.struck.get() {
            return true;
        }
        let left = self.calls_left.get();
        self.calls_left.set(left.saturating_sub(1));
        if left == 1 {
            self.struck.set(true);
        }
        left == 1
    }
}

/// Wraps a seam and fails as told.
#[derive(Debug)]
pub struct Faulty<T> {
    pub inner: T,
    pub fault: Fault,
}

impl<T> Faulty<T> {
    fn effect<R, E>(
        &mut self,
        error: impl FnOnce() -> E,
        call: impl FnOnce(&mut T) -> Result<R, E>,
    ) -> Result<R, E> {
        if !self.fault.strikes() {
            return call(&mut self.inner);
        }
        if self.fault.after_effect {
            call(&mut self.inner)?;
        }
        Err(error())
    }
}

fn fs_error(path: &str) -> FsError {
    let cause = std::io::Error::other("a fault of the test");
    FsError { verb: "reach", path: path.to_owned(), cause }
}

fn system_error() -> SystemError {
    let (command, ending) = ("something".to_owned(), "a fault of the test".to_owned());
    SystemError::Failed { command, ending, tail: Vec::new() }
}

impl<T: GuestFs> GuestFs for Faulty<T> {
    fn stat(&mut self, path: &str) -> Result<Option<Stat>, FsError> {
        self.effect(|| fs_error(path), |fs| fs.stat(path))
    }
    fn read(&mut self, path: &str) -> Result<Vec<u8>, FsError> {
        self.effect(|| fs_error(path), |fs| fs.read(path))
    }
    fn read_link(&mut self, path: &str) -> Result<String, FsError> {
        self.effect(|| fs_error(path), |fs| fs.read_link(path))
    }
    fn list(&mut self, path: &str) -> Result<Vec<String>, FsError> {
        self.effect(|| fs_error(path), |fs| fs.list(path))
    }
    fn list_text(&mut self, path: &str) -> Result<(Vec<String>, bool), FsError> {
        self.effect(|| fs_error(path), |fs| fs.list_text(path))
    }
    fn remove_unnamed(&mut self, path: &str) -> Result<(), FsError> {
        self.effect(|| fs_error(path), |fs| fs.remove_unnamed(path))
    }
    fn write(
        &mut self,
        path: &str,
        bytes: &mut dyn Read,
        mode: u32,
        sync: Sync,
    ) -> Result<(), FsError> {
        self.effect(|| fs_error(path), |fs| fs.write(path, bytes, mode, sync))
    }
    fn symlink(&mut self, target: &str, path: &str) -> Result<(), FsError> {
        self.effect(|| fs_error(path), |fs| fs.symlink(target, path))
    }
    fn link(&mut self, from: &str, to: &str) -> Result<bool, FsError> {
        self.effect(|| fs_error(to), |fs| fs.link(from, to))
    }
    fn rename(&mut self, from: &str, to: &str) -> Result<(), FsError> {
        self.effect(|| fs_error(to), |fs| fs.rename(from, to))
    }
    fn exchange(&mut self, left: &str, right: &str) -> Result<(), FsError> {
        self.effect(|| fs_error(right), |fs| fs.exchange(left, right))
    }
    fn remove(&mut self, path: &str) -> Result<(), FsError> {
        self.effect(|| fs_error(path), |fs| fs.remove(path))
    }
    fn mkdir(&mut self, path: &str, mode: u32) -> Result<(), FsError> {
        self.effect(|| fs_error(path), |fs| fs.mkdir(path, mode))
    }
    fn set_access(&mut self, path: &str, access: Ids) -> Result<(), FsError> {
        self.effect(|| fs_error(path), |fs| fs.set_access(path, access))
    }
    fn sync_dir(&mut self, path: &str) -> Result<(), FsError> {
        self.effect(|| fs_error(path), |fs| fs.sync_dir(path))
    }
    fn sync_all(&mut self, path: &str) -> Result<(), FsError> {
        self.effect(|| fs_error(path), |fs| fs.sync_all(path))
    }
    fn free_bytes(&mut self, path: &str) -> Result<u64, FsError> {
        self.effect(|| fs_error(path), |fs| fs.free_bytes(path))
    }
    fn lock(&mut self, path: &str) -> Result<Option<Guard>, FsError> {
        self.effect(|| fs_error(path), |fs| fs.lock(path))
    }
}

impl<T: System> System for Faulty<T> {
    fn boot_id(&mut self) -> Result<String, SystemError> {
        self.effect(system_error, T::boot_id)
    }
    fn uptime(&mut self) -> Duration {
        self.inner.uptime()
    }
    /// Time does not pass: what waits, waits in vain.
    fn sleep(&mut self, _time: Duration) {}
    fn is_going_down(&mut self) -> bool {
        self.inner.is_going_down()
    }
    fn units(&mut self, names: &[UnitName]) -> Result<BTreeMap<UnitName, UnitReport>, SystemError> {
        self.effect(system_error, |system| system.units(names))
    }
    fn job(&mut self, job: UnitJob, unit: &UnitName) -> Result<(), SystemError> {
        self.effect(system_error, |system| system.job(job, unit))
    }
    fn daemon_reload(&mut self) -> Result<(), SystemError> {
        self.effect(system_error, T::daemon_reload)
    }
    fn journal(&mut self, unit: &UnitName, during: &Range<Duration>) -> Vec<String> {
        self.inner.journal(unit, during)
    }
    fn arm(&mut self, tx: &TxId, alarm: Alarm, after: Duration) -> Result<(), SystemError> {
        self.effect(system_error, |system| system.arm(tx, alarm, after))
    }
    fn disarm(&mut self, tx: &TxId) -> Result<(), SystemError> {
        self.effect(system_error, |system| system.disarm(tx))
    }
    fn start_switch(&mut self, tx: &TxId) -> Result<(), SystemError> {
        self.effect(system_error, |system| system.start_switch(tx))
    }
    fn end_switch(&mut self, tx: &TxId) -> Result<(), SystemError> {
        self.effect(system_error, |system| system.end_switch(tx))
    }
    fn save_firewall(&mut self) -> Result<Rules, SystemError> {
        self.effect(system_error, T::save_firewall)
    }
    fn load_firewall(&mut self, rules: &Rules, load: Load) -> Result<(), SystemError> {
        self.effect(system_error, |system| system.load_firewall(rules, load))
    }
    fn set_ufw(&mut self, enabled: bool) -> Result<(), SystemError> {
        self.effect(system_error, |system| system.set_ufw(enabled))
    }
    fn ufw_frame6(&mut self) -> Result<String, SystemError> {
        self.effect(system_error, T::ufw_frame6)
    }
    fn run_aloud(
        &mut self,
        command: &Command,
        said: &mut dyn FnMut(&str),
    ) -> Result<Output, SystemError> {
        self.effect(system_error, |system| system.run_aloud(command, said))
    }
    fn end_all_in(&mut self, folder: &str) -> Result<(), SystemError> {
        self.effect(system_error, |system| system.end_all_in(folder))
    }
    fn program(&mut self) -> Result<String, SystemError> {
        self.inner.program()
    }
    fn probe(&mut self, probe: &Probe) -> Result<(), String> {
        self.inner.probe(probe)
    }
}
