//! Plans in a file: `plan --out` writes them, `activate --plan` carries out exactly them, or refuses.

use super::{
    fleet::{Fleet, refuse},
    output,
};
use crate::{
    activate::{ActivateError, Failed, Job},
    model::{Bundle, Digest, SecretsVersion, Target},
    plan::Plan,
    store,
};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::{collections::BTreeMap, fs, path::Path, process::ExitCode};

const FORMAT: u32 = 1;
/// A plan of a hundred guests, each with all its files new, is far below.
const BYTES_MAX: u64 = 64 << 20;

/// What `plan --out` writes: no secret, and nothing of the machine that wrote it.
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
    digest: Digest,
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
    #[error("`{path}` is no plan; `stackc plan --out {path}` writes one")]
    Form {
        path: String,
        #[source]
        cause: serde_json::Error,
    },
    #[error("the plan `{path}` has format {found}, and this stackc reads format {FORMAT}")]
    Format { path: String, found: u64 },
    #[error("the plan of {target} is for bundle {}, which is not in out/; plan again here", digest.short())]
    Bundle {
        target: Target,
        digest: Digest,
        #[source]
        cause: store::StoreError,
    },
}

impl SavedPlans {
    pub fn of(plans: &[(SecretsVersion, Plan)]) -> Self {
        // No `activate` leads to the guest as it was found, which has no bundle.
        let saved = plans.iter().filter_map(|(secrets, plan)| {
            Some(SavedPlan {
                target: plan.target.clone(),
                digest: plan.digest?,
                secrets: *secrets,
                plan: plan.json(),
            })
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
        let value: Value = serde_json::from_slice(&fs::read(path).map_err(read)?).map_err(form)?;
        match value.get("format").and_then(Value::as_u64) {
            Some(found) if found != u64::from(FORMAT) => {
                Err(SavedError::Format { path: name.clone(), found })
            }
            _ => serde_json::from_value(value).map_err(form),
        }
    }

    /// The bundles that were planned, as `out/` kept them.
    pub fn bundles(&self, fleet: &Fleet) -> Result<Vec<Bundle>, SavedError> {
        let get = |SavedPlan { target, digest, .. }: &SavedPlan| {
            let missing =
                |cause| SavedError::Bundle { target: target.clone(), digest: *digest, cause };
            fleet.store.get(digest).map_err(missing)
        };
        self.plans.iter().map(get).collect()
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
        let saved = self.0.get(target).expect("jobs are made of saved plans");
        let now = plan.json();
        let is_other = |key: &&String| saved.plan.get(key.as_str()) != now.get(key.as_str());
        let keys = now.as_object().into_iter().flat_map(|plan| plan.keys());
        let mut differs: Vec<String> =
            keys.filter(is_other).map(|key| key.replace('_', " ")).collect();
        if saved.secrets != job.secrets.version {
            differs.push("values of secrets".to_owned());
        }
        if differs.is_empty() && saved.plan == now {
            return Ok(());
        }
        let error =
            ActivateError::PlanStale { target: target.clone(), differs: differs.join(", ") };
        Err(Failed::refused(error))
    }
}

/// Reads a file of plans; says why when that does not work.
pub fn read(path: &Path) -> Result<SavedPlans, ExitCode> {
    SavedPlans::read(path).map_err(|error| output::fail(&error, output::REFUSED))
}
