//! `stackc lock`: branches to commits.

use super::{
    output::{self, Format},
    workspace::{self, Workspace},
};
use crate::{
    compile::{self, Branch, Pinned},
    model::Target,
    store::{self, git},
};
use std::{
    collections::{BTreeMap, BTreeSet},
    process::ExitCode,
};

/// Pin every branch to the commit that it names now, in stacks/lock.toml
#[derive(Debug, clap::Args)]
pub struct LockArgs {
    /// project/env, a project, or a pattern such as '*/dev'; all when none is named
    targets: Vec<String>,
}

pub fn run(args: &LockArgs, workspace: &Workspace) -> ExitCode {
    lock(args, workspace).unwrap_or_else(|code| code)
}

fn lock(args: &LockArgs, workspace: &Workspace) -> Result<ExitCode, ExitCode> {
    let sources = workspace.sources(Format::Text)?;
    let branches =
        compile::branches(&sources).map_err(|report| workspace::mistakes(&report, Format::Text))?;
    let names = branches.keys().map(|target| (target.clone(), BTreeSet::new())).collect();
    let chosen = workspace::select(&args.targets, &names)?;
    let old =
        compile::pins(&sources).map_err(|report| workspace::mistakes(&report, Format::Text))?;
    let mut pins: BTreeMap<_, _> =
        old.clone().into_iter().filter(|(target, _)| branches.contains_key(target)).collect();
    for target in &chosen {
        pins.insert(target.clone(), resolve(workspace, &branches[target])?);
    }
    if pins != old {
        store::write_lock(workspace.path(), &compile::lock_text(&pins))
            .map_err(|error| output::fail(&error, output::REFUSED))?;
    }
    output::print(&chosen.iter().map(|target| line(target, &old, &pins)).collect::<String>());
    Ok(ExitCode::SUCCESS)
}

fn resolve(workspace: &Workspace, branch: &Branch) -> Result<Pinned, ExitCode> {
    let cache = workspace.repository_cache();
    let Branch { repo, branch, subfolder } = branch;
    let pin = git::pin(workspace.path(), &cache, repo, branch, subfolder)
        .map_err(|error| output::fail(&error, output::REFUSED))?;
    Ok(Pinned { repo: repo.clone(), branch: branch.clone(), commit: pin.commit, tree: pin.tree })
}

fn line(target: &Target, old: &BTreeMap<Target, Pinned>, new: &BTreeMap<Target, Pinned>) -> String {
    let pin = &new[target];
    let before = match old.get(target) {
        Some(old) if old == pin => "unchanged".to_owned(),
        Some(old) => format!("was {}", &old.commit[..12]),
        None => "new".to_owned(),
    };
    format!("{target}  {}  {}  {before}\n", pin.branch, pin.commit)
}
