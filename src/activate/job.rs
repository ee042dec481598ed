//! One guest's activation: what is wanted, and with which secrets.

use super::ActivateError;
use crate::compile::env_file;
use crate::model::{
    Bundle, Generation, GenerationCause, GenerationId, GuestPath, SecretName, SecretTags,
    SecretsVersion, protocol::SecretFile,
};
use crate::plan::{Documents, Wanted};
use crate::vault::{Secrets, render};
use std::collections::{BTreeMap, BTreeSet};

/// What is to become live on one guest.
pub struct Job<'a> {
    pub bundle: &'a Bundle,
    pub documents: Documents,
    pub secrets: SecretsOfJob,
    pub cause: GenerationCause,
    /// The generation to go back to; none when the bundle is activated.
    pub back_to: Option<Generation>,
    /// `user@host` of the operator.
    pub who: String,
    pub allow_ip_conflicts: bool,
    pub overwrite_drift: bool,
}

/// The secrets of one activation. Neither `Debug` nor `Serialize`: it holds values.
pub struct SecretsOfJob {
    pub tags: SecretTags,
    pub version: SecretsVersion,
    /// None: the version is on the guest, from the generation to go back to.
    pub files: Option<BTreeMap<GuestPath, SecretFile>>,
    pub passwords: BTreeMap<SecretName, String>,
}

impl<'a> Job<'a> {
    /// The activation of a bundle with today's secrets. `secrets` is called only when the bundle names any.
    pub fn activate(
        bundle: &'a Bundle,
        secrets: &dyn Fn() -> Result<Secrets, crate::vault::VaultError>,
        who: String,
    ) -> Result<Self, ActivateError> {
        let documents = Documents::of(bundle)?;
        let names = names(bundle, &documents);
        let secrets = if names.is_empty() { None } else { Some(secrets()?) };
        let secrets = today(bundle, &documents, &names, secrets.as_ref())?;
        Ok(Self {
            bundle,
            documents,
            secrets,
            cause: GenerationCause::Activate,
            back_to: None,
            who,
            allow_ip_conflicts: false,
            overwrite_drift: false,
        })
    }

    /// The way back to a generation: its bundle, its release, its secrets.
    pub fn rollback(
        bundle: &'a Bundle,
        to: Generation,
        on_guest: &BTreeSet<SecretsVersion>,
        secrets: &dyn Fn() -> Result<Secrets, crate::vault::VaultError>,
        who: String,
    ) -> Result<Self, ActivateError> {
        let mut job = if on_guest.contains(&to.secrets) {
            let documents = Documents::of(bundle)?;
            let passwords = old_passwords(bundle, &documents, &to, secrets)?;
            let (tags, version) = (to.tags.clone(), to.secrets);
            let secrets = SecretsOfJob { tags, version, files: None, passwords };
            let cause = GenerationCause::Rollback { to: to.number };
            Job {
                bundle,
                documents,
                secrets,
                cause,
                back_to: None,
                who,
                allow_ip_conflicts: false,
                overwrite_drift: false,
            }
        } else {
            Self::activate(bundle, secrets, who)?
        };
        job.cause = GenerationCause::Rollback { to: to.number };
        job.back_to = Some(to);
        Ok(job)
    }

    /// What the plan needs of it.
    pub fn wanted(&self) -> Wanted<'_> {
        Wanted {
            bundle: self.bundle,
            tags: &self.secrets.tags,
            secrets: self.secrets.version,
            release: self.back_to.as_ref().and_then(|generation| generation.release),
        }
    }

    /// The parent to inherit, for a rollback.
    pub(super) fn parent(&self) -> Option<GenerationId> {
        self.back_to.as_ref().map(|to| to.parent.unwrap_or(GenerationId::FOUND))
    }
}

fn today(
    bundle: &Bundle,
    documents: &Documents,
    names: &BTreeSet<SecretName>,
    secrets: Option<&Secrets>,
) -> Result<SecretsOfJob, ActivateError> {
    let (tags, files, passwords) = match secrets {
        None => (SecretTags::new(), BTreeMap::new(), BTreeMap::new()),
        Some(secrets) => {
            let tags = secrets.tags(names)?;
            let files = render(&bundle.manifest, secrets, env_file::encode)?;
            (tags, files, passwords(documents, secrets)?)
        }
    };
    let version = SecretsVersion::of(&tags, &bundle.manifest);
    Ok(SecretsOfJob { tags, version, files: Some(files), passwords })
}

/// Every secret that an activation of this bundle needs.
pub fn secret_names(bundle: &Bundle) -> Result<BTreeSet<SecretName>, ActivateError> {
    Ok(names(bundle, &Documents::of(bundle)?))
}

fn names(bundle: &Bundle, documents: &Documents) -> BTreeSet<SecretName> {
    let mut names = bundle.manifest.secrets();
    names.extend(password_names(documents));
    names
}

fn password_names(documents: &Documents) -> BTreeSet<SecretName> {
    documents.databases.postgresql.values().filter_map(|db| db.password.clone()).collect()
}

fn passwords(
    documents: &Documents,
    secrets: &Secrets,
) -> Result<BTreeMap<SecretName, String>, ActivateError> {
    let names = password_names(documents).into_iter();
    names.map(|name| Ok((name.clone(), secrets.value(&name)?.expose().to_owned()))).collect()
}

/// A database's password must be the one that the old secret files hold.
fn old_passwords(
    bundle: &Bundle,
    documents: &Documents,
    to: &Generation,
    secrets: &dyn Fn() -> Result<Secrets, crate::vault::VaultError>,
) -> Result<BTreeMap<SecretName, String>, ActivateError> {
    let names = password_names(documents);
    if names.is_empty() {
        return Ok(BTreeMap::new());
    }
    let secrets = secrets()?;
    let tags = secrets.tags(&names)?;
    let others = tags.iter().filter(|(name, tag)| to.tags.get(name) != Some(tag));
    let others: Vec<_> = others.map(|(name, _)| format!("`{name}`")).collect();
    if others.is_empty() {
        return passwords(documents, &secrets);
    }
    Err(ActivateError::OldSecret {
        target: bundle.manifest.target.clone(),
        number: to.number,
        names: others.join(", "),
    })
}

/// `user@host` of whoever runs this.
pub fn who() -> String {
    let uid = rustix::process::geteuid().as_raw();
    let users = std::fs::read_to_string("/etc/passwd").unwrap_or_default();
    let mut users = users.lines().map(|line| line.split(':').collect::<Vec<_>>());
    let own = users.find(|fields| fields.get(2) == Some(&uid.to_string().as_str()));
    let user = own.map_or_else(|| format!("uid{uid}"), |fields| fields[0].to_owned());
    let host = rustix::system::uname().nodename().to_string_lossy().into_owned();
    format!("{user}@{host}")
}
