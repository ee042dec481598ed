//! Every test of the project that is not beside its code: one binary.
#![expect(clippy::disallowed_methods, reason = "tests make and read real files and processes")]

mod activate_lab;
mod example_apps;
mod fences;
mod fences_dependencies;
mod fences_docs;
mod fences_secrets;
mod fixture_lab;
mod guest_fixture;
mod guest_kills;
mod guest_life;
mod guest_real;
mod handmade;
mod lab;
mod plan;
mod tree;
mod vault;
mod workspace;
