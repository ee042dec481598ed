//! The operator's binary.

use clap::{CommandFactory as _, Parser as _};
use stackc::cli;

/// Compile app stacks for Proxmox guests into reviewable bundles, switch to them in one step, and go back
#[derive(Debug, clap::Parser)]
#[command(name = "stackc", version)]
struct Arguments {
    #[command(flatten)]
    workspace: cli::workspace::Workspace,
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, clap::Subcommand)]
enum Verb {
    Build(cli::build::BuildArgs),
    Check(cli::check::CheckArgs),
    Show(cli::show::ShowArgs),
    Diff(cli::diff::DiffArgs),
    Explain(cli::explain::ExplainArgs),
    Lock(cli::lock::LockArgs),
    Plan(cli::plan::PlanArgs),
    Activate(cli::activate::ActivateArgs),
    Rollback(cli::rollback::RollbackArgs),
    Status(cli::status::StatusArgs),
    History(cli::history::HistoryArgs),
    /// Real guests on this machine behind a Proxmox-compatible API
    Lab(cli::lab::LabArgs),
    Completions(cli::completions::CompletionsArgs),
    Man(cli::man::ManArgs),
}

fn main() -> std::process::ExitCode {
    let Arguments { workspace, verb } = Arguments::parse();
    match verb {
        Verb::Build(args) => cli::build::run(&args, &workspace),
        Verb::Check(args) => cli::check::run(&args, &workspace),
        Verb::Show(args) => cli::show::run(&args, &workspace),
        Verb::Diff(args) => cli::diff::run(&args, &workspace),
        Verb::Explain(args) => cli::explain::run(&args, &workspace),
        Verb::Lock(args) => cli::lock::run(&args, &workspace),
        Verb::Plan(args) => cli::plan::run(&args, &workspace),
        Verb::Activate(args) => cli::activate::run(&args, &workspace),
        Verb::Rollback(args) => cli::rollback::run(&args, &workspace),
        Verb::Status(args) => cli::status::run(&args, &workspace),
        Verb::History(args) => cli::history::run(&args, &workspace),
        Verb::Lab(args) => cli::lab::run(args),
        Verb::Completions(args) => cli::completions::run(&args, Arguments::command()),
        Verb::Man(args) => cli::man::run(&args, Arguments::command()),
    }
}
