//! `stackc detach`: takes stackc off a guest, which stays.

use super::{
    activate::{approved, plan_one, run_one},
    failures::show_failure,
    fleet::{Fleet, refuse},
    output::{self, Format},
    reach::seek,
    rollback::on_guest,
    workspace::Workspace,
};
use crate::{
    activate::{Detached, Failed, Job, Way, detach, way_off, who},
    model::Target,
    plan::{Documents, text},
};
use std::{collections::BTreeSet, process::ExitCode};

const WHAT_IT_DOES: &str = "\
First the guest becomes what it was when it was found, by the transaction of
`stackc rollback TARGET --to 0`: confirmed, or undone whole. Then all that
stackc keeps there is removed, which nothing undoes, and at last its mark, its
host key's line and its tags leave the guest's configuration in Proxmox. Killed
anywhere, the same command finishes.

What releases of the app share (uploads, SQLite) is moved to
/var/lib/stackc-shared. The guest, its packages, users and databases stay.
stackc does not find the guest again afterwards, nor adopt it.";

/// What is shown before anybody is asked.
const THEN: &str = "  \
  then       stackc leaves the guest, which nothing undoes:
               - /var/lib/stackc: generations, releases, secrets, history
               - /usr/local/lib/stackc and stackc-recover.service
               > what releases share moves to /var/lib/stackc-shared
               - in Proxmox the mark, the host key's line and the tags; the guest stays
";

/// Take stackc off a guest: as it was found, and nobody's
#[derive(Debug, clap::Args)]
#[command(after_help = WHAT_IT_DOES)]
pub struct DetachArgs {
    /// project/env: one guest, by its whole name
    #[arg(value_name = "TARGET")]
    target: String,
    /// Approve what is shown without being asked
    #[arg(long)]
    yes: bool,
    /// Take away files that were changed by hand, too
    #[arg(long)]
    overwrite_drift: bool,
}

pub fn run(args: &DetachArgs, workspace: &Workspace) -> ExitCode {
    take_off(args, workspace).unwrap_or_else(|code| code)
}

fn take_off(args: &DetachArgs, workspace: &Workspace) -> Result<ExitCode, ExitCode> {
    let fleet = Fleet::open(workspace, &workspace.site(Format::Text)?)?;
    let sought = seek(&fleet, workspace, std::slice::from_ref(&args.target))?;
    let Some(sought) = sought.iter().find(|sought| sought.target.to_string() == args.target) else {
        return Err(output::usage("`detach` takes one guest by its whole name, as in shop/dev"));
    };
    let failed = |failed: Failed| fleet.ended(show_failure(&sought.target, &failed));
    // An open switch may be ended on the way.
    fleet.change();
    let way = on_guest(&fleet, sought, None, way_off).map_err(failed)?;
    if let Some(way) = &way {
        switch(args, &fleet, way)?;
    } else {
        output::print_coloured(&format!("{}  nothing of it is live\n{THEN}", sought.target));
        fleet.rest();
        approve(args)?;
    }
    let tags = tags(&fleet, &sought.target, way.as_ref());
    fleet.change();
    let detached = on_guest(&fleet, sought, None, |seams, back| detach(seams, back, &tags));
    show(&sought.target, &detached.map_err(failed)?);
    Ok(ExitCode::SUCCESS)
}

/// The tags that definitions gave the guest: as the last bundle there has them, or else the last one built here.
fn tags(fleet: &Fleet, target: &Target, way: Option<&Way>) -> BTreeSet<String> {
    let built = || fleet.store.get(&fleet.store.latest(target).ok()??).ok();
    let bundle = way.map(|way| way.bundle.clone()).or_else(built);
    let documents = bundle.and_then(|bundle| Documents::of(&bundle).ok());
    documents.map(|documents| documents.proxmox.tags).unwrap_or_default()
}

/// Shows the plan, asks, and makes the guest what it was when it was found.
fn switch(args: &DetachArgs, fleet: &Fleet, way: &Way) -> Result<(), ExitCode> {
    let target = &way.bundle.manifest.target;
    let mut job = Job::rollback(way, &|| fleet.secrets(), who()).map_err(|error| refuse(&error))?;
    job.overwrite_drift = args.overwrite_drift;
    let planned = plan_one(fleet, job);
    let planned = planned.map_err(|failed| fleet.ended(show_failure(target, &failed)))?;
    output::print_coloured(&(text(&planned.plan) + THEN));
    fleet.rest();
    approve(args)?;
    if planned.plan.is_empty() {
        return Ok(());
    }
    fleet.change();
    match run_one(fleet, planned) {
        0 => Ok(()),
        code => Err(fleet.ended(code)),
    }
}

fn approve(args: &DetachArgs) -> Result<(), ExitCode> {
    if approved(args.yes, 1) { Ok(()) } else { Err(ExitCode::from(output::Exit::Refused.code())) }
}

fn show(target: &Target, detached: &Detached) {
    let shared = detached.shared.as_ref();
    let shared =
        shared.map_or_else(String::new, |path| format!("; what releases shared is in {path}"));
    output::print(&format!("✓ {target}  stackc has left the guest{shared}\n"));
}
