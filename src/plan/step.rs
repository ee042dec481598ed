//! A plan, and the steps that it consists of.

use super::{FileChange, SettingChange, UnitChange, UnitDecision, difference::FileDifference};
use crate::model::{
    Bundle, Digest, GenerationId, GuestPath, ReleaseId, RuntimeDrift, SecretTags, SecretsVersion,
    Sight, Target, UnitName, Vmid, protocol::PendingTx,
};
use std::collections::BTreeMap;

/// What is to be live.
#[derive(Debug, Clone, Copy)]
pub struct Wanted<'a> {
    pub bundle: &'a Bundle,
    pub tags: &'a SecretTags,
    pub secrets: SecretsVersion,
    /// A release that is to be taken as it is: that of the generation to go back to.
    pub release: Option<ReleaseId>,
    /// Whether this bundle was live before.
    pub goes_back: bool,
}

/// One step of an activation, with everything that it needs to know.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Step {
    Create,
    Settings(Vec<SettingChange>),
    Grow {
        from_gib: u32,
        to_gib: u32,
    },
    Start,
    Receive,
    /// A line for each file of apt that differs.
    Packages(Vec<String>),
    Accounts,
    Databases,
    Secrets,
    Release,
    Validate,
    /// Units that rest meanwhile.
    Migrate {
        rest: Vec<UnitName>,
    },
    /// A line for each command.
    Hooks(Vec<String>),
    Switch,
    Confirm,
    Network(Box<SettingChange>),
}

/// What a step does to what runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Effect {
    Nothing,
    Reload,
    Restart,
    /// The whole guest comes up.
    Boot,
}

/// A step in a plan.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PlannedStep {
    pub step: Step,
    pub cause: String,
    pub effect: Effect,
    /// What an undo and a rollback leave as it is.
    pub stays: Option<String>,
}

/// Everything that an activation would do, in order. Empty: the guest is what its bundle says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Plan {
    pub target: Target,
    pub vmid: Vmid,
    /// The wanted bundle; none when the guest is to be as it was found.
    pub digest: Option<Digest>,
    /// The live generation that the plan was made against; none on a guest that stackc has not changed yet.
    pub from: Option<GenerationId>,
    pub from_digest: Option<Digest>,
    /// The guest is off: the steps only start it, and what there is to do in it is planned when it runs.
    pub off: bool,
    pub steps: Vec<PlannedStep>,
    pub files: BTreeMap<GuestPath, FileChange>,
    /// What others have where the bundle's files come, and what differs.
    pub foreign: BTreeMap<GuestPath, Sight>,
    pub foreign_differences: BTreeMap<GuestPath, FileDifference>,
    /// Rules and settings of the firewall that come and go.
    pub firewall: Vec<String>,
    pub units: BTreeMap<UnitName, UnitChange>,
    /// Files that change, and packages' units that read them at their start alone, and run on.
    pub unread: BTreeMap<GuestPath, UnitName>,
    /// Kernel parameters that leave, and have their values of before again.
    pub put_back: Vec<String>,
    /// What the switch runs when the units are up, a line each.
    pub hooks: Vec<String>,
    /// Paths that somebody changed by hand, with what is there.
    pub drift: BTreeMap<GuestPath, String>,
    /// What runs otherwise than the live generation has it.
    pub runtime_drift: RuntimeDrift,
    /// Settings that differ and only take effect when the guest starts again.
    pub waiting: Vec<String>,
    /// What the guest keeps, though the generation to go back to had it otherwise.
    pub kept: Vec<String>,
    /// A transaction that is not over: what is live now may not stay.
    pub pending: Option<PendingTx>,
}

impl Plan {
    /// Whether there is nothing to do, and nothing under way.
    pub fn is_empty(&self) -> bool {
        self.steps.is_empty() && self.pending.is_none()
    }
}

/// The most that happens to a unit.
pub(super) fn effect_on(units: &BTreeMap<UnitName, UnitChange>) -> Effect {
    let effects = units.values().map(|change| effect_of(change.decision));
    effects.max().unwrap_or(Effect::Nothing)
}

fn effect_of(decision: UnitDecision) -> Effect {
    match decision {
        UnitDecision::Reload => Effect::Reload,
        UnitDecision::LeftAlone => Effect::Nothing,
        UnitDecision::Restart
        | UnitDecision::StopThenStart
        | UnitDecision::Start
        | UnitDecision::Stop => Effect::Restart,
    }
}

pub(super) fn step(
    step: Step,
    cause: String,
    effect: Effect,
    stays: Option<String>,
) -> PlannedStep {
    PlannedStep { step, cause, effect, stays }
}
