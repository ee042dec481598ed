//! Every test of the project that is not beside its code: one binary.
#![expect(clippy::disallowed_methods, reason = "tests make and read real files and processes")]
#![expect(clippy::print_stderr, reason = "a test that cannot run here says so")]

mod activate_cli;
mod activate_faults;
mod activate_lab;
mod compile;
mod compile_cli;
mod compile_git;
mod compile_hostile;
mod compile_laws;
mod cut_proxy;
mod demo;
mod example_apps;
mod fake;
mod faults_judge;
mod faults_network;
mod faults_operator;
mod faults_process;
mod faults_silence;
mod faults_tally;
mod faults_tiny;
mod faults_workspace;
mod fences;
mod fences_dependencies;
mod fences_docs;
mod fences_secrets;
mod fixture_lab;
mod guest_bundle;
mod guest_faults;
mod guest_fixture;
mod guest_kills;
mod guest_kills_beside;
mod guest_life;
mod guest_prepare;
mod guest_real;
mod handmade;
mod kill_points;
mod lab;
mod plan;
mod plan_units;
mod proxmox_client;
mod reach_cli;
mod reach_lab;
mod tree;
mod vault;
mod workspace;
