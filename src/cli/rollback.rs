//! `stackc rollback`: makes an earlier generation live again. It depends on the guest and on bundles that were live, not
//! on what the definitions say now.

use super::{
    activate::{RunOptions, run_jobs},
    failures::Failures,
    fleet::{Fleet, Targets, generation, refuse},
    output::{Format, usage},
    plan::{plans_of, save, show},
    reach::{Sought, seek},
    saved_plan::{self, Approved},
    workspace::Workspace,
};
use crate::{
    activate::{ActivateError, Back, Job, Seams, Way, way_back, who},
    model::{Digest, GenerationId},
};
use std::{
    path::{Path, PathBuf},
    process::ExitCode,
};

const WHAT_IT_NEEDS: &str = "\
Going back works whatever the definitions say now: only `proxmox` and `access`
of stacks/site.toml, and the API token, are needed. The bundle comes from out/
or from the guest; secrets come from the guest, and are asked for only when it
has lost them or a database's password has changed since.

Generation 0 is the guest as it was found: `--to 0` takes away what stackc has
placed, gives back what it took the place of, and stops what it started. That
is a generation like any other, and a plain rollback from it leads back to what
was live before it. Packages, users, databases and the guest's settings in
Proxmox stay. Nobody comes there without `--to 0`.

An undone generation cannot be gone back to. One whose bundle, release or
secrets the guest has lost is made again from out/, its pin, and the secrets of
today; without its bundle it is refused.

--out saves what would be done and does nothing, but for an open switch of your
own, which is seen to its end first. --plan does exactly that, once: a guest on
which something else is live by then is refused.";

/// Make an earlier generation live again, whole: files, secrets, firewall, release, Proxmox options
#[derive(Debug, clap::Args)]
#[command(after_help = WHAT_IT_NEEDS)]
pub struct RollbackArgs {
    #[command(flatten)]
    targets: Targets,
    /// The generation to go back to, 0 for the guest as it was found; without it the one that was live before the live
    /// bundle first came
    #[arg(long, value_name = "GENERATION", value_parser = generation)]
    to: Option<GenerationId>,
    /// Save the plans instead, for `rollback --plan` to carry out exactly them
    #[arg(long, value_name = "FILE", conflicts_with = "plan")]
    out: Option<PathBuf>,
    /// Carry out exactly the plans that `rollback --out` saved: that is their approval. One that no longer fits is
    /// refused, and none is begun
    #[arg(long, value_name = "FILE", conflicts_with_all = ["targets", "to"])]
    plan: Option<PathBuf>,
    #[command(flatten)]
    options: RunOptions,
}

pub fn run(args: &RollbackArgs, workspace: &Workspace) -> ExitCode {
    let done = match &args.plan {
        Some(path) => back_as_saved(path, args, workspace),
        None if args.targets.targets.is_empty() => {
            return usage("name the guests to roll back");
        }
        None => roll_back(args, workspace),
    };
    done.unwrap_or_else(|code| code)
}

fn roll_back(args: &RollbackArgs, workspace: &Workspace) -> Result<ExitCode, ExitCode> {
    let fleet = Fleet::open(workspace, &workspace.site(Format::Text)?)?;
    let to = args.to;
    let sought = seek(&fleet, workspace, &args.targets.targets)?;
    if sought.len() > 1 && to.is_some_and(|to| to != GenerationId::FOUND) {
        return Err(usage(
            "each guest counts its own generations: name one guest with --to, or leave it out",
        ));
    }
    let mut failures = Failures::default();
    let ways = find_ways(&fleet, sought.iter().map(|sought| (sought, to)), &mut failures)?;
    let jobs = jobs_of(&fleet, &ways, &args.options)?;
    let Some(path) = &args.out else {
        return Ok(run_jobs(&fleet, jobs, &args.options, None, failures));
    };
    let plans = failures.sift(plans_of(&fleet, jobs, args.options.jobs, true));
    show(&plans);
    save(&plans, path, failures.code)?;
    Ok(fleet.ended(failures.code))
}

/// Carries out saved plans: to the generations that they name, whatever is live by now.
fn back_as_saved(
    path: &Path,
    args: &RollbackArgs,
    workspace: &Workspace,
) -> Result<ExitCode, ExitCode> {
    let saved = saved_plan::read(path)?;
    let fleet = Fleet::open(workspace, &workspace.site(Format::Text)?)?;
    let planned = saved.ways(path).map_err(|error| refuse(&error))?;
    let mut sought = Vec::new();
    for (target, number) in planned {
        let found = seek(&fleet, workspace, &[target.to_string()])?;
        sought.extend(found.into_iter().map(|sought| (sought, number)));
    }
    let wanted = sought.iter().map(|(sought, number)| (sought, Some(*number)));
    let mut failures = Failures::default();
    let ways = find_ways(&fleet, wanted, &mut failures)?;
    let jobs = jobs_of(&fleet, &ways, &args.options)?;
    let approved: Approved = saved.by_target();
    Ok(run_jobs(&fleet, jobs, &args.options, Some(&approved), failures))
}

/// The ways of all guests that have one.
fn find_ways<'s>(
    fleet: &Fleet,
    sought: impl Iterator<Item = (&'s Sought, Option<GenerationId>)>,
    failures: &mut Failures,
) -> Result<Vec<Way>, ExitCode> {
    // An open switch may be ended on the way.
    fleet.change();
    let found = sought.map(|(sought, to)| {
        on_guest(fleet, sought, to, way_back).map_err(|failed| (sought.target.clone(), failed))
    });
    let ways = failures.sift(found.collect());
    for way in ways.iter().filter(|way| !way.bundle.is_found()) {
        fleet.put(&way.bundle).map_err(|error| refuse(&error))?;
    }
    Ok(ways)
}

fn jobs_of<'w>(
    fleet: &Fleet,
    ways: &'w [Way],
    options: &RunOptions,
) -> Result<Vec<Job<'w>>, ExitCode> {
    let secrets = || fleet.secrets();
    let jobs = ways.iter().map(|way| Ok(options.set(Job::rollback(way, &secrets, who())?)));
    let jobs: Result<Vec<_>, ActivateError> = jobs.collect();
    jobs.map_err(|error| refuse(&error))
}

/// Looks at the guest of a target with all that going back needs to know.
pub(super) fn on_guest<T>(
    fleet: &Fleet,
    sought: &Sought,
    to: Option<GenerationId>,
    work: impl FnOnce(&mut Seams<'_>, &Back<'_>) -> T,
) -> T {
    let kept = |digest: &Digest| fleet.store.get(digest).ok();
    let back = Back { target: &sought.target, vmid: sought.vmid(), to, who: who(), kept: &kept };
    fleet.with_seams(&fleet.progress(&sought.target), |seams| work(seams, &back))
}
