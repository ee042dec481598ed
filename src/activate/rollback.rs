//! Where a rollback goes. Only the guest is asked, and the bundles that were live: never what definitions say today.

use super::{ActivateError, Failed, Found, Job, Seams, fetch_bundle, find, history, settle};
use crate::model::{
    Bundle, Digest, Generation, GenerationId, Outcome, SecretTags, SecretsVersion, Target, Vmid,
    protocol::HistoryReply,
};
use std::collections::BTreeSet;

/// A generation to go back to, and what there is for it.
#[derive(Debug)]
pub struct Way {
    pub generation: Generation,
    pub bundle: Bundle,
    /// The sets of secrets that the guest still has.
    pub secrets: BTreeSet<SecretsVersion>,
    /// The secrets of the live generation.
    pub live: SecretTags,
}

/// Who goes back where.
pub struct Back<'a> {
    pub target: &'a Target,
    /// Where the guest is thought to be; its mark decides.
    pub vmid: Option<Vmid>,
    /// The generation asked for; none: the live one's parent.
    pub to: Option<GenerationId>,
    /// `user@host` of the operator.
    pub who: String,
    /// A bundle that the operator still has.
    pub kept: &'a dyn Fn(&Digest) -> Option<Bundle>,
}

/// Finds the way back. An open switch of this operator's own is seen to its end first: what is live meanwhile may not
/// stay.
///
/// # Errors
/// Before anything has changed.
pub fn way_back(seams: &mut Seams<'_>, back: &Back<'_>) -> Result<Way, Failed> {
    let found = find(seams, back.target, back.vmid)?;
    let mut found = end_pending(seams, back, found)?;
    let reply = history(back.target, &mut found)?;
    let (generation, digest) = choose(back, &reply).map_err(Failed::refused)?;
    let bundle = bundle(back, &mut found, &digest)?;
    let live = reply.generations.iter().find(|g| Some(g.number) == reply.live);
    let live = live.map(|live| live.tags.clone()).unwrap_or_default();
    let secrets = found.guest.map(|guest| guest.secrets).unwrap_or_default();
    Ok(Way { generation, bundle, secrets, live })
}

fn end_pending(seams: &mut Seams<'_>, back: &Back<'_>, found: Found) -> Result<Found, Failed> {
    let guest = found.guest.as_ref().filter(|guest| guest.pending.is_some());
    let live = guest.and_then(|guest| guest.live.clone());
    let Some((live, digest)) = live.and_then(|live| Some((live.clone(), live.digest?))) else {
        return Ok(found);
    };
    let mut found = found;
    let bundle = bundle(back, &mut found, &digest)?;
    let job = Job::live(&bundle, live, back.who.clone()).map_err(Failed::refused)?;
    settle(seams, &job, found)
}

/// The operator's own, or else the guest's: what has been live can be gone back to from anywhere.
fn bundle(back: &Back<'_>, found: &mut Found, digest: &Digest) -> Result<Bundle, Failed> {
    match (back.kept)(digest) {
        Some(bundle) => Ok(bundle),
        None => fetch_bundle(back.target, found, digest).map_err(Failed::refused),
    }
}

/// Chooses: the number asked for, or the live generation's parent. A rollback inherits its target's parent, so that
/// repeating it walks further back.
fn choose(back: &Back<'_>, history: &HistoryReply) -> Result<(Generation, Digest), ActivateError> {
    let target = || back.target.clone();
    let nothing =
        |why: &str| ActivateError::NothingBefore { target: target(), why: why.to_owned() };
    let live = history.live.ok_or_else(|| nothing("no generation is live"))?;
    let live = history.generations.iter().find(|g| g.number == live);
    let live = live.ok_or_else(|| nothing("the live generation has no record"))?;
    let number = match back.to {
        Some(GenerationId::FOUND) => return Err(nothing(FOUND_ASKED)),
        Some(number) => number,
        None => live.parent.ok_or_else(|| nothing("the live generation has no parent"))?,
    };
    if number == GenerationId::FOUND {
        return Err(nothing(FOUND_BEFORE));
    }
    let confirmed = history.generations.iter().filter(|g| g.outcome == Outcome::Confirmed);
    let confirmed: Vec<_> = confirmed.filter_map(|g| Some((g, g.digest?))).collect();
    let found = confirmed.iter().find(|(g, _)| g.number == number);
    found.map(|(generation, digest)| ((*generation).clone(), *digest)).ok_or_else(|| {
        let known = confirmed.iter().map(|(g, _)| g.number).collect();
        ActivateError::NoGeneration { target: target(), number, known }
    })
}

const FOUND_ASKED: &str =
    "generation 0 is the guest as it was found, and this version cannot go there";
const FOUND_BEFORE: &str =
    "what was live before is generation 0, the guest as it was found, which holds no bundle";
