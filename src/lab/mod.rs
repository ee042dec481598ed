//! A Proxmox-compatible API on this machine with real guests behind it.
//!
//! `up` builds the base once, makes a bridge and starts a daemon that speaks the Proxmox API on loopback; guests are unprivileged
//! LXC containers, each an overlay over the base. `down` leaves nothing behind but the base. Read first: [`up`], `node`, `container`.
#![expect(clippy::disallowed_methods, reason = "the lab is files, programs and sockets throughout")]

mod api;
mod base;
mod bridge;
mod certificate;
mod config;
mod container;
mod control_groups;
mod daemon;
mod debian;
mod disk;
mod disturb;
mod error;
mod folder;
mod guest_files;
mod interrupts;
mod journal;
mod lifecycle;
mod lxc;
mod network;
mod node;
mod place;
mod power;
mod prerequisites;
mod program;
mod property;
mod schema;
mod state;
pub mod workspace;

pub use daemon::serve;
pub use debian::{Debian, ParseDebianError};
pub use disturb::{cut_network, mend_network, power_cut, start_again, wait_for_ssh};
pub use error::LabError;
pub use folder::{make as make_folder, name_in};
pub use interrupts::{Interrupts, on_interrupts};
pub use lifecycle::{Up, down, remove_base, up};
pub use place::{Lab, LabName, ParseLabNameError, Place};
pub use prerequisites::{check_root, missing_packages};
pub use state::{GuestState, LabState, find, read, ssh_arguments, state};
