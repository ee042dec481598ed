//! `stackc diff`: what the working tree would change since the last build, or one bundle against another.

use super::{
    output::{self, Format},
    workspace::{self, Workspace},
};
use crate::{
    compile::text,
    model::{Bundle, Digest},
    store::Store,
};
use similar::TextDiff;
use std::{
    collections::{BTreeMap, BTreeSet},
    process::ExitCode,
};

/// Show what changed since the last build, file by file; secrets appear by name only
#[derive(Debug, clap::Args)]
pub struct DiffArgs {
    /// project/env, a project, a pattern such as '*/dev', or @tag; all when none is named
    targets: Vec<String>,
    /// Compare two bundles of the store instead
    #[arg(long, num_args = 2, value_names = ["OLD", "NEW"], conflicts_with = "targets")]
    bundles: Option<Vec<Digest>>,
    /// Exit with 10 when there are changes
    #[arg(long)]
    exit_code: bool,
}

pub fn run(args: &DiffArgs, workspace: &Workspace) -> ExitCode {
    match diff(args, workspace) {
        Ok(text) if text.is_empty() => ExitCode::SUCCESS,
        Ok(text) => {
            output::print(&text);
            ExitCode::from(if args.exit_code { output::CHANGES } else { 0 })
        }
        Err(code) => code,
    }
}

fn diff(args: &DiffArgs, workspace: &Workspace) -> Result<String, ExitCode> {
    let store = workspace.store()?;
    if let Some([old, new]) = args.bundles.as_deref() {
        let (old, new) = (get(&store, old)?, get(&store, new)?);
        return Ok(between(&old.digest.short(), Some(&old), &new));
    }
    let compiled = workspace.compile(Format::Text)?;
    let chosen = workspace::select(&args.targets, &workspace::tags(&compiled.guests))?;
    let mut all = String::new();
    for target in chosen {
        let latest = store.latest(&target);
        let latest = latest.map_err(|error| output::fail(&error, output::REFUSED))?;
        let bundle = &compiled.guests[&target];
        if latest == Some(bundle.digest) {
            continue;
        }
        let old = latest.map(|digest| get(&store, &digest)).transpose()?;
        all.push_str(&between(&target.to_string(), old.as_ref(), bundle));
    }
    Ok(all)
}

fn get(store: &Store, digest: &Digest) -> Result<Bundle, ExitCode> {
    store.get(digest).map_err(|error| output::fail(&error, output::REFUSED))
}

/// One heading, then a unified diff of each file that differs.
fn between(name: &str, old: Option<&Bundle>, new: &Bundle) -> String {
    let before = old.map_or_else(|| "nothing built".to_owned(), |bundle| bundle.digest.short());
    let mut diff = format!("== {name}  {before} -> {}\n", new.digest.short());
    let old = old.map_or_else(BTreeMap::new, text::files);
    let new = text::files(new);
    for path in old.keys().chain(new.keys()).collect::<BTreeSet<_>>() {
        let (before, after) = (old.get(path), new.get(path));
        if before != after {
            diff.push_str(&file_diff(path, before, after));
        }
    }
    diff
}

fn file_diff(path: &str, old: Option<&String>, new: Option<&String>) -> String {
    let name = |side: &str, text: Option<&String>| match text {
        Some(_) => format!("{side}/{path}"),
        None => "/dev/null".to_owned(),
    };
    let (before, after) = (old.map_or("", String::as_str), new.map_or("", String::as_str));
    TextDiff::from_lines(before, after)
        .unified_diff()
        .context_radius(3)
        .header(&name("a", old), &name("b", new))
        .to_string()
}
