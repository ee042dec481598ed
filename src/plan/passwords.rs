//! Passwords of databases that the running app logs in with.

use super::{Documents, PlanError, Wanted, live::Live};
use crate::model::{
    DatabaseName, DatabaseServer, DatabasesDocument, OwnedDatabase, SecretName, SecretTag,
    SecretTags, canonical, document,
};
use std::collections::BTreeMap;

/// Refuses another password for a role of the live generation: roles are ensured before the switch, so the running app could not
/// log in from then on, nor again after an undo.
///
/// # Errors
/// `PlanError::Password` with the roles; `PlanError::Document` when the live document is not what stackc wrote.
pub(super) fn refuse_others(
    wanted: &Wanted<'_>,
    documents: &Documents,
    live: &Live,
) -> Result<(), PlanError> {
    let (before, after) = (live_databases(wanted, live)?, &documents.databases);
    let (before, after) = (passwords(&before, &live.tags()), passwords(after, wanted.tags));
    let others = before.iter().filter(|(owner, password)| {
        after.get(*owner).is_some_and(|after| password.is_some() && after != *password)
    });
    let roles: Vec<String> = others.map(|((_, owner), _)| format!("`{owner}`")).collect();
    if roles.is_empty() {
        return Ok(());
    }
    Err(PlanError::Password {
        target: wanted.bundle.manifest.target.clone(),
        roles: roles.join(", "),
    })
}

fn live_databases(wanted: &Wanted<'_>, live: &Live) -> Result<DatabasesDocument, PlanError> {
    let name = document::DATABASES;
    let Some(text) = live.documents.get(name) else { return Ok(DatabasesDocument::default()) };
    canonical::from_slice(text.as_bytes()).map_err(|cause| PlanError::Document {
        target: wanted.bundle.manifest.target.clone(),
        name,
        cause,
    })
}

/// The password of each role, as its secret's name and tag: the value itself is nobody's to compare.
type Passwords<'a> =
    BTreeMap<(DatabaseServer, &'a DatabaseName), Option<(&'a SecretName, Option<SecretTag>)>>;

fn passwords<'a>(databases: &'a DatabasesDocument, tags: &SecretTags) -> Passwords<'a> {
    let password = |name: &'a SecretName| (name, tags.get(name).copied());
    let role = |(server, _, database): (DatabaseServer, _, &'a OwnedDatabase)| {
        ((server, &database.owner), database.password.as_ref().map(password))
    };
    databases.all().map(role).collect()
}
