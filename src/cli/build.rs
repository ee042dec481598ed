//! `stackc build`: every guest's bundle into `out/`.

use super::{
    output::{self, Format},
    review,
    workspace::{self, Workspace},
};
use crate::{
    model::{Bundle, Target},
    store::{Change, StoreError},
};
use rayon::prelude::*;
use serde_json::json;
use std::{path::PathBuf, process::ExitCode};

/// Compile definitions into bundles; touches no guest, no network
#[derive(Debug, clap::Args)]
pub struct BuildArgs {
    /// project/env, a project, a pattern such as '*/dev', or @tag; all when none is named
    targets: Vec<String>,
    /// One JSON document instead of text
    #[arg(long)]
    json: bool,
    /// Also write one HTML page that shows the fleet and what changed since the last build
    #[arg(long, value_name = "FILE")]
    review: Option<PathBuf>,
}

pub fn run(args: &BuildArgs, workspace: &Workspace) -> ExitCode {
    build(args, workspace).unwrap_or_else(|code| code)
}

fn build(args: &BuildArgs, workspace: &Workspace) -> Result<ExitCode, ExitCode> {
    let compiled = workspace.compile(Format::of(args.json))?;
    workspace::warnings(&compiled, Format::of(args.json));
    let chosen = workspace::select(&args.targets, &workspace::tags(&compiled.guests))?;
    let store = workspace.store()?;
    let guests: Vec<_> =
        compiled.guests.iter().filter(|(target, _)| chosen.contains(target)).collect();
    if let Some(file) = &args.review {
        // Before the links move, so that a page that cannot be written can be asked for again.
        let bundles: Vec<&Bundle> = guests.iter().map(|(_, bundle)| *bundle).collect();
        review::write(file, &store, &bundles)?;
    }
    let keep = |(_, bundle): &(&Target, &Bundle)| workspace::keep(&store, bundle);
    let changes: Result<Vec<Change>, StoreError> = guests.par_iter().map(keep).collect();
    let changes = changes.map_err(|error| output::fail(&error, output::REFUSED))?;
    if guests.is_empty() && !args.json {
        output::tell("no guest to build: no file `stacks/PROJECT.toml` has a table `[envs.ENV]`\n");
    }
    let built = guests.into_iter().zip(changes).map(|((target, bundle), c)| (target, bundle, c));
    if args.json {
        print_json(built);
    } else {
        print_lines(built);
    }
    Ok(ExitCode::SUCCESS)
}

fn word(change: Change) -> &'static str {
    match change {
        Change::New => "new",
        Change::Unchanged => "unchanged",
    }
}

fn print_lines<'a>(built: impl Iterator<Item = (&'a Target, &'a Bundle, Change)>) {
    let built: Vec<_> = built.collect();
    let width = built.iter().map(|(target, ..)| target.to_string().len()).max().unwrap_or(0);
    let line = |(target, bundle, change): &(&Target, &Bundle, Change)| {
        let target = target.to_string();
        format!("{target:<width$}  {}  {}\n", bundle.digest, word(*change))
    };
    output::print(&built.iter().map(line).collect::<String>());
}

fn print_json<'a>(built: impl Iterator<Item = (&'a Target, &'a Bundle, Change)>) {
    let guests = built.map(|(target, bundle, change)| {
        json!({
            "target": target.to_string(),
            "digest": bundle.digest,
            "payload": bundle.manifest.payload,
            "result": word(change),
        })
    });
    output::print_json(&json!({ "guests": guests.collect::<Vec<_>>() }));
}
