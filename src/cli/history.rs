//! `stackc history`: every generation of a guest, and every switch that was undone.

use super::{
    fleet::{Fleet, refuse, show_failure, table},
    workspace::Workspace,
};
use crate::{
    activate::{Failed, Job, history, look, who},
    model::{Generation, GenerationCause, Outcome, protocol::HistoryReply},
};
use serde_json::json;
use std::process::ExitCode;

/// Show the generations of one guest
#[derive(Debug, clap::Args)]
pub struct HistoryArgs {
    /// `project/env`
    target: String,
    /// As one JSON document
    #[arg(long)]
    json: bool,
}

pub fn run(args: &HistoryArgs, workspace: &Workspace) -> ExitCode {
    show(args, workspace).unwrap_or_else(|code| code)
}

fn show(args: &HistoryArgs, workspace: &Workspace) -> Result<ExitCode, ExitCode> {
    let fleet = Fleet::open(workspace)?;
    for target in fleet.select(std::slice::from_ref(&args.target))? {
        let bundle = &fleet.compiled.guests[&target];
        let job = Job::activate(bundle, &|| fleet.secrets(), who());
        let job = job.map_err(|error| refuse(&error))?;
        let reply: Result<HistoryReply, Failed> = fleet.with_seams(&|_, _| {}, |seams| {
            let mut found = look(seams, &job)?;
            history(&job, &mut found)
        });
        match reply {
            Ok(reply) if args.json => {
                let live = reply.live;
                let generations = &reply.generations;
                let undone = &reply.transactions;
                let target = target.to_string();
                anstream::println!(
                    "{}",
                    json!({"target": target, "live": live, "generations": generations, "transactions": undone})
                );
            }
            Ok(reply) => anstream::print!("{target}\n{}", text(&reply)),
            Err(failed) => return Err(ExitCode::from(show_failure(&target, &failed))),
        }
    }
    Ok(ExitCode::SUCCESS)
}

fn text(reply: &HistoryReply) -> String {
    let head = ["", "GEN", "DIGEST", "WHEN", "BY", "WHY", "RESULT"].map(str::to_owned);
    let rows = reply.generations.iter().map(|generation| cells(generation, reply));
    table(std::iter::once(head).chain(rows))
}

fn cells(generation: &Generation, reply: &HistoryReply) -> [String; 7] {
    let live = reply.live == Some(generation.number);
    let undone = reply.transactions.iter().find(|t| t.to == generation.number);
    let failure = undone.and_then(|t| t.state.failure.as_ref());
    let result = match (generation.outcome, failure) {
        (Outcome::Undone, Some(failure)) => format!("undone: {}", failure.what),
        (Outcome::Undone, None) => "undone".to_owned(),
        (Outcome::Confirmed, _) => "confirmed".to_owned(),
        (Outcome::Pending, _) => "pending".to_owned(),
    };
    [
        if live { "*" } else { "" }.to_owned(),
        generation.number.to_string(),
        generation.digest.map_or_else(|| "-".to_owned(), |digest| digest.short()),
        generation.at.clone(),
        generation.by.clone(),
        match generation.cause {
            GenerationCause::Found => "as found".to_owned(),
            GenerationCause::Activate => "activate".to_owned(),
            GenerationCause::Rollback { to } => format!("rollback to {to}"),
        },
        result,
    ]
}
