//! `stackc diff`: what the working tree would change since the last build, or one bundle against another.

use super::{
    output::{self, Format},
    review::GONE_GUEST,
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
use std::{collections::BTreeSet, process::ExitCode};

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
            ExitCode::from(if changes { output::Exit::Changes.code() } else { 0 })
        }
        Err(code) => code,
    }
}

/// What is new, and what is gone from the definitions.
#[derive(Default)]
struct Found {
    changed: Vec<Difference>,
    gone: Vec<Side>,
}

impl Found {
    fn is_empty(&self) -> bool {
        self.changed.is_empty() && self.gone.is_empty()
    }
}

fn differences(args: &DiffArgs, workspace: &Workspace) -> Result<Found, ExitCode> {
    match (&args.from, &args.to) {
        (Some(from), Some(to)) => {
            let changed = between(from, to, workspace, Format::of(args.json))?;
            Ok(Found { changed, ..Found::default() })
        }
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

fn since_last_build(args: &DiffArgs, workspace: &Workspace) -> Result<Found, ExitCode> {
    let compiled = workspace.compile(Format::of(args.json))?;
    let store = workspace.store()?;
    let gone = store.built_beside(|target| compiled.guests.contains_key(target));
    let gone = gone.map_err(|error| output::fail(&error, output::Exit::Refused.code()))?;
    let mut known = workspace::tags(&compiled.guests);
    known.extend(gone.keys().map(|target| (target.clone(), BTreeSet::new())));
    let chosen = workspace::select(&args.targets, &known)?;
    let defined: Vec<&Bundle> =
        chosen.iter().filter_map(|target| compiled.guests.get(target)).collect();
    let found: Result<Vec<_>, _> = defined.par_iter().map(|new| with_last(&store, new)).collect();
    let gone = gone.into_iter().filter(|(target, _)| chosen.contains(target));
    let gone = gone.map(|(target, digest)| Side { target, digest }).collect();
    Ok(Found { changed: found?.into_iter().flatten().collect(), gone })
}

/// A guest's last build, and what is new since; none when nothing is.
fn with_last(store: &Store, new: &Bundle) -> Result<Option<Difference>, ExitCode> {
    let refused = |error| output::fail(&error, output::Exit::Refused.code());
    let latest = store.latest(&new.manifest.target).map_err(refused)?;
    if latest == Some(new.digest) {
        return Ok(None);
    }
    let get = |digest: Digest| store.get(&digest).map_err(refused);
    let old = latest.map(get).transpose()?;
    Ok(Some(difference::difference(old.as_ref(), new)))
}

fn print(args: &DiffArgs, found: &Found) {
    if args.json {
        let guests: Vec<_> = found.changed.iter().map(document).collect();
        let gone: Vec<_> = found.gone.iter().map(side).collect();
        output::print_json(&json!({ "guests": guests, "gone": gone }));
    } else {
        let changed = found.changed.iter().flat_map(difference::lines);
        let lines = changed.chain(found.gone.iter().flat_map(gone_lines));
        output::print_coloured(&lines.map(painted).collect::<String>());
    }
}

/// What is said of a guest that the definitions lost.
fn gone_lines(Side { target, digest }: &Side) -> [(Mark, String); 2] {
    let gone = format!("  - {GONE_GUEST}");
    [(Mark::Heading, format!("== {target}  {digest} -> nothing")), (Mark::Removed, gone)]
}

fn side(side: &Side) -> Value {
    json!({ "target": side.target.to_string(), "digest": side.digest })
}

pub(super) fn document(found: &Difference) -> Value {
    json!({
        "from": found.from.as_ref().map(side),
        "to": side(&found.to),
        "subjects": found.subjects,
        "units": found.units,
        "files": found.files,
    })
}

/// A line in the colour of what it says.
pub(super) fn painted((mark, line): (Mark, String)) -> String {
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
