//! What runs on the guest: store, journal, switch, units, firewall, health, recovery.
//!
//! Everything goes through two seams, `GuestFs` and `System`; the very code that switches a production guest runs on a
//! bare folder (`--root`), and with every one of its effects made to fail.
#![expect(clippy::disallowed_methods, reason = "the guest's binary is an effect as a whole")]

mod account;
mod again;
mod before;
mod begin;
mod by_hand;
mod call;
mod cause;
mod child;
mod close;
mod confirm;
mod copies;
mod database;
mod debian;
mod detach;
mod door;
mod down;
mod drift;
mod drop_ins;
mod error;
mod firewall;
mod found;
mod fs;
mod gc;
mod generation;
mod health;
mod hooks;
mod input;
mod job_limit;
mod journal;
pub mod judge;
mod kept;
mod keys;
mod lease;
mod observe;
mod offline;
mod packages;
mod pin;
mod place;
mod probe;
mod raw_tree;
mod real_fs;
mod recover;
mod redact;
mod release;
mod secret_values;
mod secrets;
mod staging;
mod store;
mod sweep;
mod switch;
mod sysctl;
mod system;
mod systemd;
mod sysusers;
mod tree;
mod undo;
mod unit_report;
mod units;
mod unpack;
mod validate;
mod verbs;
mod watch;
mod way_back;

use crate::model::protocol::News;

pub use call::{Answer, answer, run};
pub use debian::Debian;
pub use error::GuestError;
pub use fs::{FsError, Guard, GuestFs, Ids, Kind, Stat, Sync};
pub use offline::{Offline, State};
pub use real_fs::RealFs;
pub use system::{Alarm, Command, Load, Output, Rules, System, SystemError, UnitJob, UnitReport};

/// A guest: its files, what runs on it, and where progress is told.
pub struct Guest<'g> {
    pub fs: &'g mut dyn GuestFs,
    pub system: &'g mut dyn System,
    pub news: &'g mut dyn FnMut(News<'_>),
}
