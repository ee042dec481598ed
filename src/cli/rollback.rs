//! `stackc rollback`: makes an earlier generation live again.

use super::{
    activate::{RunOptions, run_jobs},
    common::{Targets, Workspace, complain, show_failure},
};
use crate::{
    activate::{Failed, Job, history, look, rollback_target, who},
    model::{Bundle, Generation, GenerationId, SecretsVersion, Target},
};
use std::{collections::BTreeSet, path::Path, process::ExitCode};

/// Make an earlier generation live again, whole: files, secrets, firewall, release, Proxmox options
#[derive(Debug, clap::Args)]
pub struct RollbackArgs {
    #[command(flatten)]
    targets: Targets,
    /// The generation to go back to; without it the one that was live before the live bundle first came
    #[arg(long, value_name = "GENERATION")]
    to: Option<u64>,
    #[command(flatten)]
    options: RunOptions,
}

pub fn run(args: &RollbackArgs, workspace: &Path) -> ExitCode {
    if args.targets.targets.is_empty() {
        anstream::eprintln!("× name the guests to roll back");
        return ExitCode::from(2);
    }
    roll_back(args, workspace).unwrap_or_else(|code| code)
}

/// Where one guest goes back to.
struct Way {
    generation: Generation,
    bundle: Bundle,
    secrets: BTreeSet<SecretsVersion>,
}

fn roll_back(args: &RollbackArgs, path: &Path) -> Result<ExitCode, ExitCode> {
    let workspace = Workspace::open(path)?;
    let mut ways = Vec::new();
    for target in workspace.select(&args.targets.targets)? {
        let (generation, secrets) = find(&workspace, &target, args.to.map(GenerationId))
            .map_err(|failed| ExitCode::from(show_failure(&target, &failed)))?;
        let digest = generation.digest.expect("only generations with a bundle are gone back to");
        let bundle = workspace.store.get(&digest).map_err(|error| complain(&error, 3))?;
        ways.push(Way { generation, bundle, secrets });
    }
    let jobs = ways.iter().map(|way| {
        let secrets = || workspace.secrets();
        let mut job =
            Job::rollback(&way.bundle, way.generation.clone(), &way.secrets, &secrets, who())?;
        job.allow_ip_conflicts = args.options.allow_ip_conflicts;
        job.overwrite_drift = args.options.overwrite_drift;
        Ok(job)
    });
    let jobs: Result<Vec<Job<'_>>, crate::activate::ActivateError> = jobs.collect();
    let jobs = jobs.map_err(|error| complain(&error, 3))?;
    Ok(run_jobs(&workspace, jobs, &args.options))
}

fn find(
    workspace: &Workspace,
    target: &Target,
    to: Option<GenerationId>,
) -> Result<(Generation, BTreeSet<SecretsVersion>), Failed> {
    let bundle = &workspace.compiled.guests[target];
    let job = Job::activate(bundle, &|| workspace.secrets(), who()).map_err(Failed::refused)?;
    workspace.with_seams(&|_, _| {}, |seams| {
        let mut found = look(seams, &job)?;
        let reply = history(&job, &mut found)?;
        let generation = rollback_target(target, &reply, to).map_err(Failed::refused)?;
        let secrets = found.guest.map(|guest| guest.secrets).unwrap_or_default();
        Ok((generation, secrets))
    })
}
