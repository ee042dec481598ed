//! The operator's binary.

use clap::Parser as _;
use stackc::cli;

/// Compile app stacks for Proxmox guests into reviewable bundles, switch to them in one step, and go back
#[derive(Debug, clap::Parser)]
#[command(name = "stackc", version)]
struct Arguments {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, clap::Subcommand)]
enum Verb {
    /// Real guests on this machine behind a Proxmox-compatible API
    Lab(cli::lab::LabArgs),
}

fn main() -> std::process::ExitCode {
    match Arguments::parse().verb {
        Verb::Lab(args) => cli::lab::run(args),
    }
}
