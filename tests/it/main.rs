//! Every test of the project that is not beside its code: one binary.
#![expect(clippy::disallowed_methods, reason = "tests make and read real files and processes")]

mod fences;
mod fixture_lab;
mod lab;
