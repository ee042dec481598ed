#![doc = include_str!("ARCHITECTURE.md")]

pub mod model;

#[cfg(feature = "operator")]
pub mod compile;
#[cfg(feature = "operator")]
pub mod plan;

pub mod guest;
#[cfg(feature = "operator")]
pub mod proxmox;
#[cfg(feature = "operator")]
pub mod remote;
#[cfg(feature = "operator")]
pub mod store;
#[cfg(feature = "operator")]
pub mod vault;

#[cfg(feature = "operator")]
pub mod activate;
#[cfg(feature = "operator")]
pub mod lab;

#[cfg(feature = "operator")]
pub mod cli;
