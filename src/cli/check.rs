//! `stackc check`: only the mistakes.

use super::{
    output::{self, Format},
    workspace::{self, Workspace},
};
use crate::compile::Report;
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
            let warnings = compiled.warnings.as_ref().map_or_else(Vec::new, Report::told);
            output::print_json(&json!({
                "guests": compiled.guests.len(), "mistakes": [], "warnings": warnings,
            }));
            ExitCode::SUCCESS
        }
        Ok(compiled) => {
            workspace::warnings(&compiled, Format::Text);
            let guests = match compiled.guests.len() {
                1 => "1 guest".to_owned(),
                count => format!("{count} guests"),
            };
            output::print(&format!("{guests}, no mistakes\n"));
            ExitCode::SUCCESS
        }
        Err(code) => code,
    }
}
