//! One verb per file: parse, call, print.
#![expect(
    clippy::disallowed_methods,
    reason = "the command line reads its environment and becomes other programs"
)]

pub mod lab;
