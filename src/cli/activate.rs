//! `stackc activate`: makes bundles live.

use super::{
    failures::{Failures, show_failure},
    fleet::{self, Fleet, JOBS, Targets, ask, can_ask, parallel},
    output::{self, Format},
    saved_plan::{self, Approved},
    workspace::{self, Workspace},
};
use crate::{
    activate::{
        ActivateError, Activated, Failed, Found, Job, Seams, Stage, activate, look, preflight,
        secret_names, settle, start, who,
    },
    model::{Bundle, Target},
    plan::{Plan, text},
    remote::require_ssh,
};
use std::{
    collections::BTreeSet,
    path::{Path, PathBuf},
    process::ExitCode,
};

/// Make bundles live on their guests
#[derive(Debug, clap::Args)]
pub struct ActivateArgs {
    #[command(flatten)]
    targets: Targets,
    /// Every guest of the workspace
    #[arg(long)]
    all: bool,
    /// Carry out exactly the plans that `plan --out` saved: that is their approval. One that no longer fits is
    /// refused, and none is begun
    #[arg(long, value_name = "FILE", conflicts_with_all = ["targets", "all"])]
    plan: Option<PathBuf>,
    #[command(flatten)]
    options: RunOptions,
}

/// How plans are run.
#[derive(Debug, Clone, clap::Args)]
pub struct RunOptions {
    /// Approve the plans without being asked; never covers re-creation or destruction
    #[arg(long)]
    pub yes: bool,
    /// Guests at once
    #[arg(long, default_value_t = JOBS)]
    pub jobs: usize,
    /// Use an address although something else seems to have it
    #[arg(long)]
    pub allow_ip_conflicts: bool,
    /// Put back what was changed by hand: files, stopped units, the kernel's rules
    #[arg(long)]
    pub overwrite_drift: bool,
}

impl RunOptions {
    /// The job, run so.
    pub fn set<'b>(&self, job: Job<'b>) -> Job<'b> {
        let Self { allow_ip_conflicts, overwrite_drift, .. } = *self;
        Job { allow_ip_conflicts, overwrite_drift, ..job }
    }
}

/// Builds, plans, asks, activates. Exit codes: design.md §11.
pub fn run(args: &ActivateArgs, workspace: &Workspace) -> ExitCode {
    let done = match &args.plan {
        Some(path) => activate_saved(path, args, workspace),
        None => activate_named(args, workspace),
    };
    done.unwrap_or_else(|code| code)
}

fn activate_named(args: &ActivateArgs, workspace: &Workspace) -> Result<ExitCode, ExitCode> {
    args.targets.require(args.all, "activate")?;
    let compiled = workspace.compile(Format::Text)?;
    let targets = workspace::select(&args.targets.targets, &workspace::tags(&compiled.guests))?;
    let fleet = Fleet::open(workspace, &compiled.site)?;
    let bundles: Vec<&Bundle> = targets.iter().map(|target| &compiled.guests[target]).collect();
    require_secrets(&fleet, &bundles)?;
    keep(&fleet, bundles.iter().copied())?;
    let jobs = jobs_of(&fleet, bundles, &args.options)?;
    Ok(run_jobs(&fleet, jobs, &args.options, None, Failures::default()))
}

/// Carries out saved plans. What definitions say by now is not asked.
fn activate_saved(
    path: &Path,
    args: &ActivateArgs,
    workspace: &Workspace,
) -> Result<ExitCode, ExitCode> {
    let saved = saved_plan::read(path)?;
    let fleet = Fleet::open(workspace, &workspace.site(Format::Text)?)?;
    let bundles = saved.bundles(&fleet, path).map_err(|error| fleet::refuse(&error))?;
    let jobs = jobs_of(&fleet, bundles.iter().collect(), &args.options)?;
    let approved = saved.by_target();
    Ok(run_jobs(&fleet, jobs, &args.options, Some(&approved), Failures::default()))
}

fn jobs_of<'b>(
    fleet: &Fleet,
    bundles: Vec<&'b Bundle>,
    options: &RunOptions,
) -> Result<Vec<Job<'b>>, ExitCode> {
    let who = who();
    let jobs = bundles
        .into_iter()
        .map(|bundle| Ok(options.set(Job::activate(bundle, &|| fleet.secrets(), who.clone())?)));
    let jobs: Result<Vec<Job<'_>>, ActivateError> = jobs.collect();
    jobs.map_err(|error| fleet::refuse(&error))
}

/// Names every secret that some bundle needs and nobody has, at once.
fn require_secrets(fleet: &Fleet, bundles: &[&Bundle]) -> Result<(), ExitCode> {
    let mut names = BTreeSet::new();
    for bundle in bundles {
        names.extend(secret_names(bundle).map_err(|error| fleet::refuse(&error))?);
    }
    let secrets = fleet.secrets().map_err(|error| fleet::refuse(&error))?;
    secrets.require(&names).map_err(|error| fleet::refuse(&error))
}

/// Bundles that become live are kept, so that a rollback finds them.
pub fn keep<'b>(fleet: &Fleet, bundles: impl Iterator<Item = &'b Bundle>) -> Result<(), ExitCode> {
    for bundle in bundles {
        fleet.put(bundle).map_err(|error| fleet::refuse(&error))?;
    }
    Ok(())
}

/// A job with the plan that it was given for what was found.
pub(super) struct Planned<'a> {
    pub(super) job: Job<'a>,
    found: Found,
    pub(super) plan: Plan,
}

/// Plans every job, asks once, runs them. The highest exit code of all, also of guests that have failed already.
/// Plans that were approved before are not asked about, and all of them are carried out or none.
pub fn run_jobs(
    fleet: &Fleet,
    jobs: Vec<Job<'_>>,
    options: &RunOptions,
    before: Option<&Approved>,
    mut failures: Failures,
) -> ExitCode {
    let planned = parallel(jobs, options.jobs, |job| {
        let target = job.bundle.manifest.target.clone();
        let planned = plan_one(fleet, job).and_then(|planned| {
            before.map_or(Ok(()), |before| before.check(&planned.job, &planned.plan))?;
            Ok(planned)
        });
        planned.map_err(|failed| (target, failed))
    });
    let to_run = shown(failures.sift(planned));
    let code = failures.code;
    if to_run.is_empty() || (before.is_some() && code != 0) {
        return fleet.ended(code);
    }
    // A guest that does not exist yet was planned without ssh.
    let unmet = to_run.iter().any(|planned: &Planned<'_>| planned.found.connection.is_none());
    if let Err(missing) = if unmet { require_ssh() } else { Ok(()) } {
        return fleet::refuse(&missing);
    }
    fleet.rest();
    if before.is_none() && !approved(options.yes, to_run.len()) {
        return ExitCode::from(code.max(output::Exit::Refused.code()));
    }
    let (started, code) = run_all(fleet, to_run, options, code);
    fleet.ended(go_on(fleet, started, options, code))
}

/// Shows plans, and returns those with something to do.
fn shown(planned: Vec<Planned<'_>>) -> Vec<Planned<'_>> {
    for Planned { plan, .. } in &planned {
        output::print_coloured(&text(plan));
    }
    planned.into_iter().filter(|planned| !planned.plan.is_empty()).collect()
}

/// Runs approved plans. Guests that were off run by then: what there is to do in them, and the highest code so far.
fn run_all<'a>(
    fleet: &Fleet,
    to_run: Vec<Planned<'a>>,
    options: &RunOptions,
    code: u8,
) -> (Vec<Planned<'a>>, u8) {
    fleet.change();
    let results = parallel(to_run, options.jobs, |planned| {
        if planned.plan.off { start_one(fleet, planned) } else { Err(run_one(fleet, planned)) }
    });
    let mut started = Vec::new();
    let mut code = code;
    for result in results {
        match result {
            Ok(planned) => started.push(planned),
            Err(ended) => code = code.max(ended),
        }
    }
    (started, code)
}

/// Shows what nobody could see while the guests were off, asks again, and does it.
fn go_on(fleet: &Fleet, started: Vec<Planned<'_>>, options: &RunOptions, code: u8) -> u8 {
    let to_run = shown(started);
    if to_run.is_empty() {
        return code;
    }
    fleet.rest();
    if !approved(options.yes, to_run.len()) {
        return code.max(output::Exit::Refused.code());
    }
    run_all(fleet, to_run, options, code).1
}

pub(super) fn plan_one<'a>(fleet: &Fleet, job: Job<'a>) -> Result<Planned<'a>, Failed> {
    let target = job.bundle.manifest.target.clone();
    fleet.with_seams(&fleet.progress(&target), |seams| {
        let found = look(seams, &job)?;
        if found.guest.as_ref().is_some_and(|guest| guest.pending.is_some()) {
            // It may be ended here.
            fleet.change();
        }
        plan_found(seams, job, found)
    })
}

fn plan_found<'a>(
    seams: &mut Seams<'_>,
    job: Job<'a>,
    found: Found,
) -> Result<Planned<'a>, Failed> {
    let found = settle(seams, &job, found)?;
    let plan = found.plan(&job).map_err(Failed::refused)?;
    preflight(seams, &job, &found, &plan).map_err(Failed::refused)?;
    Ok(Planned { job, found, plan })
}

/// Starts a guest that was off, and plans the rest. The exit code when that does not work.
fn start_one<'a>(fleet: &Fleet, planned: Planned<'a>) -> Result<Planned<'a>, u8> {
    let Planned { job, found, plan } = planned;
    let target = job.bundle.manifest.target.clone();
    let progress = fleet.progress(&target);
    let planned = fleet.with_seams(&progress, |seams| {
        let found = start(seams, &job, found, &plan)?;
        // It runs by now, and may have other settings: that is no longer nothing.
        plan_found(seams, job, found).map_err(|failed| match failed.stage {
            Stage::Refused => Failed { stage: Stage::BeforeSwitch, ..failed },
            _ => failed,
        })
    });
    planned.map_err(|failed| progress.around(|| show_failure(&target, &failed)))
}

pub(super) fn approved(yes: bool, guests: usize) -> bool {
    if yes {
        return true;
    }
    if !can_ask() {
        output::tell(
            "error: not approved: nobody can be asked here; read the plan, then use --yes\n",
        );
        return false;
    }
    let guests =
        if guests == 1 { "this guest".to_owned() } else { format!("these {guests} guests") };
    let yes = ask(&format!("Do this to {guests}?"));
    if !yes {
        output::tell("not approved: nothing of this is done\n");
    }
    yes
}

pub(super) fn run_one(fleet: &Fleet, planned: Planned<'_>) -> u8 {
    let target = planned.job.bundle.manifest.target.clone();
    let progress = fleet.progress(&target);
    let result = fleet
        .with_seams(&progress, |seams| activate(seams, &planned.job, planned.found, &planned.plan));
    progress.around(|| match result {
        Ok(activated) => {
            let digest = planned.plan.digest;
            let digest = digest.map_or_else(|| "as found".to_owned(), |digest| digest.short());
            show_success(&target, &activated, &digest);
            0
        }
        Err(failed) => show_failure(&target, &failed),
    })
}

fn show_success(target: &Target, activated: &Activated, digest: &str) {
    let (Some(number), Some(state)) = (activated.generation, &activated.state) else {
        output::print(&format!("✓ {target}  done\n"));
        return;
    };
    let down: Vec<String> =
        state.downtime_ms.iter().map(|(unit, ms)| format!("{unit} {ms} ms")).collect();
    let down = if down.is_empty() {
        String::new()
    } else {
        format!("; restarts took {}", down.join(", "))
    };
    output::print(&format!(
        "✓ {target}  generation {number} ({digest}) is live and confirmed; switched in {} ms{down}\n",
        state.switch_ms
    ));
    for copy in &state.drift_copies {
        output::print(&format!("  what it overwrote is kept on the guest: {copy}\n"));
    }
}
