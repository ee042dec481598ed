//! `stackc rollback`: makes an earlier generation live again.

use super::{
    activate::{RunOptions, progress, run_jobs},
    fleet::{Fleet, Targets, refuse, show_failure},
    workspace::Workspace,
};
use crate::{
    activate::{Failed, Job, fetch_bundle, history, look, rollback_target, settle, who},
    model::{Bundle, Generation, GenerationId, SecretsVersion, Target},
};
use std::{collections::BTreeSet, process::ExitCode};

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

pub fn run(args: &RollbackArgs, workspace: &Workspace) -> ExitCode {
    if args.targets.targets.is_empty() {
        anstream::eprintln!("error: name the guests to roll back");
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

fn roll_back(args: &RollbackArgs, workspace: &Workspace) -> Result<ExitCode, ExitCode> {
    let fleet = Fleet::open(workspace)?;
    let mut ways = Vec::new();
    for target in fleet.select(&args.targets.targets)? {
        let way = find(&fleet, &target, args.to.map(GenerationId))
            .map_err(|failed| ExitCode::from(show_failure(&target, &failed)))?;
        fleet.put(&way.bundle).map_err(|error| refuse(&error))?;
        ways.push(way);
    }
    let jobs = ways.iter().map(|way| {
        let secrets = || fleet.secrets();
        let mut job =
            Job::rollback(&way.bundle, way.generation.clone(), &way.secrets, &secrets, who())?;
        job.allow_ip_conflicts = args.options.allow_ip_conflicts;
        job.overwrite_drift = args.options.overwrite_drift;
        Ok(job)
    });
    let jobs: Result<Vec<Job<'_>>, crate::activate::ActivateError> = jobs.collect();
    let jobs = jobs.map_err(|error| refuse(&error))?;
    Ok(run_jobs(&fleet, jobs, &args.options))
}

fn find(fleet: &Fleet, target: &Target, to: Option<GenerationId>) -> Result<Way, Failed> {
    let bundle = &fleet.compiled.guests[target];
    let job = Job::activate(bundle, &|| fleet.secrets(), who()).map_err(Failed::refused)?;
    fleet.with_seams(&progress(target), |seams| {
        let found = look(seams, &job)?;
        // What is live while a transaction is open may not stay: the target is chosen from what does.
        let mut found = settle(seams, &job, found)?;
        let reply = history(&job, &mut found)?;
        let generation = rollback_target(target, &reply, to).map_err(Failed::refused)?;
        let digest = generation.digest.expect("only generations with a bundle are gone back to");
        let bundle = match fleet.store.get(&digest) {
            Ok(bundle) => bundle,
            Err(_) => fetch_bundle(&job, &mut found, &digest).map_err(Failed::refused)?,
        };
        let secrets = found.guest.map(|guest| guest.secrets).unwrap_or_default();
        Ok(Way { generation, bundle, secrets })
    })
}
