//! Plans in a file: `plan --out` and `rollback --out` write them, `activate --plan` and `rollback --plan` carry out exactly
//! them, or refuse.

use super::{
    fleet::{Fleet, refuse},
    output,
};
use crate::{
    activate::{ActivateError, Failed, Job},
    model::{Bundle, Digest, GenerationId, SecretsVersion, Target},
    plan::Plan,
    store,
};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::Path,
    process::ExitCode,
};

const FORMAT: u32 = 1;
/// A plan of a hundred guests, each with all its files new, is far below.
const BYTES_MAX: u64 = 64 << 20;

/// What `--out` writes: no secret, and nothing of the machine that wrote it.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SavedPlans {
    format: u32,
    plans: Vec<SavedPlan>,
}

/// One guest's plan.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct SavedPlan {
    target: Target,
    /// None: the guest as it was found.
    digest: Option<Digest>,
    /// The generation that it goes back to; none of a plan for what definitions say.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    back_to: Option<GenerationId>,
    /// Of which values of the secrets; it tells nothing about them.
    secrets: SecretsVersion,
    /// As `plan --json` prints it.
    plan: Value,
}

/// What of a file of plans cannot be carried out.
#[derive(Debug, thiserror::Error)]
pub enum SavedError {
    #[error("cannot read the plan `{path}`")]
    Read {
        path: String,
        #[source]
        cause: std::io::Error,
    },
    #[error("`{path}` is empty; `stackc plan --out FILE` saves a plan in a file")]
    Empty { path: String },
    #[error("`{path}` is no plan; `stackc plan --out FILE` saves one in a file")]
    Form {
        path: String,
        #[source]
        cause: serde_json::Error,
    },
    #[error("the plan `{path}` has format {found}, and this stackc reads format {FORMAT}")]
    Format { path: String, found: u64 },
    #[error(
        "`{path}` holds a plan to go back with {target}; `stackc rollback --plan {path}` carries it out"
    )]
    GoesBack { path: String, target: Target },
    #[error(
        "`{path}` holds a plan for what is defined of {target}; `stackc activate --plan {path}` carries it out"
    )]
    GoesForward { path: String, target: Target },
    #[error("the plan of {target} is for bundle {}, which is not in out/; plan again here", digest.short())]
    Bundle {
        target: Target,
        digest: Digest,
        #[source]
        cause: store::StoreError,
    },
}

/// A plan as it was made, and what it was made of.
pub struct ToSave {
    pub secrets: SecretsVersion,
    pub back_to: Option<GenerationId>,
    pub plan: Plan,
}

impl SavedPlans {
    pub fn of(plans: &[ToSave]) -> Self {
        let saved = plans.iter().map(|ToSave { secrets, back_to, plan }| SavedPlan {
            target: plan.target.clone(),
            digest: plan.digest,
            back_to: *back_to,
            secrets: *secrets,
            plan: plan.json(),
        });
        Self { format: FORMAT, plans: saved.collect() }
    }

    /// Writes them whole, for people to review as well.
    pub fn write(&self, path: &Path) -> Result<(), ExitCode> {
        let mut bytes = serde_json::to_vec_pretty(self).expect("plans are JSON");
        bytes.push(b'\n');
        store::write_whole(path, &bytes).map_err(|error| refuse(&error))
    }

    pub fn read(path: &Path) -> Result<Self, SavedError> {
        let name = path.display().to_string();
        let read = |cause| SavedError::Read { path: name.clone(), cause };
        let form = |cause| SavedError::Form { path: name.clone(), cause };
        if fs::metadata(path).map_err(read)?.len() > BYTES_MAX {
            return Err(read(std::io::ErrorKind::FileTooLarge.into()));
        }
        let bytes = fs::read(path).map_err(read)?;
        if bytes.is_empty() {
            return Err(SavedError::Empty { path: name });
        }
        let value: Value = serde_json::from_slice(&bytes).map_err(form)?;
        match value.get("format").and_then(Value::as_u64) {
            Some(found) if found != u64::from(FORMAT) => {
                Err(SavedError::Format { path: name.clone(), found })
            }
            _ => serde_json::from_value(value).map_err(form),
        }
    }

    /// The bundles that were planned, as `out/` kept them.
    pub fn bundles(&self, fleet: &Fleet, path: &Path) -> Result<Vec<Bundle>, SavedError> {
        let get = |SavedPlan { target, digest, back_to, .. }: &SavedPlan| {
            let (Some(digest), None) = (digest, back_to) else {
                let (path, target) = (path.display().to_string(), target.clone());
                return Err(SavedError::GoesBack { path, target });
            };
            let missing =
                |cause| SavedError::Bundle { target: target.clone(), digest: *digest, cause };
            fleet.store.get(digest).map_err(missing)
        };
        self.plans.iter().map(get).collect()
    }

    /// Which guests go back, and where to.
    pub fn ways(&self, path: &Path) -> Result<Vec<(Target, GenerationId)>, SavedError> {
        let way = |SavedPlan { target, back_to, .. }: &SavedPlan| {
            let (path, target) = (path.display().to_string(), target.clone());
            match back_to {
                Some(number) => Ok((target, *number)),
                None => Err(SavedError::GoesForward { path, target }),
            }
        };
        self.plans.iter().map(way).collect()
    }

    /// What is to be carried out, by guest.
    pub fn by_target(self) -> Approved {
        Approved(self.plans.into_iter().map(|plan| (plan.target.clone(), plan)).collect())
    }
}

/// Plans that somebody has approved by handing over their file.
pub struct Approved(BTreeMap<Target, SavedPlan>);

impl Approved {
    /// Refuses a plan that has become another one since.
    pub fn check(&self, job: &Job<'_>, plan: &Plan) -> Result<(), Failed> {
        let target = &plan.target;
        refuse_off(plan)?;
        let saved = self.0.get(target).expect("jobs are made of saved plans");
        let now = plan.json();
        let is_other = |key: &&String| saved.plan.get(key.as_str()) != now.get(key.as_str());
        let keys = [&now, &saved.plan].into_iter().filter_map(Value::as_object);
        let keys: BTreeSet<&String> = keys.flat_map(|plan| plan.keys()).collect();
        let mut differs: Vec<String> =
            keys.into_iter().filter(is_other).map(|key| key.replace('_', " ")).collect();
        if saved.secrets != job.secrets.version {
            differs.push("values of secrets".to_owned());
        }
        if differs.is_empty() && saved.plan == now {
            return Ok(());
        }
        let (target, differs) = (target.clone(), differs.join(", "));
        let verb = if saved.back_to.is_some() { "rollback" } else { "plan" };
        Err(Failed::refused(ActivateError::PlanStale { target, differs, verb }))
    }
}

/// What there is to do in a guest that is off is not in its plan, so that nobody could approve it.
pub fn refuse_off(plan: &Plan) -> Result<(), Failed> {
    if !plan.off {
        return Ok(());
    }
    let (target, vmid) = (plan.target.clone(), plan.vmid);
    Err(Failed::refused(ActivateError::NotRunning { target, vmid }))
}

/// Reads a file of plans; says why when that does not work.
pub fn read(path: &Path) -> Result<SavedPlans, ExitCode> {
    SavedPlans::read(path).map_err(|error| output::fail(&error, output::Exit::Refused.code()))
}
