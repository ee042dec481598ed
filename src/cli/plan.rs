//! `stackc plan`: shows what `activate` would do.

use super::{
    fleet::{Fleet, JOBS, Targets, parallel, show_failure},
    workspace::Workspace,
};
use crate::{
    activate::{Failed, Job, look},
    model::Target,
    plan::{Plan, text},
};
use std::process::ExitCode;

/// Show what activate would do, changing nothing
#[derive(Debug, clap::Args)]
pub struct PlanArgs {
    #[command(flatten)]
    targets: Targets,
    /// As one JSON document
    #[arg(long)]
    json: bool,
    /// Exit with 10 when there is something to do
    #[arg(long)]
    exit_code: bool,
    /// Guests at once
    #[arg(long, default_value_t = JOBS)]
    jobs: usize,
}

/// Exit code of `--exit-code` when a plan is not empty.
const CHANGES: u8 = 10;

pub fn run(args: &PlanArgs, workspace: &Workspace) -> ExitCode {
    plans(args, workspace).unwrap_or_else(|code| code)
}

fn plans(args: &PlanArgs, workspace: &Workspace) -> Result<ExitCode, ExitCode> {
    let fleet = Fleet::open(workspace)?;
    let targets = fleet.select(&args.targets.targets)?;
    let jobs = fleet.jobs(&targets)?;
    let results: Vec<(Target, Result<Plan, Failed>)> = parallel(jobs, args.jobs, |job| {
        let target = job.bundle.manifest.target.clone();
        (target, plan_of(&fleet, &job))
    });
    let mut code = 0;
    let mut plans = Vec::new();
    for (target, result) in results {
        match result {
            Ok(plan) => plans.push(plan),
            Err(failed) => code = code.max(show_failure(&target, &failed)),
        }
    }
    if args.json {
        let documents: Vec<_> = plans.iter().map(Plan::json).collect();
        anstream::println!("{}", serde_json::json!({ "plans": documents }));
    } else {
        for plan in &plans {
            anstream::print!("{}", text(plan));
        }
    }
    if code == 0 && args.exit_code && plans.iter().any(|plan| !plan.is_empty()) {
        code = CHANGES;
    }
    Ok(ExitCode::from(code))
}

fn plan_of(fleet: &Fleet, job: &Job<'_>) -> Result<Plan, Failed> {
    fleet.with_seams(&|_, _| {}, |seams| look(seams, job)?.plan(job).map_err(Failed::refused))
}
