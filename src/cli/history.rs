//! `stackc history`: every generation of a guest, how its switch ended, and what that cost.

use super::{
    compared,
    failures::Failures,
    fleet::{Fleet, JOBS, generation, parallel, table},
    output::{self, Format},
    reach::{Sought, seek},
    workspace::Workspace,
};
use crate::{
    activate::{Failed, history},
    model::{Generation, GenerationCause, GenerationId, Outcome, protocol::HistoryReply},
};
use serde_json::{Value, json};
use std::process::ExitCode;

const MARKS: &str = "\
`*` is live, and `pinned` generations are kept by `stackc gc`. A target without
a guest has no generations. DOWN is the longest time that the switch kept a unit
from running. With --json, `live` is a number or null, `pinned` a list of
numbers, and `transactions` are the switches that are over: each unit's time in
`downtime_ms`, and the evidence of one that was undone; `kept` names, by the
generation whose activation put back what was changed by hand, the copies of it
that the guest keeps.

--diff compares what two generations were made of, undone ones too: options,
packages, rules, units, files line by line, and which secrets had other values.
The bundles come from out/ or from the guest; one that `gc` has collected and
out/ has not is refused by its number.";

/// Show the generations of guests, as the guests themselves tell them; definitions need not compile
#[derive(Debug, clap::Args)]
#[command(after_help = MARKS)]
pub struct HistoryArgs {
    /// project/env, a project, a pattern such as '*/dev', or @tag
    #[arg(value_name = "TARGET", required = true)]
    targets: Vec<String>,
    /// Compare two generations of one target
    #[arg(long, num_args = 2, value_names = ["FROM", "TO"], value_parser = generation)]
    diff: Option<Vec<GenerationId>>,
    /// One JSON document: { "guests": [{ target, live, pinned, generations, transactions, kept }], "failures": […] }
    #[arg(long)]
    json: bool,
}

pub fn run(args: &HistoryArgs, workspace: &Workspace) -> ExitCode {
    show(args, workspace).unwrap_or_else(|code| code)
}

fn show(args: &HistoryArgs, workspace: &Workspace) -> Result<ExitCode, ExitCode> {
    let fleet = Fleet::open(workspace, &workspace.site(Format::of(args.json))?)?;
    let sought = seek(&fleet, workspace, &args.targets)?;
    if let Some([from, to]) = args.diff.as_deref() {
        return compared::show(&fleet, &sought, [*from, *to], args.json);
    }
    let results = parallel(sought, JOBS, |sought| match ask(&fleet, &sought) {
        Ok(reply) => Ok((sought, reply)),
        Err(failed) => Err((sought.target, failed)),
    });
    let mut failures = Failures::default();
    let guests = failures.sift(results);
    if args.json {
        let guests = guests.iter().map(|(sought, reply)| json(sought, reply));
        failures.print_json("guests", guests);
    } else {
        let texts: Vec<_> = guests.iter().map(|(sought, reply)| text(sought, reply)).collect();
        output::print(&texts.join("\n"));
    }
    Ok(ExitCode::from(failures.code))
}

fn ask(fleet: &Fleet, sought: &Sought) -> Result<HistoryReply, Failed> {
    let mut found = sought.look(fleet)?;
    if found.container.is_none() {
        return Ok(HistoryReply::default());
    }
    history(&sought.target, &mut found)
}

fn json(sought: &Sought, reply: &HistoryReply) -> Value {
    json!({
        "target": sought.target.to_string(),
        "live": reply.live,
        "pinned": reply.pinned,
        "generations": reply.generations,
        "transactions": reply.transactions,
        "kept": reply.drift_copies,
    })
}

fn text(sought: &Sought, reply: &HistoryReply) -> String {
    if reply.generations.is_empty() {
        return format!("{}\n   no generation\n", sought.target);
    }
    let head = ["", "GEN", "DIGEST", "WHEN", "BY", "WHY", "DOWN", "RESULT"].map(str::to_owned);
    let rows = reply.generations.iter().map(|generation| cells(generation, reply));
    format!("{}\n{}", sought.target, table(std::iter::once(head).chain(rows)))
}

fn cells(generation: &Generation, reply: &HistoryReply) -> [String; 8] {
    let live = reply.live == Some(generation.number);
    // A number whose switch never came about is given again: the last one has it.
    let transaction = reply.transactions.iter().rfind(|t| t.to == generation.number);
    let failure = transaction.and_then(|t| t.state.failure.as_ref());
    let down = transaction.and_then(|t| t.state.downtime_ms.values().max());
    let result = match (generation.outcome, failure) {
        (Outcome::Undone, Some(failure)) => format!("undone: {}", failure.what),
        (Outcome::Undone, None) => "undone".to_owned(),
        (Outcome::Confirmed, _) if reply.pinned.contains(&generation.number) => {
            "confirmed, pinned".to_owned()
        }
        (Outcome::Confirmed, _) => "confirmed".to_owned(),
        (Outcome::Pending, _) => "pending".to_owned(),
    };
    [
        if live { "*" } else { "" }.to_owned(),
        generation.number.to_string(),
        generation.digest.map_or_else(|| "-".to_owned(), |digest| digest.short()),
        generation.at.clone(),
        generation.by.clone(),
        why(generation),
        down.map_or_else(|| "-".to_owned(), |ms| format!("{ms} ms")),
        result,
    ]
}

/// Why a generation was made.
pub(super) fn why(generation: &Generation) -> String {
    match generation.cause {
        GenerationCause::Found => "as found".to_owned(),
        GenerationCause::Activate => "activate".to_owned(),
        GenerationCause::Rollback { to } => format!("rollback to {to}"),
    }
}
