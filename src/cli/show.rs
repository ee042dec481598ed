//! `stackc show`: a bundle as a person reads it.

use super::{
    output::{self, Format},
    workspace::{self, Workspace},
};
use crate::compile::text;
use serde_json::json;
use std::process::ExitCode;

/// Print what a guest's definitions compile to
#[derive(Debug, clap::Args)]
pub struct ShowArgs {
    /// project/env
    target: String,
    /// Only the files whose path contains this text
    #[arg(long, value_name = "TEXT")]
    file: Option<String>,
    /// One JSON document instead of text
    #[arg(long)]
    json: bool,
}

pub fn run(args: &ShowArgs, workspace: &Workspace) -> ExitCode {
    show(args, workspace).unwrap_or_else(|code| code)
}

fn show(args: &ShowArgs, workspace: &Workspace) -> Result<ExitCode, ExitCode> {
    let compiled = workspace.compile(Format::of(args.json))?;
    let target = workspace::select_one(&args.target, &workspace::tags(&compiled.guests))?;
    let bundle = &compiled.guests[&target];
    let mut files = text::files(bundle);
    if let Some(wanted) = &args.file {
        files.retain(|path, _| path.contains(wanted.as_str()));
    }
    if args.json {
        output::print_json(&json!({
            "target": target.to_string(),
            "digest": bundle.digest,
            "payload": bundle.manifest.payload,
            "secrets": bundle.manifest.secrets(),
            "files": files,
        }));
    } else {
        output::print(&format!("{target}  {}\n\n{}", bundle.digest, text::listing(&files)));
    }
    Ok(ExitCode::SUCCESS)
}
