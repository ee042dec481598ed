//! The operator's binary.

use clap::{CommandFactory as _, FromArgMatches as _};
use stackc::cli;

/// Compiling takes and frees many small pieces on all threads: a third of its time with the C library's allocator.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

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
    Detach(cli::detach::DetachArgs),
    Status(cli::status::StatusArgs),
    History(cli::history::HistoryArgs),
    Drift(cli::drift::DriftArgs),
    Gc(cli::gc::GcArgs),
    Pin(cli::pin::PinArgs),
    Unpin(cli::pin::UnpinArgs),
    /// Real guests on this machine behind a Proxmox-compatible API
    Lab(cli::lab::LabArgs),
    Schema(cli::schema::SchemaArgs),
    Completions(cli::completions::CompletionsArgs),
    Man(cli::man::ManArgs),
}

fn command() -> clap::Command {
    cli::help::complete(Arguments::command())
}

fn main() -> std::process::ExitCode {
    let parsed = Arguments::from_arg_matches(&command().get_matches());
    let Arguments { workspace, verb } = parsed.unwrap_or_else(|error| error.exit());
    let only_prints = !matches!(
        verb,
        Verb::Lock(_)
            | Verb::Activate(_)
            | Verb::Rollback(_)
            | Verb::Detach(_)
            | Verb::Gc(_)
            | Verb::Pin(_)
            | Verb::Unpin(_)
            | Verb::Lab(_)
    );
    let code = match verb {
        Verb::Build(args) => cli::build::run(&args, &workspace),
        Verb::Check(args) => cli::check::run(&args, &workspace),
        Verb::Show(args) => cli::show::run(&args, &workspace),
        Verb::Diff(args) => cli::diff::run(&args, &workspace),
        Verb::Explain(args) => cli::explain::run(&args, &workspace),
        Verb::Lock(args) => cli::lock::run(&args, &workspace),
        Verb::Plan(args) => cli::plan::run(&args, &workspace),
        Verb::Activate(args) => cli::activate::run(&args, &workspace),
        Verb::Rollback(args) => cli::rollback::run(&args, &workspace),
        Verb::Detach(args) => cli::detach::run(&args, &workspace),
        Verb::Status(args) => cli::status::run(&args, &workspace),
        Verb::History(args) => cli::history::run(&args, &workspace),
        Verb::Drift(args) => cli::drift::run(&args, &workspace),
        Verb::Gc(args) => cli::gc::run(&args, &workspace),
        Verb::Pin(args) => cli::pin::run(&args, &workspace),
        Verb::Unpin(args) => cli::pin::run_unpin(&args, &workspace),
        Verb::Lab(args) => cli::lab::run(args),
        Verb::Schema(args) => cli::schema::run(&args),
        Verb::Completions(args) => cli::completions::run(&args, command()),
        Verb::Man(args) => cli::man::run(&args, command()),
    };
    if only_prints { cli::output::printed(code) } else { code }
}

#[cfg(test)]
mod tests {
    use super::{cli::help, command};
    use std::collections::BTreeSet;

    /// A command line as a shell would take it apart, up to a pipe.
    fn words(line: &str) -> Vec<String> {
        let words = line.split_whitespace().take_while(|word| *word != "|");
        words.map(|word| word.trim_matches('\'').to_owned()).collect()
    }

    /// Every verb that help pages list, those of the lab with two words.
    fn verbs() -> Vec<(String, clap::Command)> {
        let shown = |verb: &clap::Command| -> Vec<clap::Command> {
            verb.get_subcommands().filter(|verb| !verb.is_hide_set()).cloned().collect()
        };
        let inner = |verb: &clap::Command| -> Vec<(String, clap::Command)> {
            let name = |inner: &clap::Command| format!("{} {}", verb.get_name(), inner.get_name());
            shown(verb).into_iter().map(|inner| (name(&inner), inner)).collect()
        };
        let outer = shown(&command());
        let all = outer.into_iter().flat_map(|verb| {
            inner(&verb).into_iter().chain([(verb.get_name().to_owned(), verb.clone())])
        });
        all.collect()
    }

    #[test]
    fn every_example_of_a_help_page_is_a_command_that_is_understood() {
        for (_, example) in help::examples() {
            let parsed = command().try_get_matches_from(words(example));
            assert!(parsed.is_ok(), "{example}: {parsed:?}");
        }
    }

    #[test]
    fn every_verb_has_examples_and_its_page_fits_eighty_columns() {
        let have: BTreeSet<&str> = help::examples().map(|(verb, _)| verb).collect();
        for (name, verb) in verbs() {
            assert!(have.contains(name.as_str()), "{name}");
            let end = verb.get_after_help().map(ToString::to_string).unwrap_or_default();
            assert!(end.lines().all(|line| line.chars().count() <= 80), "{end}");
        }
    }
}
