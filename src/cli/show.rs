//! `stackc show`: a bundle as a person reads it.

use super::{
    output::{self, Format},
    which::{self, Which},
    workspace::Workspace,
};
use crate::{compile::text, plan::difference};
use serde_json::json;
use std::process::ExitCode;

/// Print what a guest's definitions compile to, or a bundle that was built before
#[derive(Debug, clap::Args)]
pub struct ShowArgs {
    /// project/env, or the beginning of a digest in out/store
    #[arg(value_name = "TARGET|DIGEST")]
    which: Which,
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
    let [bundle] = which::bundles([&args.which], workspace, Format::of(args.json))?;
    let target = &bundle.manifest.target;
    let mut files = text::files(&bundle);
    files.extend(text::proxmox_calls(&bundle).map(|calls| (text::CALLS.to_owned(), calls)));
    if let Some(wanted) = &args.file {
        files.retain(|path, _| path.contains(wanted.as_str()));
    }
    if args.json {
        output::print_json(&json!({
            "target": target.to_string(),
            "digest": bundle.digest,
            "payload": bundle.manifest.payload,
            "secrets": difference::secrets(&bundle),
            "files": files,
        }));
    } else {
        let listing = text::listing(&files);
        output::print(&format!("{target}  {}\n\n{}", bundle.digest, difference::visible(&listing)));
    }
    Ok(ExitCode::SUCCESS)
}
