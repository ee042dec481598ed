//! `stackc check`: only the mistakes.

use super::{
    look::{Look, look},
    output::{self, Format},
    tools::{self, Fault, Verdicts},
    workspace::{self, Workspace},
};
use crate::store::Built;
use serde_json::json;
use std::process::ExitCode;

/// Compile everything and write nothing
#[derive(Debug, clap::Args)]
pub struct CheckArgs {
    /// One JSON document instead of text
    #[arg(long)]
    json: bool,
    /// Ask the tools of this machine too: systemd-analyze, visudo, sshd, iptables-restore, logrotate, sh, bash
    #[arg(long)]
    tools: bool,
}

pub fn run(args: &CheckArgs, workspace: &Workspace) -> ExitCode {
    check(args, workspace).unwrap_or_else(|code| code)
}

fn check(args: &CheckArgs, workspace: &Workspace) -> Result<ExitCode, ExitCode> {
    let format = Format::of(args.json);
    let Look { built, found, .. } = look(workspace, format)?;
    workspace::warnings(&built.warnings, format);
    let compiled = args.tools.then(|| found.compiled(format)).transpose()?;
    let verdicts = compiled.map(|compiled| tools::judge(&compiled)).transpose();
    let verdicts = verdicts.map_err(|error| output::fail(&error, output::Exit::Refused.code()))?;
    if args.json {
        output::print_json(&document(&built, verdicts.as_ref()));
    } else {
        tell(&built, verdicts.as_ref());
    }
    let refused = verdicts.is_some_and(|verdicts| !verdicts.faults.is_empty());
    Ok(if refused { ExitCode::from(output::Exit::Mistake.code()) } else { ExitCode::SUCCESS })
}

fn tell(built: &Built, verdicts: Option<&Verdicts>) {
    let guests = count(built.guests.len(), "guest");
    let Some(verdicts) = verdicts else {
        output::print(&format!("{guests}, no mistakes\n"));
        return;
    };
    output::tell(&verdicts.text());
    let asked: Vec<_> = verdicts.asked.iter().map(|tool| tool.program()).collect();
    let by = if asked.is_empty() { "no tool".to_owned() } else { asked.join(", ") };
    let judged = format!("{} judged by {by}", count(verdicts.judged, "file"));
    output::print(&match verdicts.faults.len() {
        0 => format!("{guests}, no mistakes; {judged}: none refused\n"),
        faults => {
            format!("{guests}, {judged}: {faults} refused\n")
        }
    });
}

fn count(count: usize, noun: &str) -> String {
    if count == 1 { format!("1 {noun}") } else { format!("{count} {noun}s") }
}

fn document(built: &Built, verdicts: Option<&Verdicts>) -> serde_json::Value {
    let mut document = json!({
        "guests": built.guests.len(), "mistakes": [], "warnings": built.warnings.told,
    });
    if let Some(verdicts) = verdicts {
        let fault = |fault: &Fault| {
            json!({
                "guest": fault.guest.to_string(), "path": fault.path,
                "tool": fault.tool.program(), "message": fault.said, "made_at": fault.made,
            })
        };
        let faults: Vec<_> = verdicts.faults.iter().map(fault).collect();
        let asked: Vec<_> = verdicts.asked.iter().map(|tool| tool.program()).collect();
        let unasked: Vec<_> = verdicts.unasked.values().collect();
        document["tools"] = json!({
            "judged": verdicts.judged, "asked": asked, "faults": faults, "not_checked": unasked,
        });
    }
    document
}
