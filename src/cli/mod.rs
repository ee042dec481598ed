//! One verb per file: parse, call, print.
#![expect(
    clippy::disallowed_methods,
    reason = "the command line reads its environment and becomes other programs"
)]

pub mod build;
pub mod check;
pub mod diff;
pub mod explain;
pub mod lab;
pub mod lock;
pub mod output;
pub mod show;
pub mod workspace;
