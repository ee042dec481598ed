//! `stackc lock`: branches to commits.

use super::{
    output::{self, Format},
    workspace::{self, Workspace},
};
use crate::{
    compile::{self, Branch, Pinned, Sources},
    model::Target,
    store::{
        self,
        git::{self, GitError},
    },
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

type Pins = BTreeMap<Target, Pinned>;

pub fn run(args: &LockArgs, workspace: &Workspace) -> ExitCode {
    lock(args, workspace).unwrap_or_else(|code| code)
}

fn lock(args: &LockArgs, workspace: &Workspace) -> Result<ExitCode, ExitCode> {
    let sources = workspace.sources(Format::Text)?;
    let branches =
        compile::branches(&sources).map_err(|report| workspace::mistakes(&report, Format::Text))?;
    let names = branches.keys().map(|target| (target.clone(), BTreeSet::new())).collect();
    let chosen = workspace::select(&args.targets, &names)?;
    let old = old_pins(args, &sources)?;
    let mut pins = old.clone().unwrap_or_default();
    pins.retain(|target, _| branches.contains_key(target));
    for target in &chosen {
        pins.insert(target.clone(), resolve(workspace, &branches[target])?);
    }
    if old.as_ref() != Some(&pins) {
        store::write_lock(workspace.path(), &compile::lock_text(&pins))
            .map_err(|error| output::fail(&error, output::Exit::Refused.code()))?;
    }
    let old = old.unwrap_or_default();
    let kept = chosen.iter().map(|target| line(target, &old, &pins));
    let gone = old.keys().filter(|target| !pins.contains_key(target)).map(removed);
    output::print(&kept.chain(gone).collect::<String>());
    Ok(ExitCode::SUCCESS)
}

/// The pins that are there; none when they cannot be read and all are to be made anew.
fn old_pins(args: &LockArgs, sources: &Sources) -> Result<Option<Pins>, ExitCode> {
    match compile::pins(sources) {
        Ok(pins) => Ok(Some(pins)),
        Err(_) if args.targets.is_empty() => {
            output::tell("stacks/lock.toml cannot be read as it is: every pin is made anew\n");
            Ok(None)
        }
        Err(report) => {
            let code = workspace::mistakes(&report, Format::Text);
            output::tell(
                "  help: run `stackc lock` without naming guests, which makes every pin anew\n",
            );
            Err(code)
        }
    }
}

fn resolve(workspace: &Workspace, branch: &Branch) -> Result<Pinned, ExitCode> {
    let cache = workspace.repository_cache();
    let Branch { repo, branch, subfolder } = branch;
    let pin = git::pin(workspace.path(), &cache, repo, branch, subfolder).map_err(|e| fail(&e))?;
    let (repo, branch) = (repo.clone(), branch.to_string());
    Ok(Pinned { repo, branch, commit: pin.commit, tree: pin.tree })
}

fn fail(error: &GitError) -> ExitCode {
    let code = output::fail(error, output::Exit::Refused.code());
    if let GitError::NoFolder { repo, .. } = error {
        output::tell(&format!(
            "  help: clone the repository into `{repo}`; those of the worked examples are made with a workspace \
             of their own: `stackc lab up`, then `stackc lab workspace DIR`\n"
        ));
    }
    code
}

fn line(target: &Target, old: &Pins, new: &Pins) -> String {
    let pin = &new[target];
    let before = match old.get(target) {
        Some(old) if old == pin => "unchanged".to_owned(),
        Some(old) => format!("was {}", &old.commit[..12]),
        None => "new".to_owned(),
    };
    format!("{target}  {}  {}  {before}\n", pin.branch, pin.commit)
}

fn removed(target: &Target) -> String {
    format!("{target}  removed: no env has this pin's branch any more\n")
}
