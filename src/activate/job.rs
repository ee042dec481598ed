//! One guest's activation: what is wanted, and with which secrets.

use super::{ActivateError, Way};
use crate::compile::env_file;
use crate::model::{
    Bundle, Generation, GenerationCause, GenerationId, GuestPath, NodeName, SecretName, SecretTags,
    SecretsVersion, Vmid, protocol::SecretFile,
};
use crate::plan::{Documents, Wanted, secrets_differ};
use crate::vault::{Secrets, VaultError, render};
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
        secrets: &dyn Fn() -> Result<Secrets, VaultError>,
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

    /// The way back to a generation: its bundle, its release, its secrets. `secrets` is called only when the guest lacks
    /// one that the bundle needs. Of the guest as it was found there are none.
    pub fn rollback(
        way: &'a Way,
        secrets: &dyn Fn() -> Result<Secrets, VaultError>,
        who: String,
    ) -> Result<Self, ActivateError> {
        let to = way.generation.clone();
        let mut job = if way.bundle.is_found() || way.secrets.contains(&to.secrets) {
            let mut job = Self::live(&way.bundle, to.clone(), who)?;
            job.secrets.passwords = old_passwords(way, &job.documents, secrets)?;
            job
        } else {
            Self::activate(&way.bundle, secrets, who)?
        };
        job.look_in(way.place.clone());
        job.cause = GenerationCause::Rollback { to: to.number };
        job.back_to = Some(to);
        Ok(job)
    }

    /// The guest is there, wherever the bundle has it.
    pub(super) fn look_in(&mut self, (vmid, node): (Vmid, NodeName)) {
        let proxmox = &mut self.documents.proxmox;
        (proxmox.vmid, proxmox.node) = (vmid, node);
    }

    /// What made a generation that the guest still has all of: it needs no secret.
    pub(super) fn live(
        bundle: &'a Bundle,
        generation: Generation,
        who: String,
    ) -> Result<Self, ActivateError> {
        let (tags, version) = (generation.tags, generation.secrets);
        Ok(Self {
            bundle,
            documents: Documents::of(bundle)?,
            secrets: SecretsOfJob { tags, version, files: None, passwords: BTreeMap::new() },
            cause: generation.cause,
            back_to: None,
            who,
            allow_ip_conflicts: false,
            overwrite_drift: false,
        })
    }

    /// What others are told while it holds the guest.
    pub(super) fn why(&self) -> String {
        let target = &self.bundle.manifest.target;
        match self.bundle.recorded_digest() {
            Some(digest) => format!("activation of {target} {}", digest.short()),
            None => format!("{target} goes back to how it was found"),
        }
    }

    /// What the plan needs of it.
    pub fn wanted(&self) -> Wanted<'_> {
        Wanted {
            bundle: self.bundle,
            tags: &self.secrets.tags,
            secrets: self.secrets.version,
            release: self.back_to.as_ref().and_then(|generation| generation.release),
            goes_back: self.back_to.is_some(),
        }
    }

    /// The parent to inherit, for a rollback. Before the guest was found there is none: from there the way back leads to
    /// what was live until then.
    pub(super) fn parent(&self) -> Option<GenerationId> {
        let to = self.back_to.as_ref().filter(|to| to.number != GenerationId::FOUND)?;
        Some(to.parent.unwrap_or(GenerationId::FOUND))
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
    names.extend(documents.databases.passwords());
    names
}

fn passwords(
    documents: &Documents,
    secrets: &Secrets,
) -> Result<BTreeMap<SecretName, String>, ActivateError> {
    let names = documents.databases.passwords().into_iter();
    names.map(|name| Ok((name.clone(), secrets.value(&name)?.expose().to_owned()))).collect()
}

/// The passwords of databases, when one is another now: each must be the one that the old secret files hold.
fn old_passwords(
    way: &Way,
    documents: &Documents,
    secrets: &dyn Fn() -> Result<Secrets, VaultError>,
) -> Result<BTreeMap<SecretName, String>, ActivateError> {
    let (names, to) = (documents.databases.passwords(), &way.generation);
    if !secrets_differ(&names, &way.live, &to.tags) {
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
        target: way.bundle.manifest.target.clone(),
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
