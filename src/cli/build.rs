//! `stackc build`: every guest's bundle into `out/`.

use super::{
    look::{Found, look},
    output::{self, Format},
    review,
    workspace::{self, Workspace},
};
use crate::{
    compile::Compiled,
    model::{Bundle, Target},
    store::{Built, BuiltGuest, Change, Store, StoreError},
};
use rayon::prelude::*;
use serde_json::json;
use std::{collections::BTreeSet, path::PathBuf, process::ExitCode};

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
    let format = Format::of(args.json);
    let look = look(workspace, format)?;
    workspace::warnings(&look.built.warnings, format);
    let chosen = workspace::select(&args.targets, &look.tags())?;
    let guests: Vec<_> =
        look.built.guests.iter().filter(|guest| chosen.contains(&guest.target)).collect();
    if guests.is_empty() && !args.json {
        output::tell("no guest to build: no file `stacks/PROJECT.toml` has a table `[envs.ENV]`\n");
    }
    let store = workspace.store()?;
    let gone = gone(args, &store, &look.built)?;
    // When nothing changed since the last build, and what it made is there, nothing is compiled.
    let is_there = |guest: &&BuiltGuest| store.holds(&guest.target, &guest.digest);
    let changes = match look.found {
        Found::Recorded(_) if args.review.is_none() && guests.par_iter().all(is_there) => {
            vec![Change::Unchanged; guests.len()]
        }
        found => {
            let changes = make(args, &store, &guests, (&*found.compiled(format)?, &gone))?;
            store.record(look.sources, &look.built).map_err(refused)?;
            changes
        }
    };
    gone.iter().try_for_each(|target| store.unlink(target)).map_err(refused)?;
    let built = guests.into_iter().zip(changes);
    if args.json {
        print_json(built, &gone);
    } else {
        print_lines(built);
        let line = |target| format!("{target}  {}\n", review::GONE_GUEST);
        output::print(&gone.iter().map(line).collect::<String>());
    }
    Ok(ExitCode::SUCCESS)
}

/// What was built here and is not defined any more. A build of chosen guests leaves the others alone.
fn gone(args: &BuildArgs, store: &Store, built: &Built) -> Result<Vec<Target>, ExitCode> {
    if !args.targets.is_empty() {
        return Ok(Vec::new());
    }
    let defined: BTreeSet<_> = built.guests.iter().map(|guest| &guest.target).collect();
    let gone = store.built_beside(|target| defined.contains(target)).map_err(refused)?;
    Ok(gone.into_keys().collect())
}

/// Makes what is not there yet.
fn make(
    args: &BuildArgs,
    store: &Store,
    guests: &[&BuiltGuest],
    (compiled, gone): (&Compiled, &[Target]),
) -> Result<Vec<Change>, ExitCode> {
    let bundles: Vec<&Bundle> =
        guests.iter().map(|guest| &compiled.guests[&guest.target]).collect();
    if let Some(file) = &args.review {
        // Before the links move, so that a page that cannot be written can be asked for again.
        review::write(file, store, &bundles, gone)?;
    }
    let keep = |bundle: &&Bundle| workspace::keep(store, bundle);
    let changes: Result<Vec<Change>, StoreError> = bundles.par_iter().map(keep).collect();
    changes.map_err(refused)
}

#[expect(clippy::needless_pass_by_value, reason = "what `map_err` takes")]
fn refused(error: StoreError) -> ExitCode {
    output::fail(&error, output::Exit::Refused.code())
}

fn word(change: Change) -> &'static str {
    match change {
        Change::New => "new",
        Change::Unchanged => "unchanged",
    }
}

fn print_lines<'a>(built: impl Iterator<Item = (&'a BuiltGuest, Change)>) {
    let built: Vec<_> = built.collect();
    let width = built.iter().map(|(guest, _)| guest.target.to_string().len()).max().unwrap_or(0);
    let line = |(guest, change): &(&BuiltGuest, Change)| {
        let target = guest.target.to_string();
        format!("{target:<width$}  {}  {}\n", guest.digest, word(*change))
    };
    output::print(&built.iter().map(line).collect::<String>());
}

fn print_json<'a>(built: impl Iterator<Item = (&'a BuiltGuest, Change)>, gone: &[Target]) {
    let guests = built.map(|(guest, change)| {
        json!({
            "target": guest.target.to_string(),
            "digest": guest.digest,
            "payload": guest.payload,
            "result": word(change),
        })
    });
    let gone: Vec<_> = gone.iter().map(Target::to_string).collect();
    output::print_json(&json!({ "guests": guests.collect::<Vec<_>>(), "gone": gone }));
}
