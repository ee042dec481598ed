//! `stackc diff`: what the working tree would change since the last build, or one bundle against another.

use super::{
    output::{self, Format},
    which::{self, Which},
    workspace::{self, Workspace},
};
use crate::{
    model::{Bundle, Digest},
    plan::difference::{self, Difference, Mark, Side},
    store::Store,
};
use anstyle::{AnsiColor, Style};
use rayon::prelude::*;
use serde_json::{Value, json};
use std::process::ExitCode;

/// Show what changed since the last build, or between two bundles; secrets appear by name only
#[derive(Debug, clap::Args)]
pub struct DiffArgs {
    /// project/env, a project, a pattern such as '*/dev', or @tag; all when none is named
    targets: Vec<String>,
    /// Compare this bundle: project/env as it is defined now, or the beginning of a digest in out/store
    #[arg(long, value_name = "TARGET|DIGEST", requires = "to", conflicts_with = "targets")]
    from: Option<Which>,
    /// With this one, named in the same way
    #[arg(long, value_name = "TARGET|DIGEST", requires = "from")]
    to: Option<Which>,
    /// Exit with 10 when there are changes
    #[arg(long)]
    exit_code: bool,
    /// One JSON document instead of text
    #[arg(long)]
    json: bool,
}

pub fn run(args: &DiffArgs, workspace: &Workspace) -> ExitCode {
    match differences(args, workspace) {
        Ok(found) => {
            print(args, &found);
            let changes = args.exit_code && !found.is_empty();
            ExitCode::from(if changes { output::CHANGES } else { 0 })
        }
        Err(code) => code,
    }
}

fn differences(args: &DiffArgs, workspace: &Workspace) -> Result<Vec<Difference>, ExitCode> {
    match (&args.from, &args.to) {
        (Some(from), Some(to)) => between(from, to, workspace, Format::of(args.json)),
        _ => since_last_build(args, workspace),
    }
}

fn between(
    from: &Which,
    to: &Which,
    workspace: &Workspace,
    format: Format,
) -> Result<Vec<Difference>, ExitCode> {
    let [old, new] = which::bundles([from, to], workspace, format)?;
    let differs = old.digest != new.digest;
    Ok(differs.then(|| difference::difference(Some(&old), &new)).into_iter().collect())
}

fn since_last_build(args: &DiffArgs, workspace: &Workspace) -> Result<Vec<Difference>, ExitCode> {
    let compiled = workspace.compile(Format::of(args.json))?;
    let chosen = workspace::select(&args.targets, &workspace::tags(&compiled.guests))?;
    let store = workspace.store()?;
    let chosen: Vec<&Bundle> = chosen.iter().map(|target| &compiled.guests[target]).collect();
    let found: Result<Vec<_>, _> = chosen.par_iter().map(|new| with_last(&store, new)).collect();
    Ok(found?.into_iter().flatten().collect())
}

/// A guest's last build, and what is new since; none when nothing is.
fn with_last(store: &Store, new: &Bundle) -> Result<Option<Difference>, ExitCode> {
    let refused = |error| output::fail(&error, output::REFUSED);
    let latest = store.latest(&new.manifest.target).map_err(refused)?;
    if latest == Some(new.digest) {
        return Ok(None);
    }
    let get = |digest: Digest| store.get(&digest).map_err(refused);
    let old = latest.map(get).transpose()?;
    Ok(Some(difference::difference(old.as_ref(), new)))
}

fn print(args: &DiffArgs, found: &[Difference]) {
    if args.json {
        let guests: Vec<_> = found.iter().map(document).collect();
        output::print_json(&json!({ "guests": guests }));
    } else {
        output::print_coloured(
            &found.iter().flat_map(difference::lines).map(painted).collect::<String>(),
        );
    }
}

fn document(found: &Difference) -> Value {
    let side = |side: &Side| json!({ "target": side.target.to_string(), "digest": side.digest });
    json!({
        "from": found.from.as_ref().map(side),
        "to": side(&found.to),
        "subjects": found.subjects,
        "units": found.units,
        "files": found.files,
    })
}

fn painted((mark, line): (Mark, String)) -> String {
    let style = match mark {
        Mark::Heading => Style::new().bold(),
        Mark::Place => AnsiColor::Cyan.on_default(),
        Mark::Added => AnsiColor::Green.on_default(),
        Mark::Removed => AnsiColor::Red.on_default(),
        Mark::Changed => AnsiColor::Yellow.on_default(),
        Mark::Around => Style::new(),
    };
    format!("{style}{line}{style:#}\n")
}
