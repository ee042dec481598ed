//! `stackc status`: what is live where.

use super::{
    fleet::{Fleet, JOBS, Targets, parallel, show_failure},
    workspace::Workspace,
};
use crate::{
    activate::{Failed, Found, Job, look},
    model::{Digest, Target, protocol::ObservedGuest},
    plan::pending_text,
};
use serde_json::json;
use std::process::ExitCode;

/// Show what is live on each guest
#[derive(Debug, clap::Args)]
pub struct StatusArgs {
    #[command(flatten)]
    targets: Targets,
    /// As one JSON document
    #[arg(long)]
    json: bool,
    /// Guests at once
    #[arg(long, default_value_t = JOBS)]
    jobs: usize,
}

/// One guest's line.
struct Row {
    target: Target,
    vmid: u32,
    generation: String,
    digest: Option<Digest>,
    since: String,
    by: String,
    state: Vec<String>,
}

pub fn run(args: &StatusArgs, workspace: &Workspace) -> ExitCode {
    show(args, workspace).unwrap_or_else(|code| code)
}

fn show(args: &StatusArgs, workspace: &Workspace) -> Result<ExitCode, ExitCode> {
    let fleet = Fleet::open(workspace)?;
    let targets = fleet.select(&args.targets.targets)?;
    let jobs = fleet.jobs(&targets)?;
    let results = parallel(jobs, args.jobs, |job| {
        let found = fleet.with_seams(&|_, _| {}, |seams| look(seams, &job));
        found
            .map(|found| row(&job, &found))
            .map_err(|failed| (job.bundle.manifest.target.clone(), failed))
    });
    Ok(print(results, args.json))
}

fn print(results: Vec<Result<Row, (Target, Failed)>>, as_json: bool) -> ExitCode {
    let (mut code, mut rows) = (0, Vec::new());
    for result in results {
        match result {
            Ok(row) => rows.push(row),
            Err((target, failed)) => code = code.max(show_failure(&target, &failed)),
        }
    }
    if as_json {
        let guests: Vec<_> = rows.iter().map(Row::json).collect();
        anstream::println!("{}", json!({ "guests": guests }));
    } else {
        anstream::print!("{}", table(&rows));
    }
    ExitCode::from(code)
}

fn row(job: &Job<'_>, found: &Found) -> Row {
    let live = found.guest.as_ref().and_then(|guest| guest.live.as_ref());
    Row {
        target: job.bundle.manifest.target.clone(),
        vmid: job.documents.proxmox.vmid.into(),
        generation: live.map_or_else(|| "-".to_owned(), |live| live.number.to_string()),
        digest: live.and_then(|live| live.digest),
        since: live.map_or_else(|| "-".to_owned(), |live| live.at.clone()),
        by: live.map_or_else(|| "-".to_owned(), |live| live.by.clone()),
        state: state(job, found),
    }
}

fn state(job: &Job<'_>, found: &Found) -> Vec<String> {
    let (Some(container), Some(guest)) = (&found.container, &found.guest) else {
        let there = if found.container.is_some() { "stopped" } else { "not created" };
        return vec![there.to_owned()];
    };
    let mut state = guest_state(guest);
    match guest.live.as_ref().map(|live| live.digest == Some(job.bundle.digest)) {
        None => state.push("never activated".to_owned()),
        Some(false) => state.push(format!("definitions say {}", job.bundle.digest.short())),
        Some(true) => {}
    }
    if !container.pending.is_empty() {
        let keys: Vec<_> = container.pending.iter().map(String::as_str).collect();
        state.push(format!("{} after its next start", keys.join(", ")));
    }
    if state.is_empty() { vec!["current".to_owned()] } else { state }
}

fn guest_state(guest: &ObservedGuest) -> Vec<String> {
    let mut state = Vec::new();
    if let Some(pending) = &guest.pending {
        state.push(pending_text(pending));
    }
    if !guest.drift.is_empty() {
        state.push(format!("{} files changed by hand", guest.drift.len()));
    }
    let failed = guest.units.iter().filter(|(_, unit)| unit.active == "failed");
    state.extend(failed.map(|(unit, _)| format!("{unit} failed")));
    state
}

impl Row {
    fn json(&self) -> serde_json::Value {
        json!({
            "target": self.target.to_string(),
            "vmid": self.vmid,
            "generation": self.generation.parse::<u64>().ok(),
            "digest": self.digest,
            "since": self.since,
            "by": self.by,
            "state": self.state,
        })
    }

    fn cells(&self) -> [String; 7] {
        [
            self.target.to_string(),
            self.vmid.to_string(),
            self.generation.clone(),
            self.digest.map_or_else(|| "-".to_owned(), |digest| digest.short()),
            self.since.clone(),
            self.by.clone(),
            self.state.join("; "),
        ]
    }
}

fn table(rows: &[Row]) -> String {
    let head = ["TARGET", "GUEST", "GEN", "DIGEST", "SINCE", "BY", "STATE"].map(str::to_owned);
    super::fleet::table(std::iter::once(head).chain(rows.iter().map(Row::cells)))
}
