//! `man`: the manual, made from the same words as `--help`.

use super::output;
use std::process::ExitCode;

/// Print the manual page of stackc, or of a verb: `stackc man activate | man -l -`
#[derive(Debug, clap::Args)]
pub struct ManArgs {
    verb: Option<String>,
}

pub fn run(args: &ManArgs, mut command: clap::Command) -> ExitCode {
    command.build();
    let wanted = match &args.verb {
        None => Some(command),
        Some(verb) => command.find_subcommand(verb).cloned(),
    };
    let Some(wanted) = wanted else {
        output::tell("error: there is no such verb; `stackc --help` lists them\n");
        return ExitCode::from(output::USAGE);
    };
    let mut page = Vec::new();
    match clap_mangen::Man::new(wanted).render(&mut page) {
        Ok(()) => output::print(&String::from_utf8_lossy(&page)),
        Err(error) => return output::fail(&error, output::REFUSED),
    }
    ExitCode::SUCCESS
}
