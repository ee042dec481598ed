//! How an activation can end other than well.

use super::Exit;
use crate::model::{Digest, GenerationId, Target, TxState, UnitName, Vmid, protocol::PendingTx};
use crate::plan::{PlanError, UnitChange, pending_text};
use crate::proxmox::ProxmoxError;
use crate::remote::RemoteError;
use crate::vault::VaultError;
use std::{collections::BTreeMap, net::IpAddr};

#[derive(Debug, thiserror::Error)]
pub enum ActivateError {
    #[error(transparent)]
    Proxmox(#[from] ProxmoxError),
    #[error(transparent)]
    Remote(#[from] RemoteError),
    #[error(transparent)]
    Vault(#[from] VaultError),
    #[error(transparent)]
    Plan(#[from] PlanError),
    #[error(
        "guest number {vmid} is {owner}; choose another vmid for {target}, or remove that guest"
    )]
    NotOurs { target: Target, vmid: Vmid, owner: String },
    #[error(
        "{target} already lives in guest {found}; a changed vmid means a new guest: destroy guest {found} first, or take the change back"
    )]
    Elsewhere { target: Target, found: Vmid },
    #[error(
        "the address {address} of {target} is in use by {owner}; choose another, or override with --allow-ip-conflicts"
    )]
    AddressTaken { target: Target, address: IpAddr, owner: String },
    #[error("{target} cannot be created: {}", list.join("; "))]
    Obstacles { target: Target, list: Vec<String> },
    #[error(
        "guest {vmid} is locked by Proxmox ({lock}); wait for it, or unlock it on the node: pct unlock {vmid}"
    )]
    Locked { vmid: Vmid, lock: String },
    #[error("{target} was changed by hand; without --overwrite-drift nothing goes over that")]
    Drift {
        target: Target,
        /// Paths, and what else was changed.
        what: Vec<String>,
    },
    #[error(
        "{target} moved on since the plan was made: generation {found} is live, not {planned}; plan again"
    )]
    Stale { target: Target, planned: GenerationId, found: GenerationId },
    #[error("the saved plan of {target} no longer fits: its {differs} would be others now")]
    PlanStale {
        target: Target,
        differs: String,
        /// What makes such a plan.
        verb: &'static str,
    },
    #[error("{target} is busy: {}", pending_text(pending))]
    Pending { target: Target, pending: Box<PendingTx> },
    #[error(
        "{target} is not whole: {}; log in and look at `journalctl -u 'stackc-*'`",
        pending_text(pending)
    )]
    NotWhole { target: Target, pending: Box<PendingTx> },
    #[error("{holder} at work on {target} already: {why}")]
    Leased { target: Target, holder: String, why: String },
    #[error("cannot leave a sign that this run is at work on {target}")]
    Sign {
        target: Target,
        #[source]
        cause: std::io::Error,
    },
    #[error("interrupted before {step}")]
    Interrupted { step: &'static str },
    #[error("cannot fetch the release of {target}")]
    Fetch {
        target: Target,
        #[source]
        cause: Box<dyn std::error::Error + Send + Sync>,
    },
    #[error("{target} went back to generation {from}: {what}")]
    Undone { target: Target, from: GenerationId, what: String, state: Box<TxState> },
    #[error("{target} went back to generation {from}: {what}")]
    CalledOff { target: Target, from: GenerationId, what: String, state: Box<TxState> },
    #[error("{target} is not whole: {what}")]
    Inconsistent { target: Target, what: String, state: Box<TxState> },
    #[error(
        "the switch of {target} is not over after {seconds} s; without a confirm the guest goes back by itself"
    )]
    Unfinished { target: Target, seconds: u64 },
    #[error(
        "the guest of {target} did not tell how its switch ended; {then} the guest goes back by itself by {by}"
    )]
    Unknown {
        target: Target,
        /// What its going back depends on.
        then: &'static str,
        /// A time of day.
        by: String,
        #[source]
        cause: RemoteError,
    },
    #[error(
        "the guest of {target} stopped before it told how its switch ended; {then} it goes back by itself when it starts"
    )]
    Stopped {
        target: Target,
        vmid: Vmid,
        /// What its going back depends on.
        then: &'static str,
        #[source]
        cause: RemoteError,
    },
    #[error("the switch of {target} did not begin: the guest knows nothing of it")]
    NeverBegan {
        target: Target,
        #[source]
        cause: RemoteError,
    },
    #[error("the settings of {target} in Proxmox did not go back ({after})")]
    SettingsLeft {
        target: Target,
        /// The live generation; none where nothing of stackc's is live.
        from: Option<GenerationId>,
        /// What ended the activation.
        after: Box<ActivateError>,
        #[source]
        cause: ProxmoxError,
    },
    #[error("{target} does not answer at its new address {address}; its network was put back")]
    NetworkPutBack { target: Target, address: IpAddr },
    #[error("{target} has no generation {number}; it can go back to {}", numbers(known))]
    NoGeneration { target: Target, number: GenerationId, known: Vec<GenerationId> },
    #[error("{target} has no generation {number}; its history has {}", numbers(known))]
    NoRecord { target: Target, number: GenerationId, known: Vec<GenerationId> },
    #[error(
        "generation {number} of {target} was never confirmed, so nothing says that it works; it can go back to {}",
        numbers(known)
    )]
    NotConfirmed { target: Target, number: GenerationId, known: Vec<GenerationId> },
    #[error(
        "before generation {live} {target} was as it was found; going back there takes the app off the guest, so it has to be asked for by its number"
    )]
    FoundBefore { target: Target, live: GenerationId },
    #[error(
        "generation {number} of {target} is only a record: its bundle {} is neither in `out/` nor on the guest any more", digest.short()
    )]
    Collected {
        target: Target,
        number: GenerationId,
        digest: Digest,
        #[source]
        cause: RemoteError,
    },
    #[error("the guest of {target} sent other bytes than bundle {digest} has")]
    Unproved { target: Target, digest: Digest },
    #[error("no guest in Proxmox has the mark of {target}")]
    NoGuest { target: Target },
    #[error(
        "guests {} both have the mark of {target}: one is a copy; take the mark, its description's last line, from the copy",
        numbers.iter().map(ToString::to_string).collect::<Vec<_>>().join(" and ")
    )]
    TwoGuests { target: Target, numbers: Vec<Vmid> },
    #[error("guest {vmid} of {target} does not run, so it cannot be asked")]
    NotRunning { target: Target, vmid: Vmid },
    #[error(
        "guest {vmid} of {target} runs and has no fixed address in Proxmox, so it cannot be asked"
    )]
    NoAddress { target: Target, vmid: Vmid },
    #[error("guest {vmid} of {target} is not fully created: its creation was cut short")]
    HalfMade { target: Target, vmid: Vmid },
    #[error("{target} has nothing to go back to: {why}")]
    NothingBefore { target: Target, why: String },
    #[error(
        "generation {number} of {target} has another value of {names} than `stacks/secrets.local.toml`, and its databases need it; put the old value there, or go forward with `stackc activate {target}`"
    )]
    OldSecret { target: Target, number: GenerationId, names: String },
}

fn numbers(known: &[GenerationId]) -> String {
    let name = |number: &GenerationId| match *number {
        GenerationId::FOUND => "0 (as found)".to_owned(),
        number => number.to_string(),
    };
    known.iter().map(name).collect::<Vec<_>>().join(", ")
}

/// How far an activation was when it ended: the exit code, and what to tell.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stage {
    /// Nothing has changed.
    Refused,
    /// Something was prepared; what runs is untouched.
    BeforeSwitch,
    /// Switched, and undone: whole on the old generation.
    Undone,
    /// Whole on the old generation, but its settings in Proxmox are still the new ones.
    SettingsLeft,
    /// A person is needed.
    Unknown,
    /// The new generation is live and confirmed; a later step did not work.
    AfterConfirm,
}

/// A failure with how far things were.
#[derive(Debug)]
pub struct Failed {
    pub stage: Stage,
    pub error: ActivateError,
}

impl Failed {
    pub fn refused(error: impl Into<ActivateError>) -> Self {
        Self { stage: Stage::Refused, error: error.into() }
    }

    /// With what the plan changed for the units that failed: evidence begins with its cause.
    pub(super) fn because(mut self, units: &BTreeMap<UnitName, UnitChange>) -> Self {
        if let ActivateError::Undone { state, .. } = &mut self.error
            && let Some(failure) = &mut state.failure
        {
            let has_failed = |unit: &UnitName| failure.units.contains(unit);
            let is_known = units.keys().any(has_failed);
            let of_failed = units.iter().filter(|(unit, _)| !is_known || has_failed(unit));
            let causes = of_failed.filter(|(_, change)| !change.causes.is_empty());
            let causes: Vec<_> = causes.map(|(unit, change)| planned(unit, change)).collect();
            failure.evidence.splice(0..0, causes);
        }
        self
    }

    pub fn exit_code(&self) -> u8 {
        let exit = match self.stage {
            Stage::Refused => Exit::Refused,
            Stage::BeforeSwitch => Exit::BeforeSwitch,
            Stage::Undone => Exit::Undone,
            Stage::SettingsLeft | Stage::Unknown | Stage::AfterConfirm => Exit::NotWhole,
        };
        exit.code()
    }

    /// What state things are in now, as a sentence.
    pub fn state(&self) -> &'static str {
        match self.stage {
            Stage::Refused => "nothing has changed",
            Stage::BeforeSwitch => "what ran before still runs; the same command again continues",
            Stage::Undone => "the guest is whole on its old generation",
            Stage::SettingsLeft => {
                "the guest is whole on its old generation; its settings in Proxmox are the new ones"
            }
            Stage::Unknown => "the guest's state is not known",
            Stage::AfterConfirm => "the new generation is live and confirmed",
        }
    }
}

/// What the plan had for a unit, and why.
fn planned(unit: &UnitName, UnitChange { decision, causes }: &UnitChange) -> String {
    format!("planned: {} {unit}: {}", decision.word(), causes.join(", "))
}

impl ActivateError {
    /// Lines that show what happened: a unit's journal, a probe's answers, the end of a log.
    pub fn evidence(&self) -> Vec<String> {
        let of_state = |state: &TxState| {
            state.failure.as_ref().map(|failure| failure.evidence.clone()).unwrap_or_default()
        };
        match self {
            Self::Proxmox(error) => error.evidence().to_vec(),
            Self::Remote(error) => error.refusal().map(|r| r.details.clone()).unwrap_or_default(),
            Self::Undone { state, .. }
            | Self::CalledOff { state, .. }
            | Self::Inconsistent { state, .. } => of_state(state),
            Self::SettingsLeft { after, .. } => after.evidence(),
            Self::Drift { what, .. } => what.clone(),
            _ => Vec::new(),
        }
    }

    /// The command to go on with; none where the message itself says what to do.
    pub fn next(&self) -> Option<String> {
        let (verb, target, then) = match self {
            Self::Remote(error) => return error.next().map(str::to_owned),
            Self::Proxmox(error) => return error.next().map(str::to_owned),
            // These come of a rollback too, after which `activate` would lead the wrong way.
            Self::Undone { .. } => {
                return Some("the same command again, after mending it".to_owned());
            }
            Self::Stopped { vmid, .. } | Self::NotRunning { vmid, .. } => {
                let start = format!("pct start {vmid}");
                return Some(format!("{start}   # on its node; then the same command again"));
            }
            Self::NoAddress { vmid, .. } => {
                let set = format!("pct set {vmid} --net0 …,ip=ADDRESS/PREFIX,gw=GATEWAY");
                return Some(format!("{set}   # on its node; then the same command again"));
            }
            Self::NeverBegan { .. }
            | Self::Fetch { .. }
            | Self::CalledOff { .. }
            | Self::Stale { .. } => {
                return Some("the same command again".to_owned());
            }
            Self::NetworkPutBack { target, .. } => {
                ("plan", target, "when its address, gateway and bridge are right")
            }
            Self::FoundBefore { target, .. } => {
                let back = format!("stackc rollback {target} --to 0");
                return Some(format!("{back}   # back to the guest as it was found"));
            }
            Self::NoGeneration { target, .. }
            | Self::NoRecord { target, .. }
            | Self::NotConfirmed { target, .. }
            | Self::NothingBefore { target, .. } => ("history", target, "what there is"),
            Self::Collected { target, .. } => {
                ("build", target, "with the definitions of that time, then the same again")
            }
            // The bundle that was wanted has these settings: its plan shows no difference.
            Self::SettingsLeft { target, from: Some(from), .. } => {
                let back = format!("stackc rollback {target} --to {from}");
                return Some(format!("{back}   # its settings too"));
            }
            Self::SettingsLeft { target, from: None, .. } => {
                ("activate", target, "the same again; nothing was live before")
            }
            Self::Unknown { target, .. }
            | Self::Unfinished { target, .. }
            | Self::Inconsistent { target, .. }
            | Self::Pending { target, .. }
            | Self::NotWhole { target, .. } => ("status", target, "how it is by now"),
            Self::PlanStale { target, verb, .. } => {
                return Some(format!("stackc {verb} {target} --out FILE   # plans again"));
            }
            Self::Drift { target, .. } => ("drift", target, "what was changed; then decide"),
            Self::HalfMade { target, .. } => ("activate", target, "goes on with its creation"),
            Self::NoGuest { target } => ("activate", target, "makes it, when it is defined"),
            Self::Unproved { target, .. } => ("build", target, "makes the bundle again"),
            Self::Leased { .. } => {
                let then = "the same command again when it is over; a run that died gives way after two minutes";
                return Some(then.to_owned());
            }
            Self::Interrupted { .. } => return Some("the same command again continues".to_owned()),
            // What to change stands in the message.
            Self::Vault(_)
            | Self::Plan(_)
            | Self::NotOurs { .. }
            | Self::Elsewhere { .. }
            | Self::AddressTaken { .. }
            | Self::Obstacles { .. }
            | Self::Locked { .. }
            | Self::TwoGuests { .. }
            | Self::Sign { .. }
            | Self::OldSecret { .. } => return None,
        };
        Some(format!("stackc {verb} {target}   # {then}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{Failure, Phase};
    use crate::plan::UnitDecision;

    /// A unit that a failure only speaks of, by its own words or a program's, is not the one that failed.
    #[test]
    fn what_failed_is_told_by_the_guest_and_not_read_from_its_sentence() {
        let unit = |name: &str| name.parse::<UnitName>().expect("it is a unit's name");
        let change = |cause: &str| UnitChange {
            decision: UnitDecision::Restart,
            causes: vec![cause.into()],
        };
        let units = BTreeMap::from([
            (unit("app.service"), change("its file changed")),
            (unit("db.service"), change("its own changed")),
        ]);
        let what = "`app.service` waits for its database".to_owned();
        let told = |failed: &[&str]| {
            let mut failure = Failure::new(what.clone(), Vec::new());
            failure.units = failed.iter().map(|name| unit(name)).collect();
            let state = TxState {
                tx: "00000000000000a1".parse().expect("it is a transaction's name"),
                phase: Phase::Undone,
                failure: Some(failure),
                downtime_ms: BTreeMap::new(),
                down_since_ms: BTreeMap::new(),
                switch_ms: 0,
                drift_copies: Vec::new(),
            };
            let (project, env) = ("shop".parse().expect("a name"), "dev".parse().expect("a name"));
            let target = Target { project, env };
            let (from, what, state) = (GenerationId(1), what.clone(), Box::new(state));
            let error = ActivateError::Undone { target, from, what, state };
            Failed { stage: Stage::Undone, error }.because(&units).error.evidence()
        };
        assert_eq!(told(&["db.service"]), ["planned: restart db.service: its own changed"]);
        assert_eq!(told(&[]).len(), 2, "any of them may be why");
        assert_eq!(told(&["other.service"]).len(), 2, "the plan had nothing for it");
    }
}
