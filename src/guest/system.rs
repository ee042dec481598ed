//! The guest's running side: service manager, kernel firewall, package tools, clocks. The second seam.

use crate::model::{Probe, TxId, UnitName};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::ops::Range;
use std::time::Duration;

/// Effects on what runs. Each method is one idempotent step with a bounded duration.
pub trait System {
    /// Tells this boot from every other one.
    fn boot_id(&mut self) -> Result<String, SystemError>;
    /// Time since boot, suspended time included: no clock change moves it.
    fn uptime(&mut self) -> Duration;
    fn sleep(&mut self, time: Duration);

    /// Whether the guest is being shut down, or its service manager is gone: then units fail for no fault of theirs.
    fn is_going_down(&mut self) -> bool;

    /// What the service manager says of these units; of a template, what it says of each instance that runs.
    fn units(&mut self, names: &[UnitName]) -> Result<Units, SystemError>;
    /// Runs one job and waits for its result.
    fn job(&mut self, job: UnitJob, unit: &UnitName) -> Result<(), SystemError>;
    fn daemon_reload(&mut self) -> Result<(), SystemError>;
    /// The unit's last journal lines between two times since boot.
    fn journal(&mut self, unit: &UnitName, during: &Range<Duration>) -> Vec<String>;

    /// Has the alarm's verb run on the transaction after this time, unless it is disarmed. Armed already, and not the one
    /// that rings now: nothing.
    fn arm(&mut self, tx: &TxId, alarm: Alarm, after: Duration) -> Result<(), SystemError>;
    fn disarm(&mut self, tx: &TxId) -> Result<(), SystemError>;
    /// Starts `switch TX` where no dying connection reaches it. Running already: nothing.
    fn start_switch(&mut self, tx: &TxId) -> Result<(), SystemError>;
    /// Ends a switch that runs for too long.
    fn end_switch(&mut self, tx: &TxId) -> Result<(), SystemError>;

    /// The kernel's rules, as `iptables-save` and `ip6tables-save` write them.
    fn save_firewall(&mut self) -> Result<Rules, SystemError>;
    /// The kernel's rules and what the service manager says, which need not wait for each other.
    fn look(&mut self, names: &[UnitName]) -> Result<(Rules, Units), SystemError> {
        Ok((self.save_firewall()?, self.units(names)?))
    }
    fn load_firewall(&mut self, rules: &Rules, load: Load) -> Result<(), SystemError>;
    /// Loads ufw's whole frame for the first time, or takes it out of the kernel.
    fn set_ufw(&mut self, enabled: bool) -> Result<(), SystemError>;
    /// The rules of IPv6 that ufw's own start would make of its files, in a kernel without any. Loads nothing.
    fn ufw_frame6(&mut self) -> Result<String, SystemError>;

    /// Runs a command to its end.
    fn run(&mut self, command: &Command) -> Result<Output, SystemError> {
        self.run_aloud(command, &mut |_| {})
    }
    /// The same; `said` is given the last whole line of its output, twice a second at most.
    fn run_aloud(
        &mut self,
        command: &Command,
        said: &mut dyn FnMut(&str),
    ) -> Result<Output, SystemError>;
    /// Kills whatever still runs in this folder or below, or is marked with it, and waits until it is gone.
    fn end_all_in(&mut self, folder: &str) -> Result<(), SystemError>;
    /// The path of this very program, for units that call it.
    fn program(&mut self) -> Result<String, SystemError>;
    /// Asks once; the reason when it does not pass. A `Probe::Unit` is no question for here.
    fn probe(&mut self, probe: &Probe) -> Result<(), String>;
}

/// The unit that a transaction's switch runs in.
pub fn switch_unit(tx: &TxId) -> UnitName {
    format!("stackc-tx-{tx}.service").parse().expect("a transaction's name is fit for a unit's")
}

/// Units by name, as the service manager reports them.
pub type Units = BTreeMap<UnitName, UnitReport>;

/// A unit as the service manager reports it. Why a unit is down is asked only of one that is.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct UnitReport {
    pub load: String,
    pub active: String,
    pub sub: String,
    /// `Result`: success, exit-code, timeout, …
    pub result: String,
    /// How often the service manager restarted it by itself.
    pub restarts: u64,
    /// Whether it is down because a job stopped it, for certain: it did not end by itself, and nothing else starts it.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub stopped: bool,
    /// Whether it is a oneshot, which is down between its runs.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub ends: bool,
    /// Whether something else says when it runs: a timer or a socket, its conditions, those who need it.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub led: bool,
}

impl UnitReport {
    pub fn is_active(&self) -> bool {
        matches!(self.active.as_str(), "active" | "reloading")
    }

    /// Whether it is told to end, and has not: what is left of it runs.
    pub fn is_ending(&self) -> bool {
        self.active == "deactivating"
    }

    /// Failed, or waiting for its next try after it failed.
    pub fn is_failed(&self) -> bool {
        self.active == "failed" || self.sub == "auto-restart"
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum UnitJob {
    Start,
    /// Start without waiting: for early boot, where waiting would be for ever.
    StartLater,
    Stop,
    /// Stop without waiting: what is only queued at early boot never starts then.
    StopLater,
    /// End every process of it by the kernel's hand.
    Kill,
    Restart,
    Reload,
}

/// Which of a transaction's alarms.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Alarm {
    /// Hooks before the switch hang, or their call died.
    Hooks,
    /// They are over, and the switch does not begin.
    Begin,
    /// What they did could not be taken back: try again.
    Reopen,
    /// Before anything changes: the switch hangs or dies.
    Switch,
    /// The operator does not confirm.
    Confirm,
    /// Going back failed: try again.
    Retry,
}

impl Alarm {
    pub fn name(self) -> &'static str {
        match self {
            Self::Hooks => "hooks",
            Self::Begin => "begin",
            Self::Reopen => "reopen",
            Self::Switch => "switch",
            Self::Confirm => "confirm",
            Self::Retry => "retry",
        }
    }

    /// The verb by which the guest calls itself when it rings.
    pub fn verb(self) -> &'static str {
        match self {
            Self::Hooks | Self::Begin | Self::Reopen => "timer-hooks",
            Self::Switch | Self::Confirm | Self::Retry => "timer-undo",
        }
    }

    /// Whether it is set by what an alarm has called.
    pub fn is_again(self) -> bool {
        matches!(self, Self::Reopen | Self::Retry)
    }
}

/// Firewall rules in `iptables-restore`'s format.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Rules {
    pub v4: String,
    pub v6: String,
}

/// How rules are loaded; each is one atomic commit per address family.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Load {
    /// Nothing changes; only the syntax is judged.
    Test,
    /// The chains that the rules declare are replaced, others stay (`-n`).
    Chains,
    /// Whole tables are replaced.
    Tables,
}

/// A command to run to its end. Never through a shell, unless the shell is what is to be run.
#[derive(Clone, Default)]
pub struct Command {
    pub argv: Vec<String>,
    /// Runs as this user with a login's groups; root otherwise.
    pub user: Option<String>,
    /// The number of that user's own group; the group of the same name where none is given.
    pub group: Option<u32>,
    /// The whole environment.
    pub environment: BTreeMap<String, String>,
    pub folder: Option<String>,
    /// What is written to its standard input; never shown, it may hold a secret.
    pub input: Vec<u8>,
    /// After this its whole process group is killed.
    pub limit: Duration,
    /// Whether all of its output counts: one that is cut is a failure then.
    pub whole: bool,
}

impl Command {
    pub fn new(argv: &[&str], limit: Duration) -> Self {
        let argv = argv.iter().map(|&word| word.to_owned()).collect();
        let environment = [
            ("PATH", "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"),
            ("LC_ALL", "C.UTF-8"),
            ("HOME", "/root"),
        ];
        let environment =
            environment.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect();
        Self { argv, environment, limit, ..Self::default() }
    }

    /// A question, whose answer counts as a whole or not at all.
    pub fn asking(argv: &[&str], limit: Duration) -> Self {
        Self { whole: true, ..Self::new(argv, limit) }
    }
}

/// How a command ended.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Output {
    /// Exit code; none when a signal or the time limit ended it.
    pub code: Option<i32>,
    /// Standard output and standard error in one, as they came; the last 256 KiB at most, unless all of it counts.
    pub text: String,
}

impl Output {
    /// The last lines, for people.
    pub fn tail(&self, lines: usize) -> Vec<String> {
        let all: Vec<&str> = self.text.lines().collect();
        all[all.len().saturating_sub(lines)..].iter().map(|&line| line.to_owned()).collect()
    }
}

/// An effect on what runs that did not happen.
#[derive(Debug, thiserror::Error)]
pub enum SystemError {
    #[error("cannot run `{program}`")]
    Spawn {
        program: String,
        #[source]
        cause: std::io::Error,
    },
    #[error("`{command}` did not succeed: {ending}")]
    Failed { command: String, ending: String, tail: Vec<String> },
    #[error("`{program}` has nothing to act on in a folder: only a booted guest has it")]
    NoSystem { program: String },
    #[error("cannot ask the service manager about units")]
    Units(#[source] std::io::Error),
    #[error("cannot keep the folder's system state")]
    State(#[from] super::fs::FsError),
    #[error("cannot read the folder's system state")]
    Json(#[from] serde_json::Error),
}

impl SystemError {
    /// The log lines that explain it.
    pub fn tail(&self) -> &[String] {
        match self {
            Self::Failed { tail, .. } => tail,
            _ => &[],
        }
    }
}

/// Refuses an output that is not success.
pub fn succeed(command: &Command, output: Output) -> Result<Output, SystemError> {
    if output.code == Some(0) {
        return Ok(output);
    }
    let ending = match output.code {
        Some(code) => format!("exit code {code}"),
        None => format!("killed by a signal or after {} s", command.limit.as_secs()),
    };
    Err(SystemError::Failed { command: command.argv.join(" "), ending, tail: output.tail(20) })
}

/// Runs a command that must succeed.
pub fn run(system: &mut dyn System, command: &Command) -> Result<Output, SystemError> {
    let output = system.run(command)?;
    succeed(command, output)
}
