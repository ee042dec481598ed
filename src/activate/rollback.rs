//! Where a rollback goes. Only the guest is asked, and the bundles that were live: never what definitions say today.

use super::{ActivateError, Failed, Found, Job, Seams, fetch_bundle, find, history, settle};
use crate::{
    model::{
        Bundle, Digest, Generation, GenerationId, HealthDocument, NodeName, Outcome, SecretTags,
        SecretsVersion, Target, Vmid, protocol::HistoryReply,
    },
    plan::Documents,
};
use std::collections::{BTreeMap, BTreeSet};

/// A generation to go back to, and what there is for it.
#[derive(Debug)]
pub struct Way {
    pub generation: Generation,
    pub bundle: Bundle,
    /// The sets of secrets that the guest still has.
    pub secrets: BTreeSet<SecretsVersion>,
    /// The secrets of the live generation.
    pub live: SecretTags,
    /// Where the guest was found by its mark. Its bundle may have it elsewhere.
    pub place: (Vmid, NodeName),
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
    let generation = choose(back, &reply).map_err(Failed::refused)?;
    let bundle = match generation.digest {
        Some(digest) => bundle(back, &mut found, generation.number, &digest)?,
        None => as_found(back, &mut found, &reply)?,
    };
    let live = reply.generations.iter().find(|g| Some(g.number) == reply.live);
    let live = live.map(|live| live.tags.clone()).unwrap_or_default();
    let place = place(back, &found)?;
    let secrets = found.guest.map(|guest| guest.secrets).unwrap_or_default();
    Ok(Way { generation, bundle, secrets, live, place })
}

fn place(back: &Back<'_>, found: &Found) -> Result<(Vmid, NodeName), Failed> {
    let container = found.container.as_ref();
    let place = container.map(|container| (container.vmid, container.node.clone()));
    place.ok_or_else(|| Failed::refused(ActivateError::NoGuest { target: back.target.clone() }))
}

fn end_pending(seams: &mut Seams<'_>, back: &Back<'_>, found: Found) -> Result<Found, Failed> {
    let guest = found.guest.as_ref().filter(|guest| guest.pending.is_some());
    let Some(live) = guest.and_then(|guest| guest.live.clone()) else { return Ok(found) };
    let mut found = found;
    let bundle = if let Some(digest) = live.digest {
        bundle(back, &mut found, live.number, &digest)?
    } else {
        let reply = history(back.target, &mut found)?;
        as_found(back, &mut found, &reply)?
    };
    let mut job = Job::live(&bundle, live, back.who.clone()).map_err(Failed::refused)?;
    job.look_in(place(back, &found)?);
    settle(seams, &job, found)
}

/// The operator's own, or else the guest's: what has been live can be gone back to from anywhere.
fn bundle(
    back: &Back<'_>,
    found: &mut Found,
    number: GenerationId,
    digest: &Digest,
) -> Result<Bundle, Failed> {
    bundle_of(back.target, back.kept, found, number, digest)
}

/// The bundle of a generation.
pub(super) fn bundle_of(
    target: &Target,
    kept: &dyn Fn(&Digest) -> Option<Bundle>,
    found: &mut Found,
    number: GenerationId,
    digest: &Digest,
) -> Result<Bundle, Failed> {
    if let Some(bundle) = kept(digest) {
        return Ok(bundle);
    }
    fetch_bundle(target, found, digest).map_err(|error| {
        Failed::refused(match error {
            ActivateError::Remote(cause) if cause.is_answer() => {
                let (target, digest) = (target.clone(), *digest);
                ActivateError::Collected { target, number, digest, cause }
            }
            other => other,
        })
    })
}

/// The guest as it was found: an empty bundle, judged within the limits of the last one that was live.
fn as_found(back: &Back<'_>, found: &mut Found, history: &HistoryReply) -> Result<Bundle, Failed> {
    let nothing = || no_live(back, "no bundle was ever live there");
    let mut confirmed = confirmed(history).filter_map(|g| Some((g.number, g.digest?)));
    let (number, digest) = confirmed.next_back().ok_or_else(|| Failed::refused(nothing()))?;
    let last = bundle(back, found, number, &digest)?;
    let documents = Documents::of(&last).map_err(Failed::refused)?;
    let health = HealthDocument { probes: BTreeMap::new(), ..documents.health };
    Ok(Bundle::found(back.target.clone(), &documents.proxmox, &health))
}

fn confirmed(history: &HistoryReply) -> impl DoubleEndedIterator<Item = &Generation> {
    history.generations.iter().filter(|g| g.outcome == Outcome::Confirmed)
}

fn no_live(back: &Back<'_>, why: &str) -> ActivateError {
    ActivateError::NothingBefore { target: back.target.clone(), why: why.to_owned() }
}

/// Chooses: the number asked for, or the live generation's parent. A rollback inherits its target's parent, so that
/// repeating it walks further back. To the guest as it was found nobody comes but by its number.
fn choose(back: &Back<'_>, history: &HistoryReply) -> Result<Generation, ActivateError> {
    let target = || back.target.clone();
    let live = history.live.ok_or_else(|| no_live(back, "no generation is live"))?;
    let live = history.generations.iter().find(|g| g.number == live);
    let live = live.ok_or_else(|| no_live(back, "the live generation has no record"))?;
    let number = back.to.or(live.parent);
    let number = number.ok_or_else(|| no_live(back, "the live generation has no parent"))?;
    let known = || {
        let others = confirmed(history).map(|g| g.number).filter(|n| *n != GenerationId::FOUND);
        [GenerationId::FOUND].into_iter().chain(others).collect()
    };
    let chosen = history.generations.iter().find(|g| g.number == number);
    match chosen {
        _ if number == GenerationId::FOUND => {}
        None => {
            return Err(ActivateError::NoGeneration { target: target(), number, known: known() });
        }
        Some(chosen) if chosen.outcome != Outcome::Confirmed => {
            return Err(ActivateError::NotConfirmed { target: target(), number, known: known() });
        }
        Some(chosen) if chosen.digest.is_some() => return Ok(chosen.clone()),
        Some(_) => {}
    }
    if back.to.is_none() {
        return Err(ActivateError::FoundBefore { target: target(), live: live.number });
    }
    Ok(Generation::found(live.by.clone(), live.at.clone()))
}
