//! `stackc pin` and `stackc unpin`: generations that `gc` leaves alone.

use super::{
    failures::show_failure,
    fleet::{Fleet, generation},
    output::{self, Format},
    reach::{Sought, seek},
    workspace::Workspace,
};
use crate::{
    activate::{Failed, Keeper, pin, who},
    model::{GenerationId, protocol::Done},
};
use std::process::ExitCode;

/// Keep a generation of a guest for good: `stackc gc` leaves it until `stackc unpin`
///
/// It has nothing to do with the pins of stacks/lock.toml, which are commits.
#[derive(Debug, clap::Args)]
pub struct PinArgs {
    /// project/env
    #[arg(value_name = "TARGET")]
    target: String,
    /// A number of `stackc history`
    #[arg(value_name = "GENERATION", value_parser = generation)]
    generation: GenerationId,
}

/// Let `stackc gc` collect a generation again that `stackc pin` kept
#[derive(Debug, clap::Args)]
pub struct UnpinArgs {
    /// project/env
    #[arg(value_name = "TARGET")]
    target: String,
    /// A number of `stackc history`
    #[arg(value_name = "GENERATION", value_parser = generation)]
    generation: GenerationId,
}

pub fn run(args: &PinArgs, workspace: &Workspace) -> ExitCode {
    set(&args.target, args.generation, true, workspace).unwrap_or_else(|code| code)
}

pub fn run_unpin(args: &UnpinArgs, workspace: &Workspace) -> ExitCode {
    set(&args.target, args.generation, false, workspace).unwrap_or_else(|code| code)
}

fn set(
    target: &str,
    number: GenerationId,
    pinned: bool,
    workspace: &Workspace,
) -> Result<ExitCode, ExitCode> {
    let fleet = Fleet::open(workspace, &workspace.site(Format::Text)?)?;
    let sought = seek(&fleet, workspace, &[target.to_owned()])?;
    let [sought] = &sought[..] else {
        return Err(output::usage("a generation is one guest's: name one"));
    };
    fleet.change();
    match ask(&fleet, sought, number, pinned) {
        Ok(done) => {
            output::print(&told(sought, number, pinned, done));
            Ok(ExitCode::SUCCESS)
        }
        Err(failed) => Err(fleet.ended(show_failure(&sought.target, &failed))),
    }
}

fn ask(fleet: &Fleet, sought: &Sought, number: GenerationId, pinned: bool) -> Result<Done, Failed> {
    let keeper = Keeper { target: sought.target.clone(), who: who(), keep: 0, packages: false };
    pin(&keeper, &mut sought.look(fleet)?, number, pinned)
}

fn told(sought: &Sought, number: GenerationId, pinned: bool, done: Done) -> String {
    let state = match (pinned, done.already) {
        (true, false) => "is pinned: `stackc gc` keeps it",
        (true, true) => "was pinned already",
        (false, false) => "is no longer pinned",
        (false, true) => "was not pinned",
    };
    format!("✓ {}  generation {number} {state}\n", sought.target)
}
