//! One verb per file: parse, call, print.
#![expect(
    clippy::disallowed_methods,
    reason = "the command line reads its environment and becomes other programs"
)]

pub mod activate;
pub mod build;
pub mod check;
pub mod compared;
pub mod completions;
pub mod demo;
pub mod detach;
pub mod diff;
pub mod drift;
pub mod explain;
pub mod failures;
pub mod fleet;
pub mod gc;
pub mod help;
pub mod history;
pub mod interrupts;
pub mod lab;
pub mod lab_workspace;
pub mod lock;
pub mod look;
pub mod man;
pub mod output;
pub mod pin;
pub mod plan;
pub mod progress;
pub mod reach;
mod review;
pub mod rollback;
mod saved_plan;
pub mod schema;
mod secret_line;
pub mod show;
pub mod status;
mod tools;
pub mod which;
pub mod workspace;
