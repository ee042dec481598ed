//! `stackc show`: a bundle as a person reads it.

use super::{
    output::{self, Format},
    which::{self, Which},
    workspace::Workspace,
};
use crate::{compile::text, model::Target, plan::difference};
use serde_json::json;
use std::{collections::BTreeMap, process::ExitCode};

/// How alike a part of a path is to what was asked for, from 0 to 1, when it may have been meant.
const NEAR: f64 = 0.8;
/// As many of them as are read at a glance.
const NEAR_SHOWN: usize = 3;

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
        if !files.keys().any(|path| path.contains(wanted.as_str())) {
            return Err(tell_none(target, wanted, &files));
        }
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

fn tell_none(target: &Target, wanted: &str, files: &BTreeMap<String, String>) -> ExitCode {
    let near = near(wanted, files);
    let help = match near.as_slice() {
        [] => format!("`stackc show {target}` shows all of its {} files", files.len()),
        near => format!("near are {}", near.join(", ")),
    };
    output::tell(&format!(
        "error: no file of {target} has `{wanted}` in its path\n  help: {help}\n"
    ));
    ExitCode::from(output::Exit::Usage.code())
}

/// Paths that may have been meant, the most alike first.
fn near<'a>(wanted: &str, files: &'a BTreeMap<String, String>) -> Vec<&'a str> {
    let wanted = wanted.to_lowercase();
    let likeness = |path: &str| {
        let parts = path.split('/').chain([path]);
        parts.map(|part| strsim::jaro_winkler(&wanted, &part.to_lowercase())).fold(0.0, f64::max)
    };
    let all = files.keys().map(|path| (likeness(path), path.as_str()));
    let mut near: Vec<_> = all.filter(|(likeness, _)| *likeness >= NEAR).collect();
    near.sort_by(|(one, _), (two, _)| two.total_cmp(one));
    near.into_iter().take(NEAR_SHOWN).map(|(_, path)| path).collect()
}
