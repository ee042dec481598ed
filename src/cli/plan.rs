//! `stackc plan`: shows what `activate` would do.

use super::{
    activate::keep,
    failures::Failures,
    fleet::{Fleet, JOBS, Targets, parallel, refuse},
    output::{self, Format},
    saved_plan::{SavedPlans, ToSave, refuse_off},
    workspace::{self, Workspace},
};
use crate::{
    activate::{ActivateError, Failed, Job, look, who},
    model::Target,
    plan::text,
};
use std::{
    path::{Path, PathBuf},
    process::ExitCode,
};

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
    /// Save the plans, for `activate --plan` to carry out exactly them
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
    /// Guests at once
    #[arg(long, default_value_t = JOBS)]
    jobs: usize,
}

pub fn run(args: &PlanArgs, workspace: &Workspace) -> ExitCode {
    plans(args, workspace).unwrap_or_else(|code| code)
}

fn plans(args: &PlanArgs, workspace: &Workspace) -> Result<ExitCode, ExitCode> {
    let compiled = workspace.compile(Format::of(args.json))?;
    let targets = workspace::select(&args.targets.targets, &workspace::tags(&compiled.guests))?;
    let fleet = Fleet::open(workspace, &compiled.site)?;
    let secrets = || fleet.secrets();
    let bundles = targets.iter().map(|target| &compiled.guests[target]);
    if args.out.is_some() {
        keep(&fleet, bundles.clone())?;
    }
    let jobs = bundles.map(|bundle| Job::activate(bundle, &secrets, who()));
    let jobs: Result<Vec<_>, ActivateError> = jobs.collect();
    let jobs = jobs.map_err(|error| refuse(&error))?;
    let mut failures = Failures::default();
    let plans = failures.sift(plans_of(&fleet, jobs, args.jobs, args.out.is_some()));
    if args.json {
        failures.print_json("plans", plans.iter().map(|saved| saved.plan.json()));
    } else {
        show(&plans);
    }
    if let Some(path) = &args.out {
        save(&plans, path, failures.code)?;
    }
    let changes = plans.iter().any(|saved| !saved.plan.is_empty());
    if failures.code == 0 && args.exit_code && changes {
        return Ok(ExitCode::from(output::Exit::Changes.code()));
    }
    Ok(ExitCode::from(failures.code))
}

pub(super) fn show(plans: &[ToSave]) {
    for ToSave { plan, .. } in plans {
        output::print_coloured(&text(plan));
    }
}

/// Writes plans for later, when all of them could be made.
pub(super) fn save(plans: &[ToSave], path: &Path, code: u8) -> Result<(), ExitCode> {
    if code == 0 {
        return SavedPlans::of(plans).write(path);
    }
    output::tell(&format!("nothing is saved in {}\n", path.display()));
    Ok(())
}

pub(super) fn plans_of(
    fleet: &Fleet,
    jobs: Vec<Job<'_>>,
    workers: usize,
    to_save: bool,
) -> Vec<Result<ToSave, (Target, Failed)>> {
    parallel(jobs, workers, |job| {
        let planned = plan_of(fleet, &job).and_then(|planned| {
            if to_save { refuse_off(&planned.plan).map(|()| planned) } else { Ok(planned) }
        });
        planned.map_err(|failed| (job.bundle.manifest.target.clone(), failed))
    })
}

fn plan_of(fleet: &Fleet, job: &Job<'_>) -> Result<ToSave, Failed> {
    let progress = fleet.progress(&job.bundle.manifest.target);
    let plan = fleet
        .with_seams(&progress, |seams| look(seams, job)?.plan(job).map_err(Failed::refused))?;
    let back_to = job.back_to.as_ref().map(|generation| generation.number);
    Ok(ToSave { secrets: job.secrets.version, back_to, plan })
}
