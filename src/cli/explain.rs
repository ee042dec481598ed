//! `stackc explain`: which line of which layer said so.

use super::{
    output::{self, Format},
    workspace::{self, Workspace},
};
use crate::compile::{self, Explanation};
use serde_json::json;
use std::process::ExitCode;

/// Say where a key's value comes from
#[derive(Debug, clap::Args)]
pub struct ExplainArgs {
    /// project/env
    target: String,
    /// Such as `guest.memory_mib` or `env_vars.APP_ENV`
    key: String,
    /// One JSON document instead of text
    #[arg(long)]
    json: bool,
}

pub fn run(args: &ExplainArgs, workspace: &Workspace) -> ExitCode {
    explain(args, workspace).unwrap_or_else(|code| code)
}

fn explain(args: &ExplainArgs, workspace: &Workspace) -> Result<ExitCode, ExitCode> {
    let compiled = workspace.compile(Format::of(args.json))?;
    let target = workspace::select_one(&args.target, &workspace::tags(&compiled.guests))?;
    let explanation = compile::explain(&compiled, &target, &args.key)
        .map_err(|error| output::fail(&error, output::USAGE))?;
    if args.json {
        print_json(&explanation);
    } else {
        print_lines(args, &explanation);
    }
    Ok(ExitCode::SUCCESS)
}

fn print_lines(args: &ExplainArgs, explanation: &Explanation) {
    let mut text = format!("{} = {}\n", args.key, explanation.value);
    let width = explanation.lines.iter().map(|line| line.place.len()).max().unwrap_or(0);
    for line in &explanation.lines {
        let mark = if line.wins { "=>" } else { "  " };
        let (layer, place) = (line.layer, &line.place);
        text.push_str(&format_line(mark, layer, place, width, &line.value.to_string()));
    }
    output::print(&text);
}

fn format_line(mark: &str, layer: &str, place: &str, width: usize, value: &str) -> String {
    format!("{mark} {layer:<7}  {place:<width$}  {value}\n")
}

fn print_json(explanation: &Explanation) {
    let lines = explanation.lines.iter().map(|line| {
        json!({
            "layer": line.layer, "place": line.place, "value": line.value, "wins": line.wins,
        })
    });
    output::print_json(&json!({ "value": explanation.value, "layers": lines.collect::<Vec<_>>() }));
}
