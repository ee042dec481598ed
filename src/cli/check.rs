//! `stackc check`: only the mistakes.

use super::{
    output::{self, Format},
    workspace::Workspace,
};
use serde_json::json;
use std::process::ExitCode;

/// Compile everything and write nothing
#[derive(Debug, clap::Args)]
pub struct CheckArgs {
    /// One JSON document instead of text
    #[arg(long)]
    json: bool,
}

pub fn run(args: &CheckArgs, workspace: &Workspace) -> ExitCode {
    match workspace.compile(Format::of(args.json)) {
        Ok(compiled) if args.json => {
            output::print_json(&json!({ "guests": compiled.guests.len(), "mistakes": [] }));
            ExitCode::SUCCESS
        }
        Ok(compiled) => {
            output::print(&format!("{} guests, no mistakes\n", compiled.guests.len()));
            ExitCode::SUCCESS
        }
        Err(code) => code,
    }
}
