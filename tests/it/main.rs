//! Every test of the project that is not beside its code: one binary.
#![expect(clippy::disallowed_methods, reason = "tests make and read real files and processes")]

mod compile;
mod compile_cli;
mod fences;
