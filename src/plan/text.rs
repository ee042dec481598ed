//! A plan as people and programs read it.

use super::{Effect, FileChange, Plan, PlannedStep, Step, foreign};
use crate::model::{Phase, protocol::PendingTx};
use serde_json::{Value, json};

/// How a file's author says who reads it.
const UNREAD: &str = "say `reload` or `restart` beside the file if it should";

/// A plan as plain text: used by `plan`, by `activate` before it asks, and by snapshots.
pub fn text(plan: &Plan) -> String {
    let mut out = String::new();
    let from = match (plan.from, plan.from_digest) {
        (Some(number), Some(digest)) => format!("generation {number} ({})", digest.short()),
        (Some(number), None) => format!("generation {number} (as found)"),
        (None, _) if plan.off => "off".to_owned(),
        (None, _) => "new".to_owned(),
    };
    let to = plan.digest.map_or_else(|| "as found".to_owned(), |digest| digest.short());
    line(&mut out, &format!("{}  guest {}  {from} → {to}", plan.target, plan.vmid));
    if plan.is_empty() {
        line(&mut out, "  nothing to do");
    }
    if let Some(pending) = &plan.pending {
        line(&mut out, &format!("  pending    {}", pending_text(pending)));
        if plan.steps.is_empty() {
            line(&mut out, "  nothing else to do, if what is live stays");
        }
    }
    for (path, found) in &plan.drift {
        line(&mut out, &format!("  drift  {path}: {found}"));
    }
    let by_hand = plan.runtime_drift.by_hand();
    for words in &by_hand {
        line(&mut out, &format!("  drift  {words}"));
    }
    if !plan.drift.is_empty() || !by_hand.is_empty() {
        line(
            &mut out,
            "         `activate` goes over that only with --overwrite-drift, and keeps a copy",
        );
    }
    for unit in plan.runtime_drift.failed() {
        line(&mut out, &format!("  health  {unit}: failed"));
    }
    for planned in &plan.steps {
        line(
            &mut out,
            &format!("  {:<10} {}{}", name(&planned.step), planned.cause, effect(planned)),
        );
        for detail in details(&planned.step) {
            line(&mut out, &format!("               {detail}"));
        }
        if planned.step == Step::Switch {
            switch_details(&mut out, plan);
        }
    }
    if plan.off {
        line(&mut out, "  then       what it needs is planned when it runs, and asked about again");
    }
    let stays: Vec<&str> = plan.steps.iter().filter_map(|s| s.stays.as_deref()).collect();
    if !stays.is_empty() {
        line(&mut out, &format!("  Not undone: {}.", stays.join("; ")));
    }
    if !plan.kept.is_empty() {
        line(&mut out, &format!("  Stays as it is: {}.", plan.kept.join("; ")));
    }
    if !plan.waiting.is_empty() {
        line(
            &mut out,
            &format!("  Only after the guest's next start: {}.", plan.waiting.join(", ")),
        );
    }
    out
}

/// A transaction that is not over: whose it is, how far, and what happens next.
pub fn pending_text(pending: &PendingTx) -> String {
    let PendingTx { tx, phase, by, from, to, .. } = pending;
    let next = match phase {
        Phase::Begun | Phase::Switching => {
            format!("it is switching; then it needs a confirm, or goes back to generation {from}")
        }
        Phase::Verifying => {
            format!(
                "its hooks and probes run; then it needs a confirm, or goes back to generation {from}"
            )
        }
        Phase::AwaitingConfirm => {
            format!("it waits for its confirm, and goes back to generation {from} without one")
        }
        Phase::Undoing | Phase::Undone => format!("it is going back to generation {from}"),
        Phase::Confirmed => "it is confirmed and ends now".to_owned(),
        Phase::Inconsistent => {
            "it could not go back; the guest tries again by itself and at each boot".to_owned()
        }
    };
    format!("transaction {tx} of {by} to generation {to}: {next}")
}

fn line(out: &mut String, text: &str) {
    out.push_str(text);
    out.push('\n');
}

fn switch_details(out: &mut String, plan: &Plan) {
    for (path, change) in &plan.files {
        let sign = match change {
            FileChange::Added => '+',
            FileChange::Changed => '~',
            FileChange::Removed => '-',
        };
        line(out, &format!("             {sign} {path}"));
    }
    for words in foreign::lines(&plan.foreign, &plan.foreign_differences) {
        line(out, &format!("             {words}"));
    }
    for change in &plan.firewall {
        line(out, &format!("             {change}"));
    }
    if !plan.runtime_drift.firewall.is_empty() {
        line(out, "             ~ firewall is loaded into the kernel again");
    }
    for words in &plan.put_back {
        line(out, &format!("             ~ {words}"));
    }
    for (unit, change) in &plan.units {
        let causes = change.causes.join(", ");
        line(out, &format!("             {:<10} {unit}: {causes}", change.decision.word()));
    }
    for (path, unit) in &plan.unread {
        line(out, &format!("             ! {unit} runs on without reading {path}: {UNREAD}"));
    }
    for hook in &plan.hooks {
        line(out, &format!("             {:<10} {hook}; a failure undoes the switch", "hook"));
    }
}

fn effect(planned: &PlannedStep) -> &'static str {
    match planned.effect {
        Effect::Nothing => "",
        Effect::Reload => "  [reloads]",
        Effect::Restart => "  [restarts]",
        Effect::Boot => "  [boots]",
    }
}

fn details(step: &Step) -> Vec<String> {
    match step {
        Step::Settings(changes) => {
            changes.iter().map(|c| format!("{}: {} → {}", c.name(), c.from, c.to)).collect()
        }
        Step::Grow { from_gib, to_gib } => vec![format!("{from_gib} GiB → {to_gib} GiB")],
        Step::Hooks(lines) | Step::Packages(lines) => lines.clone(),
        Step::Network(change) => vec![format!("{} → {}", change.from, change.to)],
        Step::Migrate { rest } => {
            let word = super::UnitDecision::StopThenStart.word();
            rest.iter().map(|unit| format!("{word:<10} {unit}: it rests meanwhile")).collect()
        }
        _ => Vec::new(),
    }
}

/// A step's name in texts, JSON and progress.
pub(super) fn name(step: &Step) -> &'static str {
    match step {
        Step::Create => "create",
        Step::Settings(_) => "settings",
        Step::Grow { .. } => "grow",
        Step::Start => "start",
        Step::Receive => "send",
        Step::Packages(_) => "packages",
        Step::Accounts => "accounts",
        Step::Databases => "databases",
        Step::Secrets => "secrets",
        Step::Release => "release",
        Step::Validate => "validate",
        Step::Migrate { .. } => "migrate",
        Step::Hooks(_) => "hooks",
        Step::Switch => "switch",
        Step::Confirm => "confirm",
        Step::Network(_) => "network",
    }
}

impl Step {
    /// The step's name in texts, JSON and progress.
    pub fn name(&self) -> &'static str {
        name(self)
    }
}

impl Plan {
    /// The plan for programs.
    pub fn json(&self) -> Value {
        let steps: Vec<Value> = self
            .steps
            .iter()
            .map(|planned| {
                json!({
                    "step": planned.step.name(),
                    "cause": planned.cause,
                    "effect": effect_name(planned.effect),
                    "details": details(&planned.step),
                    "stays": planned.stays,
                })
            })
            .collect();
        json!({
            "target": self.target.to_string(),
            "vmid": u32::from(self.vmid),
            "digest": self.digest,
            "from": self.from,
            "from_digest": self.from_digest,
            "off": self.off,
            "steps": steps,
            "files": self.files,
            "foreign": self.foreign_differences,
            "firewall": self.firewall,
            "units": self.units,
            "unread": self.unread,
            "put_back": self.put_back,
            "hooks": self.hooks,
            "drift": self.drift,
            "runtime_drift": self.runtime_drift,
            "after_next_start": self.waiting,
            "stays_as_it_is": self.kept,
            "pending": self.pending,
        })
    }

    /// One line: what would happen, for tables.
    pub fn summary(&self) -> String {
        if self.is_empty() {
            return "nothing to do".to_owned();
        }
        let pending = self.pending.as_ref().map(|_| "pending");
        let names = pending.into_iter().chain(self.steps.iter().map(|s| s.step.name()));
        names.collect::<Vec<_>>().join(" → ")
    }
}

fn effect_name(effect: Effect) -> &'static str {
    match effect {
        Effect::Nothing => "nothing",
        Effect::Reload => "reload",
        Effect::Restart => "restart",
        Effect::Boot => "boot",
    }
}
