//! `stackc drift`: what somebody's hand has changed on guests.

use super::{
    diff::painted,
    failures::Failures,
    fleet::{Fleet, JOBS, Targets, parallel},
    output::{self, Format},
    reach::{Definition, Sought, seek},
    workspace::Workspace,
};
use crate::{
    activate::{Failed, drift},
    model::Target,
    plan::{self, Drift, difference::Mark},
};
use serde_json::{Value, json};
use std::process::ExitCode;

/// Show what was changed by hand on each guest since its live generation; definitions need not compile
#[derive(Debug, clap::Args)]
#[command(after_help = WAYS)]
pub struct DriftArgs {
    #[command(flatten)]
    targets: Targets,
    /// One JSON document: { "guests": [{ target, generation, digest, definition, wanted, mistake, state, paths, units,
    /// enabled, firewall, others }], "failures": […] }
    #[arg(long)]
    json: bool,
    /// Exit with 10 when there is drift
    #[arg(long)]
    exit_code: bool,
    /// Guests at once
    #[arg(long, default_value_t = JOBS)]
    jobs: usize,
}

const WAYS: &str = "\
Three ways for each path: from what stackc placed to what is there now, and,
where they differ, to what the definitions would place. When these do not
compile it says so, and compares what was placed with what is there.

Units that were stopped or masked are drift, drop-ins of others for units that
the bundle brings (`systemctl edit`, `systemctl set-property`), links that
enable such units (`systemctl enable`), and the kernel's rules where they are
not the bundle's, rule by rule in the chains of ufw that the bundle fills. A
unit that failed is health: `stackc status` tells it. Drop-ins for packages'
units, or for every unit of a sort, are only told.
Files with secrets are told as changed, without their content; values of
secrets are hidden wherever else they stand.

`stackc activate --overwrite-drift` puts everything back, and keeps a copy of
what it overwrites on the guest, below /var/lib/stackc/drift.";

/// What is known of one guest.
struct Row {
    target: Target,
    definition: Definition,
    state: State,
}

enum State {
    /// It cannot be asked, or nothing on it is stackc's.
    Said(&'static str),
    Looked(Box<Drift>),
}

pub fn run(args: &DriftArgs, workspace: &Workspace) -> ExitCode {
    show(args, workspace).unwrap_or_else(|code| code)
}

fn show(args: &DriftArgs, workspace: &Workspace) -> Result<ExitCode, ExitCode> {
    let fleet = Fleet::open(workspace, &workspace.site(Format::of(args.json))?)?;
    let sought = seek(&fleet, workspace, &args.targets.targets)?;
    let results = parallel(sought, args.jobs, |sought| match look(&fleet, &sought) {
        Ok(state) => Ok(Row { target: sought.target, definition: sought.definition, state }),
        Err(failed) => Err((sought.target, failed)),
    });
    let mut failures = Failures::default();
    let rows = failures.sift(results);
    if args.json {
        failures.print_json("guests", rows.iter().map(Row::json));
    } else {
        let lines = rows.iter().flat_map(Row::lines);
        output::print_coloured(&lines.map(painted).collect::<String>());
    }
    if failures.code == 0 && args.exit_code && rows.iter().any(Row::has_drift) {
        return Ok(ExitCode::from(output::Exit::Changes.code()));
    }
    Ok(ExitCode::from(failures.code))
}

fn look(fleet: &Fleet, sought: &Sought) -> Result<State, Failed> {
    let mut found = sought.look(fleet)?;
    match (&found.container, &found.guest) {
        (None, _) => return Ok(State::Said("not created")),
        (Some(container), None) if !container.is_introduced() => {
            return Ok(State::Said("not fully created"));
        }
        (Some(container), None) if container.running => {
            return Ok(State::Said("without an address"));
        }
        (Some(_), None) => return Ok(State::Said("stopped")),
        (Some(_), Some(guest)) if guest.live.is_none() => {
            return Ok(State::Said("never activated"));
        }
        (Some(_), Some(_)) => {}
    }
    let reply = drift(&sought.target, &mut found)?;
    // What cannot be read in `out/` is as good as lost: then the guest's own word is taken.
    let digest = reply.live.as_ref().and_then(|generation| generation.digest);
    let live = digest.and_then(|digest| fleet.store.get(&digest).ok());
    let wanted = match &sought.definition {
        Definition::Compiles(bundle) => Some(bundle.as_ref()),
        Definition::Broken(_) | Definition::Absent => None,
    };
    Ok(State::Looked(Box::new(plan::drift(reply, live.as_ref(), wanted))))
}

impl Row {
    fn has_drift(&self) -> bool {
        matches!(&self.state, State::Looked(drift) if !drift.is_empty())
    }

    fn lines(&self) -> Vec<(Mark, String)> {
        let target = &self.target;
        let drift = match &self.state {
            State::Said(state) => return vec![(Mark::Around, format!("{target}  {state}"))],
            State::Looked(drift) => drift,
        };
        let generation = drift.live.as_ref().map(|live| {
            let digest = live.digest.map(|digest| format!(" ({})", digest.short()));
            format!("generation {}{}", live.number, digest.unwrap_or_default())
        });
        let generation = generation.unwrap_or_default();
        let found = plan::drift_lines(drift);
        if drift.is_empty() {
            let none = (Mark::Around, format!("{target}  {generation}  no drift"));
            return [vec![none], found].concat();
        }
        let mut lines = vec![(Mark::Heading, format!("{target}  {generation}"))];
        lines.extend(self.two_ways().map(|words| (Mark::Around, format!("  {words}"))));
        lines.extend(found);
        lines
    }

    /// Why the definitions are not one of the ways.
    fn two_ways(&self) -> Option<String> {
        match &self.definition {
            Definition::Compiles(_) => None,
            Definition::Broken(mistake) => Some(format!(
                "its definition does not compile, so what it would place is not compared: {mistake}"
            )),
            Definition::Absent => Some("it is in no definition".to_owned()),
        }
    }

    fn json(&self) -> Value {
        let (state, drift) = match &self.state {
            State::Said(state) => (*state, None),
            State::Looked(drift) if drift.is_empty() => ("no drift", Some(drift)),
            State::Looked(drift) => ("drift", Some(drift)),
        };
        let live = drift.and_then(|drift| drift.live.as_ref());
        let (definition, wanted, mistake) = self.definition.told();
        json!({
            "target": self.target.to_string(),
            "generation": live.map(|live| live.number),
            "digest": live.and_then(|live| live.digest),
            "definition": definition,
            "wanted": wanted,
            "mistake": mistake,
            "state": state,
            "paths": drift.map(|drift| &drift.paths),
            "units": drift.map(|drift| &drift.runtime.units),
            "enabled": drift.map(|drift| &drift.runtime.enabled),
            "firewall": drift.map(|drift| &drift.runtime.firewall),
            "others": drift.map(|drift| &drift.runtime.others),
        })
    }
}
