//! One section of the definitions a file: what the layers of a guest say together → its part of the bundle.

pub(super) mod accounts;
mod address;
pub(super) mod apt;
mod base64;
mod command;
pub(super) mod databases;
pub mod env_file;
pub(super) mod files;
pub(super) mod firewall;
pub(super) mod guest;
pub(super) mod health;
pub(super) mod homes;
pub(super) mod hooks;
pub(super) mod identity;
pub(super) mod log_rotation;
pub(super) mod logins;
pub(super) mod overlay;
pub(super) mod owners;
mod pgp;
mod place;
pub(super) mod ports;
pub(super) mod release;
pub(super) mod site;
mod ssh_keys;
pub(super) mod system;
pub mod units;
