//! `stackc rollback`: makes an earlier generation live again. It depends on the guest and on bundles that were live, not
//! on what the definitions say now.

use super::{
    activate::{RunOptions, run_jobs},
    fleet::{Fleet, Targets, refuse, show_failure},
    output::{self, Format},
    reach::{Sought, seek},
    workspace::Workspace,
};
use crate::{
    activate::{ActivateError, Back, Failed, Job, Seams, Way, way_back, who},
    model::{Digest, GenerationId},
};
use std::process::ExitCode;

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
today; without its bundle it is refused.";

/// Make an earlier generation live again, whole: files, secrets, firewall, release, Proxmox options
#[derive(Debug, clap::Args)]
#[command(after_help = WHAT_IT_NEEDS)]
pub struct RollbackArgs {
    #[command(flatten)]
    targets: Targets,
    /// The generation to go back to, 0 for the guest as it was found; without it the one that was live before the live
    /// bundle first came
    #[arg(long, value_name = "GENERATION")]
    to: Option<u64>,
    #[command(flatten)]
    options: RunOptions,
}

pub fn run(args: &RollbackArgs, workspace: &Workspace) -> ExitCode {
    if args.targets.targets.is_empty() {
        output::tell("error: name the guests to roll back\n");
        return ExitCode::from(output::USAGE);
    }
    roll_back(args, workspace).unwrap_or_else(|code| code)
}

fn roll_back(args: &RollbackArgs, workspace: &Workspace) -> Result<ExitCode, ExitCode> {
    let fleet = Fleet::open(workspace, &workspace.site(Format::Text)?)?;
    let mut ways = Vec::new();
    for sought in seek(&fleet, workspace, &args.targets.targets)? {
        let way = find_way(&fleet, &sought, args.to.map(GenerationId))
            .map_err(|failed| ExitCode::from(show_failure(&sought.target, &failed)))?;
        if !way.bundle.is_found() {
            fleet.put(&way.bundle).map_err(|error| refuse(&error))?;
        }
        ways.push(way);
    }
    let secrets = || fleet.secrets();
    let jobs = ways.iter().map(|way| {
        let mut job = Job::rollback(way, &secrets, who())?;
        job.allow_ip_conflicts = args.options.allow_ip_conflicts;
        job.overwrite_drift = args.options.overwrite_drift;
        Ok(job)
    });
    let jobs: Result<Vec<_>, ActivateError> = jobs.collect();
    let jobs = jobs.map_err(|error| refuse(&error))?;
    Ok(run_jobs(&fleet, jobs, &args.options, None))
}

fn find_way(fleet: &Fleet, sought: &Sought, to: Option<GenerationId>) -> Result<Way, Failed> {
    on_guest(fleet, sought, to, way_back)
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
