//! One command, disturbed, judged, and run again.

use crate::{
    cut_proxy::CutProxy,
    cut_redirect::Redirect,
    cut_traffic::{Cut, Direction},
    faults_accident::{Accident, Flaw},
    faults_cuts::{Part, Place, Way},
    faults_moment::Moment,
    faults_process::Ended,
    faults_tiny::{Run, State, Tiny},
};
use serde::Serialize;
use std::net::SocketAddr;

/// What makes a generation live.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Verb {
    FirstActivation,
    Change,
    Rollback,
}

/// Which connections of stackc go through the proxy.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Wire {
    Ssh,
    Api,
}

/// What happens to a command.
#[derive(Debug, Clone, Copy)]
pub enum Fault {
    Cut {
        wire: Wire,
        place: Place,
        way: Way,
    },
    Kill(Moment),
    Accident(Accident),
    /// The version that is to be made live does not work.
    Flaw(Flaw),
}

#[derive(Debug, Clone, Copy)]
pub struct Trial {
    pub verb: Verb,
    pub fault: Fault,
}

/// What the guest was on after the fault.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    Old,
    New,
    /// Old, and stackc refused to begin.
    Refused,
    /// Not whole, not what the exit code says, or never judged: `problem` tells.
    Failed,
}

/// A line of the result file.
#[derive(Debug, Clone, Serialize)]
pub struct Record {
    /// Its number in the sweep, counted from 0.
    pub trial: usize,
    pub command: Verb,
    /// None: not a cut.
    pub wire: Option<Wire>,
    pub direction: Option<Direction>,
    /// The sort of fault, and in which way.
    pub fault: &'static str,
    pub way: &'static str,
    pub connection: Option<usize>,
    pub part: Option<Part>,
    /// Bytes of the connection in that direction, or milliseconds of the step.
    pub after: u64,
    pub step: Option<usize>,
    /// Whether it happened before the command was over.
    pub hit: bool,
    /// None: killed.
    pub exit_code: Option<i32>,
    pub outcome: Outcome,
    /// The same command again was done, and the new generation was live and whole.
    pub converged: bool,
    pub seconds: u64,
    pub problem: Option<String>,
}

impl Trial {
    /// The record of a trial that has shown nothing yet.
    pub fn record(&self, trial: usize) -> Record {
        let blank = Record {
            trial,
            command: self.verb,
            wire: None,
            direction: None,
            fault: "operator killed",
            way: "kill -9",
            connection: None,
            part: None,
            after: 0,
            step: None,
            hit: false,
            exit_code: None,
            outcome: Outcome::Failed,
            converged: false,
            seconds: 0,
            problem: None,
        };
        match self.fault {
            Fault::Cut { wire, place, way } => Record {
                wire: Some(wire),
                direction: Some(place.direction),
                fault: wire.cut(),
                way: way.name,
                connection: Some(place.connection),
                part: Some(place.part),
                after: place.after,
                ..blank
            },
            Fault::Kill(moment) => at(moment, blank),
            Fault::Accident(Accident { what, moment }) => {
                at(moment, Record { fault: "accident", way: what.name(), ..blank })
            }
            Fault::Flaw(flaw) => Record { fault: "flaw", way: flaw.name(), ..blank },
        }
    }
}

fn at(Moment { step, delay }: Moment, blank: Record) -> Record {
    let after = u64::try_from(delay.as_millis()).expect("it is short");
    Record { step: Some(step), after, ..blank }
}

impl Fault {
    /// Runs a command under this fault; whether it happened before the command was over.
    pub fn disturb(self, tiny: &Tiny<'_>, run: &Run) -> (Ended, bool) {
        match self {
            Self::Cut { wire, place, way } => {
                let Place { connection, direction, after, .. } = place;
                let Way { how, scope, .. } = way;
                let cut = Cut { connection, direction, after, how, scope };
                let proxy = CutProxy::start(wire.server(tiny), Some(cut));
                let ended = wire.run_through(tiny, run, proxy.address());
                // No connection through the proxy outlives this.
                (ended, proxy.has_cut())
            }
            Self::Kill(moment) => {
                let ended = moment.kill(tiny, run);
                let hit = ended.code.is_none();
                (ended, hit)
            }
            Self::Accident(accident) => accident.strike(tiny, run),
            Self::Flaw(_) => {
                let ended = run.finish(tiny);
                assert_eq!(ended.code, Some(5), "it is undone: {ended}");
                (ended, true)
            }
        }
    }
}

impl Wire {
    pub fn name(self) -> &'static str {
        match self {
            Self::Ssh => "SSH",
            Self::Api => "API",
        }
    }

    fn cut(self) -> &'static str {
        match self {
            Self::Ssh => "SSH cut",
            Self::Api => "API cut",
        }
    }

    fn server(self, tiny: &Tiny<'_>) -> SocketAddr {
        match self {
            Self::Ssh => tiny.sshd(),
            Self::Api => tiny.lab_api(),
        }
    }

    fn run_through(self, tiny: &Tiny<'_>, run: &Run, proxy: SocketAddr) -> Ended {
        match self {
            Self::Ssh => {
                let _redirect = Redirect::install(tiny.sshd().ip(), proxy);
                run.finish(tiny)
            }
            Self::Api => {
                tiny.use_api(run.version, proxy);
                let ended = run.finish(tiny);
                tiny.use_api(run.version, tiny.lab_api());
                ended
            }
        }
    }
}

impl Verb {
    pub const ALL: [Self; 3] = [Self::FirstActivation, Self::Change, Self::Rollback];

    pub fn name(self) -> &'static str {
        match self {
            Self::FirstActivation => "first activation",
            Self::Change => "change",
            Self::Rollback => "rollback",
        }
    }
}

impl Record {
    /// Where the fault was, in words.
    pub fn place(&self) -> String {
        let after = self.after;
        match (self.wire, self.direction, self.connection, self.part) {
            (Some(wire), Some(direction), Some(connection), Some(part)) => format!(
                "{} connection {connection} {} cut after {after} bytes ({part:?}) by {}",
                wire.name(),
                direction.name(),
                self.way
            ),
            _ => format!("{} in step {} after {after} ms", self.way, self.step.unwrap_or_default()),
        }
    }
}

/// The guest is whole on the old or the new generation, and the exit code tells the truth about which.
///
/// # Panics
/// When not so.
pub fn judge(state: State, old: State, new: State, ended: &Ended) -> Outcome {
    assert!(state == old || state == new, "neither old ({old:?}) nor new ({new:?}): {state:?}");
    match ended.code {
        Some(0) => assert_eq!(state, new, "exit code 0 says done: {ended}"),
        Some(3..=5) => assert_eq!(state, old, "the exit code says that the old one runs: {ended}"),
        // Killed, or it could not know.
        None | Some(6) => {}
        Some(_) => panic!("this exit code is not for the world's failures: {ended}"),
    }
    match ended.code {
        Some(3) => Outcome::Refused,
        _ if state == new => Outcome::New,
        _ => Outcome::Old,
    }
}
