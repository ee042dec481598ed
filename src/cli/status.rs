//! `stackc status`: what is live where.

use super::{
    failures::Failures,
    fleet::{self, Fleet, JOBS, Targets, parallel},
    output::{self, Format},
    reach::{Definition, Sought, seek},
    workspace::Workspace,
};
use crate::{
    activate::Found,
    model::{Container, Digest, GenerationId, Target, Vmid, protocol::ObservedGuest},
    plan::pending_text,
};
use serde_json::{Value, json};
use std::process::ExitCode;

/// Show what is live on each guest; definitions need not compile
#[derive(Debug, clap::Args)]
#[command(after_help = STATES)]
pub struct StatusArgs {
    #[command(flatten)]
    targets: Targets,
    /// One JSON document: { "guests": [{ target, vmid, generation, digest, since, by, definition, wanted, mistake, state }],
    /// "failures": […] }
    #[arg(long)]
    json: bool,
    /// Guests at once
    #[arg(long, default_value_t = JOBS)]
    jobs: usize,
}

const STATES: &str = "\
Without a target: every guest that is defined, and every guest in Proxmox that
stackc has made.

STATE says:
  current                       what is live is what the definitions say
  definitions say DIGEST        they have changed since; `stackc plan` shows how
  definition is broken: …       it does not compile; what is live runs on
  in no definition              its env is gone from stacks/; rollback works
  not created                   no guest in Proxmox has the target's mark
  not fully created             its creation was cut short; `activate` goes on
  stopped                       so it cannot be asked
  without an address            nor can this one: Proxmox has none for it
  never activated               it runs, and nothing on it is stackc's
  as found (generation N)       `rollback --to 0` took off what stackc placed
  transaction …                 a switch is not over
  N files changed by hand       `stackc drift` shows them
  UNIT stopped by hand          masked, too; `stackc drift`
  UNIT enabled by hand          by a link that is not of the bundle
  N drop-ins of others          for units that the bundle brings
  firewall changed by hand      the kernel has other rules
  UNIT failed                   as systemd has it
  KEYS after its next start     Proxmox holds these settings back until then";

/// What is known of one guest.
struct Row {
    target: Target,
    vmid: Option<Vmid>,
    live: Option<Live>,
    definition: Definition,
    state: Vec<String>,
}

/// The live generation.
struct Live {
    number: GenerationId,
    digest: Option<Digest>,
    since: String,
    by: String,
}

pub fn run(args: &StatusArgs, workspace: &Workspace) -> ExitCode {
    show(args, workspace).unwrap_or_else(|code| code)
}

fn show(args: &StatusArgs, workspace: &Workspace) -> Result<ExitCode, ExitCode> {
    let fleet = Fleet::open(workspace, &workspace.site(Format::of(args.json))?)?;
    let sought = seek(&fleet, workspace, &args.targets.targets)?;
    let results = parallel(sought, args.jobs, |sought| match sought.look(&fleet) {
        Ok(found) => Ok(row(sought, &found)),
        Err(failed) => Err((sought.target, failed)),
    });
    let mut failures = Failures::default();
    let rows = failures.sift(results);
    if args.json {
        failures.print_json("guests", rows.iter().map(Row::json));
    } else {
        output::print(&table(&rows));
    }
    Ok(ExitCode::from(failures.code))
}

fn row(sought: Sought, found: &Found) -> Row {
    let live = found.guest.as_ref().and_then(|guest| guest.live.as_ref());
    let live = live.map(|live| Live {
        number: live.number,
        digest: live.digest,
        since: live.at.clone(),
        by: live.by.clone(),
    });
    let digest = live.as_ref().and_then(|live| live.digest);
    let mut state = state(found);
    state.extend(definition_state(&sought.definition, digest));
    if state.is_empty() {
        state.push("current".to_owned());
    }
    let vmid = found.container.as_ref().map(|container| container.vmid);
    Row { target: sought.target, vmid, live, definition: sought.definition, state }
}

/// What is to be said of a guest besides its generation.
fn state(found: &Found) -> Vec<String> {
    match (&found.container, &found.guest) {
        (None, _) => vec!["not created".to_owned()],
        (Some(container), None) if !container.is_introduced() => {
            vec!["not fully created".to_owned()]
        }
        (Some(container), None) if container.running => vec!["without an address".to_owned()],
        (Some(_), None) => vec!["stopped".to_owned()],
        (Some(container), Some(guest)) => [guest_state(guest), waiting(container)].concat(),
    }
}

fn guest_state(guest: &ObservedGuest) -> Vec<String> {
    let mut state: Vec<_> = guest.pending.iter().map(pending_text).collect();
    if guest.live.is_none() {
        state.push("never activated".to_owned());
    }
    let found = guest.live.as_ref().filter(|live| live.digest.is_none());
    state.extend(found.map(|live| format!("as found (generation {})", live.number)));
    match guest.drift.len() {
        0 => {}
        1 => state.push("1 file changed by hand".to_owned()),
        files => state.push(format!("{files} files changed by hand")),
    }
    let units = guest.runtime_drift.units.iter().filter(|(_, down)| down.by_hand());
    state.extend(units.map(|(unit, down)| format!("{unit} {}", down.words())));
    if !guest.runtime_drift.firewall.is_empty() {
        state.push("firewall changed by hand".to_owned());
    }
    match guest.runtime_drift.drop_ins.len() {
        0 => {}
        1 => state.push("1 drop-in of others".to_owned()),
        files => state.push(format!("{files} drop-ins of others")),
    }
    let enabled = guest.runtime_drift.enabled.values();
    state.extend(enabled.map(|unit| format!("{unit} enabled by hand")));
    let failed = guest.units.iter().filter(|(_, unit)| unit.active == "failed");
    state.extend(failed.map(|(unit, _)| format!("{unit} failed")));
    state
}

fn waiting(container: &Container) -> Vec<String> {
    let keys: Vec<_> = container.pending.iter().map(String::as_str).collect();
    if keys.is_empty() {
        Vec::new()
    } else {
        vec![format!("{} after its next start", keys.join(", "))]
    }
}

/// What the definitions say of it, unless that is what is live.
fn definition_state(definition: &Definition, live: Option<Digest>) -> Option<String> {
    match definition {
        Definition::Compiles(bundle) => {
            let differs = live.is_some_and(|live| live != bundle.digest);
            differs.then(|| format!("definitions say {}", bundle.digest.short()))
        }
        Definition::Broken(mistake) => Some(format!("definition is broken: {mistake}")),
        Definition::Absent => Some("in no definition".to_owned()),
    }
}

impl Row {
    fn json(&self) -> Value {
        let live = self.live.as_ref();
        let (definition, wanted, mistake) = self.definition.told();
        json!({
            "target": self.target.to_string(),
            "vmid": self.vmid,
            "generation": live.map(|live| live.number),
            "digest": live.and_then(|live| live.digest),
            "since": live.map(|live| &live.since),
            "by": live.map(|live| &live.by),
            "definition": definition,
            "wanted": wanted,
            "mistake": mistake,
            "state": self.state,
        })
    }

    fn cells(&self) -> [String; 7] {
        let live = self.live.as_ref();
        let or_dash = |text: Option<String>| text.unwrap_or_else(|| "-".to_owned());
        [
            self.target.to_string(),
            or_dash(self.vmid.map(|vmid| vmid.to_string())),
            or_dash(live.map(|live| live.number.to_string())),
            or_dash(live.and_then(|live| live.digest).map(|digest| digest.short())),
            or_dash(live.map(|live| live.since.clone())),
            or_dash(live.map(|live| live.by.clone())),
            self.state.join("; "),
        ]
    }
}

fn table(rows: &[Row]) -> String {
    let head = ["TARGET", "GUEST", "GEN", "DIGEST", "SINCE", "BY", "STATE"].map(str::to_owned);
    fleet::table(std::iter::once(head).chain(rows.iter().map(Row::cells)))
}
