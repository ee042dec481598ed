//! `man`: the manual, made from the same words as `--help`.

use super::output;
use std::process::ExitCode;

/// Print the manual page of stackc, or of a verb
#[derive(Debug, clap::Args)]
pub struct ManArgs {
    /// A verb, or two words for one of the lab; without it the first page
    verb: Vec<String>,
}

pub fn run(args: &ManArgs, mut command: clap::Command) -> ExitCode {
    command.build();
    let find = |command: clap::Command, verb: &String| command.find_subcommand(verb).cloned();
    let wanted = args.verb.iter().try_fold(command, find);
    let Some(wanted) = wanted else {
        output::tell("error: there is no such verb; `stackc --help` lists them\n");
        return ExitCode::from(output::Exit::Usage.code());
    };
    let mut page = Vec::new();
    match clap_mangen::Man::new(wanted).render(&mut page) {
        Ok(()) => output::print(&String::from_utf8_lossy(&page)),
        Err(error) => return output::fail(&error, output::Exit::Refused.code()),
    }
    ExitCode::SUCCESS
}
