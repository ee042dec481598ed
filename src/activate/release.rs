//! A release's name: equal names, equal builds.

use crate::model::{Digest, ReleaseDocument, ReleaseId, canonical};
use serde::Serialize;
use std::collections::BTreeMap;

/// Everything that what is built depends on.
#[derive(Serialize)]
struct Inputs<'a> {
    tree: &'a str,
    build: &'a [crate::model::ReleaseCommand],
    build_env: &'a BTreeMap<String, String>,
    tools: &'a BTreeMap<String, String>,
    shared: &'a [String],
    user: &'a str,
}

/// SHA-256 over the git tree, the build commands, `build_env`, what the tools say of their versions, the shared paths
/// (links in the build) and the user (who owns it).
pub fn release_id(release: &ReleaseDocument, tools: &BTreeMap<String, String>) -> ReleaseId {
    ReleaseId(Digest::of(&canonical::to_bytes(&Inputs {
        tree: &release.tree,
        build: &release.build,
        build_env: &release.build_env,
        tools,
        shared: &release.shared,
        user: release.user.as_str(),
    })))
}
