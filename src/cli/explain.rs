//! `stackc explain`: which line of which layer said so.

use super::{
    output::{self, Format},
    workspace::{self, Workspace},
};
use crate::compile::{self, Explanation, Key, Line, written};
use serde_json::{Value, json};
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
        .map_err(|error| output::fail(&error, output::Exit::Usage.code()))?;
    if args.json {
        print_json(&explanation);
    } else {
        print_lines(args, &explanation);
    }
    Ok(ExitCode::SUCCESS)
}

fn print_lines(args: &ExplainArgs, explanation: &Explanation) {
    let mut text = match (&explanation.value, explanation.keys.as_slice()) {
        (Value::Null, _) => format!("# {}: taken out\n", args.key),
        (value, []) => format!("{} = {}\n", args.key, written(value)),
        (_, keys) => return output::print(&keys_text(&args.key, keys)),
    };
    let width = explanation.lines.iter().map(|line| line.place.len()).max().unwrap_or(0);
    for line in &explanation.lines {
        let mark = if line.wins { "=>" } else { "  " };
        let (layer, place) = (line.layer, &line.place);
        text.push_str(&format_line(mark, layer, place, width, &written(&line.value)));
    }
    output::print(&text);
}

/// A table as a definition would have it: a key a line, each with who says so.
fn keys_text(table: &str, keys: &[Key]) -> String {
    let line = |Key { name, value, lines }: &Key| {
        let layer = |line: &Line| format!("{} {}", line.layer, line.place);
        // What is taken out has no value; the last that spoke of it did so.
        let is_said = |line: &&Line| line.wins || value.is_none() && lines.last() == Some(*line);
        let (said, over): (Vec<_>, Vec<_>) = lines.iter().partition(is_said);
        let said = said.into_iter().map(layer).collect::<Vec<_>>().join(", ");
        let over = over.into_iter().map(layer).collect::<Vec<_>>().join(", ");
        let over = if over.is_empty() { over } else { format!(", over {over}") };
        match value {
            None => format!("# {table}.{name} is taken out by {said}{over}\n"),
            Some(value) => format!("{table}.{name} = {}  # {said}{over}\n", written(value)),
        }
    };
    keys.iter().map(line).collect()
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
