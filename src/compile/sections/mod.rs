//! One section of the definitions a file: what the layers of a guest say together → its part of the bundle.

pub(super) mod accounts;
mod address;
mod command;
pub(super) mod databases;
pub(super) mod documents;
pub mod env_file;
pub(super) mod files;
pub(super) mod firewall;
pub(super) mod guest;
pub(super) mod homes;
pub(super) mod hooks;
pub(super) mod identity;
pub(super) mod overlay;
mod place;
pub(super) mod ports;
mod public_key;
pub(super) mod release;
pub(super) mod site;
pub(super) mod sshd;
pub(super) mod units;
